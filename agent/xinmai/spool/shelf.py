"""The segments of one spool, oldest first."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter

from xinmai.spool.held import Held
from xinmai.wire.messages import Ranges
from xinmai.wire.ranges import RangeSet

_serial = attrgetter("serial")
_first_seq = attrgetter("first_seq")


class Shelf:
    """Ordered by creation."""

    def __init__(self) -> None:
        self._segments: list[Held] = []
        self._queues: dict[str, list[Held]] = {}
        self._serial = 0

    def __iter__(self) -> Iterator[Held]:
        return iter(self._segments)

    def __reversed__(self) -> Iterator[Held]:
        return reversed(list(self._segments))

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def bytes(self) -> int:
        """Of all segments, with what is reserved."""
        return sum(held.size for held in self._segments)

    @property
    def newest(self) -> Held | None:
        """The one made last."""
        return self._segments[-1] if self._segments else None

    def add(self, held: Held) -> None:
        """Put the newest segment in."""
        self._serial += 1
        held.serial = self._serial
        self._segments.append(held)
        self._queues.setdefault(held.queue, []).append(held)

    def remove(self, held: Held) -> None:
        """Take a segment out."""
        self._segments.remove(held)
        queue = self._queues[held.queue]
        queue.remove(held)
        if not queue:
            del self._queues[held.queue]

    def of(self, queue: str) -> Sequence[Held]:
        """Segments of a queue."""
        return self._queues.get(queue, ())

    def find(self, queue: str, seq: int) -> tuple[Held, int] | None:
        """Segment and offset of a live record."""
        segments = self.of(queue)
        likely = bisect_right(segments, seq, key=_first_seq) - 1
        # After a failed sync first seqs are out of order for a while: then all are looked at.
        for held in (*segments[max(likely, 0) : likely + 1], *segments):
            offset = held.offset(seq) if held.first_seq <= seq <= held.last_seq else None
            if offset is not None:
                return held, offset
        return None

    def unstored(self, queue: str, after: int) -> Iterator[tuple[str, int, int]]:
        """Live records behind a position; the shelf may change between two of them."""
        segments = self.of(queue)
        serial = segments[0].serial - 1 if segments else 0
        while (held := self._behind(serial)) is not None:
            yield from held.unstored(after if held.queue == queue else 0)
            serial = held.serial

    def _behind(self, serial: int) -> Held | None:
        at = bisect_right(self._segments, serial, key=_serial)
        return self._segments[at] if at < len(self._segments) else None

    def close_stored(self, queue: str, ranges: Ranges) -> bool:
        """Live no longer; whether any was."""
        changed = False
        for held in self.of(queue):
            at = bisect_right(ranges, held.first_seq, key=lambda item: item[0]) - 1
            for first, last in ranges[max(at, 0) :]:
                if first > held.last_seq:
                    break
                changed |= held.close_stored(first, last)
        return changed

    def not_held(self, queue: str, first: int, last: int) -> list[tuple[int, int]]:
        """Parts of a range of seqs that no segment was given."""
        parts = [(first, last)]
        for held in self.of(queue):
            if held.last_seq < first or held.first_seq > last:
                continue
            spans = RangeSet(list(held.spans()))
            parts = [rest for start, end in parts for rest in spans.gaps(end, start)]
        return parts
