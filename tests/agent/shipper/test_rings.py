"""Generations of rings: their order, what is missed between them, and which are refused."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from agent.shipper.rig import Host, LaneSpec, Rig, totals
from xinmai.api import Device
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai_native import LANE_COLUMNS, LANE_RECORDS
from xinmai_native import Ring as Producer

START_NS = 600 * SECOND_NS
SECOND = LaneSpec("second", SECOND_NS, 2)


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def seconds(plugin: str = "acme", generation: int = 1, native: str = "") -> Host:
    """A host whose rows are windows of their own."""
    return Host(plugin, (SECOND,), generation=generation, native=native)


def test_a_dead_ring_is_read_to_its_end_before_its_successor(raw_rig: Rig) -> None:
    dead, alive = seconds(), seconds(generation=2)
    raw_rig.add(dead, alive)
    alive.rows(at(10), 3, value=10)
    dead.rows(at(0), 3)
    raw_rig.run(at(13))
    assert raw_rig.values() == [0, 1, 2]
    assert raw_rig.drained == []
    dead.rows(at(3), 2, value=3)
    raw_rig.rings.mark_gone(dead.id)
    raw_rig.run(at(14))
    assert raw_rig.values() == [0, 1, 2, 3, 4, 10, 11, 12]
    assert raw_rig.drained == [dead.id]


def test_an_open_window_of_a_dead_ring_is_closed(rig: Rig) -> None:
    dead, alive = Host(), Host(generation=2)
    rig.add(dead, alive)
    dead.rows(at(0), 3)
    alive.rows(at(0.5), 3, value=100)
    rig.rings.mark_gone(dead.id)
    rig.run(at(0.9))
    assert [(one.count, one.last) for one in rig.readings() if one.column == 0] == [(3, 2)]
    assert rig.drained == [dead.id]


def test_each_generation_goes_under_its_own_inventory(raw_rig: Rig) -> None:
    old = Host("acme", (replace(SECOND, columns=1),), native="old call")
    new = Host("acme", (SECOND, LaneSpec("more", SECOND_NS, 3)), generation=2, native="new call")
    raw_rig.add(old, new)
    old.row(at(0), 1)
    new.row(at(2), 2)
    new.row(at(2), 3, lane=1)
    raw_rig.rings.mark_gone(old.id)
    raw_rig.run(at(3))
    before, after = raw_rig.batches("raw")
    assert {one.native for one in raw_rig.inventory(before).series} == {"old call"}
    assert {one.native for one in raw_rig.inventory(after).series} == {"new call"}
    assert [one.last for one in raw_rig.readings("raw")] == [1, 2, 3, 3, 4, 5]


def test_many_generations_in_one_second_are_all_read(raw_rig: Rig) -> None:
    hosts = [seconds(generation=number) for number in range(1, 9)]
    for number, host in enumerate(hosts):
        raw_rig.add(host)
        host.row(at(number), number)
        raw_rig.rings.mark_gone(host.id)
    raw_rig.run(at(9))
    assert raw_rig.values() == list(range(8))
    assert raw_rig.drained == [host.id for host in hosts]
    assert totals(raw_rig.batches("raw")) == (16, 0, 0)


def test_a_plugin_that_is_gone_for_good_leaves_the_inventory(rig: Rig) -> None:
    first, second = seconds("acme"), seconds("beta")
    rig.add(first, second)
    first.row(at(0))
    second.row(at(0))
    rig.run(at(1))
    rig.rings.mark_gone(first.id)
    second.row(at(1))
    rig.run(at(2))
    second.row(at(2))
    rig.run(at(3))
    plugins = [
        {lane.plugin for lane in rig.inventory(batch).lanes} for batch in rig.batches("rollup")
    ]
    assert plugins[0] == {"acme", "beta"}
    assert plugins[-1] == {"beta"}
    assert rig.drained == [first.id]


@pytest.mark.statement("WIRE-46")
def test_ticks_between_two_generations_are_missed_once(rig: Rig) -> None:
    dead, alive = seconds(), seconds(generation=2)
    rig.add(dead, alive)
    dead.rows(at(0), 3)
    rig.rings.mark_gone(dead.id)
    rig.run(at(3))
    alive.rows(at(7), 2)
    rig.run(at(9))
    alive.row(at(9))
    rig.run(at(10))
    # Ticks 3, 4, 5 and 6 of two series.
    assert totals(rig.batches()) == (12, 8, 0)


@pytest.mark.statement("WIRE-46")
def test_what_the_new_host_counts_itself_is_not_missed_twice(rig: Rig) -> None:
    dead, alive = seconds(), seconds(generation=2)
    rig.add(dead, alive)
    dead.row(at(0))
    rig.rings.mark_gone(dead.id)
    alive.row(at(5), missed=3)
    rig.run(at(6))
    assert totals(rig.batches()) == (4, 8, 0)


@pytest.mark.statement("WIRE-46")
def test_a_long_backlog_of_a_new_generation_misses_its_ticks_once(rig: Rig) -> None:
    dead = Host("acme", (replace(SECOND, columns=1),))
    alive = Host("acme", (replace(SECOND, columns=1, slots=8192),), generation=2)
    rig.add(dead, alive)
    dead.row(at(0))
    rig.rings.mark_gone(dead.id)
    alive.rows(at(5), 5000)
    rig.run(at(5005))
    (_, batch) = rig.batches()
    assert len(batch.blocks) == 2
    assert totals(rig.batches()) == (5001, 4, 0)


@pytest.mark.statement("WIRE-46")
def test_rows_overwritten_at_the_start_of_a_generation_are_not_missed_as_well(rig: Rig) -> None:
    dead = seconds()
    alive = Host("acme", (replace(SECOND, slots=4),), generation=2)
    rig.add(dead, alive)
    dead.row(at(0))
    rig.rings.mark_gone(dead.id)
    alive.rows(at(2), 10)
    rig.run(at(13))
    taken, missed, overrun = totals(rig.batches())
    assert (taken, missed, overrun) == (22, 2, 12)


def test_a_generation_without_a_row_hides_no_missed_tick(rig: Rig) -> None:
    hosts = [seconds(generation=number) for number in (1, 2, 3)]
    rig.add(*hosts)
    hosts[0].row(at(0))
    hosts[2].row(at(5))
    for host in hosts[:2]:
        rig.rings.mark_gone(host.id)
    rig.run(at(6))
    assert totals(rig.batches()) == (4, 8, 0)


def test_a_ring_that_comes_again_is_not_read_again(raw_rig: Rig) -> None:
    """The sampler sends every ring it holds to each connection."""
    host = seconds()
    raw_rig.add(host)
    host.rows(at(0), 3)
    raw_rig.run(at(3))
    raw_rig.add(host)
    host.row(at(3), 3)
    raw_rig.run(at(4))
    assert raw_rig.values() == [0, 1, 2, 3]


def test_a_ring_left_behind_by_mistake_goes_on_where_it_was(raw_rig: Rig) -> None:
    """The connection broke, not the host: it is sent again and grows."""
    host = seconds()
    raw_rig.add(host)
    host.rows(at(0), 3)
    raw_rig.rings.mark_others_gone("", at(3))
    raw_rig.run(at(3))
    assert raw_rig.drained == [host.id]
    raw_rig.add(host)
    host.row(at(3), 3)
    raw_rig.run(at(4))
    assert raw_rig.values() == [0, 1, 2, 3]


def test_a_ring_that_comes_again_in_time_is_not_ended(raw_rig: Rig) -> None:
    host = seconds()
    raw_rig.add(host)
    host.row(at(0), 0)
    raw_rig.rings.mark_others_gone("", at(5))
    raw_rig.run(at(1))
    raw_rig.add(host)
    raw_rig.run(at(6))
    assert raw_rig.drained == []
    host.row(at(6), 6)
    raw_rig.run(at(7))
    assert raw_rig.values() == [0, 6]


def test_a_ring_that_is_gone_stays_gone_when_the_sampler_goes(raw_rig: Rig) -> None:
    host = seconds()
    raw_rig.add(host)
    raw_rig.rings.mark_gone(host.id)
    raw_rig.rings.mark_others_gone("", at(100))
    raw_rig.run(at(1))
    assert raw_rig.drained == [host.id]


def test_hosts_may_commit_for_a_while_after_their_sampler_is_gone(raw_rig: Rig) -> None:
    host = seconds()
    raw_rig.add(host)
    host.row(at(0), 0)
    raw_rig.rings.mark_others_gone("", at(5))
    raw_rig.run(at(1))
    host.row(at(4), 4)
    raw_rig.run(at(4.5))
    assert raw_rig.drained == []
    raw_rig.run(at(5))
    assert raw_rig.values() == [0, 4]
    assert raw_rig.drained == [host.id]


def test_positions_of_an_earlier_run_are_honoured(raw_rig: Rig) -> None:
    host = seconds()
    raw_rig.add(host)
    host.rows(at(0), 3)
    raw_rig.run(at(3))
    raw_rig.store("raw")
    host.rows(at(3), 2, value=3)
    following = raw_rig.again(host)
    following.run(at(5))
    assert following.values() == [3, 4]


def test_a_finished_ring_that_the_sampler_still_holds_is_not_read_again(raw_rig: Rig) -> None:
    """The word that it is drained may have been lost with the connection."""
    dead, alive = seconds(), seconds(generation=2)
    raw_rig.add(dead, alive)
    dead.rows(at(0), 3)
    raw_rig.rings.mark_gone(dead.id)
    for tick in range(20):
        alive.row(at(10 + tick), 10 + tick)
        raw_rig.run(at(10.5 + tick))
    raw_rig.store("raw")
    following = raw_rig.again(dead, alive)
    following.rings.mark_gone(dead.id)
    following.run(at(31))
    assert following.values() == []
    assert following.drained == [dead.id]


def test_positions_outlive_a_run_that_never_met_the_sampler(raw_rig: Rig) -> None:
    host, own = seconds(), seconds("own")
    raw_rig.add(host)
    host.rows(at(0), 3)
    raw_rig.run(at(3))
    alone = raw_rig.again(own)
    for tick in range(20):
        own.row(at(3 + tick), 100)
        alone.run(at(3.5 + tick))
    alone.store("raw")
    following = alone.again(host)
    following.run(at(30))
    assert following.values() == []


def test_positions_of_rings_that_nobody_holds_are_forgotten(raw_rig: Rig) -> None:
    gone, held, alive = seconds(), seconds("beta"), seconds("alive")
    raw_rig.add(gone, held)
    for host in (gone, held):
        host.row(at(0))
    raw_rig.run(at(1))
    following = raw_rig.again(alive)
    assert set(following.rings.positions()) == {gone.id, held.id, alive.id}
    following.rings.keep_known({held.id})
    assert set(following.rings.positions()) == {held.id, alive.id}


def test_a_layout_of_another_ring_is_refused(rig: Rig) -> None:
    host, other = seconds(), seconds("beta")
    with pytest.raises(ProtocolError, match="came as"):
        rig.rings.add(host.layout, other.ring.fd)
    assert "acme" in rig.rings.damaged


@pytest.mark.parametrize(
    "change",
    [
        {"count": 3},
        {"count": 1},
        {"first": 1},
        {"first": -1},
        {"period_ns": 0},
    ],
    ids=str,
)
def test_a_layout_that_does_not_fit_the_ring_is_refused(rig: Rig, change: dict[str, Any]) -> None:
    host = seconds()
    lane, events = host.layout.lanes
    layout = replace(host.layout, lanes=(replace(lane, **change), events))
    with pytest.raises(ProtocolError, match="does not fit"):
        rig.rings.add(layout, host.ring.fd)


def test_a_layout_with_too_few_lanes_or_none_for_events_is_refused(rig: Rig) -> None:
    host = seconds()
    lane, events = host.layout.lanes
    for lanes in ((lane,), (lane, lane), (events, events), (events, lane)):
        with pytest.raises(ProtocolError):
            rig.rings.add(replace(host.layout, lanes=lanes), host.ring.fd)


def test_the_lane_for_events_is_the_last_and_only_one_of_its_kind(rig: Rig) -> None:
    columns, records = (LANE_COLUMNS, 2, 0, 16, SECOND_NS), (LANE_RECORDS, 0, 64, 16, SECOND_NS)
    layout = seconds().layout
    lane, events = layout.lanes
    for ring_lanes, lanes in (
        ((records, columns), (events, lane)),
        ((records, records), (events, events)),
        ((columns, columns), (lane, lane)),
    ):
        ring = Producer(ring_lanes)
        with pytest.raises(ProtocolError, match="does not fit"):
            rig.rings.add(replace(layout, ring_id=ring.id.hex(), lanes=lanes), ring.fd)


def test_a_layout_that_no_collector_would_take_is_refused(rig: Rig) -> None:
    """One such inventory would make every batch of the node undecodable."""
    good, bad = seconds("good"), seconds("bad")
    device = Device(hw_id=7)  # type: ignore[arg-type]
    nameless = replace(bad.layout, devices=(device,))
    scaled = replace(bad.layout, series=[replace(s, scale=(1, 0)) for s in bad.layout.series])
    large = replace(bad.layout, series=[replace(s, native="x" * 70_000) for s in bad.layout.series])
    typed = replace(bad.layout, series=[replace(s, unit=None) for s in bad.layout.series])  # type: ignore[arg-type]
    for layout in (nameless, scaled, large, typed):
        with pytest.raises(ProtocolError):
            rig.rings.add(layout, bad.ring.fd)
    rig.add(good)
    good.row(at(0))
    rig.run(at(1))
    assert {one.plugin for one in rig.readings()} == {"good"}


def test_a_descriptor_that_is_no_ring_is_refused(rig: Rig) -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(ProtocolError):
            rig.rings.add(seconds().layout, read)
    finally:
        os.close(read)
        os.close(write)


def test_a_ring_that_can_be_read_ends_the_complaint(rig: Rig) -> None:
    host, following = seconds(), seconds(generation=2)
    with pytest.raises(ProtocolError):
        rig.rings.add(host.layout, following.ring.fd)
    rig.add(following)
    assert rig.rings.damaged == {}


def test_the_positions_kept_are_bounded(rig: Rig) -> None:
    for number in range(100):
        host = seconds(generation=number)
        rig.add(host)
        host.row(at(number))
        rig.rings.mark_gone(host.id)
        rig.run(at(number + 1))
        host.ring.close()
    assert len(rig.rings.positions()) <= 32
