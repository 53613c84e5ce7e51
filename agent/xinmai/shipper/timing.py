"""How punctual a host's lanes are, as its own newest row in the ring says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xinmai.layout import SELF_LANE
from xinmai.shipper.rings import Ring
from xinmai_native import RingError


@dataclass(slots=True)
class LaneTiming:
    """Over the host's last second; None where no row or call fell into it.

    Args:
        rate_hz: rows a second.
        late_p99_ns: begin of a row after its deadline; of lanes that C runs.
        calls: by group of calls, of lanes that C runs: how long they took.
    """

    rate_hz: float | None = None
    late_p99_ns: int | None = None
    calls: dict[str, dict[str, int | None]] = field(default_factory=dict)

    def calls_list(self) -> list[dict[str, Any]]:
        """As `status` answers it."""
        return [{"call": name, **times} for name, times in self.calls.items()]


def lane_timings(ring: Ring) -> dict[str, LaneTiming]:
    """By lane; empty where the host has said nothing yet."""
    found: dict[str, LaneTiming] = {}
    for index, lane in enumerate(ring.layout.lanes):
        if lane.name != SELF_LANE or lane.cost:
            continue
        series = ring.layout.series[lane.first : lane.first + lane.count]
        for one, value in zip(series, _newest(ring, index), strict=False):
            name = one.attributes.get("xinmai.lane", "")
            if name:
                timing = found.setdefault(name, LaneTiming())
                _put(timing, one.metric, one.attributes, value)
    return found


def _newest(ring: Ring, lane: int) -> list[int | None]:
    """Cells of the newest row, None for a reason; empty where there is none."""
    try:
        committed = ring.reader.state(lane).committed
        rows = ring.reader.rows(lane, max(0, committed - 1), 1)
    except RingError:
        return []
    if not rows.n:
        return []
    cells: list[int | None] = list(memoryview(rows.values).cast("q"))
    for column, _, _, _ in rows.reasons:
        cells[column] = None
    return cells


def _put(timing: LaneTiming, metric: str, attributes: Mapping[str, str], value: int | None) -> None:
    statistic = attributes.get("xinmai.statistic", "")
    if metric == "xinmai.lane.rate":
        timing.rate_hz = None if value is None else value / 1000
    elif metric == "xinmai.lane.late" and statistic == "p99":
        timing.late_p99_ns = value
    elif metric == "xinmai.call.duration":
        call = timing.calls.setdefault(attributes["xinmai.call"], {})
        call[f"{statistic}_ns"] = value
