from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire import reference
from agent.wire.bodies import attempt, damaged, refusal_of
from agent.wire.make_golden import RAW, ROLLUP
from agent.wire.readings import (
    TIMEOUT,
    VENDOR_ERROR,
    Cells,
    Missing,
    Reading,
    Told,
    bits,
    cells_of,
    close,
    i64,
    lanes,
    reasons_of,
    rows_of,
    signed,
    told,
    u32,
    windows_of,
)
from xinmai.errors import Refused
from xinmai.wire.blocks import (
    expand,
    kinds_of,
    raw_block,
    readings_by_window,
    rollup_block,
)
from xinmai.wire.codec import decode_batch, encode_batch
from xinmai.wire.limits import REFUSAL_REASONS
from xinmai.wire.messages import Block, ReasonRun
from xinmai_native import (
    KIND_FLOAT,
    KIND_GAUGE,
    KIND_LAST,
    LANE_COLUMNS,
    TRACK_GAUGE,
    Ring,
    RingReader,
    Windows,
    pack,
    unpack,
)

GAUGES = bytes([KIND_GAUGE])


@pytest.mark.statement("WIRE-42")
@pytest.mark.statement("WIRE-48")
@settings(max_examples=300, deadline=None)
@given(lanes(), st.data())
def test_windows_come_back_as_they_were(
    lane: tuple[Cells, bytes, int], data: st.DataObject
) -> None:
    cells, kinds, n = lane
    starts = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n))
    missed = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=n, max_size=n))
    windows = windows_of(cells, kinds, starts, missed)
    block = rollup_block(3, 10**9, windows, kinds)
    expanded = expand(block, kinds)

    assert (block.lane, block.width_ns, block.n) == (3, 10**9, n)
    assert list(expanded.window_time_ns) == starts
    assert list(expanded.window_ticks) == [len(readings) for readings in cells[0]]
    assert list(expanded.window_missed) == missed
    found = cells_of(expanded)
    wanted = {
        (column, window): known
        for column, kind in enumerate(kinds)
        for window in range(n)
        if (known := told(cells[column][window], kind))
    }
    assert list(found) == list(wanted)
    assert all(close(found[at], wanted[at], kinds[at[0]]) for at in wanted)
    assert reasons_of(expanded.reasons) == {tuple(entry[:4]): entry[4] for entry in windows.reasons}


@pytest.mark.statement("WIRE-42")
@settings(max_examples=200, deadline=None)
@given(lanes())
def test_packed_windows_read_as_the_sentences_say(lane: tuple[Cells, bytes, int]) -> None:
    cells, kinds, n = lane
    windows = windows_of(cells, kinds, range(n), [0] * n)
    block = rollup_block(0, 10**9, windows, kinds)
    for (column, window), cell in reference.cells(block, kinds).items():
        known = told(cells[column][window], kinds[column])
        assert (cell.count, cell.last) == ((known.count, known.last) if known else (0, None))
        if known and cell.low is not None:
            assert (cell.low, cell.high) == (known.low, known.high)
            assert cell.modular_sum == signed(known.total)


@pytest.mark.statement("WIRE-43")
@settings(max_examples=300, deadline=None)
@given(lanes(rows=True), st.data())
def test_rows_come_back_as_they_were(lane: tuple[Cells, bytes, int], data: st.DataObject) -> None:
    cells, kinds, n = lane
    late = data.draw(st.lists(st.integers(-3, 10**9), min_size=n, max_size=n))
    missed = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    rows = rows_of(cells, n, late, missed)
    block = raw_block(1, rows, len(kinds))
    expanded = expand(block, kinds)

    assert (block.lane, block.width_ns, block.n) == (1, 0, n)
    assert unpack_one(block.time, n) == array("q", rows.scheduled_ns).tolist()
    assert unpack_one(block.late, n) == late
    assert unpack_one(block.duration, n) == [7] * n
    assert list(expanded.window_time_ns) == array("q", rows.begin_ns).tolist()
    assert list(expanded.window_ticks) == [1] * n
    assert list(expanded.window_missed) == missed
    assert cells_of(expanded) == {
        (column, row): Told(1, reading, reading, reading, reading)
        for column in range(len(kinds))
        for row in range(n)
        if isinstance(reading := cells[column][row][0], int)
    }
    assert reasons_of(expanded.reasons) == {entry: 1 for entry in rows.reasons}
    assert all(cell.count <= 1 for cell in reference.cells(block, kinds).values())
    assert expanded.readings == n * len(kinds)
    assert readings_by_window(expanded) == [len(kinds)] * n


