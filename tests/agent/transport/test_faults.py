"""Faults D3 to D7, D10, D13 and D14, most of them on a fake broker that commits them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from brokers import RunningBroker, mosquitto
from fakes import packets
from fakes.fakebroker import FakeBroker, Manners
from fakes.observers import first, open_descriptors, other_tasks
from xinmai.errors import BrokerRefused, TransportError
from xinmai.transport import BrokerAddress, Disconnected, Message, Transport
from xinmai.transport.inbox import Inbox


@pytest.fixture
async def fake() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as broker:
        yield broker


def address_of(broker: FakeBroker | RunningBroker, keepalive_s: int = 30) -> BrokerAddress:
    return BrokerAddress(broker.url, keepalive_s=keepalive_s)


async def settled(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    return await asyncio.gather(*tasks, return_exceptions=True)


def publishing(transport: Transport, *topics: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(transport.publish(topic, b"x")) for topic in topics]


@pytest.mark.fault("D3")
async def test_nothing_waits_for_a_connection_that_is_gone(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        fake.drop("node")
        with pytest.raises(Disconnected):
            await first(transport)
        for _ in range(100):
            with pytest.raises(Disconnected):
                await transport.publish("lost", b"x")
        with pytest.raises(Disconnected):
            await transport.subscribe(["lost"])
    async with Transport(address_of(fake), "node") as transport:
        await transport.publish("next", b"x")
    assert [message.topic for message in fake.published] == ["next"]


@pytest.mark.fault("D4")
async def test_an_ack_that_never_comes_makes_no_duplicate(fake: FakeBroker) -> None:
    fake.manners.ack = False
    async with Transport(address_of(fake), "node") as transport:
        waiting = publishing(transport, "a", "b", "c")
        await fake.seen(3)
        fake.drop("node")
        ends = await settled(*waiting)
        assert [type(end) for end in ends] == [Disconnected] * 3
    fake.manners.ack = True
    async with Transport(address_of(fake), "node") as transport:
        await transport.publish("d", b"x")
    assert [message.topic for message in fake.published] == ["a", "b", "c", "d"]
    assert not any(message.dup for message in fake.published)


@pytest.mark.fault("D5")
@pytest.mark.broker
async def test_an_oversize_message_is_refused_here(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "max_packet_size 2000") as broker:
        async with Transport(address_of(broker), "node") as transport:
            assert transport.maximum_packet_bytes == 2000
            with pytest.raises(BrokerRefused) as caught:
                await transport.publish("large", bytes(5000))
            assert (caught.value.code, caught.value.topic) == (149, "large")
            await transport.publish("small", bytes(900))


@pytest.mark.fault("D5")
async def test_the_margin_belongs_to_the_packet() -> None:
    manners = Manners(connack_properties=packets.maximum_packet_size(3000))
    async with FakeBroker(manners) as fake, Transport(address_of(fake), "node") as transport:
        await transport.publish("t", bytes(3000 - 1024 - 11))
        with pytest.raises(BrokerRefused, match="3000"):
            await transport.publish("t", bytes(3000 - 1024 - 10))
        assert len(fake.published) == 1


@pytest.mark.fault("D5")
async def test_a_limit_that_the_broker_kept_to_itself_ends_the_connection(fake: FakeBroker) -> None:
    fake.manners.close_over_bytes = 1000
    async with Transport(address_of(fake), "node") as transport:
        with pytest.raises(Disconnected) as caught:
            await transport.publish("large", bytes(1001))
    assert caught.value.code == 149


@pytest.mark.fault("D6")
@pytest.mark.fault("D10")
@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_is_in_flight_than_the_broker_takes(limit: int) -> None:
    manners = Manners(connack_properties=packets.receive_maximum(limit), ack=False)
    async with FakeBroker(manners) as fake, Transport(address_of(fake), "node") as transport:
        assert transport.receive_maximum == limit
        waiting = publishing(transport, *(str(number) for number in range(10)))
        for seen in range(limit, 11):
            await fake.seen(seen)
            # Answered on the same connection: all that was sent before it has arrived.
            await transport.subscribe(["x"])
            assert len(fake.clients["node"].owed) == limit
            fake.ack("node")
        fake.ack("node", limit)
        assert await settled(*waiting) == [None] * 10
        assert [message.topic for message in fake.published] == [str(n) for n in range(10)]


async def test_a_cancelled_publish_keeps_its_place_until_its_ack() -> None:
    manners = Manners(connack_properties=packets.receive_maximum(1), ack=False)
    async with FakeBroker(manners) as fake, Transport(address_of(fake), "node") as transport:
        cancelled, waiting = publishing(transport, "a", "b")
        await fake.seen(1)
        cancelled.cancel()
        await settled(cancelled)
        await transport.subscribe(["x"])
        assert len(fake.published) == 1
        fake.ack("node")
        await fake.seen(2)
        fake.ack("node")
        await waiting


async def test_waiting_for_a_place_ends_with_the_connection() -> None:
    manners = Manners(connack_properties=packets.receive_maximum(2), ack=False)
    async with FakeBroker(manners) as fake, Transport(address_of(fake), "node") as transport:
        waiting = publishing(transport, *"abcdefgh")
        await fake.seen(2)
        fake.drop("node")
        assert [type(end) for end in await settled(*waiting)] == [Disconnected] * 8


@pytest.mark.fault("D7")
async def test_a_dropped_connection_ends_the_messages(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        await transport.subscribe(["a"])
        fake.deliver("a", b"1")
        await transport.publish("b", b"")
        fake.drop("node")
        # What had arrived is still given out.
        assert (await first(transport))[0].payload == b"1"
        with pytest.raises(Disconnected, match="lost") as caught:
            await first(transport)
        assert caught.value.code is None


@pytest.mark.fault("D7")
@pytest.mark.fault("D8")
async def test_a_client_that_only_publishes_notices_a_mute_broker(fake: FakeBroker) -> None:
    async with Transport(address_of(fake, keepalive_s=1), "node") as transport:
        await transport.publish("a", b"")
        await fake.pinged(1)
        await transport.publish("b", b"")
        fake.manners.pings = fake.manners.ack = False
        with pytest.raises(Disconnected, match="keepalive"):
            await transport.publish("c", b"")


@pytest.mark.broker
async def test_a_killed_broker_ends_every_wait(real_broker: RunningBroker) -> None:
    async with Transport(address_of(real_broker), "node") as transport:
        await transport.publish("a", b"")
        real_broker.kill()
        with pytest.raises(Disconnected):
            await first(transport)
    real_broker.restart()
    async with Transport(address_of(real_broker), "node") as transport:
        await transport.publish("a", b"")


@pytest.mark.fault("D13")
async def test_a_take_over_is_reported(fake: FakeBroker) -> None:
    async with (
        Transport(address_of(fake), "twin") as former,
        Transport(address_of(fake), "twin") as latter,
    ):
        with pytest.raises(Disconnected, match="second agent") as caught:
            await first(former)
        await latter.publish("a", b"")
    assert caught.value.code == 142


@pytest.mark.fault("D13")
@pytest.mark.broker
async def test_a_take_over_ends_the_former_connection(real_broker: RunningBroker) -> None:
    async with (
        Transport(address_of(real_broker), "twin") as former,
        Transport(address_of(real_broker), "twin") as latter,
    ):
        with pytest.raises(Disconnected, match="second"):
            await first(former)
        await latter.publish("a", b"")


@pytest.mark.broker
async def test_a_denial_in_a_puback_is_seen(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write ours/#\ntopic read ours/#\n")
    with mosquitto(tmp_path, f"acl_file {acl}") as broker:
        async with Transport(address_of(broker), "node") as transport:
            await transport.publish("ours/a", b"")
            with pytest.raises(BrokerRefused, match="ACL") as caught:
                await transport.publish("theirs/a", b"")
            assert (caught.value.code, caught.value.topic) == (135, "theirs/a")
            await transport.publish("ours/b", b"")


async def test_reason_codes_of_acknowledgements_are_read(fake: FakeBroker) -> None:
    fake.manners.ack_codes = {"none": 16, "quota": 151}
    fake.manners.suback_codes = {"secret/#": 135}
    async with Transport(address_of(fake), "node") as transport:
        await transport.publish("none", b"")
        with pytest.raises(BrokerRefused) as published:
            await transport.publish("quota", b"")
        with pytest.raises(BrokerRefused) as subscribed:
            await transport.subscribe(["a", "secret/#"])
    assert (published.value.code, published.value.topic) == (151, "quota")
    assert (subscribed.value.code, subscribed.value.topic) == (135, "secret/#")


@pytest.mark.fault("D14")
async def test_what_does_not_fit_the_queue_is_counted(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        await transport.subscribe(["a"])
        for number in range(4100):
            fake.deliver("a", str(number).encode())
        await transport.publish("b", b"")
        assert transport.dropped == 4
        received = await first(transport, 4096)
        assert [received[0].payload, received[-1].payload] == [b"0", b"4095"]


def test_the_queue_is_bounded_in_bytes() -> None:
    inbox = Inbox(messages=10, size_bytes=100)
    small, large = Message("a", bytes(40), retain=False), Message("a", bytes(70), retain=False)
    for message in (small, large, small, small):
        inbox.put(message)
    assert inbox.dropped == 2
    assert inbox.take() == small
    inbox.put(small)
    assert inbox.dropped == 2


async def test_bytes_that_are_not_mqtt_end_the_connection(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        await transport.publish("a", b"")
        fake.clients["node"].writer.write(b"\xf0\x80\x80\x80\x80\x80\x80")
        with pytest.raises(Disconnected, match="not MQTT"):
            await first(transport)


async def test_a_topic_that_is_not_text_is_counted_as_dropped(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        raw = packets.publish(5, b"\xff\xfe", b"")
        fake.clients["node"].writer.write(raw)
        await transport.publish("a", b"")
        assert transport.dropped == 1


async def test_a_wildcard_cannot_be_published_to(fake: FakeBroker) -> None:
    async with Transport(address_of(fake), "node") as transport:
        with pytest.raises(TransportError, match="a/#"):
            await transport.publish("a/#", b"")
        await transport.publish("a", b"")


@pytest.mark.parametrize("code", [134, 135, 137])
async def test_a_refused_login_says_why(fake: FakeBroker, code: int) -> None:
    fake.manners.connack_code = code
    with pytest.raises(BrokerRefused) as caught:
        await Transport(address_of(fake), "node").__aenter__()
    assert caught.value.code == code
    assert fake.url in str(caught.value)


async def test_login_carries_clean_start_and_credentials(fake: FakeBroker) -> None:
    address = BrokerAddress(fake.url, username="node", password="geheim", keepalive_s=7)
    async with Transport(address, "node-1"):
        (login,) = fake.logins
    assert login.clean
    assert (login.version, login.client_id, login.keepalive_s) == (5, "node-1", 7)
    assert (login.username, login.password) == ("node", "geheim")


async def test_failed_connects_leave_nothing_behind() -> None:
    async def fail(url: str) -> None:
        with pytest.raises(TransportError):
            await Transport(BrokerAddress(url), "node").__aenter__()

    descriptors = open_descriptors()
    manners = Manners(connack_code=135)
    async with FakeBroker(manners) as fake:
        for _ in range(50):
            await fail(fake.url)
        manners.version5 = "close"
        for _ in range(20):
            await fail(fake.url)
    for _ in range(30):
        await fail(fake.url)
    assert open_descriptors() == descriptors
    assert other_tasks() == []


async def test_a_cancelled_connect_leaves_nothing_behind() -> None:
    descriptors = open_descriptors()
    async with FakeBroker(Manners(version5="silent")) as fake:
        connecting = asyncio.create_task(Transport(address_of(fake), "node").__aenter__())
        await fake.connected(1)
        connecting.cancel()
        await asyncio.wait({connecting})
        assert connecting.cancelled()
    assert open_descriptors() == descriptors
    assert other_tasks() == []
