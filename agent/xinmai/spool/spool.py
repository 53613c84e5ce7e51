"""The agent's durable queue of one stream: segments, budget, what is stored, what was lost."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from xinmai.errors import SpoolError
from xinmai.spool import disk, facts
from xinmai.spool.facts import Facts, Readings
from xinmai.spool.layout import CLOSED
from xinmai.spool.quarantine import BAD_BYTES, Quarantine
from xinmai.spool.recovery import Recovered, recover
from xinmai.spool.segment import Record, read_meta, read_record
from xinmai.spool.store import Identity, Limits, Store
from xinmai.wire.messages import Loss, Ranges, Stream

_log = logging.getLogger(__name__)
_SYNC_TRIES = 2
_LEAST_SEGMENT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What `status` shows of a spool.

    Args:
        bytes: of all segments, with what is reserved.
        records: held and not stored.
        oldest_wall_ns: when the oldest segment with such a record was begun.
        dropped_readings, lost_records: declared as lost since the spool was opened.
        damaged: files and records found damaged or foreign since it was opened.
    """

    stream: Stream
    bytes: int
    records: int
    oldest_wall_ns: int | None
    dropped_readings: int
    lost_records: int = 0
    damaged: int = 0


class Spool:
    """One stream's spool in its own directory. Always opens.

    Args:
        directory: made when missing; locked (flock) against a second owner.
        budget_bytes: at the budget the oldest sealed segment is dropped and its loss declared.
        segment_bytes: size at which a segment is sealed; at most an eighth of the budget.
        floor_bytes: left free on the filesystem; None: 64 MiB or 5 %, whichever is less.
        owner: instance id; "": that of the segments found, else a new one.
        lock, make_room: shared by the spools of one disk (see `SpoolSet`).

    Raises:
        SpoolError: another process owns the directory, or it cannot be written at all.
    """

    def __init__(
        self,
        directory: Path,
        stream: Stream,
        *,
        budget_bytes: int,
        segment_bytes: int = 8 * 2**20,
        floor_bytes: int | None = None,
        owner: str = "",
        lock: AbstractContextManager[object] | None = None,
        make_room: Callable[[], int] | None = None,
    ) -> None:
        self._directory_lock = disk.DirectoryLock(directory)
        self._lock = lock or threading.RLock()
        self._sync_lock = threading.Lock()
        self._quarantine = Quarantine(directory, min(BAD_BYTES, budget_bytes // 8))
        try:
            found = recover(directory, stream, owner, self._quarantine)
            floor = disk.default_floor_bytes(directory) if floor_bytes is None else floor_bytes
        except OSError as error:
            self._directory_lock.release()
            raise SpoolError(f"cannot use spool directory {directory}: {error}") from error
        segment_bytes = min(segment_bytes, max(budget_bytes // 8, _LEAST_SEGMENT_BYTES))
        limits = Limits(budget_bytes, segment_bytes, floor)
        self._next_seq = self._skip_to = (found.clean and found.segments[-1].next_seq) or 1
        room = make_room or self.make_room
        self._store = Store(directory, stream, _identity(found), limits, room)
        self._damaged = found.damaged
        self._fill(found)

    def _fill(self, found: Recovered) -> None:
        store = self._store
        for item in found.segments:
            store.shelf.add(item.held)
            for loss in item.losses:
                store.book.declare(loss, item.held)
        for loss in (loss for item in found.segments for loss in item.losses):
            if loss.stream == store.stream:
                # Declared, but the process ended before the segment was unlinked.
                store.shelf.close_stored(loss.queue, [(loss.first, loss.last)])
        for loss in found.fresh:
            store.book.count(loss)
        store.last_meta = next(self.last_meta(), b"")
        store.reap()

    @property
    def owner(self) -> str:
        """Instance id of the directory."""
        return self._store.identity.owner

    def next_identity(self) -> tuple[str, int]:
        """(queue, seq) the next append will have: they stand inside the payload."""
        with self._lock:
            self._next_seq = max(self._next_seq, self._skip_to)
            return self._store.identity.queue, self._next_seq

    def put_inventory(self, schema: str, payload: bytes) -> None:
        """Make an inventory current: it heads this and each later segment while batches name it."""
        with self._lock:
            self._store.set_inventory(schema, payload)

    def inventory(self, schema: str) -> bytes | None:
        """The payload of an inventory that a held record names."""
        with self._lock:
            return self._store.inventory(schema)

    def schemas(self) -> set[str]:
        """Schemas that unstored records name, and the current one."""
        with self._lock:
            named = {schema for held in self._store.shelf for schema in held.schemas()}
            return (named | {self._store.schema}) - {""}

    def append(
        self,
        payload: bytes,
        *,
        schema: str,
        meta: bytes = b"",
        readings: Readings = (),
        losses: Sequence[Loss] = (),
    ) -> tuple[str, int]:
        """Append the record whose identity `next_identity` gave.

        On ENOSPC older segments are dropped first; when nothing helps OSError is raised, nothing
        is written, and the identity stays unused.

        Args:
            payload: what is sent.
            schema: "" or that of an inventory put before.
            meta: for `last_meta`; it must name every ring, as older metas go with their segments.
            readings: by minute, for the loss that is declared if the record is dropped.
            losses: those in the payload; declared again if the record is dropped.

        Raises:
            ValueError: the schema is unknown, or the record is longer than MAX_RECORD_BYTES.
        """
        with self._lock:
            store, seq = self._store, self._next_seq
            if schema and store.inventory(schema) is None:
                raise ValueError(f"append names schema {schema} but no inventory was put for it")
            known = Facts(readings, tuple(losses), meta)
            store.put(seq, schema, facts.pack_facts(*known), payload, known)
            self._next_seq = self._skip_to = seq + 1
            store.log_losses()
            return store.identity.queue, seq

    def sync(self) -> None:
        """Make everything appended durable. Safe to call from a worker thread.

        Raises:
            OSError: it is not; everything is kept in memory and written again by the next sync.
        """
        with self._sync_lock:
            for _ in range(_SYNC_TRIES):
                if self._sync_once():
                    return
        raise OSError(errno.EIO, "sync failed twice", str(self._store.directory))

    def _sync_once(self) -> bool:
        store = self._store
        with self._lock:
            logged = store.log_losses()
            work = store.journal.start_sync()
            mark = store.removal.mark() if logged else 0
        try:
            work.run()
        except OSError as error:
            _log.warning("spool=%s sync failed, writing again: %s", store.directory, error)
            with self._lock:
                store.rewrite(self._next_seq)
            return False
        with self._lock:
            store.journal.end_sync(work)
            store.removal.durable(mark)
            store.reap()
        return True

    def unstored(self, queue: str = "", after: int = 0) -> Iterator[tuple[str, int, int]]:
        """(queue, seq, payload bytes) of held records not stored yet, oldest first.

        Begins behind (queue, after), or at the oldest record when that queue is gone. The spool
        may be used between two of them.
        """
        return self._store.shelf.unstored(queue, after)

    def read(self, queue: str, seq: int) -> Record | None:
        """A held record; None if stored, dropped or damaged (then its loss is declared)."""
        with self._lock:
            found = self._store.shelf.find(queue, seq)
            if found is None:
                return None
            held, offset = found
            try:
                record = read_record(held.path, offset, held.header)
            except SpoolError as error:
                if disk.is_lasting(error.__cause__):
                    self._damaged += 1
                    self._store.lose(queue, seq, seq, "spool_damage")
                return None
            return replace(record, meta=facts.unpack_facts(record.meta).meta)

    def mark_stored(self, queue: str, ranges: Ranges) -> None:
        """The collector holds these; segments wholly stored are unlinked.

        A gap between two ranges that is not held here can never be filled: its loss is declared.
        """
        with self._lock:
            store = self._store
            changed = store.shelf.close_stored(queue, ranges)
            for (_, before), (behind, _) in pairwise(ranges):
                self._declare_unknown(queue, before + 1, behind - 1)
            store.book.closed(queue, ranges)
            if ranges and queue == store.identity.queue:
                # Seqs of a later life of this directory (a restored copy) are not used twice.
                self._skip_to = max(self._skip_to, ranges[-1][1] + 1)
            if changed:
                store.reap()

    def _declare_unknown(self, queue: str, first: int, last: int) -> None:
        store = self._store
        for part in store.shelf.not_held(queue, first, last):
            for gap in store.book.undeclared(queue, *part):
                store.book.declare(Loss(store.stream, queue, *gap, "spool_damage", ()))
        store.log_losses()

    def discard(self, queue: str, first: int, last: int, reason: str) -> None:
        """Give up held records, such as one that the broker refused; their loss is declared."""
        with self._lock:
            self._store.lose(queue, first, last, reason)
            self._store.reap()

    def last_meta(self) -> Iterator[bytes]:
        """Meta of surviving records, newest first: where reading of the rings goes on."""
        for held in reversed(self._store.shelf):
            for offset in held.meta_offsets():
                with suppress(SpoolError):
                    meta = read_meta(held.path, offset, held.header)
                    carried = offset == held.carry_offset
                    if meta := meta if carried else facts.unpack_facts(meta).meta:
                        yield meta

    def take_losses(self) -> list[Loss]:
        """Losses not given out yet (budget, damage); the caller ships them in stream event.

        Each comes once, and once more after a restart until `forget_losses`.
        """
        with self._lock:
            return self._store.book.take()

    def forget_losses(self, losses: Sequence[Loss]) -> None:
        """These are durable in the event stream; nothing is kept of them here any more."""
        with self._lock:
            self._store.book.forget(losses)
            self._store.reap()

    def carried(self) -> list[Loss]:
        """Losses in the payloads of records that are held and not stored."""
        with self._lock:
            return [loss for held in self._store.shelf for loss in held.carried()]

    def note_declared(self, losses: Sequence[Loss]) -> None:
        """These are on their way in the event stream: their seqs are not declared anew."""
        with self._lock:
            for loss in losses:
                self._store.book.note(loss)

    def take_shipped(self) -> list[Loss]:
        """Losses that `append` was given and that have become durable since the last call."""
        with self._lock:
            return self._store.journal.take_shipped()

    def make_room(self) -> int:
        """Free disk space: what is not needed first, then data; returns bytes, 0 for none."""
        return self.purge() or self.drop_oldest()

    def purge(self) -> int:
        """Remove set-aside files and what only waits to be removed; returns their bytes."""
        with self._lock:
            return self._quarantine.purge() + self._store.removal.flush()

    def drop_oldest(self) -> int:
        """Drop the oldest sealed segment and declare its loss; bytes, 0 when there is none."""
        with self._lock:
            freed = self._store.drop_oldest()
            self._store.removal.flush()
            return freed

    def state(self) -> SpoolState:
        """For status and self-metrics."""
        with self._lock:
            store = self._store
            live = [(held, held.live) for held in store.shelf if held.live]
            return SpoolState(
                stream=store.stream,
                bytes=store.disk_bytes,
                records=sum(count for _, count in live),
                oldest_wall_ns=live[0][0].header.created_ns if live else None,
                dropped_readings=store.book.lost_readings,
                lost_records=store.book.lost_records,
                damaged=self._damaged,
            )

    def close(self) -> None:
        """Sync, seal and unlock. A disk that fails costs the queue, not what was synced."""
        try:
            self.sync()
            with self._lock:
                self._end()
            self.sync()
        except OSError as error:
            _log.warning("spool=%s not closed cleanly: %s", self._store.directory, error)
        with self._sync_lock, self._lock:
            self._store.journal.close()
            self._directory_lock.release()

    def _end(self) -> None:
        """Seal so that the queue can go on; what is wholly stored is not left to be sent again."""
        store, newest = self._store, self._store.shelf.newest
        if newest is not None and len(newest) and not newest.live:
            store.begin(self._next_seq)
        store.journal.seal(self._next_seq, CLOSED)


def _identity(found: Recovered) -> Identity:
    owner = found.owner or disk.new_instance_id()
    newest = found.newest
    if found.clean and newest is not None:
        return Identity(owner, newest.queue, newest.predecessor, continued=True)
    return Identity(owner, disk.new_queue_id(), newest.queue if newest else "", continued=False)
