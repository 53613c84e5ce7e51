from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from agent.spool.helpers import (
    SCHEMA,
    Identity,
    covered,
    fill,
    held,
    killed,
    opened,
    put,
    segments,
)
from xinmai.spool import disk
from xinmai.spool.segment import read_record, scan
from xinmai.spool.spool import Spool
from xinmai.wire.messages import Loss

OTHERS = Loss("raw", "c" * 16, 3, 9, "spool_budget", ((7, 70),))


def damage(spool: Spool, directory: Path, identity: Identity) -> None:
    """Flip a bit of a held record's payload on disk."""
    queue, seq = identity
    for path in segments(directory):
        for record in scan(path)[1]:
            if record.seq == seq and record.kind == 1 and scan(path)[0].header.queue == queue:
                data = bytearray(path.read_bytes())
                data[record.offset + record.size - 1] ^= 1
                path.write_bytes(data)
                return
    raise AssertionError("no such record")


@pytest.mark.fault("E7")
@pytest.mark.statement("SPOOL-33")
def test_budget_drops_the_oldest_and_declares_exactly_that(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=32768, segment_bytes=4096) as spool:
        queue, _ = spool.next_identity()
        for seq in range(1, 301):
            put(spool, 200, minute=seq // 60, readings=seq)
            assert spool.state().bytes <= 32768
        kept, losses = {seq for _, seq in held(spool)}, spool.take_losses()
        lost = {seq for _, seq in covered(losses)}
        assert lost.isdisjoint(kept)
        assert lost | kept == set(range(1, 301))
        assert kept == set(range(min(kept), 301))
        assert {loss.reason for loss in losses} == {"spool_budget"}
        assert {(loss.stream, loss.queue) for loss in losses} == {("rollup", queue)}
        by_minute: dict[int, int] = {}
        for minute, count in (pair for loss in losses for pair in loss.readings):
            by_minute[minute] = by_minute.get(minute, 0) + count
        assert by_minute == {
            minute: sum(seq for seq in lost if seq // 60 == minute)
            for minute in {seq // 60 for seq in lost}
        }
        assert spool.state().dropped_readings == sum(lost)
        assert spool.state().lost_records == len(lost)
        assert spool.take_losses() == []


@pytest.mark.fault("E7")
@pytest.mark.statement("SPOOL-33")
def test_budget_holds_where_nothing_can_be_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "reserve", lambda *_: False)
    with opened(tmp_path, budget_bytes=32768, segment_bytes=4096) as spool:
        for _ in range(300):
            put(spool, 200)
            assert sum(path.stat().st_size for path in segments(tmp_path)) <= 32768
        assert spool.take_losses()


@pytest.mark.fault("E7")
@pytest.mark.statement("SPOOL-33")
def test_only_unstored_records_of_a_dropped_segment_are_lost(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=32768, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 5, size=200)[0]
        spool.mark_stored(queue, [(2, 3), (5, 5)])
        while not (losses := spool.take_losses()):
            put(spool, 200)
        assert [(loss.first, loss.last) for loss in losses][:2] == [(1, 1), (4, 4)]
        assert losses[0].readings == ((7, 10),)
        assert losses[2].first == 6


@pytest.mark.statement("SPOOL-33")
def test_record_longer_than_the_budget_is_still_taken(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes=16384, segment_bytes=4096) as spool:
        fill(spool, 3)
        big = put(spool, 40000)
        assert held(spool) == [big]
        after = put(spool)
        assert held(spool) == [after]
        assert len(covered(spool.take_losses())) == 4


@pytest.mark.statement("SPOOL-34")
def test_loss_survives_a_kill_until_it_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path / "a", budget_bytes=16384, segment_bytes=4096) as spool:
        fill(spool, 100, size=200)
        losses = spool.take_losses()
        assert len(losses) > 2
        copy = killed(tmp_path / "a")
    with opened(copy, budget_bytes=16384, segment_bytes=4096) as spool:
        assert set(spool.take_losses()) == set(losses)
        assert spool.take_losses() == []
        spool.forget_losses(losses)
        fill(spool, 100, size=200)
        assert {loss.first for loss in spool.take_losses()}.isdisjoint(
            loss.first for loss in losses if loss.queue == spool.next_identity()[0]
        )
    with opened(copy) as spool:
        assert set(spool.take_losses()).isdisjoint(losses)


@pytest.mark.statement("SPOOL-34")
def test_unshipped_loss_moves_on_when_its_own_segment_is_dropped(tmp_path: Path) -> None:
    with opened(tmp_path / "a", budget_bytes=16384, segment_bytes=4096) as spool:
        fill(spool, 300, size=200)
        losses = spool.take_losses()
        copy = killed(tmp_path / "a")
    with opened(copy) as spool:
        assert sorted(spool.take_losses(), key=lambda loss: loss.first) == losses


@pytest.mark.statement("SPOOL-34")
@pytest.mark.statement("SPOOL-30")
def test_segment_stays_for_the_sake_of_an_unshipped_loss(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 2)[0]
        spool.discard(queue, 1, 1, "refused")
        fill(spool, 40, size=200)
        spool.sync()
        spool.mark_stored(queue, [(1, 42)])
        assert len(segments(tmp_path)) == 2
        spool.forget_losses(spool.take_losses())
        assert len(segments(tmp_path)) == 1


@pytest.mark.statement("SPOOL-34")
def test_dropped_batch_declares_again_what_it_carried(tmp_path: Path) -> None:
    with opened(tmp_path / "a", budget_bytes=16384, segment_bytes=4096) as spool:
        spool.append(b"carries", schema=SCHEMA, losses=[OTHERS])
        spool.sync()
        assert spool.take_shipped() == [OTHERS]
        assert spool.take_shipped() == []
        copy = killed(tmp_path / "a")
    with opened(copy, budget_bytes=16384, segment_bytes=4096) as spool:
        assert spool.take_losses() == []
        fill(spool, 100, size=200)
        losses = spool.take_losses()
        assert OTHERS in losses
        assert spool.state().lost_records == len(covered(losses) - covered([OTHERS]))


@pytest.mark.statement("SPOOL-34")
def test_carried_loss_is_shipped_only_when_durable(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append(b"carries", schema=SCHEMA, losses=[OTHERS])
        assert spool.take_shipped() == []
        spool.sync()
        assert spool.take_shipped() == [OTHERS]


@pytest.mark.fault("E2")
@pytest.mark.statement("SPOOL-35")
def test_record_damaged_while_held_is_skipped_and_declared(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 5)
        damage(spool, tmp_path, identities[2])
        assert held(spool) == [*identities[:2], *identities[3:]]
        [loss] = spool.take_losses()
        assert (loss.first, loss.last, loss.reason) == (3, 3, "spool_damage")
        assert loss.readings == ((7, 10),)
        assert spool.state().damaged == 1
        held(spool)
        assert spool.take_losses() == []


@pytest.mark.statement("SPOOL-35")
def test_vanished_file_costs_its_records_only(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 40, size=200)
        segments(tmp_path)[1].unlink()
        kept = held(spool)
        assert 0 < len(kept) < 40
        assert set(kept) | covered(spool.take_losses()) == set(identities)
        put(spool)


@pytest.mark.statement("SPOOL-35")
def test_lack_of_descriptors_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as spool:
        queue, seq = put(spool)

        def no_descriptor(*_: object, **__: object) -> object:
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", no_descriptor)
            assert spool.read(queue, seq) is None
        assert spool.take_losses() == []
        assert spool.read(queue, seq) is not None


@pytest.mark.statement("SPOOL-32")
def test_gap_that_can_never_be_filled_is_declared_once(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        queue, _ = fill(spool, 40, size=200)[0]
        spool.mark_stored(queue, [(1, 30)])
        spool.mark_stored(queue, [(1, 5), (9, 30), (33, 35)])
        assert [(loss.first, loss.last, loss.readings) for loss in spool.take_losses()] == [
            (6, 8, ())
        ]
        spool.mark_stored(queue, [(1, 5), (9, 30), (33, 35)])
        assert spool.take_losses() == []
        assert {seq for _, seq in held(spool)} >= {31, 32, 36}
        spool.mark_stored(queue, [(1, 35)])
        spool.mark_stored(queue, [(1, 5), (9, 40)])
        assert [(loss.first, loss.last) for loss in spool.take_losses()] == []


@pytest.mark.statement("SPOOL-32")
def test_gap_in_a_queue_of_a_lost_directory_is_declared(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        put(spool)
        spool.mark_stored("d" * 16, [(1, 3), (5, 9)])
        [loss] = spool.take_losses()
        assert (loss.queue, loss.first, loss.last) == ("d" * 16, 4, 4)


@pytest.mark.statement("SPOOL-22")
@pytest.mark.fault("E2")
def test_damage_found_at_open_is_declared_once_with_readings(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 5)
    damage(spool, tmp_path, identities[1])
    with opened(tmp_path) as spool:
        [loss] = spool.take_losses()
        assert (loss.first, loss.last, loss.readings) == (2, 2, ((7, 10),))
        assert spool.state().lost_records == 1
        assert held(spool) == [identities[0], *identities[2:]]
        assert spool.next_identity()[0] != identities[0][0]
        spool.forget_losses([loss])
        spool.mark_stored(identities[0][0], [(1, 5)])
        put(spool)
    with opened(tmp_path) as spool:
        assert spool.take_losses() == []


@pytest.mark.statement("SPOOL-22")
def test_segment_cut_between_two_records_is_noticed(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 40, size=200)
    path = segments(tmp_path)[0]
    records = [record for record in scan(path)[1] if record.kind == 1]
    path.write_bytes(path.read_bytes()[: records[-2].offset])
    with opened(tmp_path) as spool:
        [loss] = spool.take_losses()
        assert (loss.first, loss.last) == (records[-2].seq, records[-1].seq)
        assert spool.next_identity()[0] != identities[0][0]


@pytest.mark.statement("SPOOL-22")
def test_destroyed_segment_is_declared_by_its_name(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=4096) as spool:
        identities = fill(spool, 40, size=200)
    path = segments(tmp_path)[1]
    gone = [record.seq for record in scan(path)[1] if record.kind == 1]
    path.write_bytes(bytes(len(path.read_bytes())))
    with opened(tmp_path) as spool:
        [loss] = spool.take_losses()
        assert (loss.first, loss.last, loss.readings) == (gone[0], gone[-1], ())
        assert covered([loss]) | set(held(spool)) == set(identities)


@pytest.mark.statement("SPOOL-21")
def test_damaged_segment_is_repaired_and_its_original_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 5)
    damage(spool, tmp_path, identities[1])
    path = segments(tmp_path)[0]
    original = path.read_bytes()
    with opened(tmp_path):
        pass
    assert (tmp_path / "bad" / path.name).read_bytes() == original
    found, records = scan(path)
    assert [record.seq for record in records if record.kind == 1] == [1, 3, 4, 5]
    assert not found.damaged
    assert read_record(path, 256).kind == 2


@pytest.mark.statement("SPOOL-10")
@pytest.mark.statement("SPOOL-21")
def test_repaired_segment_does_not_count_as_closed(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identities = fill(spool, 5)
    damage(spool, tmp_path, identities[1])
    for _ in range(2):
        with opened(tmp_path) as spool:
            assert spool.next_identity()[0] != identities[0][0]


@pytest.mark.statement("SPOOL-21")
def test_lost_header_is_written_again(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        identities, owner = fill(spool, 5), spool.owner
    [path] = segments(tmp_path)
    header = scan(path)[0].header
    path.write_bytes(bytes(256) + path.read_bytes()[256:])
    with closing(Spool(tmp_path, "rollup", budget_bytes=2**20, owner=owner)) as spool:
        assert held(spool) == identities
    assert scan(path)[0].header == header


@pytest.mark.statement("SPOOL-21")
def test_set_aside_files_are_bounded(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}").write_bytes(bytes(100))
    with opened(tmp_path, budget_bytes=8000):
        names = {item.name for item in (tmp_path / "bad").iterdir()}
    assert 1 <= len(names) <= 10
    assert "39" in names
