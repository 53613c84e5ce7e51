"""Rows and windows to packed blocks and back (WIRE-42, WIRE-43).

Cells are column-major: column c, window w is cell c * n + w. A mask holds one byte, 0 or 1, per
cell. Work per cell is left to array, bytes and itertools, as blocks come every second of each lane.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress
from operator import add, and_, gt, sub
from typing import Final

from xinmai.wire.limits import MAX_CELLS, refused
from xinmai.wire.messages import Block, ReasonRun
from xinmai_native import KIND_FLOAT, KIND_GAUGE, KIND_LAST, Rows, Windows, pack, unpack

_UINT32_MAX: Final = 2**32 - 1
_UINT64_MASK: Final = 2**64 - 1
_IS_GAUGE: Final = bytes(kind in (KIND_GAUGE, KIND_FLOAT) for kind in range(256))
_above_one: Final = (1).__lt__


def rollup_block(lane: int, width_ns: int, windows: Windows, kinds: bytes) -> Block:
    """Pack what a ring reader rolled up.

    Args:
        lane: index in the inventory.
        windows: n windows, column-major.
        kinds: uint8 per column, KIND_* of the extension.
    """
    n = windows.n
    every = array("I", [n]) * len(kinds)
    counts = array("I", windows.counts)
    highest = max(counts, default=0)
    valued = bytes(map(bool, counts)) if 0 in counts else None
    low, high, total = _spread(windows, counts, kinds) if highest > 1 else (None, None, None)
    return Block(
        lane=lane,
        width_ns=width_ns,
        n=n,
        time=pack(windows.start_ns, array("I", [n])),
        ticks=_one_column(array("I", windows.ticks), default=1),
        missed=_one_column(array("I", windows.missed), default=0),
        overrun=windows.overrun * len(kinds),
        count=None if highest <= 1 and valued is None else pack(array("q", counts), every),
        last=_pack_cells(windows.last, every, valued),
        min=low,
        max=high,
        sum=total,
        reasons=_runs(windows.reasons),
    )


def _spread(
    windows: Windows, counts: array[int], kinds: bytes
) -> tuple[bytes, bytes, bytes] | tuple[None, None, None]:
    """Packed min, max and sum of the gauge cells with several readings, if any of these differ."""
    if windows.min == windows.last and windows.max == windows.last:
        return None, None, None
    every = array("I", [windows.n]) * len(kinds)
    gauges = b"".join([bytes([is_gauge]) * windows.n for is_gauge in kinds.translate(_IS_GAUGE)])
    mask = bytes(map(and_, map(_above_one, counts), gauges))
    low, high, last, total = (
        array("q", compress(array("q", cells), mask))
        for cells in (windows.min, windows.max, windows.last, windows.sum)
    )
    if low == last and high == last:
        return None, None, None
    lengths = _picked(mask, every)
    return pack(low, lengths), pack(high, lengths), pack(total, lengths)


def raw_block(lane: int, rows: Rows, columns: int) -> Block:
    """Pack rows at full rate."""
    n = rows.n
    valued: bytearray | None = None
    if rows.reasons:
        valued = bytearray(b"\1") * (columns * n)
        for column, at, _, _ in rows.reasons:
            valued[column * n + at] = 0
    begin_ns, scheduled_ns = array("q", rows.begin_ns), array("q", rows.scheduled_ns)
    return Block(
        lane=lane,
        width_ns=0,
        n=n,
        time=pack(scheduled_ns, array("I", [n])),
        late=_one_column(map(sub, begin_ns, scheduled_ns), default=0),
        duration=_one_column(array("I", rows.duration_ns), default=0),
        missed=_one_column(array("I", rows.missed), default=0),
        overrun=rows.overrun * columns,
        last=_pack_cells(rows.values, array("I", [n]) * columns, valued),
        distinct=_distinct(rows, columns),
        reasons=_runs((column, at, reason, code, 1) for column, at, reason, code in rows.reasons),
    )


def _distinct(rows: Rows, columns: int) -> bytes | None:
    """Packed distinct readings by series, None where each value is one."""
    distinct = array("q", array("I", rows.distinct))
    if sum(distinct) == columns * rows.n - len(rows.reasons):
        return None
    return pack(distinct, array("I", [columns]))


def _one_column(values: Iterable[int], *, default: int) -> bytes | None:
    column = array("q", values)
    if column.count(default) == len(column):
        return None
    return pack(column, array("I", [len(column)]))


def _pack_cells(cells: bytes, lengths: array[int], mask: bytes | bytearray | None) -> bytes:
    if mask is None:
        return pack(cells, lengths)
    return pack(array("q", compress(array("q", cells), mask)), _picked(mask, lengths))


def _picked(mask: bytes | bytearray, lengths: array[int]) -> array[int]:
    """How many cells a mask picks of each column."""
    picks = zip(accumulate(lengths), lengths, strict=True)
    return array("I", [mask.count(1, end - length, end) for end, length in picks])


def _runs(reasons: Iterable[tuple[int, int, int, int, int]]) -> tuple[ReasonRun, ...]:
    """Merge consecutive windows of (column, window, reason, code, readings) that say the same."""
    runs: list[ReasonRun] = []
    same: tuple[int, int, int, int] | None = None
    first = windows = 0
    ordered = sorted((c, reason, code, at, readings) for c, at, reason, code, readings in reasons)
    for column, reason, code, at, readings in ordered:
        if same == (column, reason, code, readings) and at == first + windows:
            windows += 1
            continue
        if same is not None:
            runs.append(_run(same, first, windows))
        same, first, windows = (column, reason, code, readings), at, 1
    if same is not None:
        runs.append(_run(same, first, windows))
    return tuple(runs)


def _run(same: tuple[int, int, int, int], first: int, windows: int) -> ReasonRun:
    column, reason, code, readings = same
    return ReasonRun(column, first, windows, reason, code, readings)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A block unpacked into one entry per cell that has values; reasons apart.

    All arrays are of int64 and have the same length but `window_*`, which have n; entries are
    ordered by series, then window. Arrays may be shared, also between fields: do not change them.
    For raw blocks, cells with one reading and columns that are no gauge min = max = sum = last.
    """

    window_time_ns: array[int]
    """CLOCK_MONOTONIC; window start, or the begin of the row where the window or row is one."""
    window_ticks: array[int]
    window_missed: array[int]
    series: array[int]
    """Column within the lane."""
    window: array[int]
    count: array[int]
    """Distinct readings; 1 for each row of a raw block."""
    last: array[int]
    min: array[int]
    max: array[int]
    sum: list[int]
    """True sum of integers (bits of a double for f64 columns)."""
    reasons: Sequence[ReasonRun]
    columns: int
    """Series of the lane."""
    distinct: array[int] | None
    """Of a raw block, distinct readings by column; None where not measured or each value is one."""

    @property
    def readings(self) -> int:
        """Ticks of all series (WIRE-47): each has a value, repeated or not, or a reason."""
        return self.columns * sum(self.window_ticks)


