"""Opening a spool: whatever the files hold, what is intact is found and the rest accounted for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xinmai.errors import SpoolError
from xinmai.spool import facts
from xinmai.spool.held import Held
from xinmai.spool.layout import BATCH, CARRY, CLOSED, INVENTORY, LOSS, SEAL, SUFFIX, SegmentHeader
from xinmai.spool.quarantine import Quarantine
from xinmai.spool.segment import Damage, Record, Scan, SegmentWriter, scan
from xinmai.wire.messages import Loss, Stream
from xinmai.wire.ranges import RangeSet

_log = logging.getLogger(__name__)
_TEMPORARY = ".tmp"
_OWN_NAMES = frozenset({"lock", "bad"})


@dataclass(slots=True)
class Loaded:
    """One segment as found on disk."""

    held: Held
    scan: Scan
    losses: list[Loss] = field(default_factory=list)
    next_seq: int | None = None
    """From its SEAL."""
    closed: bool = False


@dataclass(slots=True)
class Recovered:
    """A spool's directory after it was put in order."""

    segments: list[Loaded]
    owner: str
    fresh: list[Loss]
    """Losses first seen now; they are among those of the segments."""
    damaged: int
    """Files that were damaged or foreign."""
    newest: SegmentHeader | None
    clean: bool
    """Nothing was amiss and the newest segment was closed: its queue may go on."""


def recover(directory: Path, stream: Stream, owner: str, quarantine: Quarantine) -> Recovered:
    """Load every segment, declare what is missing, repair what is damaged. Never raises."""
    paths, foreign = _sort_out(directory, quarantine)
    segments = [loaded for path in paths if (loaded := load(path)) is not None]
    owner = owner or _owner(segments)
    ours = [item for item in segments if _is_ours(item.held.header, stream, owner)]
    strangers = {path for path in paths} - {item.held.path for item in ours}
    for path in strangers:
        quarantine.move(path)
    ours.sort(key=lambda item: (item.held.header.created_ns, item.held.first_seq))
    _find_cut(ours)
    newest = ours[-1].held.header if ours else None
    damaged = sum(item.scan.damaged for item in ours) + foreign + len(strangers)
    clean = bool(ours) and ours[-1].closed and not damaged
    if damaged:
        _log.warning("spool=%s damaged_files=%d set_aside=%s", directory, damaged, "bad/")
    fresh: list[Loss] = []
    kept = list(_repair_all(ours, stream, owner, quarantine, fresh))
    _supersede(kept)
    return Recovered(kept, owner, fresh, damaged, newest, clean)


def load(path: Path) -> Loaded | None:
    """Index one segment; None when it is none. Never raises."""
    try:
        found, records = scan(path)
        held = Held(path, found.header, found.file_bytes)
        loaded = Loaded(held, found)
        for record in records:
            _index(loaded, record)
    except SpoolError:
        return None
    return loaded


def _index(loaded: Loaded, record: Record) -> None:
    held = loaded.held
    if record.kind == BATCH and record.seq > held.last_seq:
        known = facts.unpack_facts(record.meta)
        size = len(record.payload)
        held.add(record.seq, record.offset, size, record.key, known.readings, known.carried)
    elif record.kind == INVENTORY:
        held.inventories[record.key] = record.offset
    elif record.kind == LOSS:
        loaded.losses += facts.unpack_losses(record.payload)
    elif record.kind == CARRY:
        held.carry_offset = record.offset
    elif record.kind == SEAL:
        loaded.next_seq, loaded.closed = record.seq, record.meta == CLOSED


def _sort_out(directory: Path, quarantine: Quarantine) -> tuple[list[Path], int]:
    """Paths of segments by name, and how many files of another kind were set aside."""
    segments, foreign = [], 0
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
            segments.append(path)
        elif entry.name.endswith(SUFFIX + _TEMPORARY) and entry.is_file(follow_symlinks=False):
            path.unlink()
        elif entry.name not in _OWN_NAMES:
            quarantine.move(path)
            foreign += 1
    return segments, foreign


def _is_ours(header: SegmentHeader, stream: Stream, owner: str) -> bool:
    return header.stream == stream and header.owner in ("", owner)


def _find_cut(segments: Sequence[Loaded]) -> None:
    """A segment that was ended on purpose but lacks its end has been cut between two records."""
    followers: dict[str, int] = {}
    for item in reversed(segments):
        follower = followers.get(item.held.queue)
        if follower is not None and item.next_seq is None and item.held.last_seq + 1 < follower:
            end = item.scan.file_bytes
            item.scan.damages.append(Damage(end, end))
        followers[item.held.queue] = item.held.first_seq


