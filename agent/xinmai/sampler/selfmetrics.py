"""Series every host has about itself: authors cannot forget them."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import add

from xinmai.api import Missing, Reading, Reason, Series
from xinmai.catalog import Kind, lookup
from xinmai.clock import SECOND_NS
from xinmai.sampler.histograms import LE, Bounds, as_number, since
from xinmai_native import LaneState

_STATM = "/proc/self/statm"
_PAGE_BYTES = resource.getpagesize()
_NANOSECONDS = (1, SECOND_NS)
_NOT_YET = Missing(Reason.NOT_YET)
P99, LONGEST = 990, 1000


@dataclass(frozen=True, slots=True)
class LaneShape:
    """A lane as its series name it.

    Args:
        timed: C runs it and keeps histograms.
        groups: names of its groups of calls, as the histograms count them.
        kind: its name without what keeps devices apart.
    """

    name: str
    timed: bool = False
    groups: Sequence[str] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Timings:
    """Histograms of a lane since it began, as the extension gives them.

    Args:
        late: begin of a row after its deadline.
        calls: how long calls took, by group.
    """

    late: bytes
    calls: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a lane at one moment.

    Args:
        late_max_ns: of the rows since the look before, where Python runs the lane; None for none.
        timings: where C runs it.
    """

    state: LaneState
    late_max_ns: int | None = None
    timings: Timings | None = None


def self_series(plugin: str, lanes: Sequence[LaneShape]) -> list[Series]:
    """Process series first, then those of each lane, in the order of `SelfMeter.readings`."""
    base = {"xinmai.plugin": plugin}
    out = [
        _series("xinmai.process.cpu.time", base, _NANOSECONDS, "getrusage"),
        _series("xinmai.process.memory.rss", base, (1, 1), "/proc/self/statm"),
    ]
    for lane in lanes:
        of = {**base, "xinmai.lane": lane.name}
        out += [
            _series("xinmai.lane.rate", of, (1, 1000), "ring header committed"),
            _series("xinmai.lane.missed", of, (1, 1), "ring header missed"),
            _series("xinmai.lane.busy", of, _NANOSECONDS, "ring header busy"),
            _statistic("xinmai.lane.late", of, "mean", "ring header late"),
        ]
        if not lane.timed:
            out.append(_statistic("xinmai.lane.late", of, "max", "rows of the last second"))
            continue
        out += _quantiles("xinmai.lane.late", of, "histogram of lateness")
        for group in lane.groups:
            call = {**of, "xinmai.call": group}
            out += _quantiles("xinmai.call.duration", call, "histogram of calls")
    return out


def bucket_series(plugin: str, lanes: Sequence[LaneShape]) -> list[Series]:
    """Whole histograms as counters, in the order of `bucket_readings`: seldom read, never reset.

    Rows are counted over the lanes of a kind and calls over all lanes: with lanes per device there
    would be too many series.
    """
    of = {"xinmai.plugin": plugin}
    out = []
    for kind in dict.fromkeys(lane.kind for lane in lanes):
        out += _buckets("xinmai.lane.late.bucket", {**of, "xinmai.lane": kind})
    for group in dict.fromkeys(group for lane in lanes for group in lane.groups):
        out += _buckets("xinmai.call.duration.bucket", {**of, "xinmai.call": group})
    return out


def bucket_readings(lanes: Iterable[tuple[LaneShape, Timings]], bounds: Bounds) -> list[Reading]:
    """In the order of `bucket_series` for the same lanes."""
    late: dict[str, list[int]] = {}
    calls: dict[str, list[int]] = {}
    for shape, timings in lanes:
        _add(late, shape.kind, bounds.coarse(timings.late))
        for group, counts in zip(shape.groups, timings.calls, strict=True):
            _add(calls, group, bounds.coarse(counts))
    return [*chain(*late.values(), *calls.values())]


def _add(sums: dict[str, list[int]], name: str, counts: list[int]) -> None:
    sums[name] = [*map(add, sums[name], counts)] if name in sums else counts


def _quantiles(metric: str, attributes: Mapping[str, str], native: str) -> list[Series]:
    return [_statistic(metric, attributes, name, native) for name in ("p99", "max")]


def _statistic(metric: str, attributes: Mapping[str, str], name: str, native: str) -> Series:
    return _series(metric, {**attributes, "xinmai.statistic": name}, _NANOSECONDS, native)


def _buckets(metric: str, attributes: Mapping[str, str]) -> list[Series]:
    return [_series(metric, {**attributes, "xinmai.le": le}, (1, 1), "histogram") for le in LE]


def _series(
    metric: str, attributes: Mapping[str, str], scale: tuple[int, int], native: str
) -> Series:
    definition = lookup(metric)
    return Series(
        hw_id="",
        metric=metric,
        unit=definition.unit,
        kind=Kind(definition.kind),
        attributes=attributes,
        scale=scale,
        native=native,
        low=0,
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    mono_ns: int
    state: LaneState
    counts: Sequence[int]


class SelfMeter:
    """Turns ring headers and histograms into the host's own readings, once a second.

    Rates, means and quantiles are over the time since the call before; not_yet on the first, and
    where no row or call fell into that time.

    Args:
        bounds: of the histograms.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._marks: dict[str, _Mark] = {}

    def readings(self, looks: Mapping[str, Look], mono_ns: int) -> list[Reading]:
        """In the order of `self_series` for the same lanes."""
        out: list[Reading] = [time.process_time_ns(), rss_bytes()]
        for name, look in looks.items():
            before, timings = self._marks.get(name), look.timings
            counts = [*map(as_number, (timings.late, *timings.calls))] if timings else ()
            self._marks[name] = _Mark(mono_ns, look.state, counts)
            rate, late = _since_last(look.state, before, mono_ns)
            out += [rate, look.state.missed, look.state.busy_ns, late]
            if timings is None:
                out.append(_NOT_YET if look.late_max_ns is None else look.late_max_ns)
            else:
                out += self._quantiles(counts, before.counts if before else counts)
        return out

    def _quantiles(self, now: Sequence[int], before: Sequence[int]) -> Iterator[Reading]:
        """p99 and the longest of each histogram, as the upper bounds of their buckets."""
        for stretch in map(since, now, before):
            for permille in (P99, LONGEST):
                yield self._bounds.upper_ns(stretch.quantile(permille)) if stretch else _NOT_YET


def _since_last(state: LaneState, before: _Mark | None, mono_ns: int) -> tuple[Reading, Reading]:
    """Rate in mHz and mean lateness; a lane that seldom runs has no rate within a second."""
    if before is None or mono_ns <= before.mono_ns:
        return _NOT_YET, _NOT_YET
    rows, time_ns = state.committed - before.state.committed, mono_ns - before.mono_ns
    rate_mhz: Reading = rows * 1000 * SECOND_NS // time_ns
    if state.period_ns > 2 * time_ns:
        rate_mhz = _NOT_YET
    late = (state.late_ns - before.state.late_ns) // rows if rows else _NOT_YET
    return rate_mhz, late


def rss_bytes() -> Reading:
    """Resident memory of this process, or why there is none."""
    try:
        # Not by Path, as in Context.text.
        with open(_STATM, "rb", buffering=0) as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return Missing(Reason.UNSUPPORTED)
