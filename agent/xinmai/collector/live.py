"""The newest row of each series, and every new row to those who watch a series."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import pyarrow as pa

from xinmai.api import Reason
from xinmai.collector.registry import SeriesMeta, SeriesTable

WATCHED_ROWS: Final = 4096
"""Rows that wait for one watcher; a slower one misses the oldest, and can ask for history."""
RATE_S: Final = 30.0
FUTURE_NS: Final = 60 * 10**9
_REASONS: Final = {reason.value: reason.text for reason in Reason}
_bits = struct.Struct("<q")
_double = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Point:
    """One row as people see it: values in the series' unit."""

    time_ns: int
    value: float | None
    min: float | None
    max: float | None
    count: int
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        """As `/api/live` has it."""
        return {
            "time_ms": self.time_ns / 1e6,
            "value": self.value,
            "min": self.min,
            "max": self.max,
            "count": self.count,
            "reason": self.reason,
        }


Cells = tuple[int, int, int, int, int, float, int, int]
"""(time_ns, count, last, min, max, sum, reason, code) of a row."""


def point_of(meta: SeriesMeta, cells: Cells) -> Point:
    """A stored row in its series' unit; the same arithmetic as the view `samples`."""
    time_ns, count, last, low, high, total, reason, code = cells
    if reason:
        return Point(time_ns, None, None, None, count, reason_text(reason, code))
    is_mean = meta.kind == "gauge" and count > 1
    value = total / count if is_mean else _native(last, meta.type)
    num, den = meta.num, meta.den
    return Point(
        time_ns,
        value * num / den,
        _native(low, meta.type) * num / den,
        _native(high, meta.type) * num / den,
        count,
        None,
    )


def reason_text(reason: int, code: int) -> str:
    """As the view `samples` has it."""
    if reason == Reason.VENDOR_ERROR:
        return f"vendor_error({code})"
    return _REASONS.get(reason, f"reason_{reason}")


def _native(cell: int, number_type: str) -> float:
    if number_type == "f64":
        value: float = _double.unpack(_bits.pack(cell))[0]
        return value
    if number_type == "u64" and cell < 0:
        return float(cell + 2**64)
    return float(cell)


