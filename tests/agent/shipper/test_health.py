"""What the series of a plugin say, from what its supervisor tells."""

from __future__ import annotations

from typing import Any

import pytest

from xinmai.api import Missing, Reading, Reason
from xinmai.clock import SECOND_NS
from xinmai.shipper.health import plugin_health, plugin_readings

NOW_NS = 100 * SECOND_NS
NOT_YET, UNSUPPORTED = Missing(Reason.NOT_YET), Missing(Reason.UNSUPPORTED)


def said(state: str, **more: Any) -> tuple[Reading, ...]:
    told = {"name": "acme", "state": state, "reason": "", "since_ns": 1, **more}
    return tuple(plugin_readings(told, plugin_health(told, {}, {}, NOW_NS), NOW_NS))


@pytest.mark.fault("A3")
def test_a_stall_is_as_long_as_it_has_lasted() -> None:
    stalled = {"lane": "fast", "call": "vendorRead", "since_ns": 88 * SECOND_NS}
    assert said("stuck", restarts=1, stalls=2, stalled=stalled) == (0, 1, 2, 12 * SECOND_NS)
    assert said("crashed", restarts=1, stalls=2, stalled=None) == (0, 1, 2, 0)


def test_a_stall_seen_after_now_is_not_negative() -> None:
    stalled = {"lane": "", "call": "", "since_ns": NOW_NS + 1}
    assert said("stuck", restarts=0, stalls=1, stalled=stalled)[3] == 0


@pytest.mark.parametrize(
    ("state", "up"),
    [
        ("running", 0),
        ("stuck", 0),
        ("starting", 0),
        ("failed", 0),
        ("unavailable", UNSUPPORTED),
        ("disabled", UNSUPPORTED),
    ],
)
def test_only_fresh_data_is_up_and_who_rests_is_not_down(state: str, up: Reading) -> None:
    """It runs here without a ring."""
    assert said(state)[0] == up


@pytest.mark.statement("CTL-23")
def test_what_an_older_supervisor_does_not_tell_is_not_known() -> None:
    assert said("stuck")[1:] == (NOT_YET,) * 3
