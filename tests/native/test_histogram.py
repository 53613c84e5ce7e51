"""What a lane says of its own timing."""

from __future__ import annotations

import ctypes
from array import array
from bisect import bisect_left

import pytest

from native.callrig import PERIOD_NS, VALUE, Functions, newest, returned, running
from native.rig import MILLISECOND_NS, TIMEOUT_NS, Probe, field, make_ring, probe, until, wait_rows
from xinmai_native import HISTOGRAM_BUCKETS, Gate, Lane, histogram_bounds
from xinmai_native.calls import Call, Returns, Value


def counts(data: bytes) -> list[int]:
    return array("Q", data).tolist()


BOUNDS = counts(histogram_bounds())


def slow(functions: Functions, ns: int) -> Call:
    return Call(functions.address("slow"), [Value(ns)], [], Returns(), [])


def at_least(data: bytes, ns: int) -> int:
    """How many durations are in the bucket of `ns` and beyond."""
    return sum(counts(data)[bisect_left(BOUNDS, ns) :])


def test_bounds_grow_by_eighths_up_to_a_minute() -> None:
    assert len(BOUNDS) == HISTOGRAM_BUCKETS
    assert BOUNDS[:9] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert BOUNDS[-1] == 2**36 - 1
    assert all(
        after - before <= before / 8 + 1 for before, after in zip(BOUNDS, BOUNDS[1:], strict=False)
    )


@pytest.mark.fault("G2")
def test_each_row_and_probe_is_counted(functions: Functions) -> None:
    ring, reader = make_ring(columns=2)
    probes: list[Call | Probe] = [
        probe("/proc/uptime", field(0)),
        functions.gives(1, "i", returned("i", 1)),
        slow(functions, 0),
    ]
    lane = Lane(ring, 0, PERIOD_NS, probes, groups=[0, 2, 2])
    none = [0] * HISTOGRAM_BUCKETS
    lateness, duration, groups = lane.histograms()
    assert [counts(data) for data in (lateness, duration, *groups)] == [none] * 5
    lane.start()
    # Read while it runs; long enough for the CPU's counter to take over from the clock.
    until(lambda: sum(counts(lane.histograms()[0])) > 100)
    assert lane.stop(TIMEOUT_NS)
    rows = reader.state(0).committed
    lateness, duration, groups = lane.histograms()
    assert [sum(counts(data)) for data in (lateness, duration, *groups)] == [
        rows,
        rows,
        rows,
        0,
        2 * rows,
    ]
    lane.start()
    wait_rows(reader, rows + 1)
    assert lane.stop(TIMEOUT_NS)
    assert sum(counts(lane.histograms()[0])) == reader.state(0).committed


@pytest.mark.fault("A12")
def test_slow_call_lands_in_its_bucket(functions: Functions) -> None:
    slow_ns = 3 * MILLISECOND_NS
    fast = functions.gives(1, "i", returned("i"))
    ring, reader = make_ring(columns=1)
    lane = Lane(ring, 0, 5 * MILLISECOND_NS, [slow(functions, slow_ns), fast], groups=[1, 0])
    lane.start()
    wait_rows(reader, 20)
    assert lane.stop(TIMEOUT_NS)
    rows = reader.state(0).committed
    _, duration, (fast_ones, slow_ones) = lane.histograms()
    # A bucket less: the counter's rate is known to a part in 256.
    assert at_least(slow_ones, slow_ns * 7 // 8) == rows
    assert at_least(duration, slow_ns) == rows
    # Another program may have had the CPU meanwhile, but not in each row.
    assert at_least(fast_ones, slow_ns * 7 // 8) < rows


def test_wait_at_the_gate_is_the_rows_and_not_the_calls(functions: Functions) -> None:
    gate, held_ns = Gate(), 50 * MILLISECOND_NS
    fast = functions.gives(1, "i", returned("i"))
    with running([fast], 1, MILLISECOND_NS, gate) as (reader, lane):
        assert newest(reader, 1) == [(VALUE, 1)]
        slow_rows = at_least(lane.histograms()[1], held_ns)
        assert gate.enter(TIMEOUT_NS)
        functions.library["slow"](ctypes.c_uint64(2 * held_ns))
        gate.leave()
        newest(reader, 1)
        _, duration, [calls] = lane.histograms()
        assert at_least(duration, held_ns) > slow_rows
        assert at_least(calls, held_ns) < at_least(duration, held_ns)


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0], "1 groups of 2 probes"), ([0, 64], "group 64 is not 0 to 63"), ([-1, 0], "group -1")],
)
def test_impossible_groups_are_refused(groups: list[int], message: str) -> None:
    ring, _ = make_ring(columns=1)
    probes = [probe("/a", field(0)), probe("/b")]
    with pytest.raises(ValueError, match=message):
        Lane(ring, 0, MILLISECOND_NS, probes, groups=groups)
    assert len(Lane(ring, 0, MILLISECOND_NS, probes, groups=[0, 63]).histograms()[2]) == 64


def test_groups_of_wrong_type_are_refused() -> None:
    ring, _ = make_ring(columns=1)
    with pytest.raises(TypeError):
        Lane(ring, 0, MILLISECOND_NS, [probe("/a")], groups=["x"])  # type: ignore[list-item]
