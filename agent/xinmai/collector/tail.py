"""What the log holds and Parquet does not yet: in memory, one tail per log segment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from xinmai.collector.account import ACCOUNT_SCHEMA, AccountBook, Minutes
from xinmai.collector.capturerows import CAPTURE_ROW_SCHEMA, CAPTURE_SCHEMA, part_row
from xinmai.collector.entry import EVENT_SCHEMA, Entry, event_rows
from xinmai.collector.rows import ROW_SCHEMA

SEAL_ROWS: Final = 2**20
"""Rows of a tail that end its log segment: about 80 MB."""
_MERGE_AT: Final = 256


@dataclass(frozen=True, slots=True)
class TailTables:
    """A tail as Arrow tables; unchanging."""

    rows: pa.Table
    events: pa.Table
    account: pa.Table
    captures: pa.Table
    capture_rows: pa.Table


class Tail:
    """Durable entries of one log segment.

    Args:
        number: the segment's.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.book = AccountBook()
        self.entries = 0
        self._rows = 0
        self._merged: list[pa.RecordBatch] = []
        self._late: list[pa.RecordBatch] = []
        self._events: list[dict[str, object]] = []
        self._event_table = EVENT_SCHEMA.empty_table()
        self._parts: list[dict[str, Any]] = []
        self._captured: list[pa.RecordBatch] = []

    @property
    def full(self) -> bool:
        """Whether the segment has to end for the sake of memory."""
        held = self._rows + len(self._events) + len(self.book) + len(self._parts)
        return held >= SEAL_ROWS

    def add(self, entry: Entry, minutes: Minutes) -> None:
        """Take a durable entry."""
        batch = entry.batch
        self.entries += 1
        self.book.add(batch.edge, batch.node, minutes)
        self._events.extend(event_rows(batch.edge, batch.node, tuple(batch.events)))
        if entry.rows is not None and entry.rows.num_rows:
            self._late.append(entry.rows)
            self._rows += entry.rows.num_rows
            if len(self._late) >= _MERGE_AT:
                late = pa.Table.from_batches(self._late, schema=ROW_SCHEMA)
                self._merged.extend(late.combine_chunks().to_batches())
                self._late.clear()
        if batch.capture is not None:
            held = entry.captured
            self._parts.append(part_row(batch, batch.capture, len(entry.payload), held))
            if held is not None:
                self._captured.append(held.rows)
                self._rows += held.rows.num_rows

    def _event_rows(self) -> pa.Table:
        done = self._event_table.num_rows
        if done < len(self._events):
            late = pa.Table.from_pylist(self._events[done:], schema=EVENT_SCHEMA)
            self._event_table = pa.concat_tables([self._event_table, late])
        return self._event_table

    def tables(self) -> TailTables:
        """As they are now."""
        return TailTables(
            pa.Table.from_batches(self._merged + self._late, schema=ROW_SCHEMA),
            self._event_rows(),
            self.book.table(),
            pa.Table.from_pylist(self._parts, schema=CAPTURE_SCHEMA),
            pa.Table.from_batches(self._captured, schema=CAPTURE_ROW_SCHEMA),
        )


def join(tails: Iterable[TailTables]) -> TailTables:
    """Several tails as one."""
    held: Sequence[TailTables] = list(tails)
    none: dict[str, Any] = {
        "rows": ROW_SCHEMA.empty_table(),
        "events": EVENT_SCHEMA.empty_table(),
        "account": ACCOUNT_SCHEMA.empty_table(),
        "captures": CAPTURE_SCHEMA.empty_table(),
        "capture_rows": CAPTURE_ROW_SCHEMA.empty_table(),
    }
    joined = {
        name: pa.concat_tables([empty, *(getattr(tail, name) for tail in held)])
        for name, empty in none.items()
    }
    return TailTables(**joined)
