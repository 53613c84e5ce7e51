"""Captures through a real broker: a command to the node, its parts back, a collector that dies."""

from __future__ import annotations

import asyncio
import json
import os
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from agent.collector.collector_process import Process, config_of
from agent.collector.node import CAPTURE_ID, Node, series
from agent.collector.test_daemon import Peer, collecting, get
from brokers import mosquitto
from xinmai.clock import SECOND_NS
from xinmai.collector.query import query
from xinmai.transport import BrokerAddress, Transport
from xinmai.wire.codec import decode_command, encode_reply
from xinmai.wire.messages import Command, Reply

PARTS = 12
ROWS = 40


def simulated() -> Node:
    return Node(columns=[series("hw.power"), series("hw.temperature")])


def parts(node: Node) -> list[tuple[str, bytes]]:
    """PARTS parts of ROWS rows at 1 kHz; power counts them."""
    made = []
    for number in range(1, PARTS + 1):
        first = (number - 1) * ROWS
        at_ns = [SECOND_NS + (first + at) * 10**6 for at in range(ROWS)]
        cells = [[first + at for at in range(ROWS)], [7] * ROWS]
        made.append(node.capture(number, at_ns, cells, last=number == PARTS, late_ns=50))
    return made


def ask(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}/api/capture", data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def follow_one(url: str, node: Node, ready: asyncio.Event) -> Command:
    """The node's side of one command."""
    async with Transport(BrokerAddress(url), f"node-{os.getpid()}") as transport:
        await transport.subscribe([node.topics.cmd])
        ready.set()
        async for message in transport.messages():
            command = decode_command(message.payload)
            reply = Reply(node.name, node.edge, command.id, True, CAPTURE_ID, "", 1)
            await transport.publish(node.topics.reply, encode_reply(reply))
            return command
    raise AssertionError("no command came")


@pytest.mark.broker
@pytest.mark.statement("HTTP-6")
async def test_a_command_reaches_the_node_and_its_capture_the_store(tmp_path: Path) -> None:
    node, store = simulated(), tmp_path / "store"
    with mosquitto(tmp_path) as broker:
        async with Peer.at(broker.url) as peer, collecting(config_of(broker.url, store)) as url:
            await peer.send(node.status(), node.announce())
            await peer.until(lambda: peer.stored is not None)
            ready = asyncio.Event()
            following = asyncio.create_task(follow_one(broker.url, node, ready))
            await ready.wait()
            body = {"edge": "local", "node": "n1", "before_s": 1, "after_s": 2}
            assert await asyncio.to_thread(ask, url, body) == (200, {"capture": CAPTURE_ID})
            command = await following
            assert (command.before_ns, command.after_ns) == (SECOND_NS, 2 * SECOND_NS)
            await peer.send(*reversed(parts(node)))
            await peer.until(lambda: peer.holds(node.queue, "capture") == [(1, PARTS)])
            detail = await asyncio.to_thread(get, f"{url}/api/captures/{CAPTURE_ID}")
            assert detail["capture"]["complete"] is True
            assert [one["readings"] for one in detail["series"]] == [PARTS * ROWS] * 2


@pytest.mark.broker
@pytest.mark.fault("E4")
@pytest.mark.kill
async def test_a_collector_that_is_killed_again_and_again_has_every_captured_reading_once(
    tmp_path: Path,
) -> None:
    node, store, source = simulated(), tmp_path / "store", random.Random(3)
    messages = parts(node)
    with mosquitto(tmp_path) as broker:
        async with Peer.at(broker.url) as peer:
            await peer.send(node.status(), node.announce())
            for life in range(4):
                session = peer.session
                process = await asyncio.to_thread(Process, broker.url, store, 4000)
                await peer.send(node.status())
                await peer.until(lambda before=session: peer.session > before)  # type: ignore[misc]
                again = source.sample(messages, len(messages) if life == 3 else 5)
                await peer.send(*again)
                if life < 3:
                    process.kill()
            await peer.until(lambda: peer.holds(node.queue, "capture") == [(1, PARTS)])
            sql = "SELECT raw FROM capture_samples WHERE metric = 'hw.power' ORDER BY time_ns"
            rows = await asyncio.to_thread(query, store, sql)
            assert [row["raw"] for row in rows] == list(range(PARTS * ROWS))
            assert await asyncio.to_thread(process.terminate) == 0
    assert query(store, "SELECT complete FROM captures") == [{"complete": True}]
