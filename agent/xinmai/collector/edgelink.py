"""One edge's connection to the broker: presence, what nodes send, and `stored` back to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from xinmai.collector.broker import BrokerState
from xinmai.collector.core import Core
from xinmai.collector.ingest import Ingest
from xinmai.errors import BrokerRefused, Refused, TransportError
from xinmai.transport import Backoff, BrokerAddress, Transport, Will
from xinmai.wire.codec import encode_command, encode_presence, encode_stored
from xinmai.wire.messages import Presence, Stored
from xinmai.wire.topics import PREFIX, Topics, collector_topic

log = logging.getLogger(__name__)

COALESCE_S: Final = 0.2
"""Between two rounds of `stored`."""
STABLE_S: Final = 60.0


class EdgeLink:
    """Connects, and connects again until cancelled."""

    def __init__(
        self, core: Core, ingest: Ingest, edge: str, address: BrokerAddress, broker: BrokerState
    ) -> None:
        self._core, self._ingest, self._edge = core, ingest, edge
        self._address, self._broker = address, broker
        self._backoff = Backoff(base_s=0.5, cap_s=30.0)
        self._outbox = core.outboxes[edge]
        self._said = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then say goodbye."""
        while not stop.is_set():
            try:
                await self._connected(stop)
            except TransportError as error:
                self._lost(str(error))
                await _first(stop.wait, lambda: asyncio.sleep(self._backoff.delay_s()))

    def _presence(self, *, online: bool) -> bytes:
        core = self._core
        return encode_presence(
            Presence(self._edge, core.collector, core.session, online, core.wall_ns())
        )

    async def _connected(self, stop: asyncio.Event) -> None:
        topic = collector_topic(self._edge)
        will = Will(topic, self._presence(online=False))
        client_id = f"xinmai-collector-{self._core.collector}-{self._edge}"
        async with Transport(self._address, client_id, will=will) as transport:
            await transport.publish(topic, self._presence(online=True), retain=True)
            base = f"{PREFIX}/{self._edge}/+"
            leaves = ("status", "inventory/+", "batch", "event", "capture", "reply")
            await transport.subscribe([f"{base}/{leaf}" for leaf in leaves])
            self._found(transport)
            began_s = self._core.mono_s()
            try:
                await _first(
                    stop.wait,
                    lambda: self._receive(transport),
                    lambda: self._send(transport),
                    lambda: self._command(transport),
                )
            finally:
                self._broker.protocols.pop(self._edge, None)
                self._broker.dropped += transport.dropped
                if self._core.mono_s() - began_s > STABLE_S:
                    self._backoff.stable()
            await transport.publish(topic, self._presence(online=False), retain=True)

    def _found(self, transport: Transport) -> None:
        self._broker.protocols[self._edge] = transport.protocol
        log.info(
            "broker connected: edge=%s url=%s protocol=%s",
            self._edge,
            self._address.url,
            transport.protocol,
        )
        self._said = ""
        # The broker may have lost what it retained (D11), and nodes resend on a new session.
        for node in self._core.state.ledger:
            if node.edge == self._edge:
                self._outbox.put(node.node)

    def _lost(self, words: str) -> None:
        if not self._said:
            log.warning("broker lost: edge=%s error=%s", self._edge, words)
            self._said = words

    async def _receive(self, transport: Transport) -> None:
        async for message in transport.messages():
            await self._ingest.take(message.topic, message.payload)

    async def _send(self, transport: Transport) -> None:
        while True:
            for node in sorted(await self._outbox.take()):
                try:
                    await self._publish(transport, node)
                except TransportError:
                    self._outbox.put(node)
                    raise
            await asyncio.sleep(COALESCE_S)

    async def _command(self, transport: Transport) -> None:
        commands = self._core.commands
        while True:
            command = await commands.next(self._edge)
            topic = Topics(self._edge, command.node).cmd
            try:
                await transport.publish(topic, encode_command(command))
            except (BrokerRefused, Refused) as error:
                commands.failed(command, f"the broker did not take the command: {error}")
            except TransportError as error:
                commands.failed(command, f"the broker was lost with the command: {error}")
                raise

    async def _publish(self, transport: Transport, node: str) -> None:
        ledger = self._core.state.ledger.find(self._edge, node)
        if ledger is None:
            return
        core = self._core
        stored = Stored(node, self._edge, core.collector, core.session, ledger.stored())
        topic = Topics(self._edge, node).stored
        try:
            await transport.publish(topic, encode_stored(stored), retain=True)
        except (BrokerRefused, Refused) as error:
            core.counters.totals["stored_refused"] += 1
            core.counters.once(self._edge, node, "stored cannot be published", str(error))


async def _first(*works: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run several coroutines until one ends, end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
