"""Crashes at every step, full disks, damaged files: nothing is lost, nothing counts twice."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.collector.node import Node
from agent.collector.rig import Rig, running
from xinmai.collector import compaction, core, files, sets
from xinmai.collector.logfile import LogFile, segments
from xinmai.spool.segment import SegmentWriter

COUNT = "SELECT count(*) AS n, sum(count)::BIGINT AS readings FROM samples"
EVERYTHING = """SELECT (SELECT count(*) FROM samples) AS n,
    (SELECT sum(count)::BIGINT FROM samples) AS readings,
    (SELECT sum(taken)::BIGINT FROM account) AS taken,
    (SELECT sum(stored)::BIGINT FROM account) AS stored,
    (SELECT count(*) FROM events) AS events"""


class Crash(BaseException):
    """The process ends here."""


def crashing(monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(target, name, crash)


async def test_the_log_brings_everything_back(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), *(node.second(at) for at in range(5)), node.event())
        before = {sql: rig.select(sql) for sql in (EVERYTHING, "FROM events", "FROM devices")}
        stored = rig.stored()
    async with running(tmp_path) as rig:
        assert rig.stored() == stored
        assert {sql: rig.select(sql) for sql in before} == before
        # The old segment is never written again; a repeat is still a repeat.
        node.seqs.clear()
        await rig.take(node.second(0))
        assert rig.core.counters.totals["duplicates"] == 1


STEPS: list[tuple[object, str]] = [
    (sets, "prepare"),
    (sets, "write_samples"),
    (sets, "write_side"),
    (sets, "write_file"),
    (sets, "publish"),
    (sets, "sync_file"),
    (sets, "sync_directory"),
    (Path, "rename"),
    (sets, "load"),
    (core, "drop_segments"),
]


@pytest.mark.fault("E4")
@pytest.mark.parametrize(("target", "name"), STEPS, ids=[name for _, name in STEPS])
async def test_a_crash_at_any_step_of_sealing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, name: str
) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1), node.second(2), node.event())
        await rig.log.end_segment()
        with monkeypatch.context() as patch:
            crashing(patch, target, name)
            with pytest.raises(Crash):
                await rig.core.seal_next()
        await rig.take(node.second(3))
    held = {"n": 12, "readings": 120, "taken": 120, "stored": 120, "events": 1}
    for _ in range(2):
        async with running(tmp_path) as rig:
            assert rig.stored() == {
                "event": {node.queue: [(1, 1)]},
                "rollup": {node.queue: [(1, 3)]},
            }
            assert rig.select(EVERYTHING) == [held]
            await rig.seal()
            assert rig.select(EVERYTHING) == [held]
            assert segments(rig.core.layout.log) == []


@pytest.mark.fault("E4")
@pytest.mark.parametrize("name", ["prepare", "write_side", "publish"])
async def test_a_crash_at_any_step_of_merging_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        for at in (1, 2, 3):
            await rig.take(node.second(at))
            await rig.seal()
        rig.clock.advance(3600)
        with monkeypatch.context() as patch:
            crashing(patch, compaction, name)
            with pytest.raises(Crash):
                await rig.core.tidy()
    async with running(tmp_path, rig.clock) as rig:
        assert rig.select(COUNT) == [{"n": 12, "readings": 120}]
        await rig.core.tidy()
        assert len(rig.core.store.sets) == 1
        assert rig.select(COUNT) == [{"n": 12, "readings": 120}]
    # A crash before the replaced ones were removed.
    async with running(tmp_path, rig.clock) as rig:
        assert len(rig.core.store.sets) == 1
        assert len(list(rig.core.layout.data.iterdir())) == 1
        assert rig.stored() == {"rollup": {node.queue: [(1, 3)]}}
        assert rig.select(COUNT) == [{"n": 12, "readings": 120}]


async def test_state_behind_a_segment_holds_nothing_of_the_next(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        await rig.log.end_segment()
        await rig.take(node.second(2))
        assert await rig.core.seal_next()
    async with running(tmp_path) as rig:
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}
        assert rig.select(COUNT) == [{"n": 8, "readings": 80}]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.fault("E6")
@pytest.mark.parametrize(
    ("target", "name"),
    [
        (SegmentWriter, "append"),
        (SegmentWriter, "__init__"),
        (files, "replace_file"),
        (LogFile, "_open"),
    ],
)
async def test_a_full_disk_stops_stored_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, name: str
) -> None:
    monkeypatch.setattr("xinmai.collector.log.RETRY_S", 0.0)
    if name == "replace_file":
        monkeypatch.setattr("xinmai.collector.inventories.replace_file", full)
    node = Node()
    other = Node(name="n2")
    async with running(tmp_path) as rig:
        if name == "append":
            await rig.take(other.announce(), other.second(1))
        with monkeypatch.context() as patch:
            if name != "replace_file":
                patch.setattr(target, name, full)
            await rig.take(node.announce(), node.second(1))
            assert rig.stored() == {}
            assert rig.core.trouble()
            rig.select(COUNT)
        monkeypatch.undo()
        node.seqs.clear()
        await rig.take(node.second(1))
        assert rig.stored() == {"rollup": {node.queue: [(1, 1)]}}
        assert not rig.core.trouble()
        assert rig.select("SELECT count(*) AS n FROM samples WHERE node = 'n1'") == [{"n": 4}]


@pytest.mark.fault("E10")
async def test_after_a_failed_sync_the_segment_is_left_and_nothing_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinmai.collector.log.RETRY_S", 0.0)
    node = Node()
    first, second = node.second(1), node.second(2)

    def broken(_: SegmentWriter) -> None:
        raise OSError(errno.EIO, "input/output error")

    async with running(tmp_path) as rig:
        await rig.take(node.announce(), first)
        with monkeypatch.context() as patch:
            patch.setattr(SegmentWriter, "sync", broken)
            await rig.take(second)
        assert rig.stored() == {"rollup": {node.queue: [(1, 1)]}}
        number = rig.log.number
        await rig.take(second)
        assert number == 2
        assert rig.stored() == {"rollup": {node.queue: [(1, 2)]}}
        assert rig.select(COUNT) == [{"n": 8, "readings": 80}]
    # Both segments may hold the second batch: it counts once.
    async with running(tmp_path) as rig:
        assert rig.select(COUNT) == [{"n": 8, "readings": 80}]


async def test_sealing_that_fails_is_tried_again_and_holds_back_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await rig.take(node.announce())
        with monkeypatch.context() as patch:
            patch.setattr(sets, "write_samples", full)
            for at in range(core.UNSEALED):
                await rig.take(node.second(at))
                await rig.log.end_segment()
                assert not await rig.core.seal_next()
            assert rig.core.trouble()
            await rig.ingest.take(*node.second(9))
            await rig.log.flush()
            assert rig.stored() == {"rollup": {node.queue: [(1, core.UNSEALED)]}}
        await rig.seal()
        await rig.log.flush()
        assert rig.stored() == {"rollup": {node.queue: [(1, core.UNSEALED + 1)]}}
        assert not rig.core.trouble()


async def fill(rig: Rig, node: Node) -> None:
    await rig.take(node.announce())
    for at in range(3):
        await rig.take(node.second(at))
        await rig.seal()
    await rig.take(node.second(3), node.second(4))


def damage_everything(store: Path, source: random.Random, how: Callable[[Path], None]) -> None:
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.name != "lock" and source.random() < 0.6:
            path.chmod(0o644)
            how(path)


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), max(1, len(data) // 20)):
        data[place] ^= 0x55
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: list[Callable[[Path], None]] = [scribble, cut, Path.unlink]


@pytest.mark.fault("E3")
@pytest.mark.fault("E2")
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("seed", range(3))
async def test_it_opens_whatever_happened_to_its_files(
    tmp_path: Path, how: Callable[[Path], None], seed: int
) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        await fill(rig, node)
    damage_everything(tmp_path, random.Random(seed), how)
    fresh = Node(queue="00000000000000bb")
    async with running(tmp_path) as rig:
        await rig.take(fresh.announce(), fresh.second(10))
        assert rig.stored()["rollup"][fresh.queue] == [(1, 1)]
        await rig.seal()
    async with running(tmp_path) as rig:
        assert rig.stored()["rollup"][fresh.queue] == [(1, 1)]


@pytest.mark.fault("E1")
async def test_a_torn_tail_costs_its_own_batch_only(tmp_path: Path) -> None:
    node = Node()
    async with running(tmp_path / "a") as rig:
        await rig.take(node.announce(), *(node.second(at) for at in range(4)))
        ((_, path),) = segments(rig.core.layout.log)
    size = path.stat().st_size
    for cut_bytes in (1, 40, 300):
        copy = tmp_path / f"cut{cut_bytes}"
        shutil.copytree(tmp_path / "a", copy)
        os.truncate(copy / "log" / path.name, size - cut_bytes)
        async with running(copy) as rig:
            assert rig.stored() == {"rollup": {node.queue: [(1, 3)]}}
            assert rig.select(COUNT) == [{"n": 12, "readings": 120}]


async def test_half_a_line_of_the_series_table_is_taken_back(tmp_path: Path) -> None:
    node, other = Node(), Node(name="n2")
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        path: Path = rig.core.layout.series
    with path.open("ab") as file:
        file.write(b'{"series_id": 5, "edge"')
    async with running(tmp_path) as rig:
        await rig.take(other.announce(), other.second(1))
    async with running(tmp_path) as rig:
        rows: list[dict[str, Any]] = rig.select("SELECT node, count(*) AS n FROM series GROUP BY 1")
        assert sorted((row["node"], row["n"]) for row in rows) == [("n1", 4), ("n2", 4)]
