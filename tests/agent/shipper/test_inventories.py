"""Hot-plug, and nodes with more series than one inventory holds."""

from __future__ import annotations

import pytest

from agent.shipper.rig import IDENTITY, Host, LaneSpec, Rig
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai.shipper.identity import check_layout, make_inventory
from xinmai.wire.codec import decode_inventory, encode_inventory
from xinmai.wire.limits import MAX_BODY_BYTES

START_NS = 600 * SECOND_NS
SECOND = LaneSpec("second", SECOND_NS, 2)


def at(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def test_a_plugin_that_comes_in_mid_stream_makes_a_new_schema(rig: Rig) -> None:
    first, second = Host("acme", (SECOND,)), Host("beta", (SECOND,))
    rig.add(first)
    first.row(at(0))
    rig.run(at(1))
    rig.add(second)
    first.row(at(1))
    second.row(at(1))
    rig.run(at(2))
    before, after = rig.batches()
    assert before.schema != after.schema
    assert [lane.plugin for lane in rig.inventory(before).lanes] == ["acme"]
    assert [lane.plugin for lane in rig.inventory(after).lanes] == ["acme", "beta"]


def test_a_host_that_only_starts_anew_keeps_the_schema(rig: Rig) -> None:
    old, new = Host("acme", (SECOND,)), Host("acme", (SECOND,), generation=2)
    rig.add(old)
    old.row(at(0))
    rig.run(at(1))
    rig.add(new)
    rig.rings.mark_gone(old.id)
    new.row(at(1))
    rig.run(at(2))
    rig.run(at(3))
    assert len({batch.schema for batch in rig.batches()}) == 1
    assert {batch.schema for batch in rig.batches()} == rig.drain.schemas


def test_a_backlog_of_many_schemas_stays_decodable(rig: Rig) -> None:
    hosts = [Host(f"plugin{number}", (SECOND,)) for number in range(6)]
    for number, host in enumerate(hosts):
        rig.add(host)
        for known in hosts[: number + 1]:
            known.row(at(number), number)
        rig.run(at(number + 1))
    assert len({batch.schema for batch in rig.batches()}) == 6
    assert len(rig.readings()) == 2 * (1 + 2 + 3 + 4 + 5 + 6)
    following = rig.again()
    assert len(following.readings()) == 42


def test_lanes_and_series_are_numbered_over_all_plugins() -> None:
    layouts = [
        Host("a", (SECOND, LaneSpec("more", SECOND_NS, 3))).layout,
        Host("b", (LaneSpec("only", SECOND_NS, 1),)).layout,
    ]
    inventory = make_inventory(IDENTITY, layouts, 7)
    found = [(lane.plugin, lane.name, lane.first, lane.count) for lane in inventory.lanes]
    assert found == [("a", "second", 0, 2), ("a", "more", 2, 3), ("b", "only", 5, 1)]
    assert list(decode_inventory(encode_inventory(inventory)).series) == inventory.series


def large(plugin: str) -> Host:
    """Half an inventory's worth of bytes and more."""
    return Host(plugin, (LaneSpec("second", SECOND_NS, 1000),), native="n" * 450)


def test_a_node_with_more_series_than_a_body_holds_is_collected(rig: Rig) -> None:
    hosts = [large(f"plugin{number}") for number in range(5)]
    rig.add(*hosts)
    for number, host in enumerate(hosts):
        host.row(at(0), number)
        host.event(f"e{number}")
    rig.run(at(1))
    for host in hosts:
        host.row(at(1))
    rig.run(at(2))
    batches = rig.batches()
    assert len({batch.schema for batch in batches}) >= 4
    assert {batch.schema for batch in batches} == rig.drain.schemas
    for batch in batches:
        assert len(encode_inventory(rig.inventory(batch))) <= MAX_BODY_BYTES
    found = {(one.plugin, one.last) for one in rig.readings() if one.column == 0}
    assert {(f"plugin{number}", number) for number in range(5)} <= found
    assert len(rig.readings()) == 10_000
    assert rig.codes() == [f"e{number}" for number in range(5)]


def test_a_plugin_that_fits_no_inventory_alone_is_refused(rig: Rig) -> None:
    host = Host("vast", (LaneSpec("second", SECOND_NS, 2500),), native="n" * 450)
    with pytest.raises(ProtocolError, match="too_big"):
        check_layout(IDENTITY, host.layout)
    with pytest.raises(ProtocolError, match="vast"):
        rig.rings.add(host.layout, host.ring.fd)
