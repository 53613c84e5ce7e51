"""Log, store and state tied together in one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import duckdb
import pyarrow as pa

from xinmai.clock import MINUTE_NS, SECOND_NS
from xinmai.collector import account, history, sets
from xinmai.collector.account import AccountBook
from xinmai.collector.broker import Outbox
from xinmai.collector.commands import Commands
from xinmai.collector.counters import Counters
from xinmai.collector.engine import Snapshot
from xinmai.collector.entry import Entry
from xinmai.collector.inventories import Parking
from xinmai.collector.live import Rate
from xinmai.collector.log import Log
from xinmai.collector.logfile import segments
from xinmai.collector.sets import Contents
from xinmai.collector.state import State, replay
from xinmai.collector.store import Layout, Store, set_aside
from xinmai.config import CollectorConfig
from xinmai.spool.layout import HEADER_BYTES

logger = logging.getLogger(__name__)

QUALITY_MINUTES: Final = 60
UNSEALED: Final = 4
"""Closed log segments that may wait for their Parquet before nothing more is taken."""


class Core:
    """Ties state, log and store together.

    Args:
        wall_ns: the wall clock; a test brings its own.
        mono_s: seconds of a steady clock.
    """

    def __init__(
        self,
        config: CollectorConfig,
        collector: str,
        session: int,
        *,
        wall_ns: Callable[[], int],
        mono_s: Callable[[], float],
    ) -> None:
        self.config, self.collector, self.session = config, collector, session
        self.wall_ns, self.mono_s = wall_ns, mono_s
        self.layout = Layout(config.store_dir)
        self.store = Store(self.layout)
        self.counters = Counters()
        self.parking = Parking()
        self.outboxes = {edge: Outbox() for edge in config.edges}
        self.commands = Commands(config.edges)
        self.heard_ns: dict[tuple[str, str], int] = {}
        self.log: Log | None = None
        self.seal_error = ""
        self._seals = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._began_s = mono_s()
        self._to_seal = asyncio.Event()

    def open(self) -> int:
        """Read the store and the log; blocks. Returns the number of the next log segment."""
        self.layout.root.mkdir(parents=True, exist_ok=True)
        self.store.open()
        drop_segments(self.layout, self.store.covered)
        self.state = State(self.layout)
        replayed = replay(self.layout, self.store.sets, self.state)
        for path in replayed.empty:
            if path.stat().st_size <= HEADER_BYTES:
                path.unlink()
            else:
                logger.error("log segment is damaged throughout: path=%s", path)
                set_aside(self.layout, path)
        minute = self.wall_ns() // MINUTE_NS - QUALITY_MINUTES
        self.state.recent = AccountBook()
        self.state.recent.load(history.recent_account(self.snapshot(), minute))
        self._to_seal.set()
        return replayed.next_number

    # What the log tells (LogOwner).

    def durable(self, entries: Sequence[Entry]) -> None:
        """Book entries that are on disk."""
        now_s = self.mono_s()
        if not self.state.tail.entries:
            self._began_s = now_s
        for entry in entries:
            batch = entry.batch
            if not self.state.apply(entry):
                self.counters.totals["internal_errors"] += 1
            self._check(entry)
            readings = sum((entry.readings or {}).values())
            key = (batch.edge, batch.node)
            self.state.rates.setdefault(key, Rate()).add(now_s, readings)
            self.counters.totals["batches"] += 1
            self.counters.totals["bytes"] += len(entry.payload)
            self.counters.totals["readings"] += readings
            self.mark(*key)
        self._to_seal.set()

    def _check(self, entry: Entry) -> None:
        batch = entry.batch
        if entry.refusal is not None:
            self.counters.totals["undecodable"] += 1
            self.counters.once(batch.edge, batch.node, "undecodable batch", str(entry.refusal))
        elif entry.readings is not None and not account.agrees(batch, entry.readings):
            self.counters.totals["account_mismatch"] += 1
            detail = f"{batch.stream} seq {batch.seq}: blocks and account differ"
            self.counters.once(batch.edge, batch.node, "account mismatch", detail)

    def failed(self, entries: Sequence[Entry]) -> None:
        """Entries that could not be written: their senders have them still."""
        self.counters.totals["unwritten"] += len(entries)

    def ended(self) -> None:
        """The log segment is closed."""
        self.state.end_tail()
        self._to_seal.set()

    def must_end(self, log_bytes: int) -> bool:
        """Whether the log segment is long or old enough."""
        tail = self.state.tail
        if not tail.entries:
            return False
        old = self.mono_s() - self._began_s >= self.config.seal_s
        return old or tail.full or log_bytes >= self.config.seal_bytes

    def may_write(self) -> bool:
        """Whether sealing keeps up."""
        return len(self.state.closed) < UNSEALED

    def heard(self, edge: str, node: str) -> None:
        """A node has sent a batch, whatever becomes of it."""
        self.heard_ns[edge, node] = self.wall_ns()

    def mark(self, edge: str, node: str) -> None:
        """A node's `stored` has to be published."""
        outbox = self.outboxes.get(edge)
        if outbox is not None:
            outbox.put(node)

    def snapshot(self) -> Snapshot:
        """Everything a query sees now."""
        return self.state.snapshot(self.store.sets)

    # Sealing, merging, forgetting: one after another in a thread of their own.

    async def seal_forever(self) -> None:
        """Turn closed segments into Parquet as they come, oldest first."""
        while True:
            await self._to_seal.wait()
            self._to_seal.clear()
            while self.state.closed:
                if not await self.seal_next():
                    await asyncio.sleep(1.0)

    async def seal_next(self) -> bool:
        """Seal the oldest closed segment; False when that failed and must be tried again."""
        closed = self.state.closed[0]
        number = closed.tail.number
        tables = closed.tables
        contents = Contents(tables, closed.state)
        sealed_ns = self.wall_ns()
        try:
            one = await self._in_thread(
                lambda: self.store.seal(number, number, contents, sealed_ns)
            )
        except (OSError, pa.ArrowException) as error:
            self._say_seal_error(f"segment {number} cannot be sealed: {error}")
            return False
        # Both in one step of the loop: no query sees these rows twice or not at all.
        self.store.add(one)
        self.state.sealed(closed)
        self._say_seal_error("")
        if self.log is not None:
            self.log.tick()
        await self._in_thread(lambda: drop_segments(self.layout, number))
        return True

    def _say_seal_error(self, text: str) -> None:
        if text and not self.seal_error:
            logger.error("%s", text)
        self.seal_error = text

    async def tidy(self) -> None:
        """Merge what is due, forget what is too old or too much, remove what nobody reads."""
        now_ns = self.wall_ns()
        leaving = self.store.over_limits(now_ns, self.config.retain_days, self.config.retain_bytes)
        self.store.forget(leaving, now_ns)
        self.counters.totals["sets_dropped"] += len(leaving)
        sources = self.store.due(now_ns)
        if sources:
            try:
                merged = await self._in_thread(lambda: self.store.merge(sources))
                self.store.replace(sources, merged, now_ns)
                self.counters.totals["merges"] += 1
            except (OSError, duckdb.Error, pa.ArrowException) as error:
                self.counters.totals["merge_errors"] += 1
                self.counters.once("", "", "sealed sets cannot be merged", str(error))
        for one in self.store.buried(now_ns):
            await self._in_thread(partial(sets.remove, one))
        minute = now_ns // MINUTE_NS
        self.state.recent.keep(minute - 2 * QUALITY_MINUTES, minute + 1)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._seals, work)

    async def close(self) -> None:
        """Wait for what the sealing thread is doing."""
        await asyncio.to_thread(self._seals.shutdown)

    def trouble(self) -> str:
        """Why nothing is confirmed or sealed now, "" when all is well."""
        error = self.log.error if self.log else None
        return str(error) if error else self.seal_error

    def age_s(self, time_ns: int | None) -> float | None:
        """Seconds since a wall time."""
        return None if time_ns is None else (self.wall_ns() - time_ns) / SECOND_NS


def drop_segments(layout: Layout, up_to: int) -> None:
    """Delete log segments that are sealed."""
    for number, path in segments(layout.log):
        if number <= up_to:
            path.unlink(missing_ok=True)
