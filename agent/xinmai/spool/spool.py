"""The agent's durable queue of one stream: segments, budget, what is stored, what was lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinmai.spool.segment import Record
from xinmai.wire.messages import Loss, Ranges, Stream


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What `status` shows of a spool."""

    stream: Stream
    bytes: int
    records: int
    oldest_wall_ns: int | None
    dropped_readings: int


class Spool:
    """One stream's spool in its own directory. Always opens.

    Args:
        directory: made when missing; locked (flock) against a second owner.
        budget_bytes: at the budget the oldest sealed segment is dropped and its loss declared.
        segment_bytes: size at which a segment is sealed.

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
    ) -> None:
        raise NotImplementedError

    def next_identity(self) -> tuple[str, int]:
        """(queue, seq) the next append will have: they stand inside the payload."""
        raise NotImplementedError

    def put_inventory(self, schema: str, payload: bytes) -> None:
        """Make an inventory current: it heads this and each later segment while batches name it."""
        raise NotImplementedError

    def inventory(self, schema: str) -> bytes | None:
        """The payload of an inventory that a held record names."""
        raise NotImplementedError

    def schemas(self) -> set[str]:
        """Schemas that unstored records name, and the current one."""
        raise NotImplementedError

    def append(
        self,
        payload: bytes,
        *,
        schema: str,
        meta: bytes = b"",
        readings: Sequence[tuple[int, int]] = (),
    ) -> tuple[str, int]:
        """Append the record whose identity `next_identity` gave; `readings` by minute, for losses.

        On ENOSPC older segments are dropped first; when nothing helps OSError is raised, nothing
        is written, and the identity stays unused.
        """
        raise NotImplementedError

    def sync(self) -> None:
        """Make everything appended durable. Safe to call from a worker thread."""
        raise NotImplementedError

    def unstored(self, queue: str = "", after: int = 0) -> Iterator[tuple[str, int, int]]:
        """(queue, seq, size) of held records not stored yet, oldest first, behind (queue, after)."""
        raise NotImplementedError

    def read(self, queue: str, seq: int) -> Record | None:
        """A held record; None when it was stored, dropped or is damaged (then its loss is declared)."""
        raise NotImplementedError

    def mark_stored(self, queue: str, ranges: Ranges) -> None:
        """The collector holds these; segments wholly stored are unlinked."""
        raise NotImplementedError

    def last_meta(self) -> Iterator[bytes]:
        """Meta of surviving records, newest first: where reading of the rings goes on."""
        raise NotImplementedError

    def take_losses(self) -> list[Loss]:
        """Losses not declared yet (budget, damage); the caller ships them in stream event."""
        raise NotImplementedError

    def state(self) -> SpoolState:
        """For status and self-metrics."""
        raise NotImplementedError

    def close(self) -> None:
        """Sync, seal and unlock."""
        raise NotImplementedError
