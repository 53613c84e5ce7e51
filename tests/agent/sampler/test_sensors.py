from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.sampler.rig import HostRun
from agent.sampler.test_plan import ONE, SECOND, Declared, plan, probe
from fakes.tinyplugin import tiny
from running import eventually
from xinmai.api import Cost, Field, FileProbe, Kind, Missing, NumberType, Reason, Series
from xinmai.catalog import lookup, refusal
from xinmai.layout import SELF_LANE
from xinmai.sampler import host as host_module
from xinmai.sampler.sensors import NAMED_RESETS, Resets, add_refresh, reset_event, track_columns
from xinmai_native import TRACK_COUNTER, TRACK_GAUGE, TRACK_NONE, Ring


def series(kind: Kind, number: NumberType = "i64", *, hw_id: str = "one") -> Series:
    return Series(hw_id, "hw.energy", "J", kind, {}, type=number)


def test_integer_gauges_and_counters_are_tracked() -> None:
    wide = replace(series(Kind.COUNTER, "u64"), width_bits=32, refresh_ns=5)
    assert track_columns(
        [
            series(Kind.GAUGE),
            series(Kind.GAUGE, "f64"),
            wide,
            series(Kind.COUNTER, "f64"),
            series(Kind.STATE),
            series(Kind.BITMASK, "u64"),
        ]
    ) == [
        (TRACK_GAUGE, 64, 0),
        (TRACK_NONE, 64, 0),
        (TRACK_COUNTER, 32, 5),
        (TRACK_NONE, 64, 0),
        (TRACK_NONE, 64, 0),
        (TRACK_NONE, 64, 0),
    ]


def fast(*kinds: tuple[str, Kind]) -> Declared:
    fields = [Field(Series("one", name, "W", kind, {})) for name, kind in kinds]
    return ONE, FileProbe(Path("/sys/one"), fields, Cost.FAST)


def test_refresh_is_told_per_metric_of_a_fast_lane() -> None:
    fields = fast(("a", Kind.GAUGE), ("s", Kind.STATE), ("b", Kind.COUNTER), ("a", Kind.GAUGE))
    columns = [one.series for one in fields[1].fields]  # type: ignore[union-attr]
    made = plan(
        (ONE, FileProbe(Path("/sys/one"), [Field(one) for one in columns[:3]], Cost.FAST)),
        (ONE, FileProbe(Path("/x"), [Field(replace(columns[3], hw_id="two"))], Cost.FAST)),
        probe(ONE, "c", Cost.SLOW),
    )
    measured = {0: array("q", [30, 0, 0, 10]).tobytes()}
    own = next(lane for lane in made.polls if lane.name == SELF_LANE)
    before = len(own.series)
    add_refresh(made, measured.__getitem__)

    assert [one.attributes["xinmai.metric"] for one in own.series[before:]] == ["a", "b"]
    assert own.polls[-1].read() == [20, Missing(Reason.NOT_YET)]
    assert len(own.owners) == len(own.polls)
    for one in own.series[before:]:
        entry = lookup(one.metric)
        assert (one.unit, one.kind) == (entry.unit, entry.kind)
        assert not refusal(entry, one.attributes)
        assert one.attributes["xinmai.lane"] == "fast"


def test_a_host_without_fast_lanes_tells_no_refresh() -> None:
    made = plan(probe(ONE, "c", Cost.SLOW))
    before = list(made.polls[-1].series)
    add_refresh(made, lambda _: b"")
    assert made.polls[-1].series == before


def commit(ring: Ring, lane: int, cells: Sequence[int]) -> None:
    ring.commit(lane, SECOND, SECOND, 1, 0, array("q", cells), bytes(len(cells)))


def test_a_reset_is_noticed_once() -> None:
    names = ("a", Kind.COUNTER), ("b", Kind.GAUGE), ("c", Kind.COUNTER)
    made = plan(fast(*names))
    ring = Ring(made.ring_lanes())
    for index, lane in enumerate(made.lanes):
        ring.track(index, track_columns(lane.series))
    resets = Resets(ring, made)
    for cells in ([100, 100, 100], [0, 0, 100], [0, 0, 101], [0, 0, 102]):
        assert resets.new() == []
        commit(ring, 0, cells)
    assert [one.metric for one in resets.new()] == ["a"]
    assert resets.new() == []


@pytest.mark.parametrize(("n", "more"), [(1, ""), (8, ""), (11, " and 3 more")])
def test_an_event_names_what_began_anew(n: int, more: str) -> None:
    found = [series(Kind.COUNTER, hw_id=f"dev{at}") for at in range(n)]
    event = reset_event("tiny", found)
    assert (event.code, event.event_class, event.severity) == ("counter_reset", "agent", "info")
    assert event.message.count("hw.energy of dev") == min(n, NAMED_RESETS)
    assert event.message.endswith(more)
    assert event.hw_id == ("dev0" if n == 1 else "")


COUNTS_JOBS = """
    def readings(self, device):
        jobs = self.context.metrics["jobs"].of(device)
        yield Poll("jobs", [jobs], lambda: [int(self.context.text("/jobs"))])

    def discover(self):
        return [Device(hw_id="one")]
"""


@pytest.mark.fault("A16")
def test_a_host_tells_of_a_counter_that_began_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "TURN_NS", SECOND // 10)
    jobs = tmp_path / "jobs"
    jobs.write_text("1000")
    with HostRun(tiny(tmp_path / "plugin", COUNTS_JOBS), root=tmp_path) as run:
        run.until_running()
        assert run.until_read("accel.native.tiny.jobs", "one") == 1000
        jobs.write_text("3")
        event = run.until_event("counter_reset")
        assert event["severity"] == "info"
        assert "accel.native.tiny.jobs of one" in event["message"]
        readings = run.ring.readings("accel.native.tiny.jobs", "one")
        low = readings[readings.index(Missing(Reason.IMPLAUSIBLE)) :]
        assert low[:3] == [Missing(Reason.IMPLAUSIBLE), Missing(Reason.IMPLAUSIBLE), 3]
        eventually(
            lambda: run.turn() or len(run.ring.readings("accel.native.tiny.jobs", "one")) > 9,
            "more rows",
        )
        assert [event["code"] for event in run.ring.events()].count("counter_reset") == 1
