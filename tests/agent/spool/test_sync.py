from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from agent.spool.helpers import (
    SCHEMA,
    Identity,
    fill,
    held,
    killed,
    opened,
    payload_of,
    put,
    segments,
)
from xinmai.spool import journal
from xinmai.wire.messages import Loss

CARRIED = Loss("raw", "c" * 16, 3, 9, "spool_budget", ())


def failing(times: int, after: Callable[[], None] = lambda: None) -> Callable[[int], None]:
    """An fdatasync that fails a number of times, then says that all is well."""
    left = [times]

    def sync(_: int) -> None:
        if left[0]:
            left[0] -= 1
            after()
            raise OSError(errno.EIO, "lost pages")

    return sync


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-41")
def test_failed_sync_writes_everything_unsynced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "a"
    with opened(directory) as spool:
        fill(spool, 5)
        spool.sync()
        [old] = segments(directory)
        durable = old.stat().st_size
        identities = [*held(spool), *fill(spool, 7)]

        def lose_pages() -> None:
            data = bytearray(old.read_bytes())
            data[durable:] = bytes(len(data) - durable)
            old.write_bytes(data)

        monkeypatch.setattr(os, "fdatasync", failing(1, lose_pages))
        spool.sync()
        assert len(segments(directory)) == 2
        assert old.stat().st_size == durable
        assert held(spool) == identities
        assert put(spool) == (identities[0][0], 13)
        copy = killed(directory)
        assert spool.take_losses() == []
    with opened(copy) as spool:
        assert held(spool) == [*identities, (identities[0][0], 13)]
        assert spool.take_losses() == []
        assert spool.state().damaged == 0


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-41")
def test_process_killed_before_the_old_segment_was_cut_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "a"
    copies: list[Path] = []
    with opened(directory) as spool:
        fill(spool, 5)
        spool.sync()
        identities = [*held(spool), *fill(spool, 7)]
        first = failing(1)

        def sync(descriptor: int) -> None:
            copies.append(killed(directory, f"killed{len(copies)}"))
            first(descriptor)

        monkeypatch.setattr(os, "fdatasync", sync)
        spool.sync()
    for copy in copies:
        with opened(copy) as spool:
            assert held(spool) == identities
            assert spool.take_losses() == []


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-41")
def test_unsynced_segments_are_all_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 60, size=200)
        spool.mark_stored(identities[0][0], [(58, 58)])
        before = segments(tmp_path)
        monkeypatch.setattr(os, "fdatasync", failing(1))
        spool.sync()
        assert set(segments(tmp_path)).isdisjoint(before)
        assert held(spool) == [*identities[:57], *identities[58:]]


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-41")
def test_records_can_be_read_while_the_rewritten_segment_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        fill(spool, 5, size=200)
        spool.sync()
        identities = [*held(spool), *fill(spool, 40, size=200)]
        seen: list[list[Identity]] = []
        first = failing(1)

        def sync(descriptor: int) -> None:
            first(descriptor)
            seen.append(held(spool))

        monkeypatch.setattr(os, "fdatasync", sync)
        spool.sync()
        assert seen
        assert all(found == identities for found in seen)


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-40")
def test_disk_that_keeps_failing_is_said_so_and_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 5)
        monkeypatch.setattr(os, "fdatasync", failing(5))
        for _ in range(2):
            with pytest.raises(OSError, match="sync failed twice"):
                spool.sync()
            identities.append(put(spool))
        spool.sync()
        assert held(spool) == identities
        assert len(segments(tmp_path)) == 1


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-41")
def test_no_space_to_write_again_leaves_all_for_the_next_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 6)
        real, calls = os.pwritev, [0]

        def full_after_some(descriptor: int, buffers: list[bytes], offset: int) -> int:
            calls[0] += 1
            if calls[0] > 5:
                raise OSError(errno.ENOSPC, "full")
            return real(descriptor, buffers, offset)

        monkeypatch.setattr(os, "fdatasync", failing(1))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwritev", full_after_some)
            with pytest.raises(OSError, match="full"):
                spool.sync()
        assert sorted(held(spool)) == identities
        identities.append(put(spool))
        spool.sync()
        assert held(spool) == identities
        assert spool.take_losses() == []
        assert len(segments(tmp_path)) == 1