def _owner(segments: Sequence[Loaded]) -> str:
    owners = [item.held.header.owner for item in segments if item.held.header.owner]
    return owners[-1] if owners else ""


def _repair_all(
    ours: Sequence[Loaded], stream: Stream, owner: str, quarantine: Quarantine, fresh: list[Loss]
) -> Iterator[Loaded]:
    for at, item in enumerate(ours):
        if not item.scan.damaged:
            _give_back(item.held)
            yield item
            continue
        lost = _lost(ours, at, stream)
        fresh += lost
        item.losses += lost
        repaired = _repair(item, owner, quarantine)
        if repaired is not None:
            yield repaired


def _give_back(held: Held) -> None:
    """Free what a killed process had reserved behind the end of a segment."""
    try:
        if held.path.stat().st_blocks * 512 > held.size + 65536:
            os.truncate(held.path, held.size)
    except OSError:
        return


def _repair(item: Loaded, owner: str, quarantine: Quarantine) -> Loaded | None:
    """Replace a damaged file by its intact records and its losses; None when nothing is left."""
    held, path = item.held, item.held.path
    if not (len(held) or held.inventories or item.losses or held.carry_offset is not None):
        if item.scan.file_bytes:
            quarantine.move(path)
        else:
            path.unlink(missing_ok=True)
        return None
    temporary = path.with_name(path.name + _TEMPORARY)
    header = replace(held.header, owner=held.header.owner or owner)
    try:
        _copy_intact(path, temporary, header, item.losses)
        quarantine.keep_copy(path)
        temporary.replace(path)
    except (OSError, SpoolError):
        temporary.unlink(missing_ok=True)
        return item
    return load(path) or item


def _copy_intact(
    path: Path, temporary: Path, header: SegmentHeader, losses: Sequence[Loss]
) -> None:
    _, records = scan(path)
    writer = SegmentWriter(temporary, header)
    try:
        for record in records:
            if record.kind not in (SEAL, LOSS):
                writer.append(record.kind, record.seq, record.key, record.meta, record.payload)
        if losses:
            writer.append(LOSS, 0, "", b"", facts.pack_losses(losses))
        writer.sync()
    finally:
        writer.close()


def _supersede(segments: Sequence[Loaded]) -> None:
    """Where a record was written again after a failed sync, the later one counts."""
    for at, later in enumerate(segments):
        for earlier in segments[:at]:
            same_queue = earlier.held.queue == later.held.queue
            if same_queue and earlier.held.last_seq >= later.held.first_seq:
                for first, last in later.held.spans():
                    earlier.held.close_stored(first, last)


def _lost(segments: Sequence[Loaded], at: int, stream: Stream) -> list[Loss]:
    """Losses of a damaged segment that no segment holds and no loss record names."""
    item, queue = segments[at], segments[at].held.queue
    others = [other for other in segments if other.held.queue == queue]
    known = RangeSet([span for other in others for span in other.held.spans()])
    for loss in (loss for other in segments for loss in other.losses):
        if (loss.stream, loss.queue) == (stream, queue):
            known.add(loss.first, loss.last)
    losses: list[Loss] = []
    end = _expected_end(segments, at)
    for damage in item.scan.damages:
        seq = _seq(damage)
        if seq is None or seq in known or not item.held.first_seq <= seq < end:
            continue
        told = facts.unpack_facts(damage.meta or b"")
        readings = facts.sum_readings([told.readings])
        losses += [Loss(stream, queue, seq, seq, "spool_damage", readings), *told.carried]
        known.add(seq, seq)
    for first, last in known.gaps(end - 1, item.held.first_seq):
        losses.append(Loss(stream, queue, first, last, "spool_damage", ()))
    return losses


def _expected_end(segments: Sequence[Loaded], at: int) -> int:
    """The seq behind the last one that the segment must have held."""
    item = segments[at]
    if item.next_seq is not None:
        return item.next_seq
    for later in segments[at + 1 :]:
        if later.held.queue == item.held.queue:
            return later.held.first_seq
    seqs = [item.held.last_seq]
    if at + 1 < len(segments):
        # The newest segment's torn tail is not lost: the rings are read again from before it.
        seqs += [seq for damage in item.scan.damages if (seq := _seq(damage)) is not None]
    return max(seqs) + 1


def _seq(damage: Damage) -> int | None:
    head = damage.head
    return head.seq if head is not None and head.kind == BATCH else None
