"""How a plugin does: by the age of its newest row, never by whether a process lives (A2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xinmai.api import Missing, Reading, Reason
from xinmai.clock import SECOND_NS
from xinmai.shipper.rings import Ring

STALE_PERIODS = 2
GRACE_NS = SECOND_NS
_NOT_YET = Missing(Reason.NOT_YET)
_AT_REST = ("unavailable", "disabled")


@dataclass(frozen=True, slots=True)
class PluginHealth:
    """As `status` answers it."""

    name: str
    state: str
    newest_age_s: float | None
    stuck: bool
    reason: str

    @property
    def is_well(self) -> bool:
        """It delivers, or there is nothing here for it to deliver."""
        return not self.stuck and self.state in ("running", *_AT_REST)


def plugin_health(
    told: Mapping[str, Any], rings: Mapping[str, Ring], damaged: Mapping[str, str], now_ns: int
) -> PluginHealth:
    """What the supervisor says of a plugin, held against its newest ring."""
    name, state, reason = (str(told.get(key, "")) for key in ("name", "state", "reason"))
    age_s, stale = None, ""
    if name in rings:
        age_s, stale = _freshness(rings[name], now_ns)
    elif state == "running":
        stale = "no ring of it is here"
    stale = damaged.get(name, stale)
    stuck = state == "stuck" or (state == "running" and bool(stale))
    return PluginHealth(
        name=name,
        state="stuck" if stuck else state,
        newest_age_s=age_s,
        stuck=stuck,
        reason=reason or (stale if stuck else ""),
    )


def _freshness(ring: Ring, now_ns: int) -> tuple[float | None, str]:
    """Age of the plugin's newest row, and which lane is over two of its periods old."""
    newest_ns, stale = 0, ""
    for index, lane in enumerate(ring.layout.lanes):
        if not lane.count:
            continue
        state = ring.reader.state(index)
        newest_ns = max(newest_ns, state.begin_ns)
        # A lane that never had a row is as old as its ring.
        age_ns = now_ns - (state.begin_ns or ring.added_ns)
        period_ns = state.period_ns if state.period_ns > 0 else lane.period_ns
        if age_ns > STALE_PERIODS * period_ns + GRACE_NS:
            stale = f"lane {lane.name}: no row for {age_ns / SECOND_NS:.1f} s"
        elif age_ns < -GRACE_NS:
            stale = f"lane {lane.name}: its newest row is {-age_ns / SECOND_NS:.1f} s ahead"
    return ((now_ns - newest_ns) / SECOND_NS if newest_ns else None), stale


def plugin_readings(
    told: Mapping[str, Any], health: PluginHealth, now_ns: int
) -> Sequence[Reading]:
    """What its series say: up, restarts, stalls, and for how long a call has not come back.

    A plugin at rest is neither up nor down; what a supervisor does not tell is not known yet.
    """
    up: Reading = int(health.is_well)
    if health.state in _AT_REST:
        up = Missing(Reason.UNSUPPORTED)
    stalled: Reading = _NOT_YET
    if "stalled" in told:
        since_ns = (told["stalled"] or {}).get("since_ns")
        stalled = 0 if since_ns is None else max(0, now_ns - since_ns)
    return up, told.get("restarts", _NOT_YET), told.get("stalls", _NOT_YET), stalled
