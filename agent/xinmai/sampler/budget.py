"""Reading must not cost the job more than its share: lanes that take too long halve their rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xinmai import clock
from xinmai.api import Event
from xinmai.sampler.plan import probe_devices

if TYPE_CHECKING:
    from xinmai.sampler.host import Generation, HostSettings

CHECKS_OVER = 5
"""Seconds over the budget in a row before a lane slows down: one slow read is no pattern."""


class CallBudget:
    """Watches the share of wall time that a device's calls take.

    Args:
        share: of wall time per device, 0.01 by default.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._busy_ns: dict[str, tuple[int, int]] = {}
        self._over: dict[str, int] = {}

    def check(self, generation: Generation, settings: HostSettings) -> Iterator[Event]:
        """Ask once a second; yields one event per lane that slowed down."""
        now_ns = clock.mono_ns()
        devices = probe_devices(generation.plan)
        for index, lane in enumerate(generation.layout.lanes[: generation.event_lane]):
            state = generation.reader.state(index)
            before_ns, before_busy_ns = self._busy_ns.get(lane.name, (now_ns, state.busy_ns))
            self._busy_ns[lane.name] = (now_ns, state.busy_ns)
            if not lane.cost or settings.is_explicit(lane.cost) or now_ns <= before_ns:
                continue
            used = (state.busy_ns - before_busy_ns) / (now_ns - before_ns)
            share = used / devices.get(lane.name, max(1, len(generation.plan.devices)))
            self._over[lane.name] = self._over.get(lane.name, 0) + 1 if share > self._share else 0
            if self._over[lane.name] >= CHECKS_OVER:
                self._over[lane.name] = 0
                period_ns = _slow_down(generation, index, state.period_ns)
                yield _event(generation.layout.plugin, lane.name, share, self._share, period_ns)


def _slow_down(generation: Generation, index: int, period_ns: int) -> int:
    name = generation.layout.lanes[index].name
    if name in generation.probe_lanes:
        generation.probe_lanes[name].set_period(2 * period_ns)
        return 2 * period_ns
    poller = generation.pollers[index - len(generation.plan.probes)]
    poller.set_period(2 * poller.period_ns)
    return poller.period_ns


def _event(plugin: str, lane: str, share: float, allowed: float, period_ns: int) -> Event:
    return Event(
        code="lane_slowed",
        event_class="agent",
        severity="warning",
        message=(
            f"plugin {plugin}, lane {lane}: calls took {share:.1%} of a device's time, "
            f"{allowed:.1%} is allowed; period is now {period_ns / 1e6:g} ms"
        ),
        action=f"set plugins.{plugin}.period to have a period obeyed whatever it costs",
        attributes={"xinmai.plugin": plugin, "xinmai.lane": lane},
    )
