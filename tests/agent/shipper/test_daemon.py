"""The shipper as a whole: a sampler's socket on one side, a broker on the other, real time."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.shipper.bench import eventually
from agent.shipper.fakesampler import FakeSampler
from agent.shipper.rig import Host, LaneSpec, check_account, kinds_in
from fakes.fakebroker import FakeBroker
from fakes.observers import open_descriptors, other_tasks
from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.config import BrokerConfig, Config, NodeConfig, ShipperConfig
from xinmai.sampler.supervisor import SOCKET_NAME
from xinmai.shipper import daemon, samplerlink
from xinmai.shipper.daemon import Shipper
from xinmai.spool.spool import Spool
from xinmai.spool.spools import SpoolSet
from xinmai.wire.blocks import expand
from xinmai.wire.codec import decode_batch, decode_inventory
from xinmai.wire.messages import Batch

WINDOW_NS = 50_000_000
TICK = LaneSpec("tick", 10_000_000, 1, slots=4096)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "DRAIN_AFTER_NS", 2_000_000)
    monkeypatch.setattr(daemon, "DELIVER_S", 0.2)
    monkeypatch.setattr(samplerlink, "RECONNECT_S", 0.01)


@dataclass
class Node:
    """Directories, a sampler and a broker, into which shippers are put."""

    directory: Path
    broker: FakeBroker
    sampler: FakeSampler
    raw: tuple[str, ...] = ("acme/*",)
    window_ns: int = WINDOW_NS
    runs: list[Shipper] = field(default_factory=list)
    next_value: int = 0

    def config(self, url: str = "") -> Config:
        return Config(
            node=NodeConfig(
                name="n1",
                state_dir=self.directory / "state",
                run_dir=self.directory,
            ),
            broker=BrokerConfig(url=url or self.broker.url, protocol="5"),
            shipper=ShipperConfig(window_ns=self.window_ns, raw=self.raw, confirm="puback"),
        )

    @asynccontextmanager
    async def shipper(self, url: str = "") -> AsyncIterator[Shipper]:
        """One run, ended as by SIGTERM."""
        shipper, leave = Shipper(self.config(url)), asyncio.Event()
        self.runs.append(shipper)
        task = asyncio.create_task(shipper.run(leave), name="shipper")
        try:
            await eventually(lambda: bool(self.sampler.shippers) or task.done(), "the sampler")
            yield shipper
        finally:
            leave.set()
            await asyncio.wait_for(task, 10)

    def tick(self, host: Host, count: int = 1) -> None:
        """Rows numbered over all hosts."""
        for _ in range(count):
            host.row(clock.mono_ns(), self.next_value)
            self.next_value += 1

    def batches(self, plugin: str) -> list[tuple[Batch, list[int]]]:
        """What the broker got, with the values of a plugin's first column."""
        inventories = {
            one.topic.rpartition("/")[2]: decode_inventory(one.payload)
            for one in self.broker.published
            if "/inventory/" in one.topic and one.payload
        }
        out: dict[tuple[str, str, int], tuple[Batch, list[int]]] = {}
        for one in self.broker.published:
            if not one.topic.endswith("/batch"):
                continue
            batch = decode_batch(one.payload)
            inventory = inventories[batch.schema]
            check_account(batch, inventory)
            values: list[int] = []
            for block in batch.blocks:
                if inventory.lanes[block.lane].plugin == plugin:
                    values += expand(block, kinds_in(inventory, block.lane)).last
            out[batch.stream, batch.queue, batch.seq] = (batch, values)
        return list(out.values())

    def values(self, plugin: str = "acme") -> list[int]:
        return [value for _, values in self.batches(plugin) for value in values]

    async def arrived(self, plugin: str = "acme") -> list[int]:
        """Wait until every numbered row has."""
        await eventually(lambda: len(self.values(plugin)) >= self.next_value, "every row")
        return self.values(plugin)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with FakeBroker() as broker, FakeSampler(tmp_path / SOCKET_NAME) as sampler:
        yield Node(tmp_path, broker, sampler)