def unpack_one(blob: bytes | None, n: int) -> list[int]:
    if blob is None:
        return [0] * n
    return array("q", unpack(blob, u32([n]))).tolist()


@pytest.mark.statement("WIRE-47")
@settings(max_examples=200, deadline=None)
@given(lanes())
def test_every_tick_of_every_series_is_one_reading(lane: tuple[Cells, bytes, int]) -> None:
    cells, kinds, n = lane
    windows = windows_of(cells, kinds, range(n), [0] * n)
    expanded = expand(rollup_block(0, 10**9, windows, kinds), kinds)
    by_window = [ticks * len(kinds) for ticks in expanded.window_ticks]
    assert readings_by_window(expanded) == by_window
    assert expanded.readings == sum(by_window)


@pytest.mark.statement("WIRE-47")
def test_repeats_are_readings_that_no_count_says() -> None:
    ring = Ring([(LANE_COLUMNS, 2, 0, 64, 10)])
    ring.track(0, [(TRACK_GAUGE, 64, 30), (TRACK_GAUGE, 64, 0)])
    reader = RingReader(ring.fd)
    for tick in range(12):
        ring.commit(0, 10 * tick + 10, 10 * tick + 10, 2, 0, i64([7, tick]), bytes(2))
    kinds = GAUGES * 2
    rolled = expand(rollup_block(0, 60, reader.windows(0, 0, 60, 120, 9, kinds), kinds), kinds)
    raw = expand(raw_block(0, reader.rows(0, 0, 99), 2), kinds)
    assert list(rolled.count) == [1, 2, 5, 6]
    assert rolled.sum[:2] == [7, 14]
    assert readings_by_window(rolled) == [10, 12]
    assert raw.distinct == array("q", [4, 12])
    assert raw.readings == 24


@pytest.mark.statement("WIRE-47")
@pytest.mark.parametrize(
    ("count", "timeouts", "fits"),
    [(5, 0, True), (6, 0, False), (3, 2, True), (4, 2, False), (0, 5, True), (0, 6, False)],
)
def test_a_cell_has_no_more_readings_than_ticks(count: int, timeouts: int, fits: bool) -> None:
    value = i64([7 if count else 0])
    block = rollup_block(
        0,
        10**9,
        Windows(
            next_position=5,
            overrun=0,
            n=1,
            start_ns=i64([0]),
            ticks=u32([5]),
            missed=u32([0]),
            counts=u32([count]),
            last=value,
            min=value,
            max=value,
            sum=i64([7 * count]),
            reasons=[(0, 0, TIMEOUT, 0, timeouts)] if timeouts else [],
        ),
        GAUGES,
    )
    if fits:
        assert expand(block, GAUGES).readings == 5
    else:
        refusal = refusal_of(lambda: expand(block, GAUGES))
        assert (refusal.reason, refusal.key) == ("value", "ticks")


@pytest.mark.statement("WIRE-43")
def test_a_raw_block_says_how_many_readings_are_distinct() -> None:
    cells: Cells = [[[1], [1], [Missing(TIMEOUT)]], [[1], [2], [3]]]
    rows = rows_of(cells, 3, [0] * 3, [0] * 3)
    assert expand(raw_block(0, rows, 2), GAUGES * 2).distinct is None
    block = raw_block(0, rows._replace(distinct=u32([1, 3])), 2)
    sent = decode_batch(encode_batch(replace(RAW, blocks=(block,)))).blocks[0]
    assert sent == block
    expanded = expand(sent, GAUGES * 2)
    assert expanded.distinct == array("q", [1, 3])
    assert (list(expanded.count), expanded.readings) == ([1] * 5, 6)
    for wrong in ([3, 3], [-1, 3], [1]):
        blob = pack(i64(wrong), u32([len(wrong)]))
        refusal = refusal_of(lambda blob=blob: expand(replace(block, distinct=blob), GAUGES * 2))  # type: ignore[misc]
        assert (refusal.reason, refusal.key) == ("blob", "distinct")


def lone(readings: Sequence[Sequence[Reading]], kind: int = KIND_GAUGE) -> Block:
    """One column's windows as a block."""
    cells: Cells = [[list(window) for window in readings]]
    kinds = bytes([kind])
    n = len(readings)
    return rollup_block(0, 10**9, windows_of(cells, kinds, range(n), [0] * n), kinds)


