"""What happens to messages of every kind between broker and log."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from pathlib import Path

import pytest

from agent.collector.node import Message, Node, device, plain_series, series
from agent.collector.rig import Clock, running
from xinmai.collector import inventories
from xinmai.errors import Refused
from xinmai.wire.codec import decode_batch, encode_inventory
from xinmai.wire.messages import AccountEntry


async def test_a_batch_becomes_rows_and_is_stored(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.status(), node.announce(), node.second(1), node.second(2))
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}
        rows = rig.select("SELECT count(*) AS n, sum(count)::BIGINT AS readings FROM samples")
        assert rows == [{"n": 8, "readings": 80}]


@pytest.mark.statement("WIRE-40")
@pytest.mark.fault("D4")
async def test_a_repeat_is_dropped_and_stored_is_said_again(tmp_path: Path) -> None:
    node = Node()
    message = node.second(1)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), message)
        await rig.core.outboxes["local"].take()
        await rig.take(message, message)
        assert rig.core.counters.totals["duplicates"] == 2
        assert await rig.core.outboxes["local"].take() == {"n1"}
        assert rig.select("SELECT count(*) AS n FROM samples") == [{"n": 4}]


async def test_a_repeat_of_what_is_being_written_is_dropped(tmp_path: Path) -> None:
    node = Node()
    message = node.second(1)
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        await rig.ingest.take(*message)
        await rig.ingest.take(*message)
        await rig.log.flush()
        assert rig.select("SELECT count(*) AS n FROM samples") == [{"n": 4}]


@pytest.mark.fault("D14")
async def test_a_gap_is_named_until_it_is_filled(tmp_path: Path) -> None:
    node = Node()
    first, second, third = node.second(1), node.second(2), node.second(3)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), first, third)
        assert rig.stored() == {"rollup": {node.queue: [(1, 1), (3, 3)]}}
        ledger = rig.core.state.ledger.node("local", "n1")
        assert ledger.gaps() == 1
        await rig.take(second)
        assert rig.stored() == {"rollup": {node.queue: [(1, 3)]}}
        assert ledger.gaps() == 0


def misdirected() -> list[tuple[str, Message]]:
    node, other = Node(), Node(name="n2")
    return [
        ("batch", (other.topics.batch, node.second(1)[1])),
        ("status", (other.topics.status, node.status()[1])),
        ("inventory", (other.topics.inventory(node.schema), node.announce()[1])),
        ("edge", (Node(edge="b").topics.batch, node.second(1)[1])),
    ]


@pytest.mark.statement("WIRE-3")
@pytest.mark.fault("D16")
@pytest.mark.parametrize(("what", "message"), misdirected())
async def test_a_body_of_another_node_is_refused(
    tmp_path: Path, what: str, message: Message
) -> None:
    async with running(tmp_path, edges=("local", "b")) as rig:
        await rig.take(message)
        assert rig.refused() == {"origin": 1}, what
        assert rig.core.counters.totals["batches"] == 0


async def test_an_edge_of_another_collector_is_not_taken(tmp_path: Path) -> None:
    node = Node(edge="elsewhere")
    async with running(tmp_path) as rig:
        await rig.take(node.status(), node.announce(), node.second(1))
        assert rig.refused() == {"edge": 3}
        assert len(rig.core.state.ledger) == 0


async def test_a_stream_under_the_wrong_topic_is_refused(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take((node.topics.event, node.second(1)[1]), (node.topics.batch, node.event()[1]))
        assert rig.refused() == {"value": 2}


async def test_an_inventory_under_another_schema_is_refused(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take((node.topics.inventory("0" * 16), node.announce()[1]))
        assert rig.refused() == {"value": 1}


async def test_what_collectors_send_and_what_is_cleared_is_ignored(tmp_path: Path) -> None:
    node = Node()
    leaves = ("cmd", "stored")
    async with running(tmp_path) as rig:
        await rig.take(*((f"{node.topics.base}/{leaf}", b"anything") for leaf in leaves))
        await rig.take(("xinmai/1/local/_collector", b"anything"), (node.topics.status, b""))
        assert rig.refused() == {}


@pytest.mark.statement("WIRE-32")
@pytest.mark.statement("WIRE-31")
async def test_a_batch_waits_for_its_inventory(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.second(1), node.second(2))
        assert rig.stored() == {}
        assert len(rig.core.parking) == 2
        await rig.take(node.announce())
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}
        assert len(rig.core.parking) == 0


@pytest.mark.statement("WIRE-32")
async def test_parking_is_bounded_per_node_and_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(map(len, Node().second(1)))
    monkeypatch.setattr(inventories, "PARKED_PER_NODE_BYTES", 3 * size)
    monkeypatch.setattr(inventories, "PARKED_BYTES", 5 * size)
    one, two = Node(name="n1"), Node(name="n2")
    async with running(tmp_path) as rig:
        for node in (one, two):
            await rig.take(*(node.second(at) for at in range(4)))
        assert len(rig.core.parking) == 5
        assert rig.core.parking.dropped == 3
        await rig.take(one.announce(), two.announce())
        # What was not kept is not stored either: it comes again.
        assert rig.stored(node="n1") == {"rollup": {one.queue: [(1, 3)]}}
        assert rig.stored(node="n2") == {"rollup": {two.queue: [(1, 2)]}}


@pytest.mark.statement("WIRE-32")
async def test_an_inventory_that_data_names_outlives_the_process(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
    async with running(tmp_path) as rig:
        await rig.take(node.second(2))
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}


async def test_events_need_no_inventory(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.event("xid"), node.event("ras"))
        assert rig.stored() == {"event": {node.queue: [(1, 2)]}}
        codes = rig.select("SELECT code, class, attributes FROM events ORDER BY code DESC")
        assert codes[0] == {"code": "xid", "class": "driver", "attributes": {"slot": "3"}}


@pytest.mark.statement("WIRE-21")
@pytest.mark.fault("D12")
async def test_a_late_will_does_not_bury_a_newer_session(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.status(session=4), node.status(session=5))
        await rig.take(node.status(online=False, session=4))
        await rig.take(node.status(online=False, session=9, boot="cd" * 16))
        ledger = rig.core.state.ledger.node("local", "n1")
        assert ledger.status is not None
        assert ledger.status.online
        assert rig.core.counters.totals["late_wills"] == 2
        await rig.take(node.status(online=False, session=5))
        assert not ledger.status.online


async def test_what_cannot_be_decoded_is_kept_closed_and_counted_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node()
    fewer = Node(columns=node.columns[:2])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), fewer.announce())
        _, good = node.second(1)
        await rig.take((node.topics.batch, good))
        # Says four columns under a schema that has two.
        account = [AccountEntry(5, 40, 0, 0)]
        blocks = decode_batch(good).blocks
        bad = node.message("rollup", schema=fewer.schema, blocks=blocks, account=account)
        with caplog.at_level(logging.WARNING):
            await rig.take(bad)
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}
        (row,) = rig.select("SELECT * FROM account WHERE minute < '2000-01-01'")
        assert (row["taken"], row["stored"], row["lost"]) == (40, 0, 40)
        assert row["lost_by_reason"] == {"undecodable": 40}
        assert "undecodable" in caplog.text


@pytest.mark.statement("WIRE-47")
async def test_blocks_that_differ_from_their_account_are_counted(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        blocks = decode_batch(node.second(1)[1]).blocks
        entry = AccountEntry(node.start_ns // 60_000_000_000, 41, 0, 0)
        await rig.take(node.announce(), node.message("rollup", blocks=blocks, account=[entry]))
        assert rig.core.counters.totals["account_mismatch"] == 1
        assert rig.stored() == {"rollup": {node.queue: [(2, 2)]}}


@pytest.mark.statement("WIRE-13")
@pytest.mark.fault("F1")
@pytest.mark.fault("F2")
async def test_random_bytes_leave_it_collecting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node, source = Node(), random.Random(4)
    good = node.second(1)
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        for topic in (node.topics.batch, node.topics.event, node.topics.status, "x/y"):
            for size in (1, 10, 200, 5000):
                await rig.ingest.take(topic, source.randbytes(size))
            await rig.ingest.take(topic, b"\x81" * 2**20)
            await rig.ingest.take(topic, bytes(2**20 + 1))
        for place in range(0, len(good[1]), 7):
            damaged = bytearray(good[1])
            damaged[place] ^= 1 << source.randrange(8)
            await rig.ingest.take(good[0], bytes(damaged))
        await rig.take(node.second(2))
        assert rig.core.counters.totals["batches"] >= 1
        assert "rollup" in rig.stored()
        # Once per sender and reason, not once per message.
        assert len(caplog.records) < 20


@pytest.mark.fault("F1")
async def test_a_small_body_cannot_ask_for_minutes_of_work(tmp_path: Path) -> None:
    node = Node(columns=plain_series(256))
    (block,) = decode_batch(node.second(1)[1]).blocks
    huge = replace(block, n=4000, last=b"", min=None, max=None, sum=None)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.message("rollup", blocks=[huge] * 1500))
        assert rig.core.counters.totals["undecodable"] == 1


async def test_lanes_that_overlap_do_not_multiply_memory(tmp_path: Path) -> None:
    node = Node(columns=plain_series(2000))
    inventory = replace(node.inventory, lanes=list(node.inventory.lanes) * 4000)
    key = ("local", "n1", "0" * 16)
    payload = encode_inventory(replace(inventory, lanes=inventory.lanes[:1000]))
    with pytest.raises(Refused):
        inventories.Known.of(key, payload)


async def test_numbers_beyond_reason_do_not_reach_the_account(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.message("rollup", account=[AccountEntry(5, 2**62, 0, 0)]))
        assert rig.core.counters.totals["undecodable"] == 1
        assert rig.select("SELECT * FROM account") == []


async def test_a_queue_in_too_many_pieces_waits_for_its_gaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinmai.collector.ledger.KEPT_RANGES", 3)
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), *(node.second(at, seq=at) for at in (1, 3, 5)))
        await rig.take(node.second(7, seq=7))
        assert rig.refused() == {"too_many_gaps": 1}
        await rig.take(node.second(2, seq=2))
        await rig.take(node.second(7, seq=7))
        assert rig.stored() == {"rollup": {node.queue: [(1, 3), (5, 5), (7, 7)]}}


async def test_a_changed_scale_is_another_series(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power")])
    later = Node(columns=[series("hw.power", scale=(1, 1))])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        await rig.take(later.announce(), later.second(2, seq=2))
        values = rig.select("SELECT value FROM samples ORDER BY time")
        assert [row["value"] for row in values] == [1.0, 1000.0]


async def test_a_hot_plug_updates_devices(tmp_path: Path) -> None:
    node, clock = Node(), Clock()
    later = Node(devices=[device("gpu-1", 1)], start_ns=node.start_ns + 1)
    async with running(tmp_path, clock) as rig:
        await rig.take(node.announce(), node.second(1), later.announce(), later.second(2, seq=2))
        rows = rig.select('SELECT hw_id, present, "index" FROM devices ORDER BY hw_id')
        assert rows == [
            {"hw_id": "gpu-0", "present": False, "index": 0},
            {"hw_id": "gpu-1", "present": True, "index": 1},
        ]
        # A backlog that names the old inventory does not bring the device back.
        await rig.take(node.second(3, seq=3))
        assert rig.select("SELECT hw_id FROM devices WHERE present") == [{"hw_id": "gpu-1"}]
