"""What histograms say of a second, and of all time."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinmai.sampler.histograms import LE, SHIPPED_NS, Bounds, Stretch, as_number, since

# Eight buckets per octave, as the extension's, and one for what is beyond all.
BOUNDS_NS = [*range(1, 17), *((8 + k) << n for n in range(1, 33) for k in range(1, 9)), 2**64 - 1]
BOUNDS_NS = sorted(set(BOUNDS_NS))
BOUNDS = Bounds(struct.pack(f"<{len(BOUNDS_NS)}Q", *BOUNDS_NS))

durations = st.lists(st.integers(min_value=1, max_value=2**40), max_size=60)


def counted(durations_ns: Iterable[int], start: Sequence[int] = ()) -> bytes:
    counts = list(start) or [0] * len(BOUNDS_NS)
    for duration_ns in durations_ns:
        counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
    return struct.pack(f"<{len(counts)}Q", *counts)


def between(now: bytes, before: bytes) -> Stretch | None:
    return since(as_number(now), as_number(before))


def test_nothing_new_is_nothing() -> None:
    now = counted([5, 700])
    assert between(now, now) is None


@given(durations, durations.filter(bool), st.sampled_from([1, 500, 990, 1000]))
def test_quantiles_are_those_of_what_came_since(
    before_ns: list[int], more_ns: list[int], permille: int
) -> None:
    before = counted(before_ns)
    found = between(counted([*before_ns, *more_ns]), before)
    assert found is not None
    assert found.count == len(more_ns)
    exact_ns = sorted(more_ns)[-(-len(more_ns) * permille // 1000) - 1]
    bucket = bisect_left(BOUNDS_NS, exact_ns)
    assert found.quantile(permille) == bucket
    assert BOUNDS.upper_ns(bucket) >= min(exact_ns, BOUNDS_NS[-2])


def test_the_top_of_the_counts_borrows_from_nobody() -> None:
    full = [2**64 - 2] * len(BOUNDS_NS)
    found = between(counted([1, 10**12], full), counted([], full))
    assert found is not None
    assert (found.count, found.first) == (2, 0)
    assert found.quantile(1000) == len(BOUNDS_NS) - 1


def test_p99_of_a_hundred_leaves_the_worst_out() -> None:
    found = between(counted([1000] * 99 + [10**9]), counted([]))
    assert found is not None
    assert BOUNDS.upper_ns(found.quantile(990)) == 1024
    assert BOUNDS.upper_ns(found.quantile(1000)) >= 10**9


def test_what_is_beyond_all_buckets_reads_as_the_longest_they_tell_apart() -> None:
    assert BOUNDS.upper_ns(len(BOUNDS_NS) - 1) == BOUNDS_NS[-2] == 2**36


@given(durations)
def test_coarse_buckets_count_what_was_at_most_so_long(durations_ns: list[int]) -> None:
    coarse = BOUNDS.coarse(counted(durations_ns))
    assert coarse == [
        *(sum(one <= bound_ns for one in durations_ns) for bound_ns in SHIPPED_NS),
        len(durations_ns),
    ]
    assert all(early <= late for early, late in pairwise(coarse))


@pytest.mark.parametrize("shift", [0, -1], ids=["exclusive", "inclusive"])
def test_coarse_buckets_end_where_the_fine_ones_do(shift: int) -> None:
    """Whether or not a fine bucket contains its own bound."""
    fine_ns = [bound_ns + shift for bound_ns in BOUNDS_NS[:-1]] + BOUNDS_NS[-1:]
    bounds = Bounds(struct.pack(f"<{len(fine_ns)}Q", *fine_ns))
    one_each = struct.pack(f"<{len(fine_ns)}Q", *[1] * len(fine_ns))
    assert bounds.coarse(one_each) == BOUNDS.coarse(one_each)


def test_shipped_bounds_are_written_in_seconds() -> None:
    assert len(LE) == len(SHIPPED_NS) + 1 == 13
    assert (LE[0], LE[5], LE[-2], LE[-1]) == ("0.000001024", "0.001048576", "4.294967296", "inf")
    assert [float(le) for le in LE[:-1]] == [bound_ns / 1e9 for bound_ns in SHIPPED_NS]
