"""Which sequence numbers there are, as few closed ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from xinmai.wire.messages import Ranges


class RangeSet:
    """A set of integers that come mostly in order, kept as closed ranges that never touch.

    Finding a place is O(log n) in the number of ranges.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Ranges = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> int:
        """Add a closed range, in any order and overlapping what is there.

        Returns:
            How many of its integers are new.
        """
        if first > last:
            raise ValueError(f"a range from {first} down to {last}")
        # Ranges low to high - 1 overlap or touch the new one.
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        before = self._count(low, high)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
        return last - first + 1 - before

    def _count(self, low: int, high: int) -> int:
        return sum(self._lasts[low:high]) - sum(self._firsts[low:high]) + high - low

    def __contains__(self, value: int) -> bool:
        place = bisect_left(self._lasts, value)
        return place < len(self._lasts) and self._firsts[place] <= value

    def __repr__(self) -> str:
        return f"RangeSet({self.ranges!r})"

    def __bool__(self) -> bool:
        return bool(self._firsts)

    @property
    def ranges(self) -> Ranges:
        """Closed, ascending, not adjacent."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def highest(self) -> int | None:
        """The greatest member."""
        return self._lasts[-1] if self._lasts else None

    @property
    def total(self) -> int:
        """Number of members."""
        return self._count(0, len(self._firsts))

    def newest(self, most: int) -> Ranges:
        """The highest `most` ranges."""
        start = max(len(self._firsts) - most, 0)
        return list(zip(self._firsts[start:], self._lasts[start:], strict=True))

    def trim(self, most: int) -> None:
        """Forget all but the highest `most` ranges."""
        drop = max(len(self._firsts) - most, 0)
        del self._firsts[:drop]
        del self._lasts[:drop]

    def gaps(self, up_to: int, start: int = 1) -> Ranges:
        """The closed ranges between `start` and `up_to`, both included, that are not members."""
        result: list[tuple[int, int]] = []
        place = bisect_left(self._lasts, start)
        while start <= up_to:
            if place == len(self._firsts) or self._firsts[place] > up_to:
                result.append((start, up_to))
                break
            if start < self._firsts[place]:
                result.append((start, self._firsts[place] - 1))
            start = self._lasts[place] + 1
            place += 1
        return result