@pytest.mark.statement("WIRE-42")
def test_what_is_the_same_everywhere_is_null() -> None:
    block = lone([[1], [2], [3]])
    assert (block.ticks, block.missed, block.count) == (None, None, None)
    assert (block.min, block.max, block.sum) == (None, None, None)
    assert block.reasons == ()
    block = lone([[1], [2, 2]])
    assert block.ticks == block.count == pack(i64([1, 2]), u32([2]))
    assert (block.min, block.max, block.sum) == (None, None, None)
    assert lone([[1, 2]]).min == pack(i64([1]), u32([1]))
    rows = rows_of([[[1], [2]]], 2, [0, 0], [0, 0])
    assert raw_block(0, rows, 1).late is None
    assert raw_block(0, rows, 1).missed is None
    assert raw_block(0, rows._replace(duration_ns=u32([0, 0])), 1).duration is None


@pytest.mark.statement("WIRE-42")
def test_spread_is_sent_of_gauges_only() -> None:
    block = lone([[1, 2, 9]], KIND_LAST)
    assert (block.min, block.max, block.sum) == (None, None, None)
    assert cells_of(expand(block, bytes([KIND_LAST]))) == {(0, 0): Told(3, 9, 9, 9, 9)}
    # Next to a gauge that varies, a counter leaves nothing in min, max and sum.
    cells: Cells = [[[1, 2]], [[5, 6]], [[3, 3]]]
    kinds = bytes([KIND_GAUGE, KIND_LAST, KIND_GAUGE])
    block = rollup_block(0, 1, windows_of(cells, kinds, [0], [0]), kinds)
    assert block.min == pack(i64([1, 3]), u32([1, 1]))
    assert [known.total for known in cells_of(expand(block, kinds)).values()] == [3, 6, 6]


@pytest.mark.statement("WIRE-42")
def test_a_lane_without_any_value_is_all_reasons() -> None:
    block = lone([[Missing(1)] * 2, [Missing(1)] * 2])
    assert block.count == pack(i64([0, 0]), u32([2]))
    assert block.last == b""
    expanded = expand(block, GAUGES)
    assert list(expanded.series) == []
    assert expanded.reasons == (ReasonRun(0, 0, 2, 1, 0, 2),)
    assert readings_by_window(expanded) == [2, 2]


@pytest.mark.statement("WIRE-42")
def test_reasons_run_on_while_nothing_changes() -> None:
    a, b, c = Missing(TIMEOUT), Missing(VENDOR_ERROR, 5), Missing(VENDOR_ERROR, 6)
    block = lone([[a], [a], [1], [a], [a, a], [b], [b, c], [c]])
    assert block.reasons == (
        ReasonRun(0, 0, 2, TIMEOUT, 0, 1),
        ReasonRun(0, 3, 1, TIMEOUT, 0, 1),
        ReasonRun(0, 4, 1, TIMEOUT, 0, 2),
        ReasonRun(0, 5, 2, VENDOR_ERROR, 5, 1),
        ReasonRun(0, 6, 2, VENDOR_ERROR, 6, 1),
    )


@pytest.mark.statement("WIRE-42")
@pytest.mark.statement("WIRE-43")
def test_overrun_is_counted_in_readings() -> None:
    kinds = bytes([KIND_GAUGE] * 3)
    none = Windows(0, 5, 0, b"", b"", b"", b"", b"", b"", b"", b"", [])
    block = rollup_block(0, 10**9, none, kinds)
    assert block.overrun == 15
    decoded = decode_batch(encode_batch(replace(ROLLUP, blocks=(block,)))).blocks[0]
    assert readings_by_window(expand(decoded, kinds)) == []
    rows = rows_of([[[1]], [[2]]], 1, [0], [0])._replace(overrun=4)
    assert raw_block(0, rows, 2).overrun == 8


@pytest.mark.statement("WIRE-42")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=4))
def test_the_true_sum_is_found_again(values: list[int]) -> None:
    total = expand(lone([values]), GAUGES).sum[0]
    if len(values) * (max(values) - min(values)) < 2**64:
        assert total == sum(values)
    else:
        assert total % 2**64 == sum(values) % 2**64


@pytest.mark.statement("WIRE-42")
def test_a_sum_beyond_64_bits_is_found_again() -> None:
    high = 2**63 - 1
    assert expand(lone([[high] * 1000 + [high - 1]]), GAUGES).sum == [1001 * high - 1]
    assert expand(lone([[-high] * 1000]), GAUGES).sum == [-1000 * high]
    assert expand(lone([[-(2**63), -(2**63) + 5]]), GAUGES).sum == [-(2**64) + 5]


@pytest.mark.statement("WIRE-48")
def test_where_several_sums_are_possible_the_smallest_is_taken() -> None:
    block = lone([[-(2**62), 2**62, 2**62, 2**62, 2**62]])
    # The true sum is 3 * 2^62; -5 * 2^62 is congruent to it as well.
    assert expand(block, GAUGES).sum == [-5 * 2**62]


