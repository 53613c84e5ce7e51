"""One accepted batch on its way from the broker to the log, and what makes one out of bytes."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from xinmai.collector import account
from xinmai.collector.capturerows import CAPTURE_ROW_BYTES, Captured, captured_of
from xinmai.collector.inventories import Known
from xinmai.collector.rows import ROW_BYTES, rows_of
from xinmai.errors import Refused
from xinmai.wire.messages import Batch, EventEntry, Stream

Identity = tuple[str, str, Stream, str, int]
"""(edge, node, stream, queue, seq), WIRE-40."""

EVENT_SCHEMA: Final = pa.schema(
    [
        ("time_ns", pa.int64()),
        ("edge", pa.string()),
        ("node", pa.string()),
        ("hw_id", pa.string()),
        ("code", pa.string()),
        ("class", pa.string()),
        ("severity", pa.string()),
        ("action", pa.string()),
        ("message", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
    ]
)
META: Final = struct.Struct("<q")
"""Meta of a log record: wall time of arrival."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A batch, its bytes and what they hold.

    Args:
        known: the inventory; None where the batch has no blocks.
        rows: None where there are none; those of a capture are in `captured`.
        readings: by minute; None where the blocks do not hold what they say: such a batch is kept
            and closed, for it would come again for ever, and its readings count as lost.
    """

    batch: Batch
    payload: bytes
    arrived_ns: int
    known: Known | None = None
    rows: pa.RecordBatch | None = None
    readings: Counter[int] | None = None
    refusal: Refused | None = None
    captured: Captured | None = None

    @property
    def identity(self) -> Identity:
        """What the batch is."""
        batch = self.batch
        return batch.edge, batch.node, batch.stream, batch.queue, batch.seq

    @property
    def size(self) -> int:
        """Bytes that the entry holds in memory, about."""
        rows = self.rows.num_rows if self.rows is not None else 0
        captured = self.captured.rows.num_rows if self.captured is not None else 0
        return len(self.payload) + ROW_BYTES * rows + CAPTURE_ROW_BYTES * captured


def identity_of(batch: Batch) -> Identity:
    """What a batch is."""
    return batch.edge, batch.node, batch.stream, batch.queue, batch.seq


def unpack_entry(batch: Batch, payload: bytes, arrived_ns: int, known: Known | None) -> Entry:
    """Decode a batch's blocks; never refuses. Pure: may run in any thread."""
    try:
        account.check_numbers(batch)
    except Refused as error:
        # Not even its account can be used.
        bare = Batch(
            batch.node,
            batch.edge,
            batch.boot,
            batch.stream,
            batch.queue,
            batch.seq,
            batch.schema,
            batch.clock,
        )
        return Entry(bare, payload, arrived_ns, refusal=error)
    capture = batch.capture
    if not batch.blocks:
        captured = captured_of(batch, capture.id, ()) if capture else None
        return Entry(batch, payload, arrived_ns, readings=Counter(), captured=captured)
    if known is None:
        refusal = Refused("value", "schema", "its inventory is gone")
        return Entry(batch, payload, arrived_ns, refusal=refusal)
    try:
        if capture is not None:
            captured = captured_of(batch, capture.id, known.lanes)
            # Its readings are accounted for in rollup or raw (WIRE-46): none is booked here.
            return Entry(batch, payload, arrived_ns, known, None, Counter(), captured=captured)
        found = rows_of(batch, known.lanes)
    except Refused as error:
        return Entry(batch, payload, arrived_ns, known, refusal=error)
    return Entry(batch, payload, arrived_ns, known, found.rows, found.readings)


def event_rows(edge: str, node: str, events: tuple[EventEntry, ...]) -> list[dict[str, object]]:
    """Events as rows of EVENT_SCHEMA."""
    return [
        {
            "time_ns": event.time_ns,
            "edge": edge,
            "node": node,
            "hw_id": event.hw_id,
            "code": event.code,
            "class": event.event_class,
            "severity": event.severity,
            "action": event.action,
            "message": event.message,
            "attributes": dict(event.attributes),
        }
        for event in events
    ]
