from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.spool.helpers import SCHEMA, covered, fill, held, killed, put
from xinmai.errors import SpoolError
from xinmai.spool import disk
from xinmai.spool.spool import Spool
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import STREAMS

BUDGET = 4 * 2**20


@contextmanager
def opened(directory: Path, budget_bytes: int = BUDGET) -> Iterator[SpoolSet]:
    spools = SpoolSet(directory, budget_bytes=budget_bytes, floor_bytes=0)
    for spool in spools:
        spool.put_inventory(SCHEMA, b"inventory")
    try:
        yield spools
    finally:
        spools.close()


def test_streams_have_their_own_directory_queue_and_owner(tmp_path: Path) -> None:
    with opened(tmp_path) as spools:
        queues = {put(spools[stream])[0] for stream in STREAMS}
        assert len(queues) == len(STREAMS)
        assert len({spool.owner for spool in spools}) == 1
        assert [state.stream for state in spools.state()] == ["event", "rollup", "capture", "raw"]
    assert {item.name for item in tmp_path.iterdir()} == {*STREAMS, "lock", "instance"}


@pytest.mark.fault("E8")
@pytest.mark.statement("SPOOL-13")
def test_second_owner_of_the_set_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(SpoolError, match=f"process {os.getpid()}"):
        SpoolSet(tmp_path)
    with opened(tmp_path / "other"), pytest.raises(SpoolError, match="in use"):
        SpoolSet(tmp_path / "other")


def test_one_stream_in_use_leaves_nothing_locked(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    lock = disk.DirectoryLock(tmp_path / "raw")
    with pytest.raises(SpoolError, match="raw is in use"):
        SpoolSet(tmp_path)
    lock.release()
    with opened(tmp_path):
        pass


@pytest.mark.statement("SPOOL-13")
@pytest.mark.parametrize("content", [None, "", "gibberish", "deadbeef 00000000\n", "\x80"])
def test_lost_instance_file_is_made_again_from_the_segments(
    tmp_path: Path, content: str | None
) -> None:
    with opened(tmp_path) as spools:
        owner = spools["raw"].owner
        identity = put(spools["raw"])
    (tmp_path / "instance").unlink()
    if content is not None:
        (tmp_path / "instance").write_text(content)
    with opened(tmp_path) as spools:
        assert spools["event"].owner == owner
        assert held(spools["raw"]) == [identity]
    with opened(tmp_path) as spools:
        assert spools["event"].owner == owner


@pytest.mark.statement("SPOOL-34")
def test_losses_are_shipped_by_event_and_then_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as spools:
        queue, _ = fill(spools["raw"], 3)[0]
        spools["raw"].discard(queue, 1, 2, "refused")
        losses = spools.take_losses()
        assert [(loss.stream, loss.first, loss.last) for loss in losses] == [("raw", 1, 2)]
        spools["event"].append(b"event", schema="", losses=losses)
        before = killed(tmp_path / "a", "before")
        spools.sync()
        spools["raw"].mark_stored(queue, [(1, 3)])
        fill(spools["raw"], 1)
        after = killed(tmp_path / "a", "after")
    with opened(before) as spools:
        assert spools.take_losses() == losses
    with opened(after) as spools:
        assert len(list(spools["event"].unstored())) == 1


@pytest.mark.statement("SPOOL-32")
def test_gap_whose_loss_is_underway_is_not_declared_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as spools:
        queue, _ = fill(spools["raw"], 5)[0]
        spools["raw"].discard(queue, 2, 3, "refused")
        spools["event"].append(b"event", schema="", losses=spools.take_losses())
        spools.sync()
        spools["raw"].mark_stored(queue, [(1, 1), (4, 5)])
    with opened(tmp_path) as spools:
        spools["raw"].mark_stored(queue, [(1, 1), (4, 5)])
        assert spools.take_losses() == []
    with opened(tmp_path) as spools:
        spools["event"].mark_stored(*stored_all(spools["event"]))
    with opened(tmp_path) as spools:
        spools["raw"].mark_stored(queue, [(1, 1), (4, 5)])
        assert covered(spools.take_losses()) == {(queue, 2), (queue, 3)}


def stored_all(spool: Spool) -> tuple[str, list[tuple[int, int]]]:
    queue, seq = spool.next_identity()
    return queue, [(1, seq - 1)]


@pytest.mark.statement("SPOOL-34")
def test_event_is_synced_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def sync(descriptor: int) -> None:
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)

    with opened(tmp_path) as spools:
        for stream in STREAMS:
            put(spools[stream])
        monkeypatch.setattr(os, "fdatasync", sync)
        spools.sync()
        assert order == ["raw", "capture", "rollup", "event"]


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-36")
def test_full_disk_takes_raw_then_rollup_then_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spools:
        for stream in STREAMS:
            fill(spools[stream], 100, size=2000)
        assert spools.take_losses() == []
        held_before = {stream: set(held(spools[stream])) for stream in STREAMS}
        real, need = os.pwritev, [0]

        def full(descriptor: int, buffers: list[bytes], offset: int) -> int:
            if need[0]:
                need[0] -= 1
                raise OSError(errno.ENOSPC, "full")
            return real(descriptor, buffers, offset)

        monkeypatch.setattr(os, "pwritev", full)
        order: list[str] = []
        for _ in range(100):
            need[0] = 1
            try:
                fill(spools["event"], 1)
            except OSError:
                break
            order += [loss.stream for loss in spools.take_losses()]
        assert order == sorted(order, key=["raw", "capture", "rollup", "event"].index)
        assert set(order) == set(STREAMS)
        need[0] = 0
        fill(spools["event"], 1)
        for stream in ("raw", "capture", "rollup"):
            assert held(spools[stream]), "the active segment is never dropped"
            assert set(held(spools[stream])) < held_before[stream]


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-36")
@pytest.mark.statement("SPOOL-21")
def test_set_aside_files_go_before_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir(parents=True)
    (tmp_path / "raw" / "strange").write_bytes(bytes(1000))
    with opened(tmp_path) as spools:
        assert (tmp_path / "raw" / "bad" / "strange").exists()
        put(spools["event"])
        real, need = os.pwritev, [1]

        def full(descriptor: int, buffers: list[bytes], offset: int) -> int:
            if need[0]:
                need[0] -= 1
                raise OSError(errno.ENOSPC, "full")
            return real(descriptor, buffers, offset)

        monkeypatch.setattr(os, "pwritev", full)
        put(spools["event"])
        assert spools.take_losses() == []
        assert not (tmp_path / "raw" / "bad").exists()


@pytest.mark.statement("SPOOL-36")
def test_below_the_floor_only_freed_space_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spools:
        fill(spools["raw"], 400, size=2000)
        monkeypatch.setattr(disk, "free_bytes", lambda _: -1)
        while not (losses := spools.take_losses()):
            put(spools["raw"], 2000)
        assert {loss.stream for loss in losses} == {"raw"}
        with pytest.raises(OSError, match="no free space"):
            fill(spools["rollup"], 2000, size=20000)
        monkeypatch.setattr(disk, "free_bytes", lambda _: 2**40)
        put(spools["rollup"])


@pytest.mark.fault("E10")
def test_sync_of_one_stream_failing_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spools:
        for stream in STREAMS:
            put(spools[stream])

        def sync(descriptor: int) -> None:
            if "/rollup/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                raise OSError(errno.EIO, "lost pages")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", sync)
            with pytest.raises(OSError, match="rollup"):
                spools.sync()
        spools.sync()
        assert all(len(held(spool)) == 1 for spool in spools)
        assert covered(spools.take_losses()) == set()
