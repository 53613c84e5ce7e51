"""From a topic and bytes of untrusted origin to an entry of the log (WIRE-3, 21, 32, 40)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from xinmai.collector.core import Core
from xinmai.collector.entry import identity_of, unpack_entry
from xinmai.collector.inventories import Key
from xinmai.collector.log import Log
from xinmai.errors import Refused
from xinmai.wire.codec import (
    decode_batch,
    decode_inventory,
    decode_reply,
    decode_status,
    schema_of,
)
from xinmai.wire.messages import Batch
from xinmai.wire.topics import ParsedTopic, parse_topic

logger = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

MAX_NODES: Final = 4096
MAX_SERIES: Final = 2**20
"""Over all nodes."""
LARGE_BYTES: Final = 64 * 2**10
LARGE_WINDOWS: Final = 1024
"""From these sizes on a body is decoded outside the event loop (D8)."""
IGNORED: Final = frozenset({"cmd", "stored", "_collector"})
"""What collectors send themselves."""
OWN_TOPIC: Final = frozenset({"event", "capture"})
"""Streams with a topic of their name; the others share `batch`."""


class Ingest:
    """Takes messages of one connection, one after another."""

    def __init__(self, core: Core, log: Log) -> None:
        self._core, self._log = core, log
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")

    def close(self) -> None:
        """Give the thread back."""
        self._thread.shutdown(wait=False)

    async def take(self, topic: str, payload: bytes) -> None:
        """Take one message; never raises for what it holds."""
        place: ParsedTopic | None = None
        try:
            place = parse_topic(topic)
            if place.leaf in IGNORED or not payload:
                return
            await self._take(place, topic, payload)
        except Refused as refusal:
            edge, node = (place.edge, place.node) if place else ("", "")
            self._core.counters.refuse(edge, node, refusal.reason, str(refusal))
        except Exception as error:
            # It would come again and end every later run as well: others must not pay for it.
            self._core.counters.totals["internal_errors"] += 1
            edge, node = (place.edge, place.node) if place else ("", "")
            self._core.counters.once(edge, node, "message not understood", repr(error))
            logger.debug("while taking a message of %s", topic, exc_info=True)

    async def _take(self, place: ParsedTopic, topic: str, payload: bytes) -> None:
        if place.edge not in self._core.config.edges:
            raise Refused("edge", detail="not collected here")
        ledger = self._core.state.ledger
        if len(ledger) >= MAX_NODES and ledger.find(place.edge, place.node) is None:
            raise Refused("too_many_nodes", detail=f"more than {MAX_NODES}")
        ledger.node(place.edge, place.node)
        if place.leaf == "status":
            self._status(place, payload)
        elif place.leaf == "inventory":
            await self._inventory(place, payload)
        elif place.leaf == "reply":
            self._reply(place, payload)
        else:
            await self._batch(place, topic, payload)

    def _status(self, place: ParsedTopic, payload: bytes) -> None:
        status = decode_status(payload)
        place.check_origin(edge=status.edge, node=status.node)
        if not self._core.state.ledger.node(place.edge, place.node).see(status):
            self._core.counters.totals["late_wills"] += 1
        # A node learns at once who listens and what is here.
        self._core.mark(place.edge, place.node)

    def _reply(self, place: ParsedTopic, payload: bytes) -> None:
        reply = decode_reply(payload)
        place.check_origin(edge=reply.edge, node=reply.node)
        self._core.commands.answered(reply)

    async def _inventory(self, place: ParsedTopic, payload: bytes) -> None:
        key = (place.edge, place.node, place.schema)
        if not self._core.state.inventories.offered(key):
            large = len(payload) >= LARGE_BYTES
            await self._offload(large, _check_inventory, place, payload)
            self._core.state.inventories.offer(key, payload)
        for topic, parked in self._core.parking.take(key):
            await self.take(topic, parked)

    async def _batch(self, place: ParsedTopic, topic: str, payload: bytes) -> None:
        core = self._core
        large = len(payload) >= LARGE_BYTES
        batch = await self._offload(large, decode_batch, payload)
        place.check_origin(edge=batch.edge, node=batch.node)
        if place.leaf != (batch.stream if batch.stream in OWN_TOPIC else "batch"):
            raise Refused("value", "stream", "not of this topic")
        core.heard(place.edge, place.node)
        if self._repeated(batch):
            core.counters.totals["duplicates"] += 1
            core.mark(batch.edge, batch.node)
            return
        key: Key = (batch.edge, batch.node, batch.schema)
        known = core.state.inventories.find(key) if batch.blocks else None
        if batch.blocks and known is None:
            if not core.parking.park(key, topic, payload):
                core.counters.once(batch.edge, batch.node, "no room to park", batch.schema)
            return
        if known is not None and len(core.state.series) + len(known.metas) > MAX_SERIES:
            raise Refused("too_many_series", "schema", f"more than {MAX_SERIES}")
        large = large or sum(block.n for block in batch.blocks) >= LARGE_WINDOWS
        entry = await self._offload(large, unpack_entry, batch, payload, core.wall_ns(), known)
        await self._log.submit(entry)

    async def _offload(
        self, large: bool, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if not large:
            return work(*args, **kwargs)
        job = partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _repeated(self, batch: Batch) -> bool:
        """Whether a batch is here already; refuses one that would tear its queue too far apart."""
        if self._log.waits(identity_of(batch)):
            return True
        node = self._core.state.ledger.find(batch.edge, batch.node)
        if node is None:
            return False
        if node.holds(batch.stream, batch.queue, batch.seq):
            return True
        if node.too_scattered(batch.stream, batch.queue, batch.seq):
            raise Refused("too_many_gaps", "seq")
        return False


def _check_inventory(place: ParsedTopic, payload: bytes) -> None:
    inventory = decode_inventory(payload)
    place.check_origin(edge=inventory.edge, node=inventory.node)
    if schema_of(inventory) != place.schema:
        raise Refused("value", "schema", "not that of the inventory")
