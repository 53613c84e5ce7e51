from __future__ import annotations

import fcntl
import os
from contextlib import closing
from pathlib import Path

import pytest

from agent.spool.helpers import (
    SCHEMA,
    covered,
    fill,
    held,
    killed,
    open_spool,
    opened,
    put,
    segments,
)
from xinmai.errors import SpoolError
from xinmai.spool.segment import BATCH, INVENTORY, scan
from xinmai.spool.spool import Spool

OTHER = "5c4e3a0000000002"


def kinds_in(path: Path) -> list[tuple[int, str]]:
    return [(record.kind, record.key) for record in scan(path)[1] if record.kind <= INVENTORY]


def test_appended_records_are_held_in_order(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, first = spool.next_identity()
        assert first == 1
        identities = fill(spool, 30)
        assert identities == [(queue, seq) for seq in range(1, 31)]
        assert held(spool) == identities
        record = spool.read(queue, 4)
        assert record is not None
        assert (record.meta, record.key, record.seq) == (b"m4", SCHEMA, 4)
        assert spool.read(queue, 31) is None
        assert spool.read("f" * 16, 1) is None


def test_unstored_goes_on_behind_a_position(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 100, size=200)
        assert len(segments(tmp_path)) > 3
        queue, _ = identities[0]
        assert [seq for _, seq, _ in spool.unstored(queue, 57)] == list(range(58, 101))
        assert len(list(spool.unstored("f" * 16, 57))) == 100


def test_unstored_sees_what_happens_meanwhile(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 60, size=200)[0]
        walk = spool.unstored()
        assert [next(walk)[1] for _ in range(3)] == [1, 2, 3]
        spool.mark_stored(queue, [(1, 50)])
        fill(spool, 20, size=200)
        assert [seq for _, seq, _ in walk] == list(range(51, 81))


@pytest.mark.statement("SPOOL-30")
def test_wholly_stored_segments_are_unlinked(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 60, size=200)[0]
        before = segments(tmp_path)
        spool.mark_stored(queue, [(1, 7), (9, 40)])
        assert segments(tmp_path)[0] == before[0]
        assert held(spool) == [(queue, 8), *((queue, seq) for seq in range(41, 61))]
        spool.mark_stored(queue, [(1, 60)])
        assert segments(tmp_path) == before[-1:]
        assert held(spool) == []
        assert spool.take_losses() == []
        assert spool.state().records == 0
        assert spool.state().oldest_wall_ns is None


@pytest.mark.fault("E5")
@pytest.mark.statement("SPOOL-31")
def test_nothing_is_sent_again_after_all_was_stored(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, last = fill(spool, 60, size=200)[-1]
        spool.mark_stored(queue, [(1, last)])
    with opened(tmp_path) as spool:
        assert held(spool) == []
        assert len(segments(tmp_path)) == 1
        assert spool.next_identity() == (queue, 61)
        assert next(spool.last_meta()) == b"m60"


@pytest.mark.fault("E5")
@pytest.mark.statement("SPOOL-31")
def test_after_a_kill_the_retained_stored_tells_again(tmp_path: Path) -> None:
    with opened(tmp_path / "a", segment_bytes=4096) as spool:
        queue, last = fill(spool, 60, size=200)[-1]
        spool.mark_stored(queue, [(1, last)])
        copy = killed(tmp_path / "a")
    with opened(copy) as spool:
        assert 0 < len(held(spool)) < 60
        spool.mark_stored(queue, [(1, last)])
        assert held(spool) == []
        put(spool)
        assert len(segments(copy)) == 1
        assert spool.take_losses() == []


@pytest.mark.fault("E4")
@pytest.mark.statement("SPOOL-30")
def test_stored_ranges_from_before_or_ahead_do_no_harm(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 20, size=200)[0]
        spool.mark_stored(queue, [(1, 10)])
        spool.mark_stored(queue, [(1, 5)])
        spool.mark_stored("f" * 16, [(1, 1000)])
        spool.mark_stored(queue, [])
        assert held(spool) == [(queue, seq) for seq in range(11, 21)]


@pytest.mark.statement("SPOOL-42")
def test_each_segment_has_the_inventory_its_batches_name(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        fill(spool, 40, size=200)
        paths = segments(tmp_path)
        assert len(paths) > 2
        for path in paths:
            assert kinds_in(path)[0] == (INVENTORY, SCHEMA)
            assert kinds_in(path)[1:] == [(BATCH, SCHEMA)] * (len(kinds_in(path)) - 1)


@pytest.mark.statement("SPOOL-42")
def test_new_inventory_is_written_where_it_begins_to_count(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        put(spool)
        spool.put_inventory(OTHER, b"other")
        spool.append(b"late", schema=SCHEMA)
        spool.append(b"new", schema=OTHER)
        spool.append(b"none", schema="")
        assert kinds_in(segments(tmp_path)[0]) == [
            (INVENTORY, SCHEMA),
            (BATCH, SCHEMA),
            (BATCH, SCHEMA),
            (INVENTORY, OTHER),
            (BATCH, OTHER),
            (BATCH, ""),
        ]


def test_inventory_of_a_backlog_is_found_after_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = put(spool)
    with closing(Spool(tmp_path, "rollup", budget_bytes=2**20)) as spool:
        assert spool.schemas() == {SCHEMA}
        spool.put_inventory(OTHER, b"other")
        assert spool.schemas() == {SCHEMA, OTHER}
        assert spool.inventory(SCHEMA) == b"inventory"
        assert spool.inventory(OTHER) == b"other"
        assert spool.inventory("f" * 16) is None
        spool.append(b"late", schema=SCHEMA)
        spool.mark_stored(queue, [(1, 2)])
        assert spool.schemas() == {OTHER}


def test_a_spool_that_was_all_stored_names_no_schema_after_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, seq = put(spool)
        spool.mark_stored(queue, [(1, seq)])
    with closing(Spool(tmp_path, "rollup", budget_bytes=2**20)) as spool:
        assert spool.schemas() == set()


def test_batch_without_inventory_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identity = spool.next_identity()
        with pytest.raises(ValueError, match="no inventory"):
            spool.append(b"payload", schema=OTHER)
        assert spool.next_identity() == identity


@pytest.mark.statement("SPOOL-23")
def test_metas_come_newest_first_and_the_last_outlives_its_record(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 30, size=200)[0]
        spool.append(b"without", schema=SCHEMA)
        seqs = [int(meta[1:]) for meta in spool.last_meta()]
        assert (seqs[0], seqs[-1]) == (30, 1)
        assert seqs == sorted(seqs, reverse=True)
        spool.mark_stored(queue, [(1, 31)])
    with opened(tmp_path) as spool:
        assert list(spool.last_meta()) == [b"m30"]


@pytest.mark.fault("E8")
@pytest.mark.statement("SPOOL-13")
def test_second_owner_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        put(spool)
        with pytest.raises(SpoolError, match=f"in use by process {os.getpid()}"):
            open_spool(tmp_path)
        assert len(held(spool)) == 1
    open_spool(tmp_path).close()


@pytest.mark.fault("E8")
def test_second_owner_of_an_unsigned_lock_is_refused_too(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SpoolError, match="in use by another process"):
            open_spool(tmp_path)


def test_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(SpoolError, match="cannot use spool directory"):
        open_spool(tmp_path / "file" / "spool")


@pytest.mark.statement("SPOOL-34")
def test_refused_batch_is_given_up_with_its_readings(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = fill(spool, 5)[0]
        spool.discard(queue, 3, 3, "refused")
        [loss] = spool.take_losses()
        assert (loss.first, loss.last, loss.reason) == (3, 3, "refused")
        assert loss.readings == ((7, 10),)
        assert covered([loss]).isdisjoint(held(spool))
        assert spool.read(queue, 3) is None


def test_state_counts_bytes_and_records(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        queue, _ = fill(spool, 5)[0]
        spool.mark_stored(queue, [(2, 3)])
        state = spool.state()
        assert (state.stream, state.records, state.dropped_readings) == ("rollup", 3, 0)
        assert state.bytes == 2**16
        assert state.oldest_wall_ns is not None
