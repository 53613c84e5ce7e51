"""What begins a capture, looked for in what a drain reads anyway; pure, without clocks or files.

A condition that lasts is one trigger: it fires when it begins, and again only after it has ended.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from xinmai.api import Reason, Series
from xinmai.catalog import Kind
from xinmai.clock import SECOND_NS
from xinmai.config import CaptureConfig
from xinmai.rules import Rule
from xinmai.shipper.rings import Ring
from xinmai.values import base_value, native_number
from xinmai.wire.messages import EventEntry, Trigger
from xinmai_native import Rows, Windows

LOST: Final = frozenset({Reason.TIMEOUT, Reason.DEVICE_LOST, Reason.DRIVER_LOST})
SEVERITIES: Final = ("info", "warning", "error", "critical", "never")
MEAN_SHARE: Final = 1 / 16
"""Of the newest rate in a counter's running mean."""
KNOWN_DEVICES: Final = 65_536
"""Remembered over the ends of hosts; one that makes up ever new names loses that memory."""
MEAN_AFTER: Final = 8
"""Rates seen before a running mean says anything."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a capture is to begin.

    Args:
        text: for people.
        plugin: whose lanes come first, "" for none.
        at_ns: CLOCK_MONOTONIC.
    """

    trigger: Trigger
    text: str
    at_ns: int
    hw_id: str = ""
    metric: str = ""
    plugin: str = ""


class EventTrigger:
    """By severity or code."""

    def __init__(self, config: CaptureConfig) -> None:
        self._severities = frozenset(SEVERITIES[SEVERITIES.index(config.severity) :])
        self._codes = config.codes

    def look(self, plugin: str, event: EventEntry, at_ns: int) -> Cause | None:
        """A cause where the event is one."""
        if event.severity not in self._severities and not any(
            fnmatchcase(event.code, pattern) for pattern in self._codes
        ):
            return None
        text = f"{event.severity} {event.code}: {event.message}"
        return Cause("event", text, at_ns, event.hw_id, "", plugin)


@dataclass(frozen=True, slots=True)
class _Point:
    """One window of a column, in the series' unit; `last` as it came."""

    at_ns: int
    low: float
    high: float
    last: int


class _Column:
    """One rule on one series."""

    def __init__(self, column: int, series: Series, rule: Rule) -> None:
        self.column, self.series, self._rule = column, series, rule
        self._fires = False
        self._before: tuple[int, int | float] | None = None
        self._mean, self._seen = 0.0, 0

    def look(self, plugin: str, point: _Point) -> Cause | None:
        """A cause where the rule begins to hold."""
        rule, unit = self._rule, self.series.unit
        if rule.test == "rate":
            trigger: Trigger = "rate"
            rate = self._rate(point)
            if rate is None:
                return None
            bound = self._bound()
            fires = bound is not None and rate > bound
            self._mean += (rate - self._mean) * (MEAN_SHARE if self._seen else 1)
            self._seen += 1
            text = f"rose by {rate:g} {unit}/s, above {bound:g}" if fires else ""
        else:
            trigger = "threshold"
            value = point.high if rule.test == "above" else point.low
            fires = value > rule.number if rule.test == "above" else value < rule.number
            text = f"was {value:g} {unit}, {rule.test} {rule.number:g}"
        begins, self._fires = fires and not self._fires, fires
        if not begins:
            return None
        hw_id, metric = self.series.hw_id, self.series.metric
        where = f" of {hw_id}" if hw_id else ""
        return Cause(trigger, f"{metric}{where} {text}", point.at_ns, hw_id, metric, plugin)

    def _bound(self) -> float | None:
        if not self._rule.factor:
            return self._rule.number
        if self._seen < MEAN_AFTER:
            return None
        return max(self._rule.number, self._rule.factor * self._mean)

    def _rate(self, point: _Point) -> float | None:
        """Growth per second in the series' unit; a reset or a wrap is no growth."""
        number = native_number(point.last, self.series.type)
        before, self._before = self._before, (point.at_ns, number)
        if before is None or point.at_ns <= before[0] or number < before[1]:
            return None
        numerator, denominator = self.series.scale
        passed_s = (point.at_ns - before[0]) / SECOND_NS
        return (number - before[1]) * numerator / denominator / passed_s


