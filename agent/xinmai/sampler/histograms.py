"""Arithmetic on the lanes' histograms: what came since the last look, quantiles, coarse buckets.

A histogram is what the extension gives: uint64 counts that only grow, one per bucket, with one
sequence of upper bounds for all. A second's worth fills few of its hundreds of buckets, so all
work here is on the stretch that does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

_WIDTH = 8
"""Bytes of a count."""

SHIPPED_NS: Final = tuple(2**10 * 4**step for step in range(12))
"""Upper bounds that are shipped, 1 µs to 4.3 s by factors of four; what is longer is in "inf"."""
LE: Final = (*(f"{bound_ns / 1e9:.12f}".rstrip("0") for bound_ns in SHIPPED_NS), "inf")
"""The same in seconds, as `xinmai.le` has them."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The buckets between the first and the last that hold something.

    Args:
        first: index of the first of them, over all buckets.
        sums: running totals from there on; the last is the number of durations.
    """

    first: int
    sums: Sequence[int]

    @property
    def count(self) -> int:
        """Durations in it."""
        return self.sums[-1]

    def quantile(self, permille: int) -> int:
        """Index of the bucket that holds the quantile: 990 for p99, 1000 for the longest."""
        rank = -(-self.count * permille // 1000)
        return self.first + bisect_left(self.sums, rank)


def as_number(counts: bytes) -> int:
    """All counts as one long number, as `since` takes them."""
    return int.from_bytes(counts, "little")


def since(now: int, before: int) -> Stretch | None:
    """What was counted between two looks; None where nothing was.

    Each count only grows, so the difference of two long numbers borrows nowhere.
    """
    if now == before:
        return None
    grown = now - before
    low = (grown & -grown).bit_length() - 1
    first = low // (8 * _WIDTH)
    last = (grown.bit_length() - 1) // (8 * _WIDTH)
    counts = (grown >> (8 * _WIDTH * first)).to_bytes((last - first + 1) * _WIDTH, "little")
    return Stretch(first, list(accumulate(memoryview(counts).cast("Q"))))


class Bounds:
    """What the extension's buckets mean.

    Args:
        packed: uint64 upper bounds in nanoseconds, growing, the last for what is beyond all.
    """

    def __init__(self, packed: bytes) -> None:
        self._ns = list(memoryview(packed).cast("Q"))
        # Where the shipped bounds lie: up to and with this bucket everything is below.
        self._ends = [bisect_left(self._ns, bound_ns + 1) for bound_ns in SHIPPED_NS]

    def upper_ns(self, bucket: int) -> int:
        """No duration in the bucket is longer; of the last bucket: all in it are at least this."""
        return self._ns[min(bucket, len(self._ns) - 2)]

    def coarse(self, counts: bytes) -> list[int]:
        """How many were at most as long as each of `LE`, since the lane began."""
        sums = [0, *accumulate(memoryview(counts).cast("Q"))]
        return [*(sums[end] for end in self._ends), sums[-1]]
