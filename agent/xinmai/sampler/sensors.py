"""What the ring tells of sensors: which columns it follows, refresh periods, counters' resets."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Callable, Iterator, Sequence

from xinmai.api import Event, Kind, Missing, Poll, Reading, Reason, Series
from xinmai.clock import SECOND_NS
from xinmai.layout import SELF_LANE
from xinmai.sampler.plan import Plan
from xinmai_native import TRACK_COUNTER, TRACK_GAUGE, TRACK_NONE, Ring

NAMED_RESETS = 8
_TRACKED = {Kind.GAUGE: TRACK_GAUGE, Kind.COUNTER: TRACK_COUNTER}

RefreshOf = Callable[[int], bytes]
"""Measured refresh period by column of a lane, as `Ring.refresh_ns`."""


def track_columns(series: Sequence[Series]) -> list[tuple[int, int, int]]:
    """Arguments of `Ring.track`: integers that are gauges or counters."""
    return [
        (
            TRACK_NONE if one.type == "f64" else _TRACKED.get(one.kind, TRACK_NONE),
            one.width_bits,
            one.refresh_ns or 0,
        )
        for one in series
    ]


def add_refresh(plan: Plan, refresh_of: RefreshOf) -> None:
    """Let the host's own lane tell the refresh period of each metric of its fast C lanes."""
    columns = list(_fast_columns(plan))
    if not columns:
        return
    series = [_refresh_series(plan, lane, metric) for lane, metric, _ in columns]

    def read() -> list[Reading]:
        measured = {lane: array("q", refresh_of(lane)) for lane, _, _ in columns}
        return [_median([measured[lane][at] for at in places]) for lane, _, places in columns]

    own = next(lane for lane in plan.polls if lane.name == SELF_LANE)
    own.polls.append(Poll("refresh", series, read))
    own.owners.append("")


def _fast_columns(plan: Plan) -> Iterator[tuple[int, str, list[int]]]:
    """(lane, metric, columns) of what is tracked in C lanes that read more than once a second."""
    for lane, probes in enumerate(plan.probes):
        if probes.period_ns >= SECOND_NS:
            continue
        places: dict[str, list[int]] = {}
        for column, series in enumerate(probes.series):
            if track_columns([series])[0][0] != TRACK_NONE:
                places.setdefault(series.metric, []).append(column)
        for metric, columns in places.items():
            yield lane, metric, columns


def _refresh_series(plan: Plan, lane: int, metric: str) -> Series:
    attributes = {
        "xinmai.plugin": plan.plugin,
        "xinmai.lane": plan.probes[lane].name,
        "xinmai.metric": metric,
    }
    return Series(
        hw_id="",
        metric="xinmai.sensor.refresh",
        unit="s",
        kind=Kind.GAUGE,
        attributes=attributes,
        scale=(1, SECOND_NS),
        native="times between changes of the value",
        low=0,
    )


def _median(measured: Sequence[int]) -> Reading:
    known = [refresh_ns for refresh_ns in measured if refresh_ns]
    return int(statistics.median(known)) if known else Missing(Reason.NOT_YET)


class Resets:
    """Notices accepted resets of a ring's counters."""

    def __init__(self, ring: Ring, plan: Plan) -> None:
        self._ring = ring
        self._lanes = [(index, lane.series) for index, lane in enumerate(plan.lanes)]
        self._before = [ring.resets(index) for index, _ in self._lanes]

    def new(self) -> list[Series]:
        """Counters that were reset since the call before."""
        found: list[Series] = []
        for at, (index, series) in enumerate(self._lanes):
            now = self._ring.resets(index)
            if now == self._before[at]:
                continue
            counts = zip(series, array("I", self._before[at]), array("I", now), strict=True)
            found += [one for one, before, after in counts if after != before]
            self._before[at] = now
        return found


def reset_event(plugin: str, series: Sequence[Series]) -> Event:
    """One event for all counters that began anew together."""
    named = ", ".join(f"{one.metric} of {one.hw_id or 'the node'}" for one in series[:NAMED_RESETS])
    more = len(series) - NAMED_RESETS
    return Event(
        code="counter_reset",
        event_class="agent",
        message=f"plugin {plugin}: counters began anew: {named}"
        + (f" and {more} more" if more > 0 else ""),
        hw_id=series[0].hw_id if len({one.hw_id for one in series}) == 1 else "",
        attributes={"xinmai.plugin": plugin},
    )
