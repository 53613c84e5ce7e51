"""Reading must not cost the job more than its share: lanes that take too long halve their rate."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xinmai.api import Event
from xinmai.clock import SECOND_NS
from xinmai.sampler.plan import Plan, PollLane, ProbeLane
from xinmai.sampler.settings import LONGEST_PERIOD_NS
from xinmai_native import LaneState, RingReader

WINDOW_NS = 5 * SECOND_NS
ROWS = 5
"""A lane is judged over as many rows and as much time as this: one slow read is no pattern."""


@dataclass(frozen=True, slots=True)
class _Mark:
    mono_ns: int
    busy_ns: int
    committed: int


class CallBudget:
    """Watches the share of wall time that a device's calls take, over one generation.

    Args:
        share: of wall time per device, 0.01 by default.
        is_explicit: whether a person set the period of a cost class.
        slowed: factor by lane name; raised here, obeyed by the next plan.
    """

    def __init__(
        self, share: float, is_explicit: Callable[[str], bool], slowed: dict[str, int]
    ) -> None:
        self._share, self._is_explicit, self._slowed = share, is_explicit, slowed
        self._marks: dict[str, _Mark] = {}

    def check(self, plan: Plan, reader: RingReader, now_ns: int) -> Iterator[Event]:
        """Ask once a second; one event per lane that has to slow down."""
        for index, lane in enumerate(plan.lanes):
            longest = 2 * lane.period_ns > LONGEST_PERIOD_NS
            if not lane.cost or longest or self._is_explicit(lane.cost):
                continue
            devices = len(set(lane.owners))
            share = self._used(index, lane, reader, now_ns) / devices
            if share > self._share:
                self._slowed[lane.name] = 2 * self._slowed.get(lane.name, 1)
                yield _event(plan.plugin, lane, share, self._share)

    def _used(
        self, index: int, lane: ProbeLane | PollLane, reader: RingReader, now_ns: int
    ) -> float:
        """Share of the time since the last look; 0 while there is too little to judge by."""
        state = reader.state(index)
        mark = self._marks.setdefault(lane.name, _Mark(now_ns, state.busy_ns, state.committed))
        rows, time_ns = state.committed - mark.committed, now_ns - mark.mono_ns
        if rows < ROWS or time_ns < WINDOW_NS:
            return 0.0
        self._marks[lane.name] = _Mark(now_ns, state.busy_ns, state.committed)
        used = (state.busy_ns - mark.busy_ns) / time_ns
        return min(used, _quickest_ns(index, state, reader) / lane.period_ns)


def _quickest_ns(index: int, state: LaneState, reader: RingReader) -> int:
    """Of the last rows: what a row costs when no other process is in the way."""
    durations_ns = array("I", reader.rows(index, state.committed - ROWS, ROWS).duration_ns)
    return min(durations_ns, default=0)


def _event(plugin: str, lane: ProbeLane | PollLane, share: float, allowed: float) -> Event:
    period_ms = 2 * lane.period_ns / 1e6
    return Event(
        code="lane_slowed",
        event_class="agent",
        severity="warning",
        message=(
            f"plugin {plugin}, lane {lane.name}: calls took {share:.1%} of a device's time, "
            f"{allowed:.1%} is allowed; period is now {period_ms:g} ms"
        ),
        action=f"set plugins.{plugin}.period to have a period obeyed whatever it costs",
        attributes={"xinmai.plugin": plugin, "xinmai.lane": lane.name},
    )
