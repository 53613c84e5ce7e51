"""What the collector knows, changed in one way only: by durable entries, live or replayed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinmai.collector import account
from xinmai.collector.account import AccountBook
from xinmai.collector.engine import Snapshot
from xinmai.collector.entry import Entry
from xinmai.collector.inventories import Inventories, Key, Known
from xinmai.collector.ledger import Ledger, NodeLedger
from xinmai.collector.live import Live, Rate
from xinmai.collector.logfile import read_entries, segments
from xinmai.collector.registry import DeviceBook, SeriesTable
from xinmai.collector.seriesfile import read_series
from xinmai.collector.sets import SealedSet
from xinmai.collector.store import Layout, newest_state
from xinmai.collector.tail import Tail, TailTables, join

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed log segment on its way to Parquet, and the state behind its last entry."""

    tail: Tail
    tables: TailTables
    state: bytes


class State:
    """Ledger, devices, series, newest rows and tails; replay and ingest change it in one way."""

    def __init__(self, layout: Layout) -> None:
        self.ledger = Ledger()
        self.devices = DeviceBook()
        self.series = SeriesTable(read_series(layout.series))
        self.inventories = Inventories(layout.inventories)
        self.live = Live(self.series)
        self.recent = AccountBook()
        self.rates: dict[tuple[str, str], Rate] = {}
        self._adopted: dict[tuple[str, str], Key] = {}
        self.tail = Tail(0)
        self.closed: Sequence[Closed] = ()

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the state of a sealed set; raises ValueError, KeyError or TypeError."""
        ledger, devices = Ledger.from_map(state["ledger"]), DeviceBook.from_map(state["devices"])
        self.ledger, self.devices = ledger, devices

    def dump(self) -> bytes:
        """The inverse."""
        state = {"ledger": self.ledger.to_map(), "devices": self.devices.to_map()}
        return json.dumps(state, separators=(",", ":")).encode()

    def apply(self, entry: Entry) -> bool:
        """Take a durable entry; False when that failed, which is a fault of ours."""
        try:
            self._apply(entry)
        except Exception:
            # It is in the log: raising would stop every later start at the same entry.
            log.exception("a durable batch cannot be booked: identity=%s", entry.identity)
            return False
        return True

    def _apply(self, entry: Entry) -> None:
        batch = entry.batch
        node = self.ledger.node(batch.edge, batch.node)
        losses = node.store(batch)
        minutes = account.tally(batch, entry.readings, losses)
        self.recent.add(batch.edge, batch.node, minutes)
        self.tail.add(entry, minutes)
        if entry.known is not None:
            self._adopt(entry.known, entry, node)
        if entry.rows is not None:
            seen = self.live.take(batch.edge, batch.node, entry.rows, entry.arrived_ns)
            for hw_id, time_ns in seen.items():
                self.devices.seen(batch.edge, batch.node, hw_id, time_ns)

    def _adopt(self, known: Known, entry: Entry, node: NodeLedger) -> None:
        if self._adopted.get(known.key[:2]) == known.key:
            return
        self._adopted[known.key[:2]] = known.key
        self.series.adopt(known.metas)
        boot = node.status.boot if node.status else ""
        schema = entry.batch.schema
        self.devices.adopt(schema, known.inventory, entry.batch.clock.real_ns, boot)

    def end_tail(self) -> Closed | None:
        """Close the tail; None when it is empty."""
        tail, self.tail = self.tail, Tail(self.tail.number + 1)
        if not tail.entries:
            return None
        closed = Closed(tail, tail.tables(), self.dump())
        self.closed = (*self.closed, closed)
        return closed

    def sealed(self, closed: Closed) -> None:
        """A closed segment is in Parquet."""
        self.closed = tuple(one for one in self.closed if one is not closed)

    def snapshot(self, sets: Sequence[SealedSet]) -> Snapshot:
        """Everything a query sees now."""
        tails = [*(one.tables for one in self.closed), self.tail.tables()]
        return Snapshot(sets, join(tails), self.series.view(), self.devices.rows())


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of reading the log.

    Args:
        next_number: of the next log segment.
        empty: segments in which no entry could be read.
    """

    next_number: int
    empty: Sequence[Path]


def replay(layout: Layout, sets: Sequence[SealedSet], state: State) -> Replayed:
    """Bring a state up to the end of the log; changes nothing on disk.

    Segments that are sealed are left out; each other one becomes a closed tail.
    """
    newest_state(sets, state.load)
    number = covered = max((one.last for one in sets), default=0)
    empty: list[Path] = []
    for number, path in segments(layout.log):
        if number <= covered:
            continue
        state.tail = Tail(number)
        for entry in read_entries(path, state.inventories.find):
            batch = entry.batch
            node = state.ledger.find(batch.edge, batch.node)
            if node is None or not node.holds(batch.stream, batch.queue, batch.seq):
                state.apply(entry)
        if state.end_tail() is None:
            empty.append(path)
    number = max(number, covered) + 1
    state.tail = Tail(number)
    return Replayed(number, empty)