@pytest.mark.statement("SPOOL-41")
def test_copies_in_memory_are_bounded_and_the_file_serves_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "COPIES_BYTES", 100)
    with opened(tmp_path) as spool:
        queue, _ = spool.next_identity()
        identities = fill(spool, 20)
        assert len(identities) * len(payload_of(queue, 1)) > 100
        monkeypatch.setattr(os, "fdatasync", failing(1))
        spool.sync()
        assert held(spool) == identities


@pytest.mark.statement("SPOOL-41")
def test_loss_records_and_carried_losses_survive_a_failed_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "a") as spool:
        queue, _ = fill(spool, 3)[0]
        spool.discard(queue, 2, 2, "refused")
        [loss] = spool.take_losses()
        spool.append(b"carries", schema=SCHEMA, losses=[CARRIED])
        monkeypatch.setattr(os, "fdatasync", failing(1))
        spool.sync()
        assert spool.take_shipped() == [CARRIED]
        copy = killed(tmp_path / "a")
    with opened(copy) as spool:
        assert spool.take_losses() == [loss]
        assert spool.inventory(SCHEMA) == b"inventory"


@pytest.mark.statement("SPOOL-40")
def test_idle_spool_costs_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    with opened(tmp_path) as spool:
        put(spool)
        spool.sync()
        assert len(calls) == 1
        spool.sync()
        assert len(calls) == 1


@pytest.mark.statement("SPOOL-40")
def test_sealed_segments_are_synced_with_the_active_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    with opened(tmp_path, segment_bytes=4096) as spool:
        fill(spool, 40, size=200)
        spool.sync()
        assert synced == {str(path) for path in segments(tmp_path)}


@pytest.mark.statement("SPOOL-40")
def test_what_is_appended_during_a_sync_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 3, size=200)

        def sync(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            if len(synced) == 1:
                identities.extend(fill(spool, 30, size=200))

        def sync_names(_: int) -> None:
            synced.append("names")

        monkeypatch.setattr(os, "fdatasync", sync)
        monkeypatch.setattr(os, "fsync", sync_names)
        spool.sync()
        names = [path.name for path in segments(tmp_path)]
        assert synced == [names[0], "names"]
        spool.sync()
        assert synced[2:] == [*names, "names"]
        fill(spool, 1)
        monkeypatch.setattr(os, "fdatasync", failing(1))
        spool.sync()
        assert held(spool)[:-1] == identities


@pytest.mark.statement("SPOOL-41")
def test_failed_sync_writes_again_what_was_appended_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 3, size=200)
        before = segments(tmp_path)

        def append() -> None:
            identities.extend(fill(spool, 30, size=200))

        monkeypatch.setattr(os, "fdatasync", failing(1, append))
        spool.sync()
        assert held(spool) == identities
        assert set(segments(tmp_path)).isdisjoint(before)


@pytest.mark.fault("E10")
@pytest.mark.statement("SPOOL-40")
def test_a_worker_syncs_while_the_loop_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count()

    def sometimes(_: int) -> None:
        if next(calls) % 7 == 3:
            raise OSError(errno.EIO, "lost pages")

    monkeypatch.setattr(os, "fdatasync", sometimes)
    with opened(tmp_path, segment_bytes=4096) as spool, ThreadPoolExecutor(1) as worker:
        syncs: list[Future[None]] = []
        identities: list[Identity] = []
        for number in range(300):
            identities.append(put(spool, 200))
            if number % 5 == 0:
                syncs.append(worker.submit(spool.sync))
            if number % 50 == 49:
                assert set(held(spool)) == set(identities)
        for done in syncs:
            done.result()
        assert held(spool) == identities
        assert spool.take_losses() == []


@pytest.mark.statement("SPOOL-10")
def test_close_on_a_failing_disk_does_not_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 3)
        monkeypatch.setattr(os, "fdatasync", failing(100))
    with opened(tmp_path) as spool:
        assert held(spool) == identities
        assert spool.next_identity()[0] != identities[0][0]
