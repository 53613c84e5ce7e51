from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent.spool.helpers import (
    HEADER,
    fill,
    held,
    killed,
    opened,
    put,
    segments,
    write_segment,
)
from xinmai.spool import disk
from xinmai.spool.segment import SegmentHeader, scan


def headers(directory: Path) -> list[SegmentHeader]:
    return [scan(path)[0].header for path in segments(directory)]


@pytest.mark.statement("SPOOL-10")
def test_closed_queue_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = fill(spool, 3)[0]
    with opened(tmp_path) as spool:
        assert put(spool) == (queue, 4)
        assert [seq for _, seq in held(spool)] == [1, 2, 3, 4]
    assert [(header.queue, header.first_seq) for header in headers(tmp_path)] == [
        (queue, 1),
        (queue, 4),
    ]


@pytest.mark.statement("SPOOL-10")
def test_killed_process_begins_a_new_queue_that_names_the_old(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as spool:
        queue, _ = fill(spool, 3)[0]
        copy = killed(tmp_path / "a")
    with opened(copy) as spool:
        new, seq = put(spool)
        assert (new != queue, seq) == (True, 1)
        assert len(held(spool)) == 4
    assert headers(copy)[-1].predecessor == queue


@pytest.mark.statement("SPOOL-10")
def test_queue_that_was_opened_but_not_used_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = fill(spool, 3)[0]
    for _ in range(3):
        with opened(tmp_path) as spool:
            assert spool.next_identity() == (queue, 4)
    assert len(segments(tmp_path)) == 1


@pytest.mark.statement("SPOOL-10")
def test_lost_last_segment_never_lets_a_seq_come_again(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 60, size=200)[0]
    segments(tmp_path)[-1].unlink()
    with opened(tmp_path) as spool:
        assert spool.next_identity()[0] != queue


@pytest.mark.statement("SPOOL-11")
def test_first_segment_of_a_queue_that_goes_on_is_durable_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spool:
        put(spool)
    calls: list[str] = []
    real = disk.sync_directory

    def record(directory: Path) -> None:
        calls.append(f"{len(segments(directory))} segments")
        real(directory)

    with opened(tmp_path) as spool:
        monkeypatch.setattr(disk, "sync_directory", record)
        put(spool)
        assert calls == ["2 segments"]


@pytest.mark.statement("SPOOL-12")
def test_old_copy_of_a_directory_does_not_use_its_seqs_again(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as spool:
        queue, _ = fill(spool, 3)[0]
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    with opened(tmp_path / "a") as spool:
        fill(spool, 10)
    with opened(tmp_path / "backup") as spool:
        spool.mark_stored(queue, [(1, 13)])
        assert put(spool) == (queue, 14)


@pytest.mark.fault("E8")
@pytest.mark.statement("SPOOL-13")
@pytest.mark.parametrize(("owner", "stream"), [("e" * 32, "rollup"), ("", "raw")])
def test_segment_of_another_owner_or_stream_is_set_aside(
    tmp_path: Path, owner: str, stream: str
) -> None:
    with opened(tmp_path) as spool:
        queue, _ = put(spool)
        stranger = replace(HEADER, created_ns=1, owner=owner or spool.owner, stream=stream)
    path, _ = write_segment(tmp_path, [b"stranger"], stranger)
    with opened(tmp_path) as spool:
        assert held(spool) == [(queue, 1)]
        assert spool.next_identity()[0] != queue
        assert spool.state().damaged == 1
    assert [item.name for item in (tmp_path / "bad").iterdir()] == [path.name]


@pytest.mark.statement("SPOOL-13")
def test_foreign_files_are_set_aside(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = put(spool)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "nothing.seg").write_bytes(b"")
    (tmp_path / "link.seg").symlink_to("/etc/passwd")
    with opened(tmp_path) as spool:
        assert held(spool) == [(queue, 1)]
    names = {item.name for item in (tmp_path / "bad").iterdir()}
    assert names == {"notes.txt", "folder", "nothing.seg", "link.seg"}


def test_segments_stay_in_order_when_the_clock_steps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        monkeypatch.setattr("xinmai.clock.wall_ns", lambda: 2_000_000_000_000_000_000)
        fill(spool, 20, size=200)
        monkeypatch.setattr("xinmai.clock.wall_ns", lambda: 1_000_000_000_000_000_000)
        queue, _ = fill(spool, 20, size=200)[0]
    with opened(tmp_path) as spool:
        assert held(spool) == [(queue, seq) for seq in range(1, 41)]