def numbers(node: Node) -> list[int]:
    return list(range(node.next_value))


async def test_rows_travel_from_ring_to_broker(node: Node) -> None:
    host = Host("acme", (TICK,))
    async with node.shipper():
        node.sampler.add(host)
        for _ in range(5):
            node.tick(host, 3)
            assert await node.arrived() == numbers(node)


async def test_a_ring_that_ended_is_told_as_drained(node: Node) -> None:
    old, new = Host("acme", (TICK,)), Host("acme", (TICK,), generation=2)
    async with node.shipper():
        node.sampler.add(old)
        node.sampler.add(new)
        node.tick(old, 5)
        node.sampler.end(old)
        node.tick(new, 5)
        await eventually(lambda: node.sampler.drained == [old.id], "the word that it is drained")
        assert await node.arrived() == numbers(node)


async def test_the_rings_of_a_dead_sampler_are_read_to_their_end(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplerlink, "LEAVING_NS", 300_000_000)
    old, new = Host("acme", (TICK,)), Host("acme", (TICK,))
    async with node.shipper() as shipper:
        node.sampler.add(old)
        node.tick(old, 5)
        await node.arrived()
        node.sampler.rings.clear()
        node.sampler.hang_up()
        # Its hosts notice later than we do.
        for _ in range(2):
            node.tick(old, 5)
            await node.arrived()
        node.sampler.add(new)
        await eventually(lambda: node.sampler.connects == 2, "another connection")
        node.tick(new, 5)
        assert await node.arrived() == numbers(node)
        await eventually(lambda: len(list(shipper.rings)) == 2, "the end of the old ring")


async def test_a_connection_that_broke_does_not_end_the_rings(node: Node) -> None:
    host = Host("acme", (TICK,))
    async with node.shipper():
        node.sampler.add(host)
        for number in range(1, 4):
            node.tick(host, 5)
            node.sampler.hang_up()
            await eventually(lambda n=number: node.sampler.connects > n, "the next")  # type: ignore[misc]
        node.tick(host, 5)
        assert await node.arrived() == numbers(node)
        assert node.sampler.drained == []


async def test_a_sampler_that_hangs_up_at_once_causes_no_storm(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplerlink, "RECONNECT_S", 0.1)
    loop = asyncio.get_running_loop()
    async with node.shipper():
        began_s = loop.time()
        node.sampler.hangs_up = True
        node.sampler.hang_up()
        await eventually(lambda: node.sampler.connects >= 4, "some attempts")
        assert loop.time() - began_s >= 0.3


async def test_a_second_run_goes_on_where_the_first_left_off(node: Node) -> None:
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    for _ in range(4):
        async with node.shipper():
            node.tick(host, 7)
            await node.arrived()
            node.tick(host, 3)
    async with node.shipper():
        assert sorted(await node.arrived()) == numbers(node)
    assert sorted(node.values()) == numbers(node)


async def test_positions_of_rings_that_the_sampler_let_go_are_forgotten(node: Node) -> None:
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    async with node.shipper():
        node.tick(host, 5)
        await node.arrived()
    node.sampler.rings.clear()
    async with node.shipper() as shipper:
        own = {ring.id for ring in shipper.rings}
        await eventually(lambda: set(shipper.rings.positions()) == own, "the end of the greeting")


async def test_what_came_while_no_shipper_ran_is_not_missing(node: Node) -> None:
    host, other = Host("acme", (TICK,)), Host("acme", (TICK,), generation=2)
    node.sampler.add(host)
    async with node.shipper():
        node.tick(host, 5)
        await node.arrived()
    node.tick(host, 50)
    node.sampler.end(host)
    node.sampler.add(other)
    node.tick(other, 50)
    async with node.shipper():
        assert sorted(await node.arrived()) == numbers(node)
        await eventually(lambda: host.id in node.sampler.drained, "the word that it is drained")


