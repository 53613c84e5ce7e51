"""The write path of a spool: segments begun, filled, dropped at the budget, written again."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xinmai import clock
from xinmai.errors import SpoolError
from xinmai.spool import disk, facts
from xinmai.spool.facts import Facts
from xinmai.spool.held import Held
from xinmai.spool.journal import Copy, Journal
from xinmai.spool.layout import BATCH, CARRY, HEADER_BYTES, INVENTORY, LOSS, VERSION, record_bytes
from xinmai.spool.losses import LossBook
from xinmai.spool.removal import Removal
from xinmai.spool.segment import SegmentHeader, read_record, segment_name
from xinmai.spool.shelf import Shelf
from xinmai.wire.messages import Stream

_T = TypeVar("_T")
_LOSSES_PER_RECORD = 1000


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose segments these are.

    Args:
        continued: the queue was closed and goes on: its first new segment must be durable
            before anything in it is sent, or the old end could be taken for the end again.
    """

    owner: str
    queue: str
    predecessor: str
    continued: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes: of all segments, of one, and left free on the filesystem."""

    budget_bytes: int
    segment_bytes: int
    floor_bytes: int


class Store:
    """Not locked: the spool is its only user.

    Args:
        make_room: frees disk space by dropping what matters least; returns bytes, 0 for none.
    """

    def __init__(
        self,
        directory: Path,
        stream: Stream,
        identity: Identity,
        limits: Limits,
        make_room: Callable[[], int],
    ) -> None:
        self.directory, self.stream = directory, stream
        self.identity, self.limits = identity, limits
        self.shelf, self.journal, self.book = Shelf(), Journal(directory), LossBook(stream)
        self.removal = Removal(2 * limits.segment_bytes, self.journal.empty)
        self.last_meta = b""
        self.schema, self._inventory = "", b""
        self._make_room = make_room
        self._continued = identity.continued

    def set_inventory(self, schema: str, payload: bytes) -> None:
        """Batches of this schema can follow."""
        self.schema, self._inventory = schema, payload

    def inventory(self, schema: str) -> bytes | None:
        """The current one, or one that a held segment has."""
        if schema == self.schema:
            return self._inventory
        for held in reversed(self.shelf):
            offset = held.inventories.get(schema)
            if offset is not None:
                try:
                    return read_record(held.path, offset, held.header).payload
                except SpoolError:
                    continue
        return None

    def put(self, seq: int, key: str, local: bytes, payload: bytes, known: Facts) -> None:
        """Write a batch, in a new segment where the active one is full. Raises OSError."""
        size = record_bytes(key, local, payload)
        held = self.journal.active
        if held is None or self._is_full(held, size):
            held = self.begin(seq, size)
        inventory = self.inventory(key) if key and key not in held.inventories else None
        if inventory is not None:
            held.inventories[key] = self._write(INVENTORY, 0, key, b"", inventory)
        offset = self._write(BATCH, seq, key, local, payload)
        held.add(seq, offset, len(payload), key, known.readings, known.carried)
        self.journal.remember(seq, key, local, payload, known.carried)
        self.last_meta = known.meta or self.last_meta

    def begin(self, first_seq: int, size: int = 0) -> Held:
        """Seal the active segment and make a new one for a record of that size.

        Raises:
            OSError: no segment is active then.
        """
        self.journal.seal(first_seq)
        held = self._create(first_seq, size)
        try:
            if self.last_meta:
                held.carry_offset = self.journal.write(CARRY, 0, "", self.last_meta, b"")
            if self._continued:
                self.journal.sync_active()
        except OSError:
            self.journal.drop_active()
            raise
        self._continued = False
        self.shelf.add(held)
        self.log_losses()
        self.reap()
        self._trim()
        return held

    def lose(self, queue: str, first: int, last: int, reason: str) -> None:
        """Declare what is held of a range as lost."""
        for held in self.shelf.of(queue):
            for run in held.close_range(first, last):
                self.book.declare_run(queue, run, reason)
                self.removal.declared(held)
        self.log_losses()

    @property
    def disk_bytes(self) -> int:
        """Of all segments, with what is reserved or waits to be removed."""
        return self.shelf.bytes + self.removal.bytes

    def drop_oldest(self) -> int:
        """Drop the oldest segment that is not written to; bytes it took, 0 when there is none."""
        spared = [self.journal.active, *self.journal.untrusted()]
        oldest = next((held for held in self.shelf if held not in spared), None)
        if oldest is None:
            return 0
        for run in oldest.close_range(oldest.first_seq, oldest.last_seq):
            self.book.declare_run(oldest.queue, run, "spool_budget")
        self.book.orphan(oldest)
        self.shelf.remove(oldest)
        # Declared before it is gone: a process killed in between has lost nothing in silence.
        self.log_losses()
        self.removal.declared(oldest)
        self.removal.remove(oldest)
        return oldest.size

    def log_losses(self) -> bool:
        """Write losses that are in memory only; False where some must stay there for now."""
        active, losses = self.journal.active, self.book.unwritten()
        for at in range(0, len(losses), _LOSSES_PER_RECORD):
            if active is None:
                return False
            part = losses[at : at + _LOSSES_PER_RECORD]
            try:
                self.journal.write(LOSS, 0, "", b"", facts.pack_losses(part))
            except OSError:
                return False
            self.book.written(part, active)
        return True

    def reap(self) -> None:
        """Unlink segments with nothing left to send; the newest stays, for its end and meta."""
        homes, newest = self.book.homes(), self.shelf.newest
        for held in list(self.shelf):
            if held is newest or held.live or id(held) in homes:
                continue
            self.shelf.remove(held)
            self.removal.remove(held)

    def rewrite(self, next_seq: int) -> None:
        """After a failed sync: what is not known to be durable goes into a new segment.

        Raises:
            OSError: what is left stays where it is until the next sync.
        """
        left = self.journal.abandon()
        for held in self.journal.untrusted():
            self.book.orphan(held)
        try:
            self.begin(left[0].seq if left else next_seq)
            while left:
                self._put_again(left[0])
                left.pop(0)
        finally:
            self.journal.rewritten(left)

    def _put_again(self, copy: Copy) -> None:
        queue = self.identity.queue
        found = self.shelf.find(queue, copy.seq)
        if found is None:
            return
        held, offset = found
        payload = copy.payload
        if payload is None:
            try:
                payload = read_record(held.path, offset, held.header).payload
            except SpoolError:
                self.lose(queue, copy.seq, copy.seq, "spool_damage")
                return
        self.put(copy.seq, copy.key, copy.meta, payload, facts.unpack_facts(copy.meta))
        held.close_stored(copy.seq, copy.seq)

    def _is_full(self, held: Held, size: int) -> bool:
        return len(held) > 0 and self.journal.written_bytes() + size > self.limits.segment_bytes

    def _create(self, first_seq: int, size: int) -> Held:
        mine, newest = self.identity, self.shelf.newest
        created_ns = max(clock.wall_ns(), newest.header.created_ns + 1 if newest else 0)
        header = SegmentHeader(
            VERSION, self.stream, mine.owner, mine.queue, mine.predecessor, created_ns, first_seq
        )
        path = self.directory / segment_name(header)
        least = HEADER_BYTES + record_bytes("", self.last_meta, b"") + size
        wanted = max(least, self.limits.segment_bytes)
        if disk.free_bytes(self.directory) >= self.limits.floor_bytes + wanted:
            try:
                return self.journal.begin(path, header, wanted)
            except OSError as error:
                if not disk.is_full(error):
                    raise
        self._keep_floor(least)
        return self._with_room(lambda: self.journal.begin(path, header, least))

    def _write(self, kind: int, seq: int, key: str, meta: bytes, payload: bytes) -> int:
        size = record_bytes(key, meta, payload)
        fits = self.journal.fits(size)
        if not fits:
            self._keep_floor(size)
        offset = self._with_room(lambda: self.journal.write(kind, seq, key, meta, payload))
        if not fits:
            self._trim()
        return offset

    def _keep_floor(self, size: int) -> None:
        """Below the floor nothing is taken from the filesystem that was not given back."""
        freed, floor = 0, self.limits.floor_bytes
        while freed < size and disk.free_bytes(self.directory) < floor + size:
            room = self._make_room()
            if not room:
                text = f"no free space above the floor of {floor} bytes"
                raise OSError(errno.ENOSPC, text, str(self.directory))
            freed += room

    def _with_room(self, action: Callable[[], _T]) -> _T:
        while True:
            try:
                return action()
            except OSError as error:
                if not disk.is_full(error) or not self._make_room():
                    raise

    def _trim(self) -> None:
        """Keep to the budget, with room for what one new segment displaces until the next sync."""
        budget = self.limits.budget_bytes - 2 * self.limits.segment_bytes
        while self.shelf.bytes > budget and self.drop_oldest():
            continue
