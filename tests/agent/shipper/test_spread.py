"""Nodes sample at one moment and send at many."""

from __future__ import annotations

import pytest

from xinmai.clock import SECOND_NS
from xinmai.shipper.daemon import SPREAD, next_drain_ns, spread_ns

pytestmark = pytest.mark.fault("G8")


def test_five_hundred_nodes_spread_evenly_over_their_share_of_the_window() -> None:
    found = sorted(spread_ns(f"node-{number:03d}", SECOND_NS) for number in range(500))
    share_ns = int(SPREAD * SECOND_NS)
    assert 0 <= found[0] <= found[-1] < share_ns
    # Of ten slices of the share none has more than twice its part.
    slices = [
        sum(at * share_ns <= 10 * one < (at + 1) * share_ns for one in found) for at in range(10)
    ]
    assert sum(slices) == 500
    assert max(slices) <= 100


def test_a_node_sends_at_the_same_place_of_each_window() -> None:
    assert spread_ns("n1", SECOND_NS) == spread_ns("n1", SECOND_NS)
    assert spread_ns("n1", 10 * SECOND_NS) == pytest.approx(10 * spread_ns("n1", SECOND_NS), abs=10)


@pytest.mark.parametrize(
    ("now_ms", "due_ms"), [(0, 300), (299, 300), (300, 1300), (999, 1300), (1000, 1300)]
)
def test_the_next_drain_is_behind_a_windows_end(now_ms: int, due_ms: int) -> None:
    ms = SECOND_NS // 1000
    assert next_drain_ns(now_ms * ms, SECOND_NS, 300 * ms) == due_ms * ms


def test_a_drain_may_be_more_than_a_window_behind() -> None:
    assert next_drain_ns(1000, 100, 130) == 1030
