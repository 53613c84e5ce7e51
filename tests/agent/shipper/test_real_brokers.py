"""The sender against brokers as they are: restarts, denials, limits, a twin, an old protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.shipper.bench import CLIENT, TOPICS, Bench, eventually
from agent.shipper.rig import IDENTITY
from brokers import RunningBroker, amqtt, mosquitto
from fakes.observers import first
from xinmai.shipper.outbox import PAUSE_S, RESEND_AFTER_S
from xinmai.transport import BrokerAddress, Learned, Transport
from xinmai.wire.codec import decode_status, encode_stored
from xinmai.wire.messages import Ranges, Stored

pytestmark = pytest.mark.broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as one:
        yield one


class Collector:
    """Subscribes to a node's batches and says what it holds; loses nothing that reaches it."""

    def __init__(self, transport: Transport, bench: Bench) -> None:
        self._transport, self._bench = transport, bench
        self.held: dict[str, set[int]] = {}

    async def collect(self) -> None:
        async for message in self._transport.messages():
            stream, seq = message.payload.decode().rstrip(".").split()
            self.held.setdefault(stream, set()).add(int(seq))
            await self.say()

    async def say(self) -> None:
        queues: dict[str, Ranges] = {
            self._bench.queue(): [(seq, seq) for seq in sorted(self.held.get("rollup", ()))]
        }
        merged = {queue: _merged(ranges) for queue, ranges in queues.items()}
        stored = Stored(IDENTITY.node, IDENTITY.edge, "c1", 1, {"rollup": merged})
        await self._transport.publish(TOPICS.stored, encode_stored(stored), retain=True)


def _merged(ranges: Ranges) -> Ranges:
    out: list[tuple[int, int]] = []
    for first_seq, last_seq in ranges:
        if out and out[-1][1] == first_seq - 1:
            out[-1] = (out[-1][0], last_seq)
        else:
            out.append((first_seq, last_seq))
    return out


@asynccontextmanager
async def collecting(url: str, bench: Bench, version: str = "5") -> AsyncIterator[Collector]:
    address = BrokerAddress(url, learned=Learned("5" if version == "5" else "3.1.1"))
    async with Transport(address, "collector") as transport:
        await transport.subscribe([TOPICS.batch])
        collector = Collector(transport, bench)
        task = asyncio.create_task(collector.collect(), name="collector")
        try:
            yield collector
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.fault("D1")
async def test_what_the_broker_took_while_nobody_listened_arrives(
    broker: RunningBroker, tmp_path: Path
) -> None:
    async with Bench(tmp_path / "spool", broker.url) as bench:
        bench.put(20)
        await bench.acked(20)
        async with collecting(broker.url, bench) as collector:
            bench.advance(RESEND_AFTER_S)
            await bench.delivered()
            assert collector.held == {"rollup": set(range(1, 21))}


@pytest.mark.fault("D11")
async def test_a_broker_that_is_killed_and_started_again_costs_nothing(
    broker: RunningBroker, tmp_path: Path
) -> None:
    async with Bench(tmp_path / "spool", broker.url) as bench:
        bench.put(10)
        await bench.acked(10)
        broker.kill()
        bench.put(10)
        await eventually(lambda: not bench.sender.state.connected, "the loss")
        broker.start()
        await eventually(lambda: bench.sender.state.connects == 2, "another connection")
        async with collecting(broker.url, bench) as collector:
            await bench.acked(30)
            bench.advance(RESEND_AFTER_S)
            await bench.delivered()
            assert collector.held == {"rollup": set(range(1, 21))}


@pytest.mark.fault("D12")
@pytest.mark.statement("WIRE-20")
@pytest.mark.statement("WIRE-21")
async def test_presence_is_right_after_a_goodbye_and_after_a_death(
    broker: RunningBroker, tmp_path: Path
) -> None:
    async with Transport(BrokerAddress(broker.url), "watcher") as watcher:
        await watcher.subscribe([TOPICS.status])
        async with Bench(tmp_path / "a", broker.url):
            seen = [decode_status(one.payload) for one in await first(watcher)]
        seen += [decode_status(one.payload) for one in await first(watcher)]
        bench = Bench(tmp_path / "b", broker.url)
        bench.session = 7
        async with bench:
            seen += [decode_status(one.payload) for one in await first(watcher)]
            assert bench.task is not None
            # A second connection of the same id ends it as a dead network would.
            async with Transport(BrokerAddress(broker.url), CLIENT):
                seen += [decode_status(one.payload) for one in await first(watcher)]
    assert [(one.online, one.session) for one in seen] == [
        (True, 1),
        (False, 1),
        (True, 8),
        (False, 8),
    ]


async def test_what_an_acl_denies_waits_until_it_is_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broker").mkdir()
    acl = tmp_path / "acl"
    acl.write_text(f"topic read #\ntopic write {TOPICS.status}\ntopic write {TOPICS.base}/#\n")
    denied = f"topic deny {TOPICS.batch}\n"
    acl.write_text(acl.read_text() + denied)
    with mosquitto(tmp_path / "broker", f"acl_file {acl}") as broker:
        async with Bench(tmp_path / "spool", broker.url) as bench:
            bench.put(2)
            bench.put(1, "event")
            await bench.acked(1)
            await eventually(lambda: bench.sender.state.refused == 2, "refusals")
            assert TOPICS.batch in bench.sender.state.error
            acl.write_text(acl.read_text().replace(denied, ""))
            broker.restart()
            await eventually(lambda: bench.sender.state.connects == 2, "another connection")
            bench.advance(PAUSE_S)
            await bench.acked(4)
            assert bench.sender.state.error == ""
    assert sum("refuses" in record.message for record in caplog.records) == 1


@pytest.mark.fault("D5")
async def test_the_brokers_limit_is_kept_to(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker", "max_packet_size 3000") as broker:
        async with Bench(tmp_path / "spool", broker.url) as bench:
            bench.put(1, size=5000)
            bench.put(1, size=100)
            await bench.acked(1)
            assert (bench.sender.state.refused, bench.sender.state.connects) == (1, 1)
            assert [loss.first for loss in bench.spools.take_losses()] == [1]


@pytest.mark.fault("D13")
async def test_two_agents_of_one_name_say_so_and_do_not_storm(
    broker: RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Bench(tmp_path / "a", broker.url) as one, Bench(tmp_path / "b", broker.url) as two:
        await eventually(
            lambda: one.sender.state.connects + two.sender.state.connects >= 8, "a fight"
        )
        attempts = one.session + two.session
    # Each line stands once per agent, however often they take turns.
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 4 < attempts
    assert all("second" in line for line in lines)


async def test_a_broker_without_the_newer_protocol_works(tmp_path: Path) -> None:
    (tmp_path / "broker").mkdir()
    with amqtt(tmp_path / "broker") as broker:
        bench = Bench(tmp_path / "spool", broker.url, protocol="3.1.1")
        async with bench:
            await bench.connected()
            assert bench.sender.state.protocol == "3.1.1"
            async with collecting(broker.url, bench, "3.1.1") as collector:
                bench.put(5)
                await bench.delivered()
                assert collector.held["rollup"] == {1, 2, 3, 4, 5}
