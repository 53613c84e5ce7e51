"""TLS against a real mosquitto, with an authority made for the test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brokers import RunningBroker, mosquitto
from fakes.observers import first, open_descriptors, other_tasks
from xinmai.errors import TransportError
from xinmai.transport import BrokerAddress, Transport

from .certs import Authority

pytestmark = pytest.mark.broker

_LISTENER = """
listener {port} 127.0.0.1
cafile %s
certfile %s
keyfile %s
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


def start(
    authority: Authority, directory: Path, more: str = "", san: str = "IP:127.0.0.1"
) -> RunningBroker:
    server = authority.sign("server", san)
    directory.mkdir(exist_ok=True)
    return mosquitto(directory, _LISTENER % (authority.ca, server.cert, server.key) + more)


@pytest.fixture(scope="module")
def broker(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    with start(authority, tmp_path_factory.mktemp("one-way")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    """Wants a certificate of the client and takes its name as the user (D16)."""
    directory = tmp_path_factory.mktemp("mutual")
    acl = directory / "acl"
    acl.write_text("pattern readwrite nodes/%u/#\n")
    more = f"require_certificate true\nuse_identity_as_username true\nacl_file {acl}\n"
    with start(authority, directory, more) as running:
        yield running


def secure(broker: RunningBroker, ca: Path | None) -> BrokerAddress:
    return BrokerAddress(broker.url.replace("mqtt:", "mqtts:"), ca=ca)


async def enter(address: BrokerAddress) -> str:
    """The message of the failure."""
    descriptors = open_descriptors()
    with pytest.raises(TransportError) as caught:
        await Transport(address, "node").__aenter__()
    assert open_descriptors() == descriptors
    assert other_tasks() == []
    return str(caught.value)


async def test_messages_pass(broker: RunningBroker, authority: Authority) -> None:
    async with Transport(secure(broker, authority.ca), "node") as transport:
        await transport.subscribe(["a"])
        payload = bytes(range(256)) * 2048
        await asyncio.gather(*(transport.publish("a", payload) for _ in range(8)))
        assert [message.payload for message in await first(transport, 8)] == [payload] * 8


async def test_an_unknown_authority_is_named(broker: RunningBroker, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    assert "does ca hold" in await enter(secure(broker, other.ca))
    assert "does ca hold" in await enter(secure(broker, None))


async def test_a_certificate_for_another_host_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    with start(authority, tmp_path, san="DNS:elsewhere") as broker:
        assert "127.0.0.1" in await enter(secure(broker, authority.ca))


async def test_a_missing_file_is_named(broker: RunningBroker, tmp_path: Path) -> None:
    assert "nothing.pem" in await enter(secure(broker, tmp_path / "nothing.pem"))


async def test_plain_and_tls_do_not_mix(broker: RunningBroker, authority: Authority) -> None:
    assert "no answer" in await enter(replace(secure(broker, None), url=broker.url))


async def test_tls_to_a_plain_port_fails_at_once(
    real_broker: RunningBroker, authority: Authority
) -> None:
    assert "TLS" in await enter(secure(real_broker, authority.ca))


async def test_a_missing_client_certificate_is_hinted_at(
    strict: RunningBroker, authority: Authority
) -> None:
    assert "client certificate" in await enter(secure(strict, authority.ca))


@pytest.mark.fault("D16")
async def test_the_certificate_says_who_may_publish_where(
    strict: RunningBroker, authority: Authority
) -> None:
    mine = authority.sign("node-1")
    address = replace(secure(strict, authority.ca), cert=mine.cert, key=mine.key)
    async with Transport(address, "node") as transport:
        await transport.publish("nodes/node-1/batch", b"")
        with pytest.raises(TransportError, match="135"):
            await transport.publish("nodes/node-2/batch", b"")