@pytest.mark.statement("WIRE-48")
def test_a_sum_or_last_that_cannot_be_is_refused() -> None:
    block = lone([[10, 20, 15]])
    one = u32([1])
    for key, value in (
        ("sum", 61),
        ("sum", 29),
        ("sum", -1),
        ("min", 16),
        ("max", 14),
        ("last", 21),
    ):
        fields: dict[str, Any] = {key: pack(i64([value]), one)}
        wrong = replace(block, **fields)
        assert refusal_of(lambda wrong=wrong: expand(wrong, GAUGES)).reason == "blob"  # type: ignore[misc]


@pytest.mark.statement("WIRE-48")
def test_the_sum_of_a_constant_double_is_its_product() -> None:
    kinds = bytes([KIND_FLOAT])
    assert expand(lone([[bits(0.1)] * 3], KIND_FLOAT), kinds).sum == [bits(0.1 * 3)]
    huge = expand(lone([[bits(1e308)] * 3], KIND_FLOAT), kinds)
    assert huge.sum == [bits(float("inf"))]


@pytest.mark.statement("WIRE-48")
@pytest.mark.parametrize(
    "wrong",
    [
        {"time": b""},
        {"time": pack(i64([1, 2]), u32([2]))},
        {"time": b"\2" + bytes(8)},
        {"time": pack(i64([2**62]), u32([1])) + b"\0"},
        {"ticks": b""},
        {"ticks": pack(i64([-1]), u32([1]))},
        {"ticks": pack(i64([2**32]), u32([1]))},
        {"missed": pack(i64([-1]), u32([1]))},
        {"missed": pack(i64([1, 1]), u32([2]))},
        {"count": pack(i64([3]), u32([1]))},
        {"count": pack(i64([3, -1]), u32([1, 1]))},
        {"count": pack(i64([3, 2**32]), u32([1, 1]))},
        {"count": pack(i64([3, 0]), u32([1, 1]))},
        {"count": None},
        {"last": b""},
        {"last": pack(i64([15]), u32([1]))},
        {"last": pack(i64([15, 1, 1]), u32([1, 1, 1]))},
        {"min": b""},
        {"max": b""},
        {"sum": b""},
        {"sum": bytes(10)},
    ],
)
def test_a_blob_that_does_not_fit_its_block_is_refused(wrong: dict[str, Any]) -> None:
    kinds = bytes([KIND_GAUGE, KIND_LAST])
    cells: Cells = [[[10, 20, 15]], [[1, 2, 3]]]
    block = rollup_block(0, 10**9, windows_of(cells, kinds, [5], [0]), kinds)
    expand(block, kinds)
    found = refusal_of(lambda: expand(replace(block, **wrong), kinds))
    assert found.reason == "blob"
    assert found.key in {*wrong, "min", "last"}


@pytest.mark.statement("WIRE-43")
@pytest.mark.parametrize(
    "wrong",
    [
        {"late": b""},
        {"late": pack(i64([2**63 - 1, 2**63 - 1]), u32([2]))},
        {"duration": pack(i64([0]), u32([1]))},
        {"duration": pack(i64([0, 2**32]), u32([2]))},
        {"missed": pack(i64([0, -1]), u32([2]))},
        {"last": pack(i64([1]), u32([1]))},
        {"last": pack(i64([1, 2, 3]), u32([3]))},
    ],
)
def test_a_raw_blob_that_does_not_fit_its_block_is_refused(wrong: dict[str, Any]) -> None:
    block = raw_block(0, rows_of([[[1], [2]]], 2, [0, 5], [0, 0]), 1)
    expand(block, GAUGES)
    found = refusal_of(lambda: expand(replace(block, **wrong), GAUGES))
    assert (found.reason, found.key) == ("blob", *wrong)


@pytest.mark.statement("WIRE-43")
def test_a_raw_cell_has_one_reason_at_most() -> None:
    block = raw_block(0, rows_of([[[1], [Missing(1)], [Missing(1)]]], 3, [0] * 3, [0] * 3), 1)
    run = block.reasons[0]
    for runs in (
        (run, run),
        (run, replace(run, reason=2, window=2, windows=1)),
        (replace(run, readings=2),),
    ):
        wrong = replace(block, reasons=runs)
        assert refusal_of(lambda wrong=wrong: expand(wrong, GAUGES)).reason == "value"  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"series": 1},
        {"series": -1},
        {"window": 2},
        {"window": -1},
        {"windows": 2},
        {"windows": 0},
        {"windows": -1},
    ],
)
@pytest.mark.statement("WIRE-15")
def test_a_run_of_reasons_beyond_its_block_is_refused(change: dict[str, Any]) -> None:
    block = lone([[1, 2], [Missing(1)] * 2])
    wrong = replace(block, reasons=(replace(block.reasons[0], **change),))
    assert refusal_of(lambda: expand(wrong, GAUGES)).reason == "value"


