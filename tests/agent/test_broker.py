"""Finding, configuring and starting the broker of `xinmai up`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from brokers import RunningBroker, amqtt, mosquitto
from xinmai.broker import BrokerKind, broker_command, find_broker, free_port, wait_ready
from xinmai.errors import TransportError, Unavailable
from xinmai.transport import BrokerAddress, Transport


def absent(_: str) -> None:
    return None


def executable(directory: Path) -> Path:
    file = directory / "mosquitto"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_mosquitto_is_preferred(tmp_path: Path) -> None:
    file = executable(tmp_path)
    assert find_broker(str(tmp_path)) == BrokerKind("mosquitto", str(file))


def test_amqtt_stands_in(tmp_path: Path) -> None:
    kind = find_broker(str(tmp_path), has_module=lambda _: True)
    assert (kind.name, kind.protocol) == ("amqtt", "3.1.1")


def test_no_broker_at_all_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="apt install mosquitto"):
        find_broker(str(tmp_path), has_module=absent)


def test_mosquitto_serves_loopback_only_and_stores_nothing(tmp_path: Path) -> None:
    command = broker_command(BrokerKind("mosquitto", "/opt/mosquitto"), tmp_path, 12345)
    assert command == ["/opt/mosquitto", "-c", str(tmp_path / "mosquitto.conf")]
    lines = (tmp_path / "mosquitto.conf").read_text().splitlines()
    assert "listener 12345 127.0.0.1" in lines
    assert "persistence false" in lines
    bounds = {line.split()[0] for line in lines if line.startswith("max_")}
    assert bounds >= {"max_queued_messages", "max_queued_bytes", "max_packet_size"}


def test_amqtt_runs_as_a_module(tmp_path: Path) -> None:
    command = broker_command(BrokerKind("amqtt", sys.executable), tmp_path, 12345)
    assert command == [sys.executable, "-m", "xinmai.amqtt_broker", "--port", "12345"]


@pytest.mark.broker
async def test_mosquitto_starts_from_its_command(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        await serves(broker, "5")


async def test_amqtt_starts_from_its_command(tmp_path: Path) -> None:
    with amqtt(tmp_path) as broker:
        await serves(broker, "3.1.1")
        broker.stop()
        assert broker.exit_code == 0


async def serves(broker: RunningBroker, protocol: str) -> None:
    await wait_ready(broker.port)
    async with Transport(BrokerAddress(broker.url), "node") as transport:
        await transport.publish("a", b"x")
        assert transport.protocol == protocol


async def test_waiting_ends_with_the_process() -> None:
    with pytest.raises(TransportError, match="ended"):
        await wait_ready(free_port(), alive=lambda: False)


async def test_waiting_is_bounded() -> None:
    with pytest.raises(TransportError, match="no broker"):
        await wait_ready(free_port(), 0.05)
