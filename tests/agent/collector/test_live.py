"""Newest rows, watchers and rates."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from agent.collector.node import START_NS, Node, bits, series
from agent.collector.rig import running
from xinmai.clock import SECOND_NS
from xinmai.collector import live as module
from xinmai.collector.live import Live, Point, Rate, point_of
from xinmai.collector.registry import SeriesMeta, SeriesTable
from xinmai.collector.rows import ROW_SCHEMA

META = SeriesMeta.of("local", "n1", series("hw.power"), 100_000_000)


def rows(*cells: tuple[int, int, int], series_id: int = META.series_id) -> pa.RecordBatch:
    """(second, value, reason) of one series."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "series_id": series_id,
                "time": START_NS // 1000 + second * 10**6,
                "time_ns": START_NS + second * SECOND_NS,
                "count": 1,
                "last": value,
                "min": value,
                "max": value,
                "sum": value,
                "reason": reason,
                "code": 0,
                "stream": 1,
            }
            for second, value, reason in cells
        ],
        schema=ROW_SCHEMA,
    )


def a_live() -> Live:
    return Live(SeriesTable([META]))


def test_the_newest_row_wins_whatever_its_place() -> None:
    live = a_live()
    seen = live.take("local", "n1", rows((2, 2000, 0), (3, 3000, 0), (1, 0, 4)), START_NS)
    newest = live.newest(META.series_id)
    assert newest is not None
    assert (newest.value, newest.reason) == (3.0, None)
    assert seen == {"gpu-0": START_NS + 3 * SECOND_NS}
    # A backlog does not turn back the clock.
    live.take("local", "n1", rows((1, 1000, 0)), START_NS + 60 * SECOND_NS)
    assert live.newest(META.series_id) == newest


def test_of_one_window_the_value_counts_more_than_the_reason() -> None:
    for order in ((0, 1), (1, 0)):
        live = a_live()
        cells = [(2, 0, 4), (2, 2000, 0)]
        live.take("local", "n1", rows(*(cells[at] for at in order)), START_NS)
        newest = live.newest(META.series_id)
        assert newest is not None
        assert newest.value == 2.0


def test_a_row_from_the_future_does_not_stand_in_the_way() -> None:
    live = a_live()
    live.take("local", "n1", rows((10**6, 1000, 0)), START_NS)
    live.take("local", "n1", rows((1, 2000, 0)), START_NS + SECOND_NS)
    newest = live.newest(META.series_id)
    assert newest is not None
    assert newest.value == 2.0


def test_points_are_in_the_unit_of_their_series() -> None:
    cells = (5, 4, 2000, 1000, 3000, 9000.0, 0, 0)
    assert point_of(META, cells) == Point(5, 2.25, 1.0, 3.0, 4, None)
    counter = SeriesMeta.of("e", "n", series("hw.energy", kind="counter"), None)
    assert point_of(counter, cells).value == 2.0
    double = SeriesMeta.of("e", "n", series("hw.v", number_type="f64", scale=(1, 1)), None)
    assert point_of(double, (5, 1, bits(0.1), bits(0.1), bits(0.1), 0.1, 0, 0)).value == 0.1
    unsigned = SeriesMeta.of("e", "n", series("hw.c", number_type="u64", scale=(1, 1)), None)
    assert point_of(unsigned, (5, 1, -1, -1, -1, 0.0, 0, 0)).value == 2.0**64 - 1
    assert point_of(META, (5, 1, 0, 0, 0, 0.0, 7, -3)).reason == "vendor_error(-3)"


async def test_a_watcher_gets_rows_in_order_of_time() -> None:
    live = a_live()
    watcher = live.watch([META.series_id, 5])
    live.take("local", "n1", rows((3, 3000, 0), (1, 0, 4), (2, 2000, 0)), START_NS)
    got = await watcher.rows()
    assert [point.value for _, point in got] == [None, 2.0, 3.0]
    live.leave(watcher)
    assert live.watchers() == 0


async def test_a_slow_watcher_misses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHED_ROWS", 2)
    live = a_live()
    watcher = live.watch([META.series_id])
    for second in range(5):
        live.take("local", "n1", rows((second, second * 1000, 0)), START_NS)
    assert [point.value for _, point in await watcher.rows()] == [3.0, 4.0]
    assert watcher.missed == 3
    live.wake()
    assert await watcher.rows() == []


def test_a_rate_is_that_of_the_last_half_minute() -> None:
    rate = Rate()
    assert rate.hz(0.0) == 0.0
    for second in range(100):
        rate.add(float(second), 50)
    assert rate.hz(99.0) == pytest.approx(50, rel=0.05)
    assert rate.hz(200.0) == 0.0


async def test_text_of_any_kind_comes_through(tmp_path: Path) -> None:
    strange = "a\"b\\c\n\0é芯'"
    node = Node(columns=[series("hw.power", sensor=strange)])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1), node.event(message=strange))
        await rig.seal()
        assert rig.select("SELECT attributes FROM samples") == [{"attributes": {"sensor": strange}}]
        assert rig.select("SELECT message FROM events") == [{"message": strange}]
    async with running(tmp_path) as rig:
        assert rig.select("SELECT attributes FROM series") == [{"attributes": {"sensor": strange}}]
