"""What may be found in a spool's files after a crash, bit rot or a curious person."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from agent.spool.helpers import covered, fill, held, killed, opened, put, segments
from xinmai.spool.segment import BATCH, scan

RECORDS = 10


@pytest.fixture
def unclosed(tmp_path: Path) -> Path:
    """A spool of one segment whose process was killed."""
    with opened(tmp_path / "a") as spool:
        fill(spool, RECORDS)
        return killed(tmp_path / "a", "unclosed")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    with opened(tmp_path / "a") as spool:
        fill(spool, RECORDS)
    return tmp_path / "a"


def ends(path: Path) -> list[int]:
    """Where each batch ends."""
    return [item.offset + item.size for item in scan(path)[1] if item.kind == BATCH]


def restore(directory: Path, path: Path, data: bytes) -> None:
    """The directory with that one segment and nothing else."""
    shutil.rmtree(directory)
    directory.mkdir()
    path.write_bytes(data)


@pytest.mark.fault("E1")
@pytest.mark.statement("SPOOL-10")
@pytest.mark.statement("SPOOL-20")
@pytest.mark.statement("SPOOL-22")
def test_truncation_at_any_byte_keeps_every_record_before_it(unclosed: Path) -> None:
    [path] = segments(unclosed)
    data, boundaries = path.read_bytes(), ends(path)
    with opened(killed(unclosed, "whole")) as spool:
        queue = held(spool)[0][0]
    for size in range(len(data)):
        restore(unclosed, path, data[:size])
        whole = sum(end <= size for end in boundaries)
        with opened(unclosed) as spool:
            assert held(spool) == [(queue, seq) for seq in range(1, whole + 1)], size
            assert spool.take_losses() == [], size
            assert spool.next_identity()[0] != queue, size
            assert next(spool.last_meta(), None) == (b"m%d" % whole if whole else None), size


@pytest.mark.fault("E1")
@pytest.mark.statement("SPOOL-10")
def test_truncation_of_a_closed_spool_begins_a_new_queue(closed: Path) -> None:
    [path] = segments(closed)
    data, boundaries = path.read_bytes(), ends(path)
    for size in range(boundaries[-2], len(data)):
        restore(closed, path, data[:size])
        with opened(closed) as spool:
            old = {queue for queue, _ in held(spool)}
            assert put(spool)[0] not in old, size


@pytest.mark.fault("E2")
@pytest.mark.statement("SPOOL-2")
@pytest.mark.statement("SPOOL-22")
def test_flipped_bit_anywhere_costs_at_most_one_record(closed: Path) -> None:
    [path] = segments(closed)
    data, boundaries = path.read_bytes(), ends(path)
    with opened(killed(closed, "whole")) as spool:
        identities = held(spool)
    for offset in range(len(data)):
        damaged = bytearray(data)
        damaged[offset] ^= 1 << (offset % 8)
        restore(closed, path, bytes(damaged))
        with opened(closed) as spool:
            lost = covered(spool.take_losses())
            assert len(lost) <= 1, offset
            assert sorted({*held(spool), *lost}) == identities, offset
            assert bool(lost) == (ends_at(boundaries, offset)), offset
            assert spool.next_identity()[0] != identities[0][0], offset
            assert spool.state().damaged == 1, offset


def ends_at(boundaries: list[int], offset: int) -> bool:
    """Whether an offset lies within a batch; those are all of one size but the last."""
    first = boundaries[0] - (boundaries[1] - boundaries[0])
    return first <= offset < boundaries[-1]


@pytest.mark.fault("E3")
@pytest.mark.statement("SPOOL-20")
@pytest.mark.parametrize("seed", range(60))
def test_random_bytes_over_any_file_never_keep_a_spool_from_opening(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with opened(tmp_path / "a", segment_bytes=4096) as spool:
        identities = fill(spool, 60, size=200)
        directory = killed(tmp_path / "a") if seed % 2 else tmp_path / "a"
    files = [path for path in directory.iterdir() if path.is_file()]
    for path in chance.sample(files, chance.randint(1, 3)):
        data = bytearray(path.read_bytes())
        start = chance.randrange(len(data) + 1)
        noise = chance.randbytes(chance.choice([1, 40, 500, 8000]))
        data[start : start + len(noise)] = noise
        path.write_bytes(data if chance.random() < 0.8 else noise)
    with opened(directory) as spool:
        kept, lost = set(held(spool)), covered(spool.take_losses())
        assert kept <= set(identities)
        assert kept.isdisjoint(lost)
        fresh = put(spool)
        assert fresh not in identities
        assert fresh in held(spool)
    with opened(directory) as spool:
        assert set(held(spool)) == {*kept, fresh}
