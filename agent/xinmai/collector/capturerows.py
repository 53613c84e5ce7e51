"""Captures as they are kept: a row per part that arrived, and samples in rows of their own.

Captured rows lie in files of their own. So what asks for a series over time never sees a reading
twice, once in its rollup and once in a capture, and ordinary rows pay nothing for captures.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from xinmai.collector.rows import LanePlan, check_size, wall_times
from xinmai.errors import Refused
from xinmai.wire.blocks import Expanded, expand
from xinmai.wire.messages import Batch, Block, Capture
from xinmai_native import unpack

CAPTURE_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("edge", pa.string()),
        ("node", pa.string()),
        ("trigger", pa.string()),
        ("cause", pa.string()),
        ("hw_id", pa.string()),
        ("metric", pa.string()),
        ("at_ns", pa.int64()),
        ("from_ns", pa.int64()),
        ("to_ns", pa.int64()),
        ("part", pa.int64()),
        ("last", pa.bool_()),
        ("merged", pa.int64()),
        ("rows", pa.int64()),
        ("readings", pa.int64()),
        ("missed", pa.int64()),
        ("overrun", pa.int64()),
        ("bytes", pa.int64()),
        ("readable", pa.bool_()),
        ("stand_in", pa.bool_()),
    ]
)
"""A row per part. `rows` are those of lanes; `readings`, `missed` and `overrun` are in readings.
`readable` is false where the part's blocks do not hold what they say."""

CAPTURE_ROW_SCHEMA: Final = pa.schema(
    [
        pa.field("capture", pa.int64(), nullable=False),
        pa.field("series_id", pa.int64(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("late_ns", pa.int64(), nullable=False),
        pa.field("duration_ns", pa.int64(), nullable=False),
        pa.field("last", pa.int64(), nullable=False),
        pa.field("reason", pa.int8(), nullable=False),
        pa.field("code", pa.int64(), nullable=False),
    ]
)
"""A row per reading: `time_ns` when it was begun, `late_ns` after it was due, `duration_ns` of its
row. `capture` is the id as a number (`id_number`)."""


_MOST: Final = 2**63 - 1
CAPTURE_ROW_BYTES: Final = 57
"""Of one row in memory."""


def id_number(capture_id: str) -> int:
    """The 16 hex digits of an id as a signed number of 64 bits."""
    return int.from_bytes(bytes.fromhex(capture_id), "big", signed=True)


@dataclass(frozen=True, slots=True)
class Captured:
    """What one part of a capture holds.

    Args:
        rows: of CAPTURE_ROW_SCHEMA.
        ticks, missed, overrun: rows of lanes; ticks that were never taken and readings that were
            overwritten before they could be copied, both in readings.
    """

    rows: pa.RecordBatch
    ticks: int
    missed: int
    overrun: int


def captured_of(batch: Batch, capture_id: str, lanes: Sequence[LanePlan]) -> Captured:
    """Unpack every block of a part.

    Raises:
        Refused: a block names a lane that is not there, or does not hold what it says.
    """
    check_size(batch, lanes)
    number = id_number(capture_id)
    timeline = batch.timeline
    parts: list[pa.RecordBatch] = []
    missed = 0
    for index, block in enumerate(batch.blocks):
        plan = lanes[block.lane]
        try:
            cells = expand(block, plan.kinds)
            times = _times(block, wall_times(cells.window_time_ns, timeline))
        except Refused as refusal:
            key = f"blocks[{index}].{refusal.key}"
            raise Refused(refusal.reason, key, refusal.detail) from None
        parts += [_values(number, plan, times, cells), *_reasons(number, plan, times, cells)]
        missed += sum(cells.window_missed) * len(plan.ids)
    table = pa.Table.from_batches(parts, schema=CAPTURE_ROW_SCHEMA).combine_chunks()
    whole = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=CAPTURE_ROW_SCHEMA)]
    overrun = min(sum(block.overrun for block in batch.blocks), _MOST)
    return Captured(whole[0], sum(block.n for block in batch.blocks), missed, overrun)


def _times(block: Block, begin_ns: array[int]) -> Sequence[pa.Array]:
    """Begin, lateness and duration of a block's rows; `expand` has held the blobs against n."""
    one = array("I", [block.n])
    blobs = (block.late, block.duration)
    others = [unpack(blob, one) if blob is not None else bytes(8 * block.n) for blob in blobs]
    return [_int64(begin_ns), *map(_int64, others)]


def _values(
    number: int, plan: LanePlan, times: Sequence[pa.Array], cells: Expanded
) -> pa.RecordBatch:
    """The cells that have values."""
    window = _int64(cells.window)
    return _batch(
        number,
        _int64(array("q", plan.ids)).take(_int64(cells.series)),
        [column.take(window) for column in times],
        _int64(cells.last),
    )


def _reasons(
    number: int, plan: LanePlan, times: Sequence[pa.Array], cells: Expanded
) -> Iterator[pa.RecordBatch]:
    """One batch of rows for each run of reasons."""
    for run in cells.reasons:
        n = run.windows
        yield _batch(
            number,
            _repeated(plan.ids[run.series], n),
            [column.slice(run.window, n) for column in times],
            _repeated(0, n),
            run.reason,
            run.code,
        )


def _batch(
    number: int,
    ids: pa.Array,
    times: Sequence[pa.Array],
    last: pa.Array,
    reason: int = 0,
    code: int = 0,
) -> pa.RecordBatch:
    n = len(ids)
    reasons = pa.repeat(pa.scalar(reason, pa.int8()), n)
    columns = [_repeated(number, n), ids, *times, last, reasons, _repeated(code, n)]
    return pa.RecordBatch.from_arrays(columns, schema=CAPTURE_ROW_SCHEMA)


def _int64(values: array[int] | bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(memoryview(values).cast("B")) // 8, _held(values))


def _held(values: array[int] | bytes) -> list[pa.Buffer | None]:
    return [None, pa.py_buffer(values)]


def _repeated(value: int, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.int64()), n)


def part_row(
    batch: Batch, capture: Capture, size_bytes: int, held: Captured | None
) -> dict[str, Any]:
    """A part as a row of CAPTURE_SCHEMA.

    Args:
        size_bytes: of the batch as it came.
        held: None where its blocks do not hold what they say.
    """
    return {
        "id": capture.id,
        "edge": batch.edge,
        "node": batch.node,
        "trigger": capture.trigger,
        "cause": capture.cause,
        "hw_id": capture.hw_id,
        "metric": capture.metric,
        "at_ns": capture.at_ns,
        "from_ns": capture.from_ns,
        "to_ns": capture.to_ns,
        "part": capture.part,
        "last": capture.last,
        "merged": capture.merged,
        "rows": held.ticks if held else 0,
        "readings": held.rows.num_rows if held else 0,
        "missed": held.missed if held else 0,
        "overrun": held.overrun if held else 0,
        "bytes": size_bytes,
        "readable": held is not None,
        "stand_in": batch.stand_in,
    }
