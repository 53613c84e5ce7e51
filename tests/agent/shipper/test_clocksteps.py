"""Steps of the wall clock and suspends: noticed, told, and rows from before keep their time."""

from __future__ import annotations

import errno
import os

import pytest

from agent.shipper.rig import TICK_NS, WALL_NS, Clock, Host, LaneSpec, Rig, totals
from xinmai.clock import MINUTE_NS, SECOND_NS, Anchor, ClockStep
from xinmai.shipper import clocksteps
from xinmai.shipper.clocksteps import ClockSteps, ClockWatch
from xinmai.wire.limits import MAX_STEPS
from xinmai.wire.messages import EventEntry

START_NS = 600 * SECOND_NS
MS = 1_000_000


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


class Clocks:
    """Three clocks of one's own, looked at once a second."""

    def __init__(self) -> None:
        self.events: list[EventEntry] = []
        self.steps = ClockSteps(self.events.append)
        self.mono_ns, self.real_ahead_ns, self.boot_ahead_ns = 0, 10**18, 0
        self.look()

    def look(self, passed_ns: int = SECOND_NS, error_ns: int = 100) -> tuple[ClockStep, ...]:
        self.mono_ns += passed_ns
        mono_ns = self.mono_ns
        now = Anchor(mono_ns, mono_ns + self.boot_ahead_ns, mono_ns + self.real_ahead_ns, error_ns)
        return tuple(self.steps.look(now).steps)

    def told(self) -> list[tuple[str, str]]:
        return [(event.code, event.message) for event in self.events]


@pytest.mark.fault("G6")
@pytest.mark.statement("CAP-30")
@pytest.mark.statement("CAP-31")
@pytest.mark.parametrize(("step_s", "way"), [(3600, "forward"), (-0.06, "back")])
def test_a_step_either_way_is_noticed_and_told_with_its_size(step_s: float, way: str) -> None:
    clocks = Clocks()
    assert clocks.look() == ()
    clocks.real_ahead_ns += round(step_s * SECOND_NS)
    (step,) = clocks.look()
    mono_ns = clocks.mono_ns
    assert step == ClockStep(mono_ns, mono_ns + 10**18, mono_ns)
    assert clocks.told() == [("clock_step", f"the wall clock was set {way} by {abs(step_s):.3f} s")]
    (event,) = clocks.events
    assert (event.severity, event.event_class) == ("warning", "agent")
    assert event.attributes == {"xinmai.step.ns": str(round(step_s * SECOND_NS))}
    assert clocks.look() == (step,)
    assert len(clocks.events) == 1


@pytest.mark.fault("G6")
@pytest.mark.statement("CAP-31")
def test_a_suspend_is_no_step_of_the_clock_but_moves_the_wall(clock: Clock) -> None:
    clocks = Clocks()
    clocks.boot_ahead_ns += 90 * SECOND_NS
    clocks.real_ahead_ns += 90 * SECOND_NS
    (step,) = clocks.look()
    assert step.real_ns - step.mono_ns == 10**18
    assert clocks.told() == [("suspended", "the machine was suspended for 90.000 s")]
    assert clocks.events[0].severity == "info"


@pytest.mark.statement("CAP-31")
def test_a_clock_that_is_set_while_the_machine_sleeps_is_told_as_both() -> None:
    clocks = Clocks()
    clocks.boot_ahead_ns += 90 * SECOND_NS
    clocks.real_ahead_ns += 80 * SECOND_NS
    assert len(clocks.look()) == 1
    assert [code for code, _ in clocks.told()] == ["suspended", "clock_step"]
    assert "back by 10.000 s" in clocks.events[1].message


@pytest.mark.statement("CAP-30")
def test_what_slews_or_was_read_badly_is_no_step() -> None:
    clocks = Clocks()
    clocks.real_ahead_ns += 49 * MS
    assert clocks.look() == ()
    clocks.real_ahead_ns += 80 * MS
    assert clocks.look(error_ns=40 * MS) == ()
    # 400 s at 500 ppm.
    clocks.real_ahead_ns += 200 * MS
    assert clocks.look(400 * SECOND_NS) == ()
    assert clocks.told() == []


