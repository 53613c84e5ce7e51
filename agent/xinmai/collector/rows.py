"""Batches to rows: one row per series and window, the integers as they came.

Names, attributes and scale are not in a row; `series_id` leads to them (`registry`).
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from xinmai.clock import MINUTE_NS, Timeline
from xinmai.collector.account import MAX_READINGS
from xinmai.errors import Refused
from xinmai.wire.blocks import Expanded, expand, readings_by_window
from xinmai.wire.messages import Batch, Block, Stream
from xinmai_native import KIND_FLOAT, unpack

MAX_BATCH_CELLS: Final = 2**21
"""Cells and reason windows of a whole batch: a small body must not buy minutes of work."""

STREAM_CODES: Final[Mapping[Stream, int]] = {"rollup": 1, "raw": 2}

ROW_SCHEMA: Final = pa.schema(
    [
        pa.field("series_id", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("last", pa.int64(), nullable=False),
        pa.field("min", pa.int64(), nullable=False),
        pa.field("max", pa.int64(), nullable=False),
        pa.field("sum", pa.float64(), nullable=False),
        pa.field("reason", pa.int8(), nullable=False),
        pa.field("code", pa.int64(), nullable=False),
        pa.field("stream", pa.int8(), nullable=False),
    ]
)
"""`last`, `min`, `max`: native integers (bits of a double for f64); `sum`: in native units."""

ROW_BYTES: Final = 74
"""Of one row in memory."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """What decoding needs of one lane: series ids and KIND_* by column."""

    ids: Sequence[int]
    kinds: bytes


class RowBuffer:
    """Columns of rows under construction."""

    __slots__ = ("code", "count", "high", "last", "low", "reason", "series", "sum", "time_ns")

    def __init__(self) -> None:
        self.series, self.time_ns, self.count = array("q"), array("q"), array("q")
        self.last, self.low, self.high = array("q"), array("q"), array("q")
        self.sum = array("d")
        self.reason = array("b")
        self.code = array("q")

    def __len__(self) -> int:
        return len(self.series)

    def add_values(self, plan: LanePlan, wall_ns: Sequence[int], cells: Expanded) -> None:
        """The cells that have values."""
        self.series.extend(map(plan.ids.__getitem__, cells.series))
        self.time_ns.extend(map(wall_ns.__getitem__, cells.window))
        self.count.extend(cells.count)
        self.last.extend(cells.last)
        self.low.extend(cells.min)
        self.high.extend(cells.max)
        self.sum.extend(_sums(plan.kinds, cells))
        zeros = len(cells.series)
        self.reason.frombytes(bytes(zeros))
        self.code.frombytes(bytes(8 * zeros))

    def add_reasons(self, plan: LanePlan, wall_ns: Sequence[int], cells: Expanded) -> None:
        """One row per window of each run of reasons."""
        for run in cells.reasons:
            n = run.windows
            self.series.extend([plan.ids[run.series]] * n)
            self.time_ns.extend(wall_ns[run.window : run.window + n])
            self.count.extend([run.readings] * n)
            for column in (self.last, self.low, self.high):
                column.frombytes(bytes(8 * n))
            self.sum.frombytes(bytes(8 * n))
            self.reason.extend([run.reason] * n)
            self.code.extend([run.code] * n)

    def build(self, stream: Stream) -> pa.RecordBatch:
        """The rows as one Arrow batch; the buffer must not be added to afterwards."""
        n = len(self)

        def column(kind: pa.DataType, values: array[int] | array[float] | bytes) -> pa.Array:
            return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(values)])

        time_us = array("q", [time_ns // 1000 for time_ns in self.time_ns])
        columns = [
            column(pa.int64(), self.series),
            column(pa.timestamp("us", tz="UTC"), time_us),
            column(pa.int64(), self.time_ns),
            column(pa.int64(), self.count),
            column(pa.int64(), self.last),
            column(pa.int64(), self.low),
            column(pa.int64(), self.high),
            column(pa.float64(), self.sum),
            column(pa.int8(), self.reason),
            column(pa.int64(), self.code),
            column(pa.int8(), bytes([STREAM_CODES[stream]]) * n),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=ROW_SCHEMA)


def _sums(kinds: bytes, cells: Expanded) -> Sequence[float]:
    if KIND_FLOAT not in kinds:
        return [float(total) for total in cells.sum]
    doubles = struct.Struct("<d")
    bits = struct.Struct("<q")
    return [
        doubles.unpack(bits.pack(total))[0] if kinds[column] == KIND_FLOAT else float(total)
        for column, total in zip(cells.series, cells.sum, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class BatchRows:
    """What a batch holds.

    Args:
        readings: by minute of wall time, with a value or with a reason.
    """

    rows: pa.RecordBatch
    readings: Counter[int]


def rows_of(batch: Batch, lanes: Sequence[LanePlan]) -> BatchRows:
    """Unpack every block of a batch.

    Raises:
        Refused: a block names a lane that is not there, or does not hold what it says.
    """
    check_size(batch, lanes)
    buffer = RowBuffer()
    readings: Counter[int] = Counter()
    timeline = batch.timeline
    for index, block in enumerate(batch.blocks):
        plan = lanes[block.lane]
        try:
            cells = expand(block, plan.kinds)
            wall_ns = wall_times(cells.window_time_ns, timeline)
        except Refused as refusal:
            key = f"blocks[{index}].{refusal.key}"
            raise Refused(refusal.reason, key, refusal.detail) from None
        buffer.add_values(plan, wall_ns, cells)
        buffer.add_reasons(plan, wall_ns, cells)
        _count_minutes(readings, block, timeline, wall_ns, cells)
    if max(readings.values(), default=0) > MAX_READINGS:
        raise Refused("limit", "blocks", f"more than {MAX_READINGS} readings in a minute")
    return BatchRows(buffer.build(batch.stream), readings)


def check_size(batch: Batch, lanes: Sequence[LanePlan]) -> None:
    """Refuse a batch that names a lane which is not there, or buys too much work."""
    cells = 0
    for index, block in enumerate(batch.blocks):
        if not 0 <= block.lane < len(lanes):
            raise Refused("value", f"blocks[{index}].lane", "not in the inventory")
        cells += block.n * len(lanes[block.lane].ids)
        cells += sum(run.windows for run in block.reasons)
    if cells > MAX_BATCH_CELLS:
        raise Refused("limit", "blocks", f"more than {MAX_BATCH_CELLS} cells in a batch")


def wall_times(mono_ns: array[int], timeline: Timeline) -> array[int]:
    """Wall times of monotonic times; raises Refused for one outside 64 bits."""
    try:
        return timeline.wall_all(mono_ns)
    except OverflowError:
        raise Refused("value", "time", "outside 64 bits as wall time") from None


def _count_minutes(
    readings: Counter[int],
    block: Block,
    timeline: Timeline,
    wall_ns: array[int],
    cells: Expanded,
) -> None:
    if block.width_ns == 0 and block.late is not None:
        # A raw row belongs to the minute it was due in, as its sender's account has it (WIRE-46).
        wall_ns = wall_times(array("q", unpack(block.time, array("I", [block.n]))), timeline)
    if not wall_ns:
        return
    if min(wall_ns) // MINUTE_NS == max(wall_ns) // MINUTE_NS:
        readings[wall_ns[0] // MINUTE_NS] += cells.readings
        return
    for time_ns, n in zip(wall_ns, readings_by_window(cells), strict=True):
        readings[time_ns // MINUTE_NS] += n