def readings_by_window(expanded: Expanded) -> list[int]:
    """Readings per window, for the account (WIRE-47)."""
    return [ticks * expanded.columns for ticks in expanded.window_ticks]


def expand(block: Block, kinds: bytes) -> Expanded:
    """Unpack a block of untrusted origin.

    Args:
        kinds: uint8 per column of the lane, KIND_* of the extension (see `kinds_of`).

    Raises:
        Refused: a blob does not hold what the block says.
    """
    n, columns = block.n, len(kinds)
    if n * columns > MAX_CELLS:
        raise refused("limit", "n", f"more than {MAX_CELLS} cells")
    for index, run in enumerate(block.reasons):
        if not (0 <= run.series < columns and 0 <= run.window < run.window + run.windows <= n):
            raise refused("value", f"reasons[{index}]", "beyond the block")
    every = array("I", [n]) * columns
    one = array("I", [n])
    if block.width_ns == 0:
        time_ns = _begins(block, one)
        ticks = array("q", [1]) * n
        valued = _without_reasons(block, columns)
        count = array("q", [1]) * (n * columns)
        distinct = _expand_distinct(block, valued, columns)
    else:
        time_ns = _unpacked(block.time, one, "time")
        ticks = _counts(block.ticks, one, "ticks", default=1)
        count = _counts(block.count, every, "count", default=1)
        distinct = None
        _check_ticks(block, columns, ticks, count)
        valued = bytes(map(bool, count)) if 0 in count else None
    missed = _counts(block.missed, one, "missed", default=0)
    window = array("q", range(n)) * columns
    if valued is not None:
        every = _picked(valued, every)
        window, count = (array("q", compress(cells, valued)) for cells in (window, count))
    series = array("q", range(columns))
    if n != 1 or valued is not None:
        repeats = zip(range(columns), every, strict=True)
        series = array("q", b"".join([series[c : c + 1].tobytes() * cells for c, cells in repeats]))
    last = _unpacked(block.last, every, "last")
    low, high, total = _expand_spread(block, kinds, every, series, count, last)
    return Expanded(
        time_ns,
        ticks,
        missed,
        series,
        window,
        count,
        last,
        low,
        high,
        total,
        block.reasons,
        columns,
        distinct,
    )


def _check_ticks(block: Block, columns: int, ticks: array[int], count: array[int]) -> None:
    """A cell has no more readings than its window has ticks; repeats make the difference."""
    readings: Iterable[int] = count
    if block.reasons:
        steps = [0] * (len(count) + 1)
        for run in block.reasons:
            first = run.series * block.n + run.window
            steps[first] += run.readings
            steps[first + run.windows] -= run.readings
        readings = map(add, count, accumulate(steps))
    if any(map(gt, readings, ticks * columns)):
        raise refused("value", "ticks", "fewer than the readings of a cell")


