"""Readings as plain lists, and what a ring reader would make of them."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st

from xinmai.wire.blocks import Expanded
from xinmai.wire.messages import ReasonRun
from xinmai_native import KIND_FLOAT, KIND_GAUGE, KIND_LAST, Rows, Windows

TIMEOUT, VENDOR_ERROR = 4, 7


@dataclass(frozen=True)
class Missing:
    reason: int
    code: int = 0


Reading = int | Missing
Cells = list[list[list[Reading]]]
"""By column, then window: the readings."""


def i64(values: Sequence[int]) -> bytes:
    return array("q", values).tobytes()


def u32(values: Sequence[int]) -> bytes:
    return array("I", values).tobytes()


def signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def double(value: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", value))[0])


@dataclass(frozen=True)
class Told:
    """What is to be known of a cell with values."""

    count: int
    last: int
    low: int
    high: int
    total: int


def told(readings: Sequence[Reading], kind: int) -> Told | None:
    values = [reading for reading in readings if isinstance(reading, int)]
    if not values:
        return None
    last = values[-1]
    if len(values) == 1 or kind == KIND_LAST:
        return Told(len(values), last, last, last, last)
    if kind == KIND_GAUGE:
        return Told(len(values), last, min(values), max(values), sum(values))
    floats = [double(value) for value in values]
    return Told(len(values), last, bits(min(floats)), bits(max(floats)), bits(sum(floats)))


def windows_of(cells: Cells, kinds: bytes, starts: Sequence[int], missed: Sequence[int]) -> Windows:
    """What a ring reader would say of these readings."""
    n = len(starts)
    counts, last, low, high, total = ([0] * (n * len(kinds)) for _ in range(5))
    reasons: dict[tuple[int, int, int, int], int] = {}
    for column, kind in enumerate(kinds):
        for window in range(n):
            at = column * n + window
            known = told(cells[column][window], kind)
            if known:
                counts[at], last[at] = known.count, known.last
            if known and kind != KIND_LAST:
                low[at], high[at], total[at] = known.low, known.high, signed(known.total)
            for reading in cells[column][window]:
                if isinstance(reading, Missing):
                    key = (column, window, reading.reason, reading.code)
                    reasons[key] = reasons.get(key, 0) + 1
    return Windows(
        next_position=0,
        overrun=0,
        n=n,
        start_ns=i64(starts),
        ticks=u32([len(readings) for readings in cells[0]] if cells else [0] * n),
        missed=u32(missed),
        counts=u32(counts),
        last=i64(last),
        min=i64(low),
        max=i64(high),
        sum=i64(total),
        reasons=[(*key, readings) for key, readings in reasons.items()],
    )


def rows_of(cells: Cells, n: int, late: Sequence[int], missed: Sequence[int]) -> Rows:
    flat = [readings[0] for column in cells for readings in column]
    return Rows(
        next_position=n,
        first_position=0,
        overrun=0,
        n=n,
        scheduled_ns=i64(range(0, 10 * n, 10)),
        begin_ns=i64([10 * row + late[row] for row in range(n)]),
        duration_ns=u32([7] * n),
        missed=u32(missed),
        values=i64([r if isinstance(r, int) else r.code for r in flat]),
        reasons=[
            (at // n, at % n, reading.reason, reading.code)
            for at, reading in enumerate(flat)
            if isinstance(reading, Missing)
        ],
        distinct=u32([sum(isinstance(r[0], int) for r in column) for column in cells]),
    )


def cells_of(expanded: Expanded) -> dict[tuple[int, int], Told]:
    columns = zip(
        expanded.series,
        expanded.window,
        expanded.count,
        expanded.last,
        expanded.min,
        expanded.max,
        expanded.sum,
        strict=True,
    )
    return {(series, window): Told(*cell) for series, window, *cell in columns}


def reasons_of(runs: Sequence[ReasonRun]) -> dict[tuple[int, int, int, int], int]:
    return {
        (run.series, run.window + step, run.reason, run.code): run.readings
        for run in runs
        for step in range(run.windows)
    }


kinds_lists = st.lists(
    st.sampled_from([KIND_GAUGE, KIND_FLOAT, KIND_LAST]), min_size=1, max_size=5
).map(bytes)
missings = st.sampled_from([Missing(TIMEOUT), Missing(VENDOR_ERROR, -19), Missing(VENDOR_ERROR, 5)])
integers = st.integers(-(2**62), 2**62) | st.integers(-5, 5)
doubles = st.floats(-1e6, 1e6).map(bits) | st.sampled_from([bits(0.5), bits(0.25)])


@st.composite
def lanes(draw: st.DrawFn, *, rows: bool = False) -> tuple[Cells, bytes, int]:
    """Readings, kinds and number of windows (rows)."""
    kinds = draw(kinds_lists)
    n = draw(st.integers(1, 5))
    ticks = [1] * n if rows else draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    cells: Cells = []
    for kind in kinds:
        values = doubles if kind == KIND_FLOAT else integers
        steady = values.flatmap(st.just) if draw(st.booleans()) else values
        reading = steady | missings if draw(st.booleans()) else steady
        cells.append([[draw(reading) for _ in range(count)] for count in ticks])
    return cells, kinds, n


def close(one: Told, other: Told, kind: int) -> bool:
    """Equal, but for the rounding of a constant double's sum (WIRE-48)."""
    if kind != KIND_FLOAT:
        return one == other
    near = double(one.total) == pytest.approx(double(other.total), rel=1e-9, abs=1e-9)
    return near and replace(one, total=0) == replace(other, total=0)