@pytest.mark.statement("CAP-32")
def test_no_more_steps_are_kept_than_a_batch_takes() -> None:
    clocks = Clocks()
    for _ in range(MAX_STEPS + 3):
        clocks.real_ahead_ns += SECOND_NS
        steps = clocks.look()
    assert len(steps) == MAX_STEPS
    assert steps[-1].mono_ns == clocks.mono_ns


@pytest.mark.fault("G6")
@pytest.mark.fault("C7")
@pytest.mark.statement("CAP-32")
@pytest.mark.statement("WIRE-55")
@pytest.mark.parametrize("step_s", [3600, -3600])
def test_rows_from_before_a_step_keep_their_wall_time(rig: Rig, step_s: int) -> None:
    host = Host(lanes=(LaneSpec("slow", SECOND_NS, 1),))
    rig.add(host)
    rig.run(at(0))
    host.rows(at(0), 3)
    rig.clock.wall_offset_ns += step_s * SECOND_NS
    rig.clock.now_ns = at(3)
    rig.drain.look_at_clock()
    host.rows(at(3), 3)
    rig.run(at(6))
    (batch,) = rig.batches()
    walls = [batch.timeline.wall_ns(one.time_ns) for one in rig.unpacked(batch)]
    assert walls == [WALL_NS + at(n) for n in range(3)] + [
        WALL_NS + at(n + step_s) for n in range(3, 6)
    ]
    minutes = {entry.minute: entry.taken for entry in batch.account}
    both = [(WALL_NS + at(seconds)) // MINUTE_NS for seconds in (0, 3 + step_s)]
    assert minutes == dict.fromkeys(both, 3)
    assert rig.codes() == ["clock_step"]


@pytest.mark.statement("CAP-32")
def test_a_batch_without_rows_from_before_a_step_does_not_carry_it(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec("slow", SECOND_NS, 1),))
    rig.add(host)
    rig.run(at(0))
    rig.clock.wall_offset_ns += SECOND_NS
    rig.run(at(1))
    host.rows(at(1), 2)
    rig.run(at(3))
    (batch,) = rig.batches()
    assert batch.steps == ()


@pytest.mark.fault("G6")
def test_a_step_within_a_capture_places_both_sides(rig: Rig) -> None:
    host = Host(lanes=(LaneSpec("fast", TICK_NS, 1, slots=512),))
    rig.add(host)
    rig.run(at(0))
    host.rows(at(0), 50)
    rig.clock.wall_offset_ns -= 3600 * SECOND_NS
    rig.clock.now_ns = at(5)
    rig.drain.look_at_clock()
    host.rows(at(5), 10, value=50)
    host.event()
    rig.run(at(6))
    (batch,) = rig.batches("capture")
    assert batch.capture is not None
    walls = sorted(batch.timeline.wall_ns(one.time_ns) for one in rig.unpacked(batch))
    assert (batch.capture.from_ns, batch.capture.to_ns) != (0, 0)
    assert walls[0] == WALL_NS + at(5 - 3600)
    assert walls[-1] == WALL_NS + at(4.9)
    assert totals(rig.batches())[0] == 50


@pytest.mark.fault("G6")
@pytest.mark.statement("CAP-30")
async def test_the_kernel_tells_at_once_that_the_clock_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    watch = ClockWatch(lambda: told.append(1))
    assert watch.active
    watch.start()
    # No test may set the clock of its machine: the read is what is forged.
    read = os.read

    def cancelled(fd: int, size: int) -> bytes:
        if fd == watch._fd:
            raise OSError(errno.ECANCELED, "the clock was set")
        return read(fd, size)

    with pytest.raises(BlockingIOError):
        os.read(watch._fd, 8)
    monkeypatch.setattr(os, "read", cancelled)
    watch._changed()
    assert told == [1]
    watch.close()
    watch.close()
    assert not watch.active


async def test_without_such_a_timer_the_drains_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocksteps, "_armed_timer", lambda: -1)
    watch = ClockWatch(lambda: None)
    watch.start()
    watch.close()
    assert not watch.active