class Watcher:
    """One listener's new rows."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.ids = frozenset(ids)
        self.missed = 0
        self._rows: deque[tuple[int, Point]] = deque()
        self._came = asyncio.Event()

    def put(self, series_id: int, point: Point) -> None:
        """Hand a row over."""
        if len(self._rows) >= WATCHED_ROWS:
            self._rows.popleft()
            self.missed += 1
        self._rows.append((series_id, point))
        self._came.set()

    def wake(self) -> None:
        """Let `rows` return."""
        self._came.set()

    async def rows(self) -> list[tuple[int, Point]]:
        """What came; waits for the first, or until woken."""
        await self._came.wait()
        self._came.clear()
        rows = list(self._rows)
        self._rows.clear()
        return rows


class Rate:
    """Readings a second over the last RATE_S."""

    __slots__ = ("_began_s", "_parts")

    def __init__(self) -> None:
        self._parts: deque[tuple[float, int]] = deque()
        self._began_s: float | None = None

    def add(self, now_s: float, readings: int) -> None:
        """Readings that became durable."""
        if self._began_s is None:
            self._began_s = now_s
        self._parts.append((now_s, readings))
        self._trim(now_s)

    def hz(self, now_s: float) -> float:
        """As of now; 0 before the second arrival."""
        self._trim(now_s)
        if self._began_s is None or not self._parts:
            return 0.0
        # The first arrival holds what was read before it: it only starts the clock.
        span_s = min(RATE_S, now_s - self._began_s)
        held = sum(n for at, n in self._parts if at > self._began_s)
        return held / span_s if span_s > 0 else 0.0

    def _trim(self, now_s: float) -> None:
        while self._parts and self._parts[0][0] < now_s - RATE_S:
            self._parts.popleft()


class Live:
    """Newest rows of every series of every node."""

    def __init__(self, series: SeriesTable) -> None:
        self._series = series
        self._newest: dict[int, Cells] = {}
        self._watchers: dict[int, set[Watcher]] = {}
        self._seen: dict[tuple[str, str, str], int] = {}
        self._node_seen: dict[tuple[str, str], int] = {}
        self.missed = 0

    def take(self, edge: str, node: str, rows: pa.RecordBatch, arrived_ns: int) -> dict[str, int]:
        """Take durable rows of a node; returns the newest time with a value by hw_id."""
        ids = rows["series_id"].to_pylist()
        columns = ("time_ns", "count", "last", "min", "max", "sum", "reason", "code")
        cells: list[Cells] = list(zip(*(rows[name].to_pylist() for name in columns), strict=True))
        if self._watchers:
            self._tell(ids, cells)
        return self._keep(edge, node, _latest(ids, cells), arrived_ns)

    def _tell(self, ids: list[int], cells: list[Cells]) -> None:
        for series_id in self._watchers.keys() & set(ids):
            meta = self._series.find(series_id)
            if meta is None:
                continue
            mine = (row for found, row in zip(ids, cells, strict=True) if found == series_id)
            for row in sorted(mine, key=itemgetter(0)):
                point = point_of(meta, row)
                for watcher in self._watchers[series_id]:
                    watcher.put(series_id, point)

    def _keep(
        self, edge: str, node: str, latest: dict[int, Cells], arrived_ns: int
    ) -> dict[str, int]:
        seen: dict[str, int] = {}
        newest_ns = self._node_seen.get((edge, node), 0)
        for series_id, row in latest.items():
            held = self._newest.get(series_id)
            # A row from the future, left by a clock that was wrong, must not stand in the way.
            if held is not None and row[0] < held[0] <= arrived_ns + FUTURE_NS:
                continue
            self._newest[series_id] = row
            newest_ns = max(newest_ns, row[0])
            meta = self._series.find(series_id)
            if meta is not None and not row[6]:
                seen[meta.hw_id] = max(seen.get(meta.hw_id, 0), row[0])
        self._node_seen[edge, node] = newest_ns
        for hw_id, time_ns in seen.items():
            key = (edge, node, hw_id)
            self._seen[key] = max(self._seen.get(key, 0), time_ns)
        return seen

    def newest(self, series_id: int) -> Point | None:
        """The newest row of a series since the collector started."""
        row = self._newest.get(series_id)
        meta = self._series.find(series_id)
        return point_of(meta, row) if row is not None and meta is not None else None

    def device_seen_ns(self, edge: str, node: str, hw_id: str) -> int | None:
        """Wall time of the newest value of a device."""
        return self._seen.get((edge, node, hw_id))

    def node_seen_ns(self, edge: str, node: str) -> int | None:
        """Wall time of the newest row of a node."""
        return self._node_seen.get((edge, node)) or None

    def watch(self, ids: Iterable[int]) -> Watcher:
        """Start listening."""
        watcher = Watcher(ids)
        for series_id in watcher.ids:
            self._watchers.setdefault(series_id, set()).add(watcher)
        return watcher

    def wake(self) -> None:
        """Let every watcher return, with or without rows: the server stops."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    def leave(self, watcher: Watcher) -> None:
        """Stop listening."""
        self.missed += watcher.missed
        for series_id in watcher.ids:
            others = self._watchers.get(series_id, set())
            others.discard(watcher)
            if not others:
                self._watchers.pop(series_id, None)

    def watchers(self) -> int:
        """How many listen."""
        return len({id(one) for some in self._watchers.values() for one in some})


def _latest(ids: list[int], cells: list[Cells]) -> dict[int, Cells]:
    """The newest row of each series; of two rows of one window the one with a value."""
    latest: dict[int, Cells] = {}
    for series_id, row in zip(ids, cells, strict=True):
        held = latest.get(series_id)
        if held is None or row[0] > held[0] or (row[0] == held[0] and held[6]):
            latest[series_id] = row
    return latest


def series_per_device(metas: Iterable[SeriesMeta]) -> Counter[str]:
    """Number of series by hw_id."""
    return Counter(meta.hw_id for meta in metas)


def values_of(live: Live, metas: Iterable[SeriesMeta], metric: str) -> Iterator[float]:
    """Newest values of one metric of a node, such as the bytes in each of its spools."""
    for meta in metas:
        if meta.metric == metric:
            point = live.newest(meta.series_id)
            if point is not None and point.value is not None:
                yield point.value
