"""Sealing by age and size, merging by hour and day, forgetting by age and size."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agent.collector.node import Node
from agent.collector.rig import Rig, running
from xinmai.collector import tail
from xinmai.collector.store import GRACE_NS

COUNT = "SELECT count(*) AS n, sum(count)::BIGINT AS readings FROM samples"


async def sealed(rig: Rig, node: Node, seconds: range) -> None:
    for at in seconds:
        await rig.take(node.second(at))
        await rig.seal()


async def settle(rig: Rig) -> None:
    """Let the log look at its age and size."""
    rig.log.tick()
    await rig.log.flush()


async def test_a_segment_ends_by_age(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path, seal_s=60) as rig:
        await rig.take(node.announce(), node.second(1))
        rig.clock.advance(59)
        await settle(rig)
        assert rig.log.number == 1
        rig.clock.advance(1)
        await settle(rig)
        await settle(rig)
        assert rig.log.number == 2
        assert len(rig.core.state.closed) == 1
        rig.clock.advance(600)
        await settle(rig)
        assert rig.log.number == 2, "an empty segment has no age"


async def test_a_segment_ends_by_size(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path, seal_bytes=2000) as rig:
        await rig.take(node.announce(), *(node.second(at) for at in range(8)))
        await settle(rig)
        assert rig.log.number == 2


async def test_a_segment_ends_before_its_rows_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "SEAL_ROWS", 10)
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), *(node.second(at) for at in range(4)))
        await settle(rig)
        assert rig.log.number == 2


async def test_parquet_is_sorted_and_compressed(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), *(node.second(at) for at in (5, 3, 4)))
        await rig.seal()
        (one,) = rig.core.store.sets
        rows = pq.read_table(one.samples)
        keys = list(zip(rows["series_id"].to_pylist(), rows["time_ns"].to_pylist(), strict=True))
        assert keys == sorted(keys)
        column = pq.read_metadata(one.samples).row_group(0).column(0)
        assert column.compression == "ZSTD"
        assert one.facts.rows == 12


async def test_an_hour_becomes_one_set_and_then_a_day(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        account = "SELECT * FROM account ORDER BY minute"
        for hour in range(3):
            await sealed(rig, node, range(3 * hour, 3 * hour + 3))
            await rig.take(node.event(at_s=hour))
            await rig.seal()
            rig.clock.advance(3600)
        before = {sql: rig.select(sql) for sql in (COUNT, account, "FROM events ORDER BY time")}
        for _ in range(3):
            await rig.core.tidy()
        assert [one.facts.level for one in rig.core.store.sets] == [1, 1, 1]
        assert {sql: rig.select(sql) for sql in before} == before
        rig.clock.advance(86_400)
        await rig.core.tidy()
        (day,) = rig.core.store.sets
        assert (day.facts.level, day.facts.rows) == (2, 36)
        assert {sql: rig.select(sql) for sql in before} == before
        rig.clock.advance(86_400)
        await rig.core.tidy()
        assert rig.core.store.sets == (day,)


async def test_replaced_sets_stay_for_queries_that_have_begun(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        await sealed(rig, node, range(3))
        old = list(rig.core.store.sets)
        rig.clock.advance(3600)
        await rig.core.tidy()
        assert all(one.samples.exists() for one in old)
        rig.clock.advance(GRACE_NS / 1e9)
        await rig.core.tidy()
        assert not any(one.path.exists() for one in old)


async def test_the_oldest_goes_by_age_and_the_newest_never(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path, retain_days=2.0) as rig:
        await rig.take(node.announce())
        await sealed(rig, node, range(2))
        rig.clock.advance(86_400 * 3)
        later = Node(start_ns=rig.clock.now_ns, seqs=node.seqs)
        await rig.take(later.announce(), later.second(0))
        await rig.seal()
        await rig.core.tidy()
        assert rig.select(COUNT) == [{"n": 4, "readings": 40}]
        rig.clock.advance(86_400 * 30)
        await rig.core.tidy()
        assert len(rig.core.store.sets) == 1
    async with running(tmp_path, rig.clock) as rig:
        # What was forgotten is still known as stored: it is not asked for again.
        assert rig.stored() == {"rollup": {node.queue: [(1, 3)]}}


@pytest.mark.fault("E6")
async def test_a_filesystem_smaller_than_the_budget_is_not_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        await sealed(rig, node, range(4))
        stat = os.statvfs(tmp_path)
        share = 1.5 * rig.core.store.sets[0].bytes / (stat.f_blocks * stat.f_frsize)
        monkeypatch.setattr("xinmai.collector.store.FILESYSTEM_SHARE", share)
        await rig.core.tidy()
        assert [one.first for one in rig.core.store.sets] == [4]


async def test_the_oldest_goes_by_size(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        await sealed(rig, node, range(4))
        size = rig.core.store.sets[0].bytes
    async with running(tmp_path, retain_bytes=int(2.5 * size)) as rig:
        await rig.core.tidy()
        assert [one.first for one in rig.core.store.sets] == [3, 4]
        assert rig.core.counters.totals["sets_dropped"] == 2
        assert rig.stored() == {"rollup": {node.queue: [(1, 4)]}}
