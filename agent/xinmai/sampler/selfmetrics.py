"""Series every host has about itself: authors cannot forget them."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xinmai.api import Missing, Reading, Reason, Series
from xinmai.catalog import Kind
from xinmai.clock import SECOND_NS
from xinmai_native import LaneState

_STATM = "/proc/self/statm"
_PAGE_BYTES = resource.getpagesize()
_PER_LANE = ("xinmai.lane.rate", "xinmai.lane.missed", "xinmai.lane.late", "xinmai.lane.busy")


def self_series(plugin: str, lanes: Sequence[str]) -> list[Series]:
    """Process series first, then four per lane, in the order of `SelfMeter.readings`."""
    base = {"xinmai.plugin": plugin}
    out = [
        _series("xinmai.process.cpu.time", "s", Kind.COUNTER, base, (1, SECOND_NS), "getrusage"),
        _series("xinmai.process.memory.rss", "By", Kind.GAUGE, base, (1, 1), "/proc/self/statm"),
    ]
    for lane in lanes:
        of = {**base, "xinmai.lane": lane}
        out += [
            _series("xinmai.lane.rate", "Hz", Kind.GAUGE, of, (1, 1000), "ring header committed"),
            _series("xinmai.lane.missed", "{tick}", Kind.COUNTER, of, (1, 1), "ring header missed"),
            _series("xinmai.lane.late", "s", Kind.GAUGE, of, (1, SECOND_NS), "ring header late"),
            _series("xinmai.lane.busy", "s", Kind.COUNTER, of, (1, SECOND_NS), "ring header busy"),
        ]
    return out


def _series(
    metric: str,
    unit: str,
    kind: Kind,
    attributes: Mapping[str, str],
    scale: tuple[int, int],
    native: str,
) -> Series:
    return Series(
        hw_id="",
        metric=metric,
        unit=unit,
        kind=kind,
        attributes=attributes,
        scale=scale,
        native=native,
        low=0,
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    mono_ns: int
    committed: int
    late_ns: int


class SelfMeter:
    """Turns ring headers into the host's own readings, once a second.

    Rates and mean lateness are over the time since the call before; not_yet on the first.
    """

    def __init__(self) -> None:
        self._marks: dict[str, _Mark] = {}

    def readings(self, states: Mapping[str, LaneState], mono_ns: int) -> list[Reading]:
        """In the order of `self_series` for the same lanes."""
        out: list[Reading] = [time.process_time_ns(), rss_bytes()]
        for name, state in states.items():
            rate, late = self._since_last(name, state, mono_ns)
            out += [rate, state.missed, late, state.busy_ns]
        return out

    def _since_last(self, name: str, state: LaneState, mono_ns: int) -> tuple[Reading, Reading]:
        before = self._marks.get(name)
        self._marks[name] = _Mark(mono_ns, state.committed, state.late_ns)
        if before is None or mono_ns <= before.mono_ns:
            return Missing(Reason.NOT_YET), Missing(Reason.NOT_YET)
        rows = state.committed - before.committed
        rate_mhz = rows * 1000 * SECOND_NS // (mono_ns - before.mono_ns)
        late = (state.late_ns - before.late_ns) // rows if rows else Missing(Reason.NOT_YET)
        return rate_mhz, late


def rss_bytes() -> Reading:
    """Resident memory of this process, or why there is none."""
    try:
        # Not by Path, as in Context.text.
        with open(_STATM, "rb", buffering=0) as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return Missing(Reason.UNSUPPORTED)
