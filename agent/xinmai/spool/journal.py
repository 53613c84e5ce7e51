"""The end of a spool on its way to the disk: the active segment and what is not durable yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xinmai.spool import disk
from xinmai.spool.held import Held
from xinmai.spool.layout import BATCH, SegmentHeader
from xinmai.spool.segment import SegmentWriter
from xinmai.wire.messages import Loss

COPIES_BYTES = 16 * 2**20


@dataclass(slots=True)
class Copy:
    """A batch kept in memory until it is durable.

    Args:
        number: counts appends.
        payload: None once too much is kept: the file must do.
    """

    number: int
    seq: int
    key: str
    meta: bytes
    payload: bytes | None
    carried: tuple[Loss, ...]


@dataclass(slots=True, eq=False)
class _Open:
    writer: SegmentWriter
    held: Held
    durable_bytes: int = 0
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One sync: what must become durable, as of its begin."""

    directory: Path
    segments: Sequence[tuple[_Open, int]]
    names: int
    new_names: bool
    number: int
    broken: bool

    def run(self) -> None:
        """Wait for the disk; needs no lock.

        Raises:
            OSError: nothing since the last good sync is to be relied on.
        """
        if self.broken:
            raise OSError("an earlier sync failed and its records could not be written again")
        for segment, _ in self.segments:
            segment.writer.sync()
        if self.new_names:
            disk.sync_directory(self.directory)


class Journal:
    """Writers of segments and copies of unsynced batches; calls are serialised by the spool."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._active: _Open | None = None
        self._unsynced: list[_Open] = []
        self._abandoned: list[_Open] = []
        self._copies: deque[Copy] = deque()
        self._copied_bytes = 0
        self._kept_at = 0
        self._number = 0
        self._names = self._durable_names = 0
        self._broken = False
        self._shipped: list[Loss] = []

    @property
    def active(self) -> Held | None:
        """The segment that is written to."""
        return self._active.held if self._active else None

    def begin(self, path: Path, header: SegmentHeader, reserve_bytes: int) -> Held:
        """Make a new segment the active one; the one before must be sealed.

        Raises:
            OSError: nothing was made.
        """
        writer = SegmentWriter(path, header, reserve_bytes)
        self._active = _Open(writer, Held(path, header, writer.allocated))
        self._unsynced.append(self._active)
        self._names += 1
        return self._active.held

    def fits(self, size: int) -> bool:
        """Whether the active segment has that many bytes reserved still."""
        writer = self._writer()
        return writer.size + size <= writer.allocated

    def written_bytes(self) -> int:
        """Size of the active segment without what is reserved."""
        return self._writer().size

    def write(self, kind: int, seq: int, key: str, meta: bytes, payload: bytes) -> int:
        """Append to the active segment; returns the offset. Raises OSError."""
        writer = self._writer()
        offset = writer.append(kind, seq, key, meta, payload)
        active = self._active
        if active is not None:
            active.held.size = writer.allocated
            if active not in self._unsynced:
                self._unsynced.append(active)
        if kind == BATCH:
            self._number += 1
        return offset

    def remember(
        self, seq: int, key: str, meta: bytes, payload: bytes, carried: tuple[Loss, ...]
    ) -> None:
        """Keep a copy of the batch just written until it is durable."""
        self._copies.append(Copy(self._number, seq, key, meta, payload, carried))
        self._copied_bytes += len(payload)
        self._give_up_old()

    def seal(self, next_seq: int, meta: bytes = b"") -> None:
        """End the active segment, if there is one; a full disk costs only its SEAL record."""
        active, self._active = self._active, None
        if active is None:
            return
        active.sealed = True
        if active not in self._unsynced:
            self._unsynced.append(active)
        with suppress(OSError):
            active.writer.seal(next_seq, meta)
        active.held.size = active.writer.size

    def empty(self, held: Held) -> None:
        """Free the space of a segment that is unlinked but open until the next sync."""
        for segment in (*self._unsynced, *self._abandoned):
            if segment.held is held:
                segment.writer.empty()

    def drop_active(self) -> None:
        """Take back a segment that was just begun and could not be filled."""
        active, self._active = self._active, None
        if active is not None:
            self._unsynced.remove(active)
            active.writer.close()
            active.held.path.unlink(missing_ok=True)

    def sync_active(self) -> None:
        """Make the active segment and its name durable at once. Raises OSError."""
        self._writer().sync()
        disk.sync_directory(self._directory)

    def start_sync(self) -> Work:
        """What is not durable now; running it costs nothing when all is."""
        new_names = self._names != self._durable_names
        segments = [(item, item.writer.size) for item in self._unsynced]
        return Work(self._directory, segments, self._names, new_names, self._number, self._broken)

    def end_sync(self, work: Work) -> None:
        """It went well: forget copies, close what is sealed, cut what was abandoned."""
        for segment, size in work.segments:
            segment.durable_bytes = size
            if segment.writer.size == size:
                self._unsynced.remove(segment)
                if segment.sealed:
                    segment.writer.close()
        while self._copies and self._copies[0].number <= work.number:
            self._shipped += self._release().carried
        self._durable_names = work.names
        for segment in self._abandoned:
            segment.held.size = segment.writer.cut(segment.durable_bytes)
        self._abandoned.clear()

    def abandon(self) -> list[Copy]:
        """A sync failed: no unsynced segment is trusted any more; returns what they held."""
        self._abandoned += self._unsynced
        self._unsynced.clear()
        self._active = None
        self._broken = True
        copies = list(self._copies)
        self._copies.clear()
        self._copied_bytes = self._kept_at = 0
        return copies

    def untrusted(self) -> list[Held]:
        """Abandoned segments that may hold the only copy of a record."""
        return [segment.held for segment in self._abandoned] if self._broken else []

    def rewritten(self, left: Sequence[Copy] = ()) -> None:
        """After `abandon`: `left` could not be written again, and no sync succeeds until it is."""
        self._broken = bool(left)
        self._copies = deque(sorted((*self._copies, *left), key=lambda copy: copy.seq))
        self._copied_bytes = sum(len(copy.payload or b"") for copy in self._copies)
        self._kept_at = 0

    def take_shipped(self) -> list[Loss]:
        """Losses carried by batches that became durable since the last call."""
        shipped, self._shipped = self._shipped, []
        return shipped

    def close(self) -> None:
        """Close every file as it is."""
        for segment in (*self._unsynced, *self._abandoned):
            segment.writer.close()
        if self._active is not None:
            self._active.writer.close()

    def _writer(self) -> SegmentWriter:
        if self._active is None:
            raise OSError("no segment is open")
        return self._active.writer

    def _release(self) -> Copy:
        copy = self._copies.popleft()
        self._copied_bytes -= len(copy.payload or b"")
        self._kept_at = max(0, self._kept_at - 1)
        return copy

    def _give_up_old(self) -> None:
        while self._copied_bytes > COPIES_BYTES:
            copy = self._copies[self._kept_at]
            self._copied_bytes -= len(copy.payload or b"")
            copy.payload = None
            self._kept_at += 1