class LaneTriggers:
    """Rules and lost devices of one lane of one ring.

    Args:
        lost: whether a device was lost, by (plugin, lane, hw_id); outlives the ring.
    """

    def __init__(
        self,
        ring: Ring,
        lane: int,
        rules: Sequence[Rule],
        lost: dict[tuple[str, str, str], bool],
    ) -> None:
        entry = ring.layout.lanes[lane]
        self._plugin, self._lane, self._lost = ring.layout.plugin, entry.name, lost
        self._series = ring.layout.series[entry.first : entry.first + entry.count]
        self._columns = [
            _Column(column, series, rule)
            for column, series in enumerate(self._series)
            for rule in rules
            if (rule.test != "rate" or series.kind is Kind.COUNTER)
            and rule.matches(series.metric, series.hw_id, series.attributes)
        ]
        self._devices = {series.hw_id for series in self._series}
        self._seen_ns = -1
        self._calm = False

    def look(self, cells: Windows | Rows) -> Iterator[Cause]:
        """Causes in what was read; rows that were looked at before say nothing again."""
        times = array("q", cells.start_ns if isinstance(cells, Windows) else cells.scheduled_ns)
        if not times or times[-1] <= self._seen_ns:
            return
        if cells.reasons or not self._calm:
            yield from self._look_for_lost(cells, times)
        if self._columns:
            yield from self._look_at_rules(cells, times)
        self._seen_ns = times[-1]

    def _look_at_rules(self, cells: Windows | Rows, times: array[int]) -> Iterator[Cause]:
        if isinstance(cells, Windows):
            points = _window_points(cells, times, self._columns)
        else:
            points = _row_points(cells, times, self._columns)
        for column, point in points:
            if point.at_ns > self._seen_ns and (cause := column.look(self._plugin, point)):
                yield cause

    def _look_for_lost(self, cells: Windows | Rows, times: array[int]) -> Iterator[Cause]:
        """Devices that had values and have none any more."""
        now: dict[str, tuple[int, int]] = {}
        for column, at, reason, *_ in cells.reasons:
            if reason in LOST and times[at] > self._seen_ns:
                now.setdefault(self._series[column].hw_id, (times[at], reason))
        if len(self._lost) > KNOWN_DEVICES:
            self._lost.clear()
        for hw_id in self._devices:
            key = (self._plugin, self._lane, hw_id)
            if hw_id in now and self._lost.get(key) is False:
                at_ns, reason = now[hw_id]
                text = f"{hw_id or self._plugin}: {Reason(reason).text} in lane {self._lane}"
                yield Cause("lost", text, at_ns, hw_id, "", self._plugin)
            self._lost[key] = hw_id in now
        self._calm = not now


def _window_points(
    cells: Windows, times: array[int], columns: Sequence[_Column]
) -> Iterator[tuple[_Column, _Point]]:
    n, counts = cells.n, memoryview(cells.counts).cast("I")
    last, low, high = (
        memoryview(column).cast("q") for column in (cells.last, cells.min, cells.max)
    )
    for column in columns:
        series, start = column.series, column.column * n
        is_gauge = series.kind is Kind.GAUGE
        for at in range(n):
            cell = start + at
            if counts[cell]:
                ends = (low[cell], high[cell]) if is_gauge else (last[cell], last[cell])
                yield column, _point(times[at], series, *ends, last[cell])


def _row_points(
    rows: Rows, times: array[int], columns: Sequence[_Column]
) -> Iterator[tuple[_Column, _Point]]:
    """All rows of a read as one window."""
    n, values = rows.n, memoryview(rows.values).cast("q")
    lacking: dict[int, set[int]] = {}
    for at, row, *_ in rows.reasons:
        lacking.setdefault(at, set()).add(row)
    for column in columns:
        series, start = column.series, column.column * n
        cells = values[start : start + n].tolist()
        if missing := lacking.get(column.column):
            cells = [cell for row, cell in enumerate(cells) if row not in missing]
        if cells:
            numbers = [(native_number(cell, series.type), cell) for cell in cells]
            yield column, _point(times[-1], series, min(numbers)[1], max(numbers)[1], cells[-1])


def _point(at_ns: int, series: Series, low: int, high: int, last: int) -> _Point:
    ends = [base_value(cell, series.type, series.scale) for cell in (low, high)]
    return _Point(at_ns, ends[0], ends[1], last)
