"""A host runs vendor code: whatever its ring says, the other hosts' readings arrive (C6)."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator

import msgpack
import pytest

from agent.shipper.conftest import MakeRig
from agent.shipper.rig import Host, LaneSpec, Rig, totals
from xinmai.api import Reason
from xinmai.clock import SECOND_NS
from xinmai.config import ShipperConfig
from xinmai.wire.limits import MAX_BODY_BYTES

pytestmark = pytest.mark.fault("C6")

START_NS = 600 * SECOND_NS
SECOND = LaneSpec("second", SECOND_NS, 2)
HEADER, COMMITTED, SCHEDULED, PERIOD = 4096, 64, 80, 104
"""Offsets of spec 001: a lane's header, and fields in it."""


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


class Forger:
    """A host that writes what it likes into a ring that was good once."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.fd = os.memfd_create("forged", os.MFD_ALLOW_SEALING)
        os.write(self.fd, os.pread(host.ring.fd, os.fstat(host.ring.fd).st_size, 0))
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)

    def poke(self, field: int, value: int, lane: int = 0) -> None:
        where = HEADER + 256 * lane + field
        os.pwrite(self.fd, value.to_bytes(8, "little", signed=value < 0), where)

    def grow(self) -> None:
        """Show the rows that the good ring was given since."""
        size = os.fstat(self.fd).st_size
        os.pwrite(self.fd, os.pread(self.host.ring.fd, size, 0), 0)


@pytest.fixture
def good() -> Host:
    return Host("good", (SECOND,))


@pytest.fixture
def forger() -> Iterator[Forger]:
    host = Host("bad", (SECOND,))
    host.rows(at(0), 3)
    one = Forger(host)
    yield one
    os.close(one.fd)


def plugins_read(rig: Rig) -> set[str]:
    return {one.plugin for one in rig.readings()}


@pytest.mark.parametrize("committed", [0, 2, 2**41, 2**63, 2**64 - 1])
def test_a_position_that_cannot_be_costs_that_ring_only(
    rig: Rig, good: Host, forger: Forger, committed: int, caplog: pytest.LogCaptureFixture
) -> None:
    rig.add(good)
    rig.rings.add(forger.host.layout, forger.fd)
    good.row(at(0))
    rig.run(at(3))
    assert plugins_read(rig) == {"good", "bad"}
    forger.poke(COMMITTED, committed)
    good.row(at(3), 77)
    with caplog.at_level(logging.ERROR):
        rig.run(at(4))
        good.row(at(4), 78)
        rig.run(at(5))
    assert [one.last for one in rig.readings() if one.plugin == "good"][-2:] == [78, 79]
    assert [record.message for record in caplog.records if "plugin=bad" in record.message]
    assert len(caplog.records) == 1
    assert "damaged" in rig.rings.damaged["bad"]
    assert rig.drained == [forger.host.id]
    assert rig.codes() == ["ring_damaged"]


def test_what_was_read_before_stays_and_a_new_ring_follows(
    rig: Rig, good: Host, forger: Forger
) -> None:
    rig.add(good)
    rig.rings.add(forger.host.layout, forger.fd)
    rig.run(at(3))
    forger.poke(COMMITTED, 1)
    rig.run(at(4))
    fresh = Host("bad", (SECOND,), generation=2)
    rig.add(fresh)
    fresh.row(at(5), 50)
    rig.run(at(6))
    assert [one.last for one in rig.readings() if one.plugin == "bad" and one.column == 0] == [
        0,
        1,
        2,
        50,
    ]
    assert rig.rings.damaged == {}


def test_a_successor_that_is_there_already_is_read_at_once(rig: Rig, forger: Forger) -> None:
    fresh = Host("bad", (SECOND,), generation=2)
    rig.rings.add(forger.host.layout, forger.fd)
    rig.add(fresh)
    fresh.row(at(5), 50)
    forger.poke(COMMITTED, 2**60)
    rig.run(at(6))
    assert [one.last for one in rig.readings()] == [50, 51]


def test_a_dropped_ring_that_comes_again_is_not_read_again(rig: Rig, forger: Forger) -> None:
    rig.rings.add(forger.host.layout, forger.fd)
    rig.run(at(3))
    forger.poke(COMMITTED, 1)
    rig.run(at(4))
    for second in (5, 6, 7):
        rig.rings.add(forger.host.layout, forger.fd)
        rig.run(at(second))
    assert totals(rig.batches()) == (6, 0, 0)
    assert rig.drained == [forger.host.id]


def test_a_damaged_row_of_a_dead_ring_hides_none_behind_it(raw_rig: Rig, forger: Forger) -> None:
    slots, slot_bytes = 2 * 4096, 64
    os.pwrite(forger.fd, b"damage", slots + slot_bytes + 50)
    raw_rig.rings.add(forger.host.layout, forger.fd)
    raw_rig.rings.mark_gone(forger.host.id)
    raw_rig.run(at(4))
    assert raw_rig.values() == [0, 2]
    assert raw_rig.drained == [forger.host.id]
    assert totals(raw_rig.batches("raw")) == (6, 0, 2)


def test_a_damaged_ring_is_not_read_from_its_start_by_the_next_run(
    rig: Rig, good: Host, forger: Forger
) -> None:
    rig.add(good)
    rig.rings.add(forger.host.layout, forger.fd)
    rig.run(at(3))
    forger.poke(COMMITTED, 1)
    good.row(at(3))
    rig.run(at(4))
    rig.store()
    forger.poke(COMMITTED, 3)
    following = rig.again()
    following.rings.add(forger.host.layout, forger.fd)
    following.run(at(6))
    assert following.batches() == []


def test_events_beyond_their_lane_cost_that_ring_only(rig: Rig, good: Host, forger: Forger) -> None:
    rig.rings.add(forger.host.layout, forger.fd)
    rig.add(good)
    good.event("xid 79")
    good.row(at(0))
    forger.poke(COMMITTED, 2**50, lane=1)
    rig.run(at(3))
    assert plugins_read(rig) == {"good"}
    rig.run(at(4))
    assert sorted(rig.codes()) == ["ring_damaged", "xid 79"]


@pytest.mark.parametrize("time_ns", [-1, -(2**63), 2**63 - 1, at(10_000)])
def test_times_that_are_not_of_this_boot_cost_that_ring_only(
    rig: Rig, good: Host, time_ns: int
) -> None:
    """A minute that no collector takes would have every batch refused that holds it."""
    bad = Host("bad", (SECOND,))
    rig.add(good, bad)
    good.row(at(0))
    bad.row(time_ns)
    rig.rings.mark_others_gone("")
    rig.run(at(2))
    assert plugins_read(rig) == {"good"}
    assert "bad" in rig.rings.damaged


def test_missed_ticks_beyond_reason_cost_that_ring_only(rig: Rig, good: Host) -> None:
    bad = Host("bad", (LaneSpec("second", SECOND_NS, 64),))
    rig.add(good, bad)
    good.row(at(0))
    bad.row(at(0), missed=2**32 - 1)
    rig.run(at(2))
    assert plugins_read(rig) == {"good"}


def test_rows_overwritten_beyond_reason_cost_that_ring_only(
    rig: Rig, good: Host, forger: Forger
) -> None:
    rig.add(good)
    rig.rings.add(forger.host.layout, forger.fd)
    good.row(at(0))
    forger.poke(COMMITTED, 2**40)
    rig.run(at(3))
    assert plugins_read(rig) == {"good"}
    assert totals(rig.batches())[2] == 0


@pytest.mark.parametrize("period_ns", [-1, 1, 2**63 - 1])
def test_a_period_that_cannot_be_harms_nobody(rig: Rig, forger: Forger, period_ns: int) -> None:
    fresh = Host("bad", (SECOND,), generation=2)
    rig.rings.add(forger.host.layout, forger.fd)
    rig.add(fresh)
    forger.poke(PERIOD, period_ns)
    rig.rings.mark_gone(forger.host.id)
    fresh.row(at(5), 50)
    rig.run(at(6))
    assert [one.last for one in rig.readings() if one.column == 0][-1] == 50
    assert totals(rig.batches())[1] <= 2**36


def test_a_grid_that_cannot_be_harms_no_successor(rig: Rig, forger: Forger) -> None:
    fresh = Host("bad", (SECOND,), generation=2)
    rig.rings.add(forger.host.layout, forger.fd)
    rig.add(fresh)
    forger.poke(SCHEDULED, -(2**62))
    rig.rings.mark_gone(forger.host.id)
    fresh.row(at(5), 50)
    rig.run(at(6))
    assert [one.last for one in rig.readings() if one.column == 0][-1] == 50
    assert totals(rig.batches())[1] <= 2**36


def test_a_row_that_no_body_can_hold_is_lost_and_said_to_be(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    """Every reading of a window with a vendor code of its own: more values than a body may have."""
    rig = make_rig(ShipperConfig(window_ns=100 * SECOND_NS))
    columns = 2600
    bad = Host("bad", (LaneSpec("second", SECOND_NS, columns),))
    good = Host("good", (SECOND,))
    rig.add(good, bad)
    for tick in range(15):
        bad.row(at(tick), 5000 * tick, reasons=bytes([Reason.VENDOR_ERROR]) * columns)
    good.row(at(0))
    with caplog.at_level(logging.ERROR):
        rig.run(at(200))
    assert plugins_read(rig) == {"good"}
    rig.run(at(201))
    (loss,) = rig.losses()
    assert (loss.stream, loss.reason) == ("rollup", "refused")
    assert sum(count for _, count in loss.readings) == 15 * columns
    assert "plugin=bad" in caplog.text
    assert totals(rig.batches()) == (2, 0, 0)
    bad.row(at(300), 1)
    rig.run(at(500))
    assert plugins_read(rig) == {"good", "bad"}


def test_a_backlog_of_vendor_codes_is_sent_in_smaller_blocks(make_rig: MakeRig) -> None:
    """As many codes as a window can tell apart, in every window and column."""
    rig = make_rig()
    bad = Host("bad", (LaneSpec("fast", SECOND_NS // 16, 64, slots=2048),))
    rig.add(bad)
    for tick in range(64 * 16):
        bad.row(at(tick / 16), 64 * tick, reasons=bytes([Reason.VENDOR_ERROR]) * 64)
    rig.run(at(100))
    rig.run(at(101))
    assert rig.losses() == []
    assert totals(rig.batches()) == (64 * 64 * 16, 0, 0)


def test_events_of_the_worst_kind_are_shipped_as_unreadable(rig: Rig) -> None:
    host = Host("bad", (SECOND,), event_bytes=60_000, event_slots=64)
    rig.add(host)
    bodies: list[object] = [
        7,
        None,
        [],
        {},
        {"time_ns": "soon"},
        {1: 2},
        {"severity": "info", "time_ns": 2**64 - 1, "hw_id": "", "code": "c", "class": ""},
    ]
    for body in bodies:
        host.record(msgpack.packb(body))
    host.event(time_ns=2**63)
    host.event(time_ns=float("inf"))
    host.event(time_ns=float("nan"))
    host.event(severity="apocalypse")
    host.event(attributes=["no", "map"])
    host.record(b"\xc1")
    host.record(b"")
    host.record(b"\x93" * 3000)
    host.record(bytes(50_000))
    rig.run(at(1))
    assert set(rig.codes()) == {"event_unreadable"}
    assert len(rig.codes()) == len(bodies) + 9


def test_strings_of_an_event_are_cut(rig: Rig) -> None:
    host = Host("bad", (SECOND,), event_bytes=60_000)
    rig.add(host)
    host.event(message="x" * 9000, hw_id=list(range(1500)))
    rig.run(at(1))
    (event,) = [event for batch in rig.batches("event") for event in batch.events]
    assert (event.code, len(event.message), len(event.hw_id)) == ("xid", 4096, 4096)


def test_large_events_are_spread_over_batches_in_order(rig: Rig) -> None:
    host = Host("bad", (SECOND,), event_bytes=16_000, event_slots=256)
    rig.add(host)
    for number in range(200):
        attributes = {f"k{key}": "v" for key in range(1500)}
        host.event(f"e{number}", attributes=attributes)
    rig.run(at(1))
    assert rig.codes() == [f"e{number}" for number in range(200)]
    assert max(len(payload) for payload in rig.payloads("event")) < MAX_BODY_BYTES


def test_overwritten_events_are_told_as_an_event(rig: Rig) -> None:
    host = Host("busy", (SECOND,), event_slots=16)
    rig.add(host)
    for number in range(20):
        host.event(f"e{number}")
    rig.run(at(1))
    assert rig.codes() == ["events_lost", *(f"e{number}" for number in range(4, 20))]
    (lost, *_) = [event for batch in rig.batches("event") for event in batch.events]
    assert "4 events" in lost.message
