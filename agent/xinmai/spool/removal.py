"""Unlinking segments, but not before the losses that this means are durable."""

from __future__ import annotations

from xinmai.spool.held import Held


class Removal:
    """Segments that are given up and may still be on disk.

    Args:
        limit_bytes: of those that wait; beyond it all but the newest go at once.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: list[Held] = []
        self._declared = self._durable = 0

    @property
    def bytes(self) -> int:
        """Of the segments that wait."""
        return sum(held.size for held in self._waiting)

    def declared(self) -> None:
        """A loss was declared; it is durable at the end of the next sync that begins now."""
        self._declared += 1

    def remove(self, held: Held) -> None:
        """Unlink a segment, now if every loss declared so far is durable."""
        self._waiting.append(held)
        if self._declared == self._durable:
            self.flush()
        while len(self._waiting) > 1 and self.bytes > self._limit_bytes:
            self.flush(1)

    def flush(self, count: int | None = None) -> int:
        """Unlink those that wait, or the oldest of them; returns their bytes."""
        going, self._waiting = self._waiting[:count], self._waiting[len(self._waiting[:count]) :]
        for held in going:
            held.path.unlink(missing_ok=True)
        return sum(held.size for held in going)

    def mark(self) -> tuple[int, int]:
        """Taken when a sync begins, for `durable`."""
        return self._declared, len(self._waiting)

    def durable(self, mark: tuple[int, int]) -> None:
        """That sync went well."""
        self._durable, count = mark
        self.flush(min(count, len(self._waiting)))
