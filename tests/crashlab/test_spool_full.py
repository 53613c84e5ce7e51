"""A filesystem of 2 MiB that is really full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.spool.helpers import HEADER, covered, fill, held, killed, opened, put
from xinmai.spool.segment import SegmentWriter
from xinmai.spool.spool import Spool

FULL = "No space|no free space|short write"
MOUNT = ["mount", "-t", "tmpfs", "-o", "size=2m", "xinmai-test"]


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a tmpfs needs root")
    place = tmp_path_factory.mktemp("disk")
    done = subprocess.run([*MOUNT, place], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def hog(disk: Path) -> Path:
    """Take what is left of the disk."""
    path = disk / "hog"
    with path.open("wb", buffering=0) as file:
        left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        assert file.write(bytes(left)) == left
    return path


def accounted(spool: Spool, first: int, last: int) -> bool:
    seqs = {seq for _, seq in (*held(spool), *covered(spool.take_losses()))}
    return seqs == set(range(first, last + 1))


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-5")
def test_segment_that_cannot_be_reserved_is_not_begun(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        SegmentWriter(small_disk / "a.seg", HEADER, reserve_bytes=2**22)
    assert list(small_disk.iterdir()) == []


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-36")
def test_full_disk_drops_the_oldest_and_goes_on(small_disk: Path) -> None:
    with opened(small_disk / "spool", budget_bytes=2**30) as spool:
        for seq in range(1, 2001):
            assert put(spool, 2000)[1] == seq
        assert len(held(spool)) > 400
        assert spool.state().lost_records > 1000
        assert accounted(spool, 1, 2000)
        spool.sync()


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-36")
def test_nothing_left_to_drop_leaves_everything_as_it_was(small_disk: Path) -> None:
    with opened(small_disk / "spool", budget_bytes=2**30) as spool:
        identities = fill(spool, 5, size=2000)
        path = hog(small_disk)
        for size in (60000, 2000, 100):
            expected = spool.next_identity()
            with pytest.raises(OSError, match=FULL):
                fill(spool, 100, size)
            identities = held(spool)
        expected = spool.next_identity()
        with pytest.raises(OSError, match=FULL):
            put(spool, 2000)
        assert spool.next_identity() == expected
        assert held(spool) == identities
        path.unlink()
        assert put(spool) == expected
        assert held(spool)[-1] == expected


@pytest.mark.fault("E6")
@pytest.mark.statement("SPOOL-20")
def test_spool_opens_on_a_full_disk_and_works_when_space_returns(small_disk: Path) -> None:
    with opened(small_disk / "spool", budget_bytes=2**30) as spool:
        identities = fill(spool, 50, size=2000)
        copy = killed(small_disk / "spool")
    newest = sorted(copy.glob("*.seg"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    path = hog(small_disk)
    with opened(copy, budget_bytes=2**30) as spool:
        assert held(spool) == identities[:-1]
        assert spool.state().damaged == 1
    with opened(copy, budget_bytes=2**30) as spool:
        assert held(spool) == identities[:-1]
        path.unlink()
        fresh = put(spool)
        assert fresh[0] != identities[0][0]
        assert held(spool) == [*identities[:-1], fresh]
        assert spool.take_losses() == []