def _expand_distinct(block: Block, valued: bytes | None, columns: int) -> array[int] | None:
    """Distinct readings by column of a raw block: no more than it has values."""
    if block.distinct is None:
        return None
    distinct = _counts(block.distinct, array("I", [columns]), "distinct", default=0)
    values = array("I", [block.n]) * columns
    if any(map(gt, distinct, values if valued is None else _picked(valued, values))):
        raise refused("blob", "distinct", "more than there are values")
    return distinct


def _unpacked(blob: bytes, lengths: array[int], key: str) -> array[int]:
    cells = sum(lengths)
    # Nothing takes more than a byte per column and 8 per value, or less than 3 per 2048 values:
    # refuse before anything is allocated.
    if not cells <= 1024 * len(blob) <= 1024 * 9 * cells:
        raise refused("blob", key, f"{len(blob)} bytes for {cells} values")
    try:
        return array("q", unpack(blob, lengths))
    except ValueError as error:
        raise refused("blob", key, str(error)) from None


def _counts(blob: bytes | None, lengths: array[int], key: str, *, default: int) -> array[int]:
    if blob is None:
        return array("q", [default]) * sum(lengths)
    values = _unpacked(blob, lengths, key)
    if values and (min(values) < 0 or max(values) > _UINT32_MAX):
        raise refused("blob", key, "outside 32 bits")
    return values


def _begins(block: Block, one: array[int]) -> array[int]:
    """Begin of each raw row: scheduled plus late."""
    time_ns = _unpacked(block.time, one, "time")
    _counts(block.duration, one, "duration", default=0)
    if block.late is None:
        return time_ns
    try:
        return array("q", map(add, time_ns, _unpacked(block.late, one, "late")))
    except OverflowError:
        raise refused("blob", "late", "outside 64 bits") from None


def _without_reasons(block: Block, columns: int) -> bytes | None:
    """Mask of raw cells with a value, None for all. A cell has one reason at most."""
    if not block.reasons:
        return None
    mask = bytearray(b"\1") * (block.n * columns)
    for index, run in enumerate(block.reasons):
        start = run.series * block.n + run.window
        end = start + run.windows
        if run.readings != 1 or mask.find(0, start, end) >= 0:
            raise refused("value", f"reasons[{index}]", "a second reading of a cell")
        mask[start:end] = bytes(run.windows)
    return bytes(mask)


def _expand_spread(
    block: Block,
    kinds: bytes,
    lengths: array[int],
    series: array[int],
    count: array[int],
    last: array[int],
) -> tuple[array[int], array[int], list[int]]:
    """Minimum, maximum and true sum per cell with a value."""
    total = last.tolist()
    if block.width_ns == 0 or (block.min is None and max(count, default=0) <= 1):
        return last, last, total
    gauges = map(kinds.translate(_IS_GAUGE).__getitem__, series)
    mask = bytes(map(and_, map(_above_one, count), gauges))
    places = list(compress(range(len(mask)), mask))
    if block.min is None or block.max is None or block.sum is None:
        for at in places:
            if kinds[series[at]] == KIND_FLOAT:
                total[at] = _bits(count[at] * _double(last[at]))
            else:
                total[at] *= count[at]
        return last, last, total
    lengths = _picked(mask, lengths)
    lows = _unpacked(block.min, lengths, "min")
    highs = _unpacked(block.max, lengths, "max")
    sums = _unpacked(block.sum, lengths, "sum")
    low, high = last[:], last[:]
    for at, cell_low, cell_high, cell_sum in zip(places, lows, highs, sums, strict=True):
        low[at], high[at], total[at] = cell_low, cell_high, cell_sum
        if kinds[series[at]] == KIND_FLOAT:
            continue
        if not cell_low <= last[at] <= cell_high:
            raise refused("blob", "last", "outside min and max")
        total[at] = _true_sum(count[at], cell_low, cell_high, cell_sum)
    return low, high, total


def _true_sum(count: int, low: int, high: int, modular: int) -> int:
    """The smallest number from count * low on that is congruent to `modular` modulo 2^64."""
    least = count * low
    total = least + ((modular - least) & _UINT64_MASK)
    if total > count * high:
        raise refused("blob", "sum", "beyond count times max")
    return total


def _double(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def _bits(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits


def kinds_of(series: Sequence[tuple[str, str]]) -> bytes:
    """KIND_* per (kind, type) of a series: f64 gauges are float, other gauges gauge, rest last."""

    def kind_of(kind: str, number_type: str) -> int:
        if kind != "gauge":
            return KIND_LAST
        return KIND_FLOAT if number_type == "f64" else KIND_GAUGE

    return bytes(kind_of(kind, number_type) for kind, number_type in series)
