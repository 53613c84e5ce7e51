"""MQTT 5 where the broker has it, 3.1.1 where it says that it has not; never by mere silence."""

from __future__ import annotations

import asyncio

import pytest

from brokers import RunningBroker
from fakes.fakebroker import FakeBroker, Manners, Version5
from fakes.observers import other_tasks
from xinmai.errors import BrokerRefused, TransportError
from xinmai.transport import BrokerAddress, Learned, Transport, Will, connection, dial, link

from .conftest import Start


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a silent broker."""
    monkeypatch.setattr(connection, "PATIENCE_S", 0.02)
    monkeypatch.setattr(link, "CONNACK_S", 0.2)
    monkeypatch.setattr(dial, "CONNECT_S", 0.2)


def versions(fake: FakeBroker) -> list[int]:
    return [login.version for login in fake.logins]


async def agreed(address: BrokerAddress, will: Will | None = None) -> str:
    async with Transport(address, "node", will=will) as transport:
        await transport.publish("a", b"")
        return transport.protocol


async def test_version_5_is_asked_for_once_and_remembered() -> None:
    async with FakeBroker() as fake:
        address = BrokerAddress(fake.url)
        assert [await agreed(address) for _ in range(2)] == ["5", "5"]
        assert address.learned.protocol == "5"
        assert versions(fake) == [5, 5]


async def test_a_refused_version_5_is_remembered() -> None:
    async with FakeBroker(Manners(version5="refuse")) as fake:
        address = BrokerAddress(fake.url)
        assert [await agreed(address) for _ in range(2)] == ["3.1.1", "3.1.1"]
        assert versions(fake) == [5, 4, 4]


@pytest.mark.usefixtures("hasty")
async def test_a_broker_confused_by_version_5_is_asked_in_bare_words() -> None:
    async with FakeBroker(Manners(version5="confused")) as fake:
        assert await agreed(BrokerAddress(fake.url), Will("w", b"")) == "3.1.1"
        assert versions(fake) == [5, 5, 4]


@pytest.mark.usefixtures("hasty")
async def test_a_late_answer_does_not_cost_version_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "CONNACK_S", 30)
    async with FakeBroker(Manners(version5="late")) as fake:
        connecting = asyncio.create_task(agreed(BrokerAddress(fake.url)))
        await fake.connected(2)
        fake.go.set()
        assert await connecting == "5"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["silent", "close"])
async def test_silence_is_no_refusal(how: Version5) -> None:
    async with FakeBroker(Manners(version5=how)) as fake:
        address = BrokerAddress(fake.url)
        with pytest.raises(TransportError, match=r"broker\.protocol"):
            await agreed(address)
        assert 4 not in versions(fake)
        assert address.learned.protocol is None
    assert other_tasks() == []


async def test_what_was_learned_elsewhere_is_used() -> None:
    async with FakeBroker(Manners(version5="refuse")) as fake:
        assert await agreed(BrokerAddress(fake.url, learned=Learned("3.1.1"))) == "3.1.1"
        assert versions(fake) == [4]


async def test_another_broker_at_the_same_place_is_asked_anew() -> None:
    async with FakeBroker() as fake:
        address = BrokerAddress(fake.url)
        assert await agreed(address) == "5"
        fake.manners.version5 = "refuse"
        with pytest.raises(BrokerRefused):
            await agreed(address)
        assert await agreed(address) == "3.1.1"


async def test_a_fixed_version_is_not_negotiated() -> None:
    async with FakeBroker(Manners(version5="refuse")) as fake:
        with pytest.raises(BrokerRefused) as caught:
            await agreed(BrokerAddress(fake.url, protocol="5"))
        assert caught.value.code == 132
        assert await agreed(BrokerAddress(fake.url, protocol="3.1.1")) == "3.1.1"
        assert versions(fake) == [5, 4]


async def test_version_3_has_our_own_limits() -> None:
    async with (
        FakeBroker() as fake,
        Transport(BrokerAddress(fake.url, protocol="3.1.1"), "node") as transport,
    ):
        assert transport.receive_maximum == 20
        assert 2**20 + 2048 < transport.maximum_packet_bytes < 2**20 + 2**16


async def test_amqtt_is_spoken_to_in_3_1_1(start_real: Start) -> None:
    broker: RunningBroker = start_real("amqtt")
    address = BrokerAddress(broker.url)
    assert await agreed(address, Will("w", b"offline")) == "3.1.1"
    assert address.learned.protocol == "3.1.1"


@pytest.mark.broker
async def test_mosquitto_is_spoken_to_in_5(start_real: Start) -> None:
    broker: RunningBroker = start_real("mosquitto")
    assert await agreed(BrokerAddress(broker.url)) == "5"
    assert await agreed(BrokerAddress(broker.url, protocol="3.1.1")) == "3.1.1"
