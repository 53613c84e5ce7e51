"""Captures: every row of the window once, whatever happens to hosts, disk and shipper meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.shipper.capturerig import at, by_id, captured, in_ring, parts
from agent.shipper.conftest import MakeRig
from agent.shipper.rig import TICK_NS, WALL_NS, Clock, Host, LaneSpec, Rig, totals
from agent.shipper.test_disk import FullDisk
from xinmai.api import Reason
from xinmai.channel import Received
from xinmai.clock import SECOND_NS
from xinmai.config import CaptureConfig, ShipperConfig
from xinmai.rules import parse_rule
from xinmai.shipper import capturerows, recorder
from xinmai.shipper.capturerows import chunks_of, first_position
from xinmai.shipper.recorder import COMMANDS_PER_HOUR, PATIENCE_NS
from xinmai.shipper.rings import Ring
from xinmai.shipper.samplerlink import SamplerLink
from xinmai_native import RingError, RingReader

FAST = LaneSpec("fast", TICK_NS, 2, slots=512)
SLOW = LaneSpec("slow", SECOND_NS, 1, slots=512)
CONFIG = CaptureConfig(before_ns=2 * SECOND_NS, after_ns=2 * SECOND_NS, longest_ns=6 * SECOND_NS)


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig(captures=CONFIG)


class Run:
    """Hosts that tick and a rig that drains, second by second."""

    def __init__(self, rig: Rig, *hosts: Host) -> None:
        self.rig, self.hosts, self.seconds = rig, list(hosts), 0
        rig.add(*hosts)

    def seconds_pass(self, count: int) -> None:
        for _ in range(count):
            for host in self.hosts:
                for lane, spec in enumerate(host.lanes):
                    ticks = SECOND_NS // spec.period_ns
                    host.rows(at(self.seconds), ticks, lane=lane, value=self.seconds * ticks)
            self.seconds += 1
            self.rig.run(at(self.seconds))


@pytest.mark.statement("CAP-1")
@pytest.mark.statement("CAP-10")
@pytest.mark.statement("CAP-11")
def test_an_event_captures_the_rows_around_it_each_once(rig: Rig) -> None:
    acme, other = Host("acme", (FAST, SLOW)), Host("other", (FAST,))
    run = Run(rig, acme, other)
    run.seconds_pass(5)
    acme.event("xid", message="fell off")
    run.seconds_pass(1)
    # What came before is in the spool at once.
    before = [row for row in in_ring([acme, other], at(4), at(6)) if row[1] == "fast"]
    assert sorted(captured(rig)) == sorted(before)
    run.seconds_pass(4)
    expected = [row for row in in_ring([acme, other], at(4), at(8)) if row[1] == "fast"]
    assert sorted(captured(rig)) == sorted(expected)
    assert len(expected) == 80


@pytest.mark.statement("WIRE-49")
def test_the_parts_of_a_capture_say_what_it_is(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(5)
    host.event("xid", message="fell off")
    run.seconds_pass(5)
    found = parts(rig)
    assert [one.part for one in found] == list(range(1, len(found) + 1))
    assert [one.last for one in found] == [False] * (len(found) - 1) + [True]
    first = found[0]
    assert (first.trigger, first.hw_id) == ("event", "card")
    assert first.cause == "error xid: fell off"
    assert first.at_ns == WALL_NS + at(6)
    assert (first.from_ns, first.to_ns) == (WALL_NS + at(4), WALL_NS + at(6) - TICK_NS)
    assert len({(one.id, one.trigger, one.cause, one.at_ns) for one in found}) == 1
    assert rig.drain.recorder.state.last == {
        "id": first.id,
        "trigger": "event",
        "cause": first.cause,
        "at_ns": first.at_ns,
        "parts": len(found),
        "bytes": sum(map(len, rig.payloads("capture"))),
        "merged": 0,
        "open": False,
    }


@pytest.mark.statement("WIRE-46")
def test_a_capture_changes_nothing_in_the_accounts(make_rig: MakeRig) -> None:
    rig = make_rig(ShipperConfig(raw=("*",)), captures=CONFIG)
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(2)
    host.event()
    run.seconds_pass(6)
    assert totals(rig.batches("raw")) == (160, 0, 0)
    assert totals(rig.batches("capture")) == (0, 0, 0)
    assert rig.values("raw") == list(range(80))


@pytest.mark.statement("CAP-2")
def test_a_threshold_is_seen_in_what_the_drain_reads(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, when=(parse_rule("hw.power above 1000"),)))
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    host.row(at(2.95), 5000)
    run.seconds_pass(5)
    (first, *_) = parts(rig)
    assert (first.trigger, first.metric) == ("threshold", "hw.power")
    assert "5000 W, above 1000" in first.cause or "5001 W, above 1000" in first.cause
    assert ("acme", "fast", at(2.95), (5000, 5001)) in captured(rig)


@pytest.mark.statement("CAP-10")
def test_only_lanes_that_are_asked_for_are_captured(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, lanes=("other/*", "*/none")))
    acme, other = Host("acme", (FAST,)), Host("other", (FAST, SLOW))
    run = Run(rig, acme, other)
    run.seconds_pass(3)
    acme.event()
    run.seconds_pass(5)
    assert {(plugin, lane) for plugin, lane, _, _ in captured(rig)} == {("other", "fast")}


@pytest.mark.fault("A4")
@pytest.mark.statement("CAP-4")
@pytest.mark.statement("CAP-12")
def test_a_host_that_dies_is_captured_to_its_last_row(rig: Rig) -> None:
    dead, alive = Host("acme", (FAST,)), Host("acme", (FAST,), generation=2)
    run = Run(rig, dead)
    run.seconds_pass(3)
    dead.rows(at(3), 4, value=30)
    rig.drain.recorder.host_ended("acme", "crashed", "SIGSEGV in call")
    rig.rings.mark_gone(dead.id)
    run.hosts = [alive]
    rig.add(alive)
    run.seconds_pass(5)
    assert rig.drained == [dead.id]
    expected = in_ring([dead], at(1), at(5)) + in_ring([alive], at(1), at(5))
    assert sorted(captured(rig)) == sorted(expected)
    (first, *_) = parts(rig)
    assert (first.trigger, first.cause) == ("lost", "acme crashed: SIGSEGV in call")


@pytest.mark.statement("CAP-4")
@pytest.mark.parametrize(
    ("states", "told"),
    [
        (("running", "crashed", "running"), [("acme", "crashed", "SIGSEGV")]),
        (("running", "stuck", "crashed"), [("acme", "stuck", "SIGSEGV")]),
        (("starting", "crashed"), []),
        (("running", "stopped"), []),
        (("crashed",), []),
    ],
)
def test_a_host_that_ran_and_died_is_told(
    rig: Rig, states: Sequence[str], told: list[tuple[str, str, str]]
) -> None:
    heard: list[tuple[str, str, str]] = []
    link = SamplerLink(Path("none"), rig.rings, str, lambda: None, lambda *one: heard.append(one))
    for state in states:
        plugins = [{"name": "acme", "state": state, "reason": "SIGSEGV", "since_ns": 1}]
        link._take(Received("plugins", {"plugins": plugins}))
    assert heard == told


@pytest.mark.fault("E6")
@pytest.mark.statement("CAP-12")
def test_a_ring_is_kept_while_the_disk_takes_no_capture(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    disk = FullDisk(monkeypatch, "capture")
    host.event()
    rig.rings.mark_gone(host.id)
    run.hosts = []
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            run.seconds_pass(1)
    assert rig.drained == []
    disk.streams.clear()
    run.seconds_pass(3)
    assert rig.drained == [host.id]
    assert sorted(captured(rig)) == sorted(in_ring([host], at(2), at(9)))
    assert parts(rig)[-1].last


def test_a_disk_that_stays_full_does_not_hold_rings_for_ever(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    FullDisk(monkeypatch, "capture")
    host.event()
    rig.rings.mark_gone(host.id)
    for seconds in (4, 8 + PATIENCE_NS // SECOND_NS):
        with pytest.raises(OSError, match="No space"):
            rig.run(at(seconds))
    rig.run(at(9 + PATIENCE_NS // SECOND_NS))
    assert rig.drained == [host.id]


@pytest.mark.statement("CAP-20")
def test_triggers_within_a_capture_extend_it_and_are_counted(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    for _ in range(3):
        host.event()
        host.event("other")
        run.seconds_pass(1)
    run.seconds_pass(5)
    (found,) = by_id(rig).values()
    assert (found[-1].merged, found[-1].last) == (5, True)
    assert rig.drain.recorder.state.merged == 5
    # The first trigger was seen at 4, the last at 6.
    assert sorted(captured(rig)) == sorted(in_ring([host], at(2), at(8)))


@pytest.mark.statement("CAP-20")
@pytest.mark.statement("CAP-21")
def test_a_storm_of_triggers_is_bounded_and_counted(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, per_hour=2))
    host = Host("acme", (FAST,), event_slots=512)
    run = Run(rig, host)
    for _ in range(150):
        for _ in range(20):
            host.event()
        run.seconds_pass(1)
        rig.store("rollup")
    captures = by_id(rig)
    assert len(captures) == rig.drain.recorder.state.captures == 2
    for found in captures.values():
        span_ns = max(one.to_ns for one in found) - min(one.from_ns for one in found)
        assert span_ns <= CONFIG.longest_ns
    state = rig.drain.recorder.state
    assert state.captures + state.merged + state.suppressed == 3000
    told = [
        event
        for batch in rig.batches("event")
        for event in batch.events
        if event.code == "captures_suppressed"
    ]
    assert len(told) == 3
    assert "event; 2 captures an hour" in told[0].message


@pytest.mark.statement("CAP-21")
def test_after_an_hour_captures_are_allowed_again(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, per_hour=1))
    host = Host("acme", (FAST,))
    rig.add(host)
    for seconds in (0, 20, 3599, 3601):
        host.row(at(seconds))
        host.event()
        rig.run(at(seconds))
        rig.run(at(seconds + 5))
    assert (len(by_id(rig)), rig.drain.recorder.state.suppressed) == (2, 2)


@pytest.mark.statement("CAP-22")
def test_a_capture_is_cut_at_its_size_and_says_so(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, most_bytes=64 * 1024, when=()))
    noise = random.Random(1)
    other = Host("aaa", (LaneSpec("busy", TICK_NS // 100, 4, slots=8192),))
    host = Host("acme", (FAST,))
    rig.add(host, other)
    host.rows(at(0), 30)
    for tick in range(6000):
        other.row(at(tick / 1000), noise.randrange(2**62))
    host.event()
    rig.run(at(3))
    (found,) = by_id(rig).values()
    assert found[-1].last
    assert found[-1].cause == "error xid: fell off the bus (cut at 64KiB in lane aaa/busy)"
    assert sum(map(len, rig.payloads("capture"))) <= 64 * 1024 + 4096
    # Lanes of the trigger's plugin come first, though their name does not.
    assert len([row for row in captured(rig) if row[0] == "acme"]) == 20


@pytest.mark.fault("D5")
def test_parts_fit_a_broker_that_takes_little(make_rig: MakeRig) -> None:
    rig = make_rig(ShipperConfig(batch_bytes=4096), packet_bytes=4096, captures=CONFIG)
    host = Host("acme", (LaneSpec("fast", TICK_NS // 10, 8, slots=1024),))
    noise = random.Random(2)
    rig.add(host)
    for tick in range(400):
        host.row(at(tick / 100), noise.randrange(2**62))
    host.event()
    rig.run(at(4))
    rig.run(at(8))
    assert max(map(len, rig.payloads("capture"))) <= 4096
    assert sorted(captured(rig)) == sorted(in_ring([host], at(2), at(6)))
    assert [one.part for one in parts(rig)] == list(range(1, len(parts(rig)) + 1))


@pytest.mark.statement("CAP-13")
def test_a_shipper_that_leaves_closes_its_capture(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    host.event()
    rig.clock.now_ns = at(3.1)
    rig.drain.run(leaving=True)
    assert [one.last for one in parts(rig)] == [True]


@pytest.mark.statement("CAP-13")
def test_a_capture_of_a_shipper_that_was_killed_has_no_last_part(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    host.event()
    run.seconds_pass(2)
    following = rig.killed(host)
    for second in range(6, 12):
        following.run(at(second))
    (found,) = by_id(following).values()
    assert not any(one.last for one in found)
    assert sorted(captured(following)) == sorted(in_ring([host], at(2), at(5)))


@pytest.mark.fault("C6")
def test_a_ring_that_cannot_be_read_costs_the_capture_that_ring_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = Host("bad", (FAST,)), Host("good", (FAST,))
    run = Run(rig, bad, good)
    run.seconds_pass(3)

    def damaged(ring: Ring, *others: int) -> object:
        if ring.id == bad.id:
            raise RingError("the position went backwards")
        return chunks_of(ring, *others)

    monkeypatch.setattr(recorder, "chunks_of", damaged)
    good.event()
    run.seconds_pass(6)
    assert rig.codes() == ["xid", "ring_damaged"]
    assert rig.drained == [bad.id]
    assert sorted(captured(rig)) == sorted(in_ring([good], at(2), at(6)))
    assert parts(rig)[-1].last


@pytest.mark.statement("CAP-5")
def test_a_command_captures_its_own_window(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(10)
    made = rig.drain.recorder.command(rig.rings, 7 * SECOND_NS, SECOND_NS)
    run.seconds_pass(4)
    assert list(by_id(rig)) == [made]
    assert sorted(captured(rig)) == sorted(in_ring([host], at(3), at(11)))
    assert parts(rig)[0].trigger == "command"


@pytest.mark.statement("CAP-5")
@pytest.mark.statement("CAP-21")
def test_a_command_that_cannot_be_followed_says_why(make_rig: MakeRig) -> None:
    rig = make_rig(captures=replace(CONFIG, per_hour=0))
    one = rig.drain.recorder
    with pytest.raises(ValueError, match="no lane of .* that is faster than a window"):
        one.command(rig.rings, 0, 0)
    rig.add(Host("acme", (FAST,)))
    with pytest.raises(ValueError, match=r"52 s asked for, the rings hold 51\.2 s"):
        one.command(rig.rings, 50 * SECOND_NS, 2 * SECOND_NS)
    for _ in range(COMMANDS_PER_HOUR):
        one.command(rig.rings, SECOND_NS, SECOND_NS)
        rig.run(rig.clock.now_ns + 4 * SECOND_NS)
    with pytest.raises(ValueError, match="60 commands an hour"):
        one.command(rig.rings, SECOND_NS, SECOND_NS)


def test_a_command_within_a_capture_is_answered_with_that_capture(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(3)
    host.event()
    run.seconds_pass(1)
    made = rig.drain.recorder.command(rig.rings, SECOND_NS, SECOND_NS)
    run.seconds_pass(5)
    assert list(by_id(rig)) == [made]


@pytest.mark.fault("C4")
def test_text_from_a_host_cannot_make_a_part_that_a_collector_refuses(rig: Rig) -> None:
    host = Host("acme", (FAST,))
    run = Run(rig, host)
    run.seconds_pass(1)
    rig.drain.recorder.host_ended("acme", "crashed", "\ud800" * 1000)
    run.seconds_pass(1)
    (found,) = parts(rig)
    assert len(found.cause) == 300
    assert found.cause.startswith("acme crashed: \\ud800")


def test_rows_with_many_reasons_are_all_captured(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturerows, "RUNS_PER_BLOCK", 3)
    host = Host("acme", (FAST,))
    rig.add(host)
    for tick in range(30):
        host.row(at(tick / 10), tick, reasons=bytes([Reason.NOT_YET, 0]))
    host.event()
    rig.run(at(3))
    rig.run(at(8))
    blocks = [block for batch in rig.batches("capture") for block in batch.blocks]
    assert sum(block.n for block in blocks) == 20
    assert max(block.n for block in blocks) <= 3


@pytest.mark.parametrize("count", [0, 1, 5, 63, 64, 65, 200])
def test_the_first_row_is_found_also_in_a_ring_that_was_overwritten(
    clock: Clock, count: int
) -> None:
    host = Host("acme", (LaneSpec("fast", TICK_NS, 1, slots=64),))
    host.rows(at(0), count)
    reader = RingReader(host.ring.fd)
    oldest = max(0, count - 64)
    for tick in (0, 1, oldest - 1, oldest, oldest + 1, count // 2, count - 1, count, count + 5):
        for offset_ns in (-1, 0, 1):
            found = first_position(reader, 0, 64, at(tick / 10) + offset_ns)
            wanted = tick if offset_ns <= 0 else tick + 1
            assert found == min(count, max(oldest, wanted))
