"""From rings to spool: which windows are closed when, and that the account adds up."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from agent.shipper.conftest import MakeRig
from agent.shipper.rig import MIB, TICK_NS, WALL_NS, Host, LaneSpec, Rig, totals
from xinmai.api import Reason
from xinmai.catalog import Kind
from xinmai.clock import MINUTE_NS, SECOND_NS
from xinmai.clocksync import ClockSync
from xinmai.config import ShipperConfig
from xinmai.shipper import drain
from xinmai.wire.messages import STREAMS, Stream

START_NS = 600 * SECOND_NS
SLOW = LaneSpec("slow", 10 * SECOND_NS, 1)


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def windows(rig: Rig) -> list[tuple[str, float, int, int]]:
    """(lane, begin in seconds, readings, sum) of column 0."""
    return [
        (one.lane, (one.time_ns - START_NS) / SECOND_NS, one.count, one.sum)
        for one in rig.readings()
        if one.column == 0
    ]


def test_a_window_is_closed_by_the_row_of_the_next(rig: Rig) -> None:
    host = Host()
    rig.add(host)
    host.rows(at(0), 10)
    rig.run(at(1.05))
    assert windows(rig) == []
    host.row(at(1), 10)
    rig.run(at(1.12))
    assert windows(rig) == [("fast", 0, 10, 45)]


def test_a_window_is_closed_by_time_when_its_lane_falls_silent(rig: Rig) -> None:
    host = Host()
    rig.add(host)
    host.rows(at(0), 4)
    # Two ticks more than the window's end are given to a row that is late.
    rig.run(at(1.19))
    assert windows(rig) == []
    rig.run(at(1.2))
    assert windows(rig) == [("fast", 0, 4, 6)]


def test_a_row_behind_a_window_closed_by_time_is_not_lost(rig: Rig) -> None:
    host = Host()
    rig.add(host)
    host.rows(at(0), 4)
    rig.run(at(1.2))
    host.row(at(0.4), 4)
    rig.run(at(2.2))
    assert windows(rig) == [("fast", 0, 4, 6), ("fast", 0.4, 1, 4)]
    assert totals(rig.batches()) == (10, 0, 0)


def test_a_lane_slower_than_the_window_is_closed_at_once(rig: Rig) -> None:
    host = Host(lanes=(SLOW,))
    rig.add(host)
    host.row(at(0.3), 7)
    rig.run(at(0.4))
    assert windows(rig) == [("slow", 0.3, 1, 7)]


def test_when_sampling_has_ended_every_window_is_closed(rig: Rig) -> None:
    host = Host()
    rig.add(host)
    host.rows(at(0), 3)
    rig.rings.mark_others_gone("")
    rig.run(at(0.3))
    assert windows(rig) == [("fast", 0, 3, 3)]


def test_nothing_new_makes_no_batch(rig: Rig) -> None:
    host = Host(lanes=(SLOW,))
    rig.add(host)
    host.row(at(0))
    rig.run(at(1))
    rig.run(at(2))
    assert [len(rig.batches(stream)) for stream in STREAMS] == [0, 1, 0, 0]


@pytest.mark.statement("WIRE-46")
@pytest.mark.statement("WIRE-47")
def test_readings_are_booked_by_the_minute_of_their_rows(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec(columns=3, slots=4096),))
    rig.add(host)
    end_ns = at(0) // MINUTE_NS * MINUTE_NS + MINUTE_NS
    host.rows(end_ns - 2 * SECOND_NS, 40)
    rig.run(end_ns + 3 * SECOND_NS)
    (batch,) = rig.batches()
    minute = (end_ns + WALL_NS) // MINUTE_NS
    assert [(one.minute, one.taken) for one in batch.account] == [(minute - 1, 60), (minute, 60)]
    assert sum(one.count for one in rig.readings()) == 120


@pytest.mark.statement("WIRE-46")
@pytest.mark.statement("WIRE-47")
@pytest.mark.parametrize("raw", [(), ("*",)], ids=["rollup", "raw"])
def test_a_reading_with_a_reason_is_a_reading(make_rig: MakeRig, raw: tuple[str, ...]) -> None:
    rig = make_rig(ShipperConfig(raw=raw))
    host = Host(lanes=(LaneSpec(columns=2),))
    rig.add(host)
    for tick in range(10):
        host.row(at(tick / 10), tick, reasons=bytes([0, Reason.TIMEOUT if tick % 2 else 0]))
    rig.run(at(3))
    stream: Stream = "raw" if raw else "rollup"
    assert totals(rig.batches(stream)) == (20, 0, 0)
    assert sum(one.count for one in rig.readings(stream)) == 15


@pytest.mark.statement("WIRE-46")
def test_missed_ticks_count_for_each_series_and_are_not_taken(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec(columns=5),))
    rig.add(host)
    host.row(at(0))
    host.row(at(0.5), missed=4)
    rig.run(at(2))
    assert totals(rig.batches()) == (10, 20, 0)


@pytest.mark.statement("WIRE-46")
@pytest.mark.statement("WIRE-47")
@pytest.mark.parametrize("raw", [(), ("*",)], ids=["rollup", "raw"])
def test_overwritten_rows_are_taken_and_lost(make_rig: MakeRig, raw: tuple[str, ...]) -> None:
    rig = make_rig(ShipperConfig(raw=raw))
    host = Host(lanes=(LaneSpec(columns=2, slots=16),))
    rig.add(host)
    host.rows(at(0), 30)
    rig.run(at(5))
    stream: Stream = "raw" if raw else "rollup"
    taken, missed, overrun = totals(rig.batches(stream))
    assert (taken, missed, overrun) == (60, 0, 28)
    assert sum(one.count for one in rig.readings(stream)) == 32
    assert sum(block.overrun for batch in rig.batches(stream) for block in batch.blocks) == 28


@pytest.mark.statement("WIRE-46")
def test_rows_overwritten_in_a_window_that_is_open_are_told_at_once(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec(period_ns=SECOND_NS // 100, columns=2, slots=16),))
    rig.add(host)
    host.rows(at(0), 30)
    rig.run(at(0.31))
    (batch,) = rig.batches()
    assert [(block.n, block.overrun) for block in batch.blocks] == [(0, 28)]
    assert totals([batch]) == (28, 0, 28)
    rig.run(at(2))
    assert totals(rig.batches()) == (60, 0, 28)
    assert [one.count for one in rig.readings()] == [16, 16]


def test_counters_and_gauges_stand_in_their_own_lanes(rig: Rig) -> None:
    lanes = (LaneSpec("a", columns=1), LaneSpec("b", columns=2, kind=Kind.COUNTER), SLOW)
    host, other = Host("acme", lanes), Host("beta", (LaneSpec("c", columns=1),))
    rig.add(other, host)
    for lane, value in enumerate((10, 20, 30)):
        host.row(at(0), value, lane=lane)
    other.row(at(0), 40)
    rig.run(at(5))
    found = [(one.plugin, one.lane, one.column, one.last) for one in rig.readings()]
    assert found == [
        ("acme", "a", 0, 10),
        ("acme", "b", 0, 20),
        ("acme", "b", 1, 21),
        ("acme", "slow", 0, 30),
        ("beta", "c", 0, 40),
    ]


def test_a_lane_named_raw_is_sent_at_full_rate(make_rig: MakeRig) -> None:
    rig = make_rig(ShipperConfig(raw=("acme/fa*",)))
    host = Host("acme", (LaneSpec("fast"), LaneSpec("other", columns=1)))
    other = Host("beta", (LaneSpec("fast"),))
    rig.add(host, other)
    host.rows(at(0), 12, value=100)
    host.rows(at(0), 12, lane=1)
    other.rows(at(0), 12)
    rig.run(at(1.1))
    assert rig.values("raw") == list(range(100, 112))
    assert [one.time_ns for one in rig.readings("raw")][:12] == [
        at(0) + tick * TICK_NS for tick in range(12)
    ]
    assert {(one.plugin, one.lane) for one in rig.readings()} == {
        ("acme", "other"),
        ("beta", "fast"),
    }


def test_a_long_absence_is_caught_up_in_batches_of_the_size_asked_for(make_rig: MakeRig) -> None:
    rig = make_rig(ShipperConfig(raw=("*",), batch_bytes=20_000))
    host = Host(lanes=(LaneSpec(columns=10, slots=4096),))
    rig.add(host)
    dice = random.Random(1)
    values = [dice.randrange(2**40) for _ in range(4000)]
    for tick, value in enumerate(values):
        host.row(at(0) + tick * TICK_NS, value)
    rig.run(at(401))
    sizes = [len(payload) for payload in rig.payloads("raw")]
    assert len(sizes) > 3
    assert max(sizes) < 20_500
    assert rig.values() == values
    assert totals(rig.batches("raw")) == (40_000, 0, 0)


@pytest.mark.fault("D5")
def test_batches_fit_the_broker(make_rig: MakeRig) -> None:
    rig = make_rig(packet_bytes=4096)
    host = Host(lanes=[LaneSpec(f"l{lane}", columns=20) for lane in range(40)])
    rig.add(host)
    for lane in range(40):
        host.rows(at(0), 12, lane=lane)
    rig.run(at(1.1))
    assert max(len(payload) for payload in rig.payloads("rollup")) < 4096 - 1024
    assert totals(rig.batches()) == (40 * 20 * 10, 0, 0)


@pytest.mark.fault("G6")
def test_each_batch_carries_the_clocks_of_its_drain(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec("slow", SECOND_NS, 1),))
    rig.add(host)
    host.row(at(0))
    rig.run(at(1))
    rig.clock.wall_offset_ns += 3600 * SECOND_NS
    rig.run(at(1))
    host.row(at(1))
    rig.run(at(2))
    before, after = rig.batches()
    assert after.clock.real_ns - before.clock.real_ns == 3601 * SECOND_NS
    assert [one.time_ns for one in rig.readings()] == [at(0), at(1)]
    assert after.account[0].minute == before.account[0].minute + 60


def test_whether_the_clock_is_synchronised_is_asked_of_the_kernel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [ClockSync(True, 1000), ClockSync(False, 10**9), None]
    monkeypatch.setattr(drain, "clock_sync", lambda: answers.pop(0))
    host = Host(lanes=(LaneSpec("slow", SECOND_NS, 1),))
    rig.add(host)
    for second in range(0, 48, 4):
        host.row(at(second))
        rig.run(at(second + 1))
    synced = [batch.clock.synced for batch in rig.batches()]
    assert synced == [True] * 4 + [False] * 4 + [None] * 4


def test_a_lane_whose_period_was_stretched_is_read_by_its_new_one(rig: Rig) -> None:
    """A budget may slow a fast lane down: then nothing else can come in its window."""
    host = Host(lanes=(replace(SLOW, period_ns=SECOND_NS),))
    rig.add(host)
    host.row(at(0.5), 3)
    rig.run(at(0.6))
    assert windows(rig) == [("slow", 0.5, 1, 3)]


def test_a_block_of_nothing_but_reasons_stays_within_the_wire(make_rig: MakeRig) -> None:
    """Each cell with a code of its own is the most that a lane can say."""
    rig = make_rig(ShipperConfig(raw=("*",), batch_bytes=MIB))
    host = Host(lanes=(LaneSpec(columns=64, slots=1024),))
    rig.add(host)
    for tick in range(1000):
        host.row(at(0) + tick * TICK_NS, 64 * tick, reasons=bytes([Reason.VENDOR_ERROR]) * 64)
    rig.run(at(200))
    assert max(len(payload) for payload in rig.payloads("raw")) <= MIB
    assert totals(rig.batches("raw")) == (64_000, 0, 0)
    runs = [run for batch in rig.batches("raw") for block in batch.blocks for run in block.reasons]
    assert sum(run.windows for run in runs) == 64_000
