"""Sets of seqs as closed, ascending ranges that are not adjacent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Grows and shrinks by ranges; bounds of any size."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def add(self, first: int, last: int) -> None:
        """Unite with a range."""
        start = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if start < end:
            first = min(first, self._firsts[start])
            last = max(last, self._lasts[end - 1])
        self._firsts[start:end] = [first]
        self._lasts[start:end] = [last]

    def missing(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are not in the set."""
        at = bisect_left(self._lasts, first)
        while first <= last:
            begin = self._firsts[at] if at < len(self._firsts) else last + 1
            if first < begin:
                yield first, min(last, begin - 1)
            if at == len(self._firsts):
                return
            first = self._lasts[at] + 1
            at += 1
