from __future__ import annotations

from pathlib import Path

import pytest

from xinmai.api import Missing, Reason
from xinmai.sampler import selfmetrics
from xinmai.sampler.selfmetrics import SelfMeter, rss_bytes, self_series
from xinmai_native import LaneState

SECOND = 1_000_000_000
NOT_YET = Missing(Reason.NOT_YET)


def state(committed: int, *, missed: int = 0, busy_ns: int = 0, late_ns: int = 0) -> LaneState:
    return LaneState(committed, missed, -1, 0, 0, 0, SECOND, busy_ns, late_ns, 0)


def test_rates_are_over_the_time_since_the_look_before() -> None:
    meter = SelfMeter()
    first = meter.readings({"fast": state(5, missed=1, busy_ns=7)}, 10 * SECOND)
    assert first[2:] == [NOT_YET, 1, NOT_YET, 7]
    second = meter.readings({"fast": state(25, missed=2, busy_ns=9, late_ns=1000)}, 12 * SECOND)
    assert second[2:] == [10_000, 2, 50, 9]


def test_lane_without_new_rows_has_a_rate_and_no_lateness() -> None:
    meter = SelfMeter()
    meter.readings({"fast": state(5)}, SECOND)
    assert meter.readings({"fast": state(5)}, 2 * SECOND)[2:] == [0, 0, NOT_YET, 0]


def test_time_that_stands_still_gives_no_rate() -> None:
    meter = SelfMeter()
    meter.readings({"fast": state(5)}, SECOND)
    assert meter.readings({"fast": state(9)}, SECOND)[2] == NOT_YET


def test_readings_are_in_the_order_of_the_series() -> None:
    lanes = ["fast", "poll:slow"]
    readings = SelfMeter().readings({lane: state(1) for lane in lanes}, SECOND)
    assert len(readings) == len(self_series("tiny", lanes)) == 2 + 4 * len(lanes)


def test_memory_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = rss_bytes()
    assert isinstance(found, int)
    assert abs(found - pages * 4096) < 2**22
    monkeypatch.setattr(selfmetrics, "_STATM", "/nothing")
    assert rss_bytes() == Missing(Reason.UNSUPPORTED)