async def test_an_open_window_is_left_to_the_next_run(node: Node) -> None:
    node.raw = ()
    host = Host("acme", (LaneSpec("slow", WINDOW_NS // 2, 1),))
    node.sampler.add(host)
    async with node.shipper() as shipper:
        await eventually(lambda: any(ring.id == host.id for ring in shipper.rings), "the ring")
        ahead_ns = clock.mono_ns() + SECOND_NS
        host.row(ahead_ns, 1)
    assert node.values() == []
    async with node.shipper():
        host.row(ahead_ns + 2 * WINDOW_NS, 2)
        await eventually(lambda: node.values() == [1], "the window")


async def test_when_sampling_has_ended_every_window_is_closed_at_once(node: Node) -> None:
    """The sampler waits for it, and the next turn may be far."""
    node.raw, node.window_ns = (), 3600 * SECOND_NS
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    async with node.shipper() as shipper:
        await eventually(lambda: any(ring.id == host.id for ring in shipper.rings), "the ring")
        host.row(clock.mono_ns(), 1)
        node.sampler.tell("stopped")
        await eventually(lambda: node.sampler.drained == [host.id], "the word that it is drained")
        await eventually(lambda: node.values() == [1], "the window")


async def test_its_own_series_are_closed_in_any_case(node: Node) -> None:
    async with node.shipper() as shipper:
        await eventually(lambda: len(node.values("shipper")) > 30, "its own series")
    assert shipper.sender.outbox.delivered
    own = [values for _, values in node.batches("shipper") if values]
    # The last row says that it was connected and had sent what went before.
    assert own[-1][2] == 1
    assert own[-1][4] >= len(own) - 2


@pytest.mark.fault("A3")
async def test_plugins_have_series_from_when_they_are_told(node: Node) -> None:
    """Also when they change; what was committed before is read to its end."""
    async with node.shipper() as shipper:
        for told in (["acme"], ["acme", "beta"]):
            node.sampler.running(*told)
            await eventually(lambda: plugins_up(node) == {*node.sampler.names}, "their series")
            await eventually(lambda: len(list(shipper.rings)) == 1, "one ring of its own")


def plugins_up(node: Node) -> set[str]:
    """Those that the newest inventory of the shipper's own lane has."""
    inventories = [
        decode_inventory(one.payload)
        for one in node.broker.published
        if "/inventory/" in one.topic and one.payload
    ]
    return {
        one.attributes["xinmai.plugin"]
        for one in (inventories[-1].series if inventories else ())
        if one.metric == "xinmai.plugin.up"
    }


@pytest.mark.parametrize("reachable", [True, False])
async def test_leaving_with_undelivered_records_takes_no_longer_than_allowed(
    node: Node, caplog: pytest.LogCaptureFixture, reachable: bool
) -> None:
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    node.broker.manners.ack_codes["xinmai/1/local/n1/batch"] = 135
    url = "" if reachable else "mqtt://127.0.0.1:1"
    async with node.shipper(url) as shipper:
        node.tick(host, 5)
        await eventually(lambda: shipper.spools["raw"].state().records > 0, "a record")
        loop = asyncio.get_running_loop()
        began_s = loop.time()
    assert loop.time() - began_s < 2
    assert "left undelivered in the spool: records=" in caplog.text
    node.broker.manners.ack_codes.clear()
    async with node.shipper():
        assert await node.arrived() == numbers(node)


@pytest.mark.fault("E6")
async def test_a_full_disk_is_told_once_and_costs_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    append, tries, full = Spool.append, [0], [True]

    def failing(spool: Spool, payload: bytes, **more: Any) -> object:
        tries[0] += 1
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(spool, payload, **more)

    monkeypatch.setattr(Spool, "append", failing)
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    async with node.shipper():
        for more in (4, 8):
            node.tick(host, 5)
            await eventually(lambda more=more: tries[0] >= more, "failures")  # type: ignore[misc]
        full[0] = False
        assert await node.arrived() == numbers(node)
    lines = [record.message for record in caplog.records if "spool" in record.message]
    assert [line.split(":")[0] for line in lines] == [
        "spool cannot take more",
        "spool takes again",
    ]


@pytest.mark.fault("E10")
async def test_a_disk_that_fails_to_sync_ends_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sync, calls = SpoolSet.sync, [0]

    def failing(spools: SpoolSet) -> None:
        calls[0] += 1
        if calls[0] < 4:
            raise OSError(errno.EIO, "Input/output error")
        sync(spools)

    monkeypatch.setattr(SpoolSet, "sync", failing)
    monkeypatch.setattr(daemon, "SYNC_NS", 0)
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    async with node.shipper():
        node.tick(host, 5)
        assert await node.arrived() == numbers(node)
        await eventually(lambda: calls[0] >= 4, "a good sync")
    assert caplog.text.count("Input/output error") == 1


async def test_what_no_collector_has_is_made_durable_after_a_window(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = SpoolSet.sync, [0]

    def counted(spools: SpoolSet) -> None:
        calls[0] += 1
        sync(spools)

    monkeypatch.setattr(SpoolSet, "sync", counted)
    async with node.shipper("mqtt://127.0.0.1:1"):
        await eventually(lambda: calls[0] >= 5, "a sync a window")
    async with node.shipper() as shipper:
        await eventually(lambda: shipper.drain.totals.batches > 3, "some windows")
        await eventually(lambda: shipper.sender.outbox.delivered, "delivery")
        before, batches = calls[0], shipper.drain.totals.batches
        await eventually(lambda: shipper.drain.totals.batches > batches + 5, "more windows")
        assert calls[0] - before <= 2


@pytest.mark.fault("C6")
async def test_a_ring_that_cannot_be_used_does_not_end_the_run(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Host("acme", (TICK,)), Host("bad", (TICK,))
    read, write = os.pipe()
    async with node.shipper() as shipper:
        (channel,) = node.sampler.shippers
        channel.send("ring", {"plugin": "bad"}, [bad.ring.fd])
        channel.send("ring", bad.layout.to_map(), [read])
        channel.send("ring", bad.layout.to_map())
        channel.send("nothing we know", {}, [read])
        node.sampler.tell("plugins", plugins=None)
        node.sampler.tell("gone")
        node.sampler.add(good)
        node.tick(good, 3)
        assert await node.arrived() == numbers(node)
        assert "bad" in shipper.rings.damaged
    os.close(read)
    os.close(write)
    assert "ring refused" in caplog.text


async def test_nothing_outlives_a_run(node: Node) -> None:
    host = Host("acme", (TICK,))
    node.sampler.add(host)
    async with node.shipper():
        node.tick(host, 5)
        await node.arrived()
    node.runs.clear()
    tasks, descriptors = len(other_tasks()), open_descriptors()
    for _ in range(3):
        async with node.shipper():
            node.tick(host, 5)
            await node.arrived()
        node.runs.clear()
        await eventually(lambda: len(other_tasks()) <= tasks, f"the end of {other_tasks()}")
    await eventually(lambda: open_descriptors() <= descriptors, "closed descriptors")


@pytest.mark.parametrize("way", ["signal", "parent"])
async def test_a_signal_or_the_parents_end_ends_the_process(node: Node, way: str) -> None:
    read, write = os.pipe()
    task = asyncio.create_task(daemon._run(node.config(), read), name="process")
    await eventually(lambda: node.sampler.connects == 1, "the sampler's connection")
    if way == "signal":
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        os.close(write)
        write = -1
    await asyncio.wait_for(task, 5)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    # The end of a pipe stays readable for ever: nobody must be watching it any more.
    assert loop.remove_reader(read) is (way == "signal")
    for fd in (read, write):
        if fd >= 0:
            os.close(fd)
