"""The whole collector with a real broker: started, stopped, killed, cut off."""

from __future__ import annotations

import asyncio
import json
import os
import random
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.collector.collector_process import Process, config_of
from agent.collector.node import Message, Node
from brokers import RunningBroker, mosquitto
from xinmai.clock import SECOND_NS
from xinmai.collector.daemon import identity, listen_address, locked, run
from xinmai.collector.query import query, query_store
from xinmai.collector.store import Layout
from xinmai.config import Config
from xinmai.errors import ConfigError, Usage
from xinmai.transport import BrokerAddress, Transport
from xinmai.wire.codec import decode_presence, decode_stored
from xinmai.wire.messages import Presence, Stored, Stream

PATIENCE_S = 20.0


class Peer:
    """The other side of the broker: publishes as nodes do, hears what collectors say."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.stored: Stored | None = None
        self.presence: list[Presence] = []
        self._heard = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncIterator[Peer]:
        async with Transport(BrokerAddress(url), f"peer-{os.getpid()}") as transport:
            peer = cls(transport)
            await transport.subscribe(["xinmai/1/+/+/stored", "xinmai/1/+/_collector"])
            listening = asyncio.create_task(peer._listen())
            try:
                yield peer
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        async for message in self._transport.messages():
            if message.topic.endswith("_collector"):
                self.presence.append(decode_presence(message.payload))
            else:
                self.stored = decode_stored(message.payload)
            self._heard.set()

    async def send(self, *messages: Message) -> None:
        for topic, payload in messages:
            retain = "inventory" in topic or "status" in topic
            await self._transport.publish(topic, payload, retain=retain)

    async def until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    @property
    def session(self) -> int:
        """Session of the collector that spoke last, 0 before any has."""
        return self.stored.session if self.stored else 0

    def holds(self, queue: str, stream: Stream = "rollup") -> list[tuple[int, int]]:
        """Stored ranges of a queue."""
        streams = self.stored.streams if self.stored else {}
        return [(first, last) for first, last in streams.get(stream, {}).get(queue, [])]


@asynccontextmanager
async def collecting(config: Config) -> AsyncIterator[str]:
    """A collector in this process; its URL."""
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(config, stop, url.set_result))
    try:
        serving = asyncio.ensure_future(asyncio.shield(url))
        await asyncio.wait([task, serving], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
        if task.done():
            task.result()
        yield await serving
    finally:
        stop.set()
        await task


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


@pytest.mark.broker
@pytest.mark.statement("WIRE-1")
@pytest.mark.statement("WIRE-50")
@pytest.mark.statement("WIRE-51")
async def test_from_batch_to_stored_and_query(tmp_path: Path) -> None:
    node, store = Node(), tmp_path / "store"
    with mosquitto(tmp_path) as broker:
        async with Peer.at(broker.url) as peer, collecting(config_of(broker.url, store)) as url:
            await peer.until(lambda: bool(peer.presence))
            assert peer.presence[-1].online
            await peer.send(node.status())
            # An empty collector says so: what an older one held must be sent again.
            await peer.until(lambda: peer.stored is not None)
            assert peer.stored is not None
            assert peer.stored.streams == {}
            await peer.send(node.announce(), node.second(1), node.second(2))
            await peer.until(lambda: peer.holds(node.queue) == [(1, 2)])
            sql = "SELECT count(*) AS n FROM samples"
            assert await asyncio.to_thread(query, store, sql) == [{"n": 8}]
            health = await asyncio.to_thread(get, f"{url}/api/health")
            assert health["broker"]["connected"] is True
            first = peer.session
        assert query(store, sql) == [{"n": 8}]
        assert not Layout(store).address.exists()
        async with Peer.at(broker.url) as peer, collecting(config_of(broker.url, store)):
            await peer.until(lambda: peer.session > first)
            assert peer.holds(node.queue) == [(1, 2)]
            await peer.until(lambda: peer.presence[-1].online)
        async with Peer.at(broker.url) as peer:
            await peer.until(lambda: bool(peer.presence))
            assert not peer.presence[-1].online


@pytest.mark.broker
@pytest.mark.fault("D11")
async def test_a_broker_that_forgets_is_told_again(tmp_path: Path) -> None:
    node, store = Node(), tmp_path / "store"
    with mosquitto(tmp_path) as broker:
        async with collecting(config_of(broker.url, store)):
            async with Peer.at(broker.url) as peer:
                await peer.send(node.status(), node.announce(), node.second(1))
                await peer.until(lambda: peer.holds(node.queue) == [(1, 1)])
            broker.restart()
            async with Peer.at(broker.url) as peer:
                await peer.until(lambda: peer.holds(node.queue) == [(1, 1)])
                await peer.until(lambda: bool(peer.presence) and peer.presence[-1].online)


class Killing:
    """Feeds a node's batches to a collector that is killed again and again."""

    def __init__(self, broker: RunningBroker, store: Path, batches: int) -> None:
        self.broker, self.store = broker, store
        self.node = Node()
        self.messages = [self.node.second(at) for at in range(1, batches + 1)]
        self.source = random.Random(11)

    def start(self) -> Process:
        return Process(self.broker.url, self.store, seal_bytes=4000)

    async def feed_and_kill(self, peer: Peer, more: int) -> None:
        """One life: send what is missing, kill at some moment after `more` more are stored."""
        session = peer.session
        process = await asyncio.to_thread(self.start)
        # A node sends when it hears of a new session: before that nobody has subscribed.
        await peer.send(self.node.status())
        await peer.until(lambda: peer.session > session)
        before = self.held(peer)
        sending = asyncio.create_task(self.send_missing(peer))
        try:
            await peer.until(lambda: self.held(peer) >= min(before + more, len(self.messages)))
            for _ in range(self.source.randrange(400)):
                await asyncio.sleep(0)
        finally:
            process.kill()
            await sending

    async def send_missing(self, peer: Peer) -> None:
        ranges = peer.holds(self.node.queue)
        missing = [
            message
            for seq, message in enumerate(self.messages, 1)
            if not any(first <= seq <= last for first, last in ranges)
        ]
        await peer.send(self.node.announce(), *missing)

    def held(self, peer: Peer) -> int:
        return sum(last - first + 1 for first, last in peer.holds(self.node.queue))

    def check_nothing_confirmed_is_lost(self, peer: Peer) -> None:
        rows = query_store(self.store, "SELECT time_ns, count(*) AS n FROM samples GROUP BY 1")
        found = {(row["time_ns"] - self.node.start_ns) // SECOND_NS: row["n"] for row in rows}
        assert set(found.values()) <= {4}, "a row counts twice"
        for first, last in peer.holds(self.node.queue):
            assert found.keys() >= set(range(first, last + 1))


@pytest.mark.broker
@pytest.mark.kill
@pytest.mark.fault("D1")
@pytest.mark.fault("D14")
@pytest.mark.statement("WIRE-50")
async def test_killed_again_and_again_it_loses_nothing_it_confirmed(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        killing = Killing(broker, tmp_path / "store", batches=120)
        async with Peer.at(broker.url) as peer:
            for _ in range(4):
                await killing.feed_and_kill(peer, more=killing.source.randrange(1, 30))
                killing.check_nothing_confirmed_is_lost(peer)
            await killing.feed_and_kill(peer, more=len(killing.messages))
            killing.check_nothing_confirmed_is_lost(peer)
    (total,) = query_store(
        killing.store, "SELECT count(*) AS n, count(DISTINCT time_ns) AS seconds FROM samples"
    )
    assert total == {"n": 4 * 120, "seconds": 120}
    account = query_store(killing.store, "SELECT * FROM account")
    assert all(row["taken"] == row["stored"] + row["lost"] for row in account)
    assert sum(row["taken"] for row in account) == 120 * 4 * 10


@pytest.mark.broker
async def test_terminated_it_says_goodbye(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        async with Peer.at(broker.url) as peer:
            process = await asyncio.to_thread(Process, broker.url, tmp_path / "store", 2**20)
            await peer.until(lambda: bool(peer.presence) and peer.presence[-1].online)
            assert await asyncio.to_thread(process.terminate) == 0
            await peer.until(lambda: not peer.presence[-1].online)


async def test_without_a_broker_it_serves_what_it_has(tmp_path: Path) -> None:
    async with collecting(config_of("mqtt://127.0.0.1:9", tmp_path)) as url:
        health = await asyncio.to_thread(get, f"{url}/api/health")
        assert health["broker"] == {
            "connected": False,
            "url": "mqtt://127.0.0.1:9",
            "protocol": None,
        }


@pytest.mark.fault("E8")
async def test_a_store_has_one_collector(tmp_path: Path) -> None:
    with locked(Layout(tmp_path)), pytest.raises(Usage, match="another collector"):
        await run(config_of("mqtt://127.0.0.1:9", tmp_path), asyncio.Event())


async def test_an_address_in_use_is_wrong_use(tmp_path: Path) -> None:
    async with collecting(config_of("mqtt://127.0.0.1:9", tmp_path / "a")) as url:
        config = config_of("mqtt://127.0.0.1:9", tmp_path / "b")
        listen = url.removeprefix("http://")
        taken = replace(config, collector=replace(config.collector, listen=listen))
        with pytest.raises(Usage, match="cannot listen"):
            await run(taken, asyncio.Event())


def test_the_id_is_made_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    made = identity(layout)
    assert identity(layout) == made
    layout.identity.write_bytes(b"\xff")
    assert identity(layout) != made


def test_listen_addresses() -> None:
    assert listen_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert listen_address("[::1]:80") == ("::1", 80)
    for wrong in ("localhost", ":x", "a:70000"):
        with pytest.raises(ConfigError):
            listen_address(wrong)