@pytest.mark.statement("WIRE-11")
def test_a_block_of_too_many_cells_is_refused_before_its_blobs_are_looked_at() -> None:
    block = Block(lane=0, width_ns=1, n=2**20, time=b"", last=b"")
    assert refusal_of(lambda: expand(block, GAUGES * 2)).reason == "limit"
    assert refusal_of(lambda: expand(block, GAUGES)).reason == "blob"


def test_a_lane_without_series_has_no_cells() -> None:
    block = Block(lane=0, width_ns=1, n=2, time=pack(i64([1, 2]), u32([2])), last=b"")
    assert expand(block, b"").readings == 0


@pytest.mark.statement("WIRE-14")
@settings(max_examples=500, deadline=None)
@given(lanes(), lanes(rows=True), st.integers(0, 2**32))
def test_damaged_blobs_expand_or_are_refused(
    windows: tuple[Cells, bytes, int], rows: tuple[Cells, bytes, int], seed: int
) -> None:
    source = random.Random(seed)
    cells, kinds, n = windows
    rollup = rollup_block(0, 1, windows_of(cells, kinds, range(n), [0] * n), kinds)
    hurt(rollup, kinds, source)
    cells, kinds, n = rows
    hurt(raw_block(0, rows_of(cells, n, [5] * n, [0] * n), len(kinds)), kinds, source)


def hurt(block: Block, kinds: bytes, source: random.Random) -> None:
    keys = ["time", "last", "ticks", "missed", "count", "min", "max", "sum", "late", "duration"]
    keys.append("distinct")
    fields: dict[str, Any] = {
        key: damaged(blob, source)
        for key in keys
        if (blob := getattr(block, key)) is not None and source.random() < 0.4
    }
    if source.random() < 0.2:
        fields["n"] = block.n + source.choice((-1, 1))
    if source.random() < 0.2:
        kinds = kinds[1:] if source.random() < 0.5 else kinds + GAUGES
    result = attempt(lambda: expand(replace(block, **fields), kinds))
    if isinstance(result, Refused):
        assert result.reason in REFUSAL_REASONS
    else:
        sizes = map(len, (result.series, result.window, result.last, result.min, result.sum))
        assert set(sizes) == {len(result.count)}


@pytest.mark.parametrize("n", [1, 7])
def test_a_ring_read_either_way_tells_the_same(n: int) -> None:
    kinds = bytes([KIND_GAUGE, KIND_LAST, KIND_FLOAT])
    ring = Ring([(LANE_COLUMNS, 3, 0, 64, 10)])
    reader = RingReader(ring.fd)
    for tick in range(3 * n):
        values = [tick % 4, tick, bits(tick / 2)]
        reasons = [0, TIMEOUT if tick % 3 == 1 else 0, 0]
        ring.commit(0, 10 * tick, 10 * tick + 1, 2, 0, i64(values), bytes(reasons))
    windows = reader.windows(0, 0, 30, 30 * n, 100, kinds)
    rows = reader.rows(0, 0, 100)
    reader.close()
    ring.close()

    rolled = expand(rollup_block(0, 30, windows, kinds), kinds)
    raw = expand(raw_block(0, rows, 3), kinds)
    assert rolled.readings == raw.readings == 9 * n
    one_window = [
        (series, window // 3, value)
        for series, window, value in zip(raw.series, raw.window, raw.last, strict=True)
    ]
    for (series, window), cell in cells_of(rolled).items():
        values = [value for s, w, value in one_window if (s, w) == (series, window)]
        assert close(cell, told(values, kinds[series]) or cell, kinds[series])
        assert cell.count == len(values)


@pytest.mark.statement("WIRE-42")
def test_kinds_follow_kind_and_type() -> None:
    series = [
        ("gauge", "i64"),
        ("gauge", "u64"),
        ("gauge", "f64"),
        ("counter", "f64"),
        ("counter", "u64"),
        ("state", "i64"),
        ("bitmask", "u64"),
    ]
    gauge, double_gauge, last = KIND_GAUGE, KIND_FLOAT, KIND_LAST
    assert kinds_of(series) == bytes([gauge, gauge, double_gauge, last, last, last, last])
