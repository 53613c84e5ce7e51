"""Unlinking segments, but not before the losses that this means are durable."""

from __future__ import annotations

from collections.abc import Callable

from xinmai.spool.held import Held


class Removal:
    """Segments that are given up and may still be on disk.

    Args:
        limit_bytes: of those that wait; beyond it all but the newest go at once.
        unlinked: called for each that is gone.
    """

    def __init__(self, limit_bytes: int, unlinked: Callable[[Held], None]) -> None:
        self._limit_bytes, self._unlinked = limit_bytes, unlinked
        self._waiting: list[Held] = []
        self._declared = self._durable = 0

    @property
    def bytes(self) -> int:
        """Of the segments that wait."""
        return sum(held.size for held in self._waiting)

    def declared(self, held: Held) -> None:
        """Losses of a segment, or that it told of, stand elsewhere now and are not durable yet."""
        self._declared += 1
        held.declared_at = self._declared

    def remove(self, held: Held) -> None:
        """Unlink a segment, now if what was declared of it is durable."""
        if held.declared_at <= self._durable:
            self._unlink([held])
            return
        self._waiting.append(held)
        while len(self._waiting) > 1 and self.bytes > self._limit_bytes:
            self._unlink([self._waiting.pop(0)])

    def flush(self) -> int:
        """Unlink those that wait; returns their bytes."""
        going, self._waiting = self._waiting, []
        return self._unlink(going)

    def mark(self) -> int:
        """Taken when a sync begins, for `durable`."""
        return self._declared

    def durable(self, mark: int) -> None:
        """That sync went well."""
        self._durable = max(self._durable, mark)
        going = [held for held in self._waiting if held.declared_at <= self._durable]
        self._waiting = [held for held in self._waiting if held.declared_at > self._durable]
        self._unlink(going)

    def _unlink(self, going: list[Held]) -> int:
        for held in going:
            held.path.unlink(missing_ok=True)
            self._unlinked(held)
        return sum(held.size for held in going)
