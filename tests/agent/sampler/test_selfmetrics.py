from __future__ import annotations

import struct
from pathlib import Path

import pytest

from xinmai.api import Missing, Reading, Reason
from xinmai.catalog import lookup, refusal
from xinmai.sampler import selfmetrics
from xinmai.sampler.histograms import LE, Bounds
from xinmai.sampler.selfmetrics import (
    LaneShape,
    Look,
    SelfMeter,
    Timings,
    bucket_readings,
    bucket_series,
    rss_bytes,
    self_series,
)
from xinmai_native import LaneState

SECOND = 1_000_000_000
NOT_YET = Missing(Reason.NOT_YET)
BOUNDS = Bounds(struct.pack("<5Q", 1024, 4096, 2**20, 2**30, 2**64 - 1))
SHAPES = [
    LaneShape("fast", timed=True, groups=("files", "vendorRead"), kind="fast"),
    LaneShape("poll:slow"),
]


def state(committed: int, *, missed: int = 0, busy_ns: int = 0, late_ns: int = 0) -> LaneState:
    return LaneState(committed, missed, -1, 0, 0, 0, SECOND, busy_ns, late_ns, 0)


def histogram(*counts: int) -> bytes:
    """Counts by bucket; what is left out is 0."""
    return struct.pack("<5Q", *counts, *[0] * (5 - len(counts)))


def polled(look: LaneState, late_max_ns: int | None = None) -> dict[str, Look]:
    return {"poll:slow": Look(look, late_max_ns)}


@pytest.fixture
def meter() -> SelfMeter:
    return SelfMeter(BOUNDS)


def test_rates_are_over_the_time_since_the_look_before(meter: SelfMeter) -> None:
    first = meter.readings(polled(state(5, missed=1, busy_ns=7), 40), 10 * SECOND)
    assert first[2:] == [NOT_YET, 1, 7, NOT_YET, 40]
    second = meter.readings(polled(state(25, missed=2, busy_ns=9, late_ns=1000), 70), 12 * SECOND)
    assert second[2:] == [10_000, 2, 9, 50, 70]


def test_lane_without_new_rows_has_a_rate_and_no_lateness(meter: SelfMeter) -> None:
    meter.readings(polled(state(5)), SECOND)
    assert meter.readings(polled(state(5)), 2 * SECOND)[2:] == [0, 0, 0, NOT_YET, NOT_YET]


def test_lane_that_runs_once_a_minute_has_no_rate_within_a_second(meter: SelfMeter) -> None:
    meter.readings(polled(state(5)._replace(period_ns=60 * SECOND)), SECOND)
    after = polled(state(6, late_ns=9)._replace(period_ns=60 * SECOND), 9)
    assert meter.readings(after, 2 * SECOND)[2:] == [NOT_YET, 0, 0, 9, 9]


def test_time_that_stands_still_gives_no_rate(meter: SelfMeter) -> None:
    meter.readings(polled(state(5)), SECOND)
    assert meter.readings(polled(state(9)), SECOND)[2] == NOT_YET


@pytest.mark.fault("A12")
def test_quantiles_are_those_of_the_last_second(meter: SelfMeter) -> None:
    quiet, slow = histogram(100), histogram(0, 0, 3)
    fast = {"fast": Look(state(100), None, Timings(histogram(9, 9, 9), [quiet, slow]))}
    assert meter.readings(fast, SECOND)[6:] == [NOT_YET] * 6
    busier = Timings(histogram(108, 10, 9), [quiet, histogram(0, 0, 3, 1)])
    fast = {"fast": Look(state(200), None, busier)}
    assert meter.readings(fast, 2 * SECOND)[6:] == [1024, 4096, NOT_YET, NOT_YET, 2**30, 2**30]


def test_readings_are_in_the_order_of_the_series(meter: SelfMeter) -> None:
    timings = Timings(histogram(1), [histogram(0, 1), histogram(0, 0, 1)])
    looks = {
        "fast": Look(state(1), None, Timings(histogram(), [histogram(), histogram()])),
        "poll:slow": Look(state(1), 5),
    }
    meter.readings(looks, SECOND)
    looks["fast"] = Look(state(2, late_ns=9), None, timings)
    readings = meter.readings(looks, 2 * SECOND)
    series = self_series("tiny", SHAPES)
    found = {
        tuple(text for name, text in one.attributes.items() if name != "xinmai.plugin"): reading
        for one, reading in zip(series, readings, strict=True)
        if one.metric in ("xinmai.lane.late", "xinmai.call.duration")
    }
    assert found == {
        ("fast", "mean"): 9,
        ("fast", "p99"): 1024,
        ("fast", "max"): 1024,
        ("fast", "files", "p99"): 4096,
        ("fast", "files", "max"): 4096,
        ("fast", "vendorRead", "p99"): 2**20,
        ("fast", "vendorRead", "max"): 2**20,
        ("poll:slow", "mean"): NOT_YET,
        ("poll:slow", "max"): 5,
    }


def test_buckets_are_counted_from_the_lanes_begin_and_over_devices() -> None:
    timings = [
        Timings(histogram(1, 2, 3, 4, 5), [histogram(1), histogram(0, 0, 0, 0, 7)]),
        Timings(histogram(1), [histogram(0, 3)]),
        Timings(histogram(2), [histogram()]),
    ]
    shapes = [
        LaneShape("fast:one", timed=True, groups=("files", "vendorRead"), kind="fast"),
        LaneShape("slow:one", timed=True, groups=("vendorRead",), kind="slow"),
        LaneShape("slow:two", timed=True, groups=("vendorRead",), kind="slow"),
    ]
    series = bucket_series("tiny", shapes)
    readings = bucket_readings(zip(shapes, timings, strict=True), BOUNDS)
    found: dict[tuple[str, str], list[Reading]] = {}
    for one, reading in zip(series, readings, strict=True):
        of = one.attributes.get("xinmai.lane") or one.attributes["xinmai.call"]
        found.setdefault((one.metric, of), []).append(reading)
    assert found == {
        ("xinmai.lane.late.bucket", "fast"): [1, 3, 3, 3, 3, 6, 6, 6, 6, 6, 10, 10, 15],
        ("xinmai.lane.late.bucket", "slow"): [3] * 13,
        ("xinmai.call.duration.bucket", "files"): [1] * 13,
        ("xinmai.call.duration.bucket", "vendorRead"): [0] + [3] * 11 + [10],
    }
    assert [one.attributes["xinmai.le"] for one in series] == 4 * list(LE)


def test_every_series_is_of_the_catalogue() -> None:
    for one in [*self_series("tiny", SHAPES), *bucket_series("tiny", SHAPES)]:
        definition = lookup(one.metric)
        assert (one.unit, one.kind) == (definition.unit, definition.kind)
        assert refusal(definition, one.attributes) == ""


def test_memory_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = rss_bytes()
    assert isinstance(found, int)
    assert abs(found - pages * 4096) < 2**22
    monkeypatch.setattr(selfmetrics, "_STATM", "/nothing")
    assert rss_bytes() == Missing(Reason.UNSUPPORTED)
