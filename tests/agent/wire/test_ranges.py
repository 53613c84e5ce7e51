from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinmai.wire.ranges import RangeSet

spans = st.tuples(st.integers(1, 80), st.integers(0, 12)).map(lambda s: (s[0], s[0] + s[1]))


def members(ranges: RangeSet) -> set[int]:
    return {value for first, last in ranges.ranges for value in range(first, last + 1)}


def test_an_empty_set_has_nothing_and_misses_everything() -> None:
    empty = RangeSet()
    assert not empty
    assert empty.highest is None
    assert empty.total == 0
    assert empty.ranges == []
    assert 1 not in empty
    assert empty.gaps(3) == [(1, 3)]
    assert empty.gaps(0) == []


def test_ranges_that_touch_become_one() -> None:
    ranges = RangeSet([(1, 3), (7, 9)])
    assert ranges.ranges == [(1, 3), (7, 9)]
    assert ranges.add(4, 6) == 3
    assert ranges.ranges == [(1, 9)]


def test_adding_tells_how_many_are_new() -> None:
    ranges = RangeSet([(5, 9)])
    assert ranges.add(5, 9) == 0
    assert ranges.add(7, 12) == 3
    assert ranges.add(1, 20) == 12
    assert ranges.ranges == [(1, 20)]


def test_gaps_start_where_they_are_asked_to() -> None:
    ranges = RangeSet([(3, 4), (8, 9)])
    assert ranges.gaps(12) == [(1, 2), (5, 7), (10, 12)]
    assert ranges.gaps(8, start=4) == [(5, 7)]
    assert ranges.gaps(6, start=5) == [(5, 6)]


def test_newest_keeps_the_highest_and_trim_forgets_the_rest() -> None:
    ranges = RangeSet([(1, 1), (3, 3), (5, 6)])
    assert ranges.newest(2) == [(3, 3), (5, 6)]
    assert ranges.newest(9) == ranges.ranges
    assert ranges.newest(0) == []
    ranges.trim(1)
    assert ranges.ranges == [(5, 6)]
    ranges.trim(5)
    assert ranges.highest == 6


def test_a_range_that_runs_backwards_is_wrong_use() -> None:
    with pytest.raises(ValueError, match="from 3 down to 2"):
        RangeSet([(3, 2)])


@given(st.lists(spans, max_size=40))
def test_it_behaves_as_a_set_of_integers(added: list[tuple[int, int]]) -> None:
    ranges = RangeSet()
    model: set[int] = set()
    for first, last in added:
        new = set(range(first, last + 1)) - model
        assert ranges.add(first, last) == len(new)
        model |= new
    assert members(ranges) == model
    assert ranges.total == len(model)
    assert ranges.highest == max(model, default=None)
    assert bool(ranges) == bool(model)
    assert all((value in ranges) == (value in model) for value in range(100))


@given(st.lists(spans, max_size=40), st.integers(0, 5))
def test_ranges_are_closed_ascending_and_apart(added: list[tuple[int, int]], most: int) -> None:
    ranges = RangeSet(added)
    pairs = ranges.ranges
    assert all(first <= last for first, last in pairs)
    assert all(one[1] + 1 < other[0] for one, other in zip(pairs, pairs[1:], strict=False))
    assert RangeSet(pairs).ranges == pairs
    assert ranges.newest(most) == (pairs[-most:] if most else [])


@given(st.lists(spans, max_size=40), st.integers(0, 100), st.integers(1, 100))
def test_gaps_and_members_together_cover_the_span(
    added: list[tuple[int, int]], up_to: int, start: int
) -> None:
    ranges = RangeSet(added)
    gaps = {value for first, last in ranges.gaps(up_to, start) for value in range(first, last + 1)}
    assert gaps == set(range(start, up_to + 1)) - members(ranges)
