"""Captures in the store: every reading once, through restart, seal and merge."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from agent.collector.node import CAPTURE_ID, DURATION_NS, START_NS, Node, bits, series
from agent.collector.rig import Rig, running
from xinmai.api import Reason
from xinmai.clock import SECOND_NS
from xinmai.collector import captures
from xinmai.collector.query import query_store
from xinmai.errors import Usage

MS_NS = 10**6
OTHER_ID = "0000000000000001"
LATE_NS = 300
REASONS = [(0, 1, Reason.TIMEOUT, 0), (0, 2, Reason.VENDOR_ERROR, 7)]


def two_series() -> Node:
    return Node(columns=[series("hw.power"), series("hw.energy", kind="counter", scale=(1, 1))])


def times(first_ms: int, n: int) -> list[int]:
    return [SECOND_NS + (first_ms + at) * MS_NS for at in range(n)]


def part(node: Node, number: int, *, n: int = 5, **options: Any) -> tuple[str, bytes]:
    """Rows of a millisecond each; power is their number in mW, energy ten times that."""
    first = (number - 1) * n
    power = [first + at for at in range(n)]
    cells = [power, [10 * cell for cell in power]]
    return node.capture(number, times(first, n), cells, late_ns=LATE_NS, **options)


def raws(rig: Rig, metric: str, capture: str = CAPTURE_ID) -> list[int]:
    rows = rig.select(
        f"SELECT raw FROM capture_samples WHERE capture = '{capture}' AND metric = '{metric}' "
        "ORDER BY time_ns"
    )
    return [row["raw"] for row in rows]


async def test_a_capture_is_stored_with_every_reading_and_its_times(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), part(node, 1), part(node, 2, last=True))
        assert raws(rig, "hw.power") == list(range(10))
        (first, *_) = rig.select("FROM capture_samples ORDER BY metric DESC, time_ns")
        assert (first["late_ns"], first["duration_ns"]) == (LATE_NS, DURATION_NS)
        assert first["time_ns"] == START_NS + SECOND_NS + LATE_NS
        assert (first["value"], first["unit"], first["reason"]) == (0.0, "W", None)
        (capture,) = rig.select("FROM captures")
        assert (capture["id"], capture["node"], capture["trigger"]) == (CAPTURE_ID, "n1", "event")
        assert (capture["parts"], capture["rows"], capture["readings"]) == (2, 10, 20)
        assert (capture["complete"], capture["merged"]) == (True, 1)
        assert capture["from_ns"] == START_NS + SECOND_NS
        assert capture["to_ns"] == START_NS + SECOND_NS + 9 * MS_NS
        assert rig.stored()["capture"] == {node.queue: [(1, 2)]}


async def test_a_series_over_time_does_not_see_captured_readings_again(tmp_path: Path) -> None:
    """They were taken and counted in rollups already (WIRE-46)."""
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1), part(node, 1, last=True))
        ids = [meta.series_id for meta in rig.core.state.series.of_node("local", "n1")]
        live = [rig.core.state.live.newest(one) for one in ids]
        assert {point.time_ns for point in live if point} == {START_NS + SECOND_NS}
        account = "SELECT sum(taken)::BIGINT AS t, sum(stored)::BIGINT AS s FROM account"
        for _ in ("tail", "sealed"):
            assert rig.select("SELECT count(*) AS n FROM _rows") == [{"n": 2}]
            assert rig.select(account) == [{"t": 20, "s": 20}]
            counts = "SELECT stream, count(*) AS n FROM samples GROUP BY ALL ORDER BY stream"
            assert rig.select(counts) == [{"stream": "rollup", "n": 2}]
            await rig.seal()
        assert rig.core.counters.totals["account_mismatch"] == 0
        assert rig.core.counters.totals["readings"] == 20


async def test_parts_come_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    node = two_series()
    parts = [part(node, number, last=number == 4) for number in range(1, 5)]
    shuffled = [*parts, *parts]
    random.Random(5).shuffle(shuffled)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), *shuffled)
        assert raws(rig, "hw.power") == list(range(20))
        assert rig.select("SELECT complete, parts FROM captures") == [
            {"complete": True, "parts": 4}
        ]
        assert rig.core.counters.totals["duplicates"] == 4


@pytest.mark.parametrize("missing", [1, 2, 3], ids=["first", "middle", "last"])
@pytest.mark.statement("HTTP-5")
async def test_a_capture_without_one_of_its_parts_is_not_complete(
    tmp_path: Path, missing: int
) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        held = [part(node, number, last=number == 3) for number in (1, 2, 3)]
        del held[missing - 1]
        await rig.take(node.announce(), *held)
        assert rig.select("SELECT complete, parts, readings FROM captures") == [
            {"complete": False, "parts": 2, "readings": 20}
        ]


@pytest.mark.statement("HTTP-5")
async def test_captures_that_overlap_keep_their_own_readings(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        other = node.capture(
            1, times(3, 4), [[3, 4, 5, 6], [30, 40, 50, 60]], capture_id=OTHER_ID, last=True
        )
        await rig.take(node.announce(), part(node, 1, last=True), other)
        for _ in ("tail", "sealed"):
            assert raws(rig, "hw.power") == [0, 1, 2, 3, 4]
            assert raws(rig, "hw.power", OTHER_ID) == [3, 4, 5, 6]
            assert len(rig.select("FROM captures")) == 2
            await rig.seal()


async def test_nodes_that_chose_the_same_id_are_told_apart(tmp_path: Path) -> None:
    first, second = two_series(), two_series()
    second.name = "n2"
    async with running(tmp_path) as rig:
        await rig.take(first.announce(), second.announce())
        await rig.take(part(first, 1, last=True), part(second, 1, n=2, last=True))
        snapshot = rig.core.snapshot()
        with pytest.raises(Usage, match="name edge and node"):
            captures.find(snapshot, CAPTURE_ID)
        found = captures.find(snapshot, CAPTURE_ID, "local", "n2")
        held = captures.detail(snapshot, found)["series"]
        assert [one["readings"] for one in held] == [2, 2]


async def test_reasons_are_kept_in_place_of_values(tmp_path: Path) -> None:
    node = two_series()
    cells = [[1, 0, 0], [10, 20, 30]]
    message = node.capture(1, times(0, 3), cells, last=True, reasons=REASONS, overrun=4, missed=3)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), message)
        assert raws(rig, "hw.power") == [1, None, None]
        (capture,) = rig.select("FROM captures")
        assert (capture["missed"], capture["overrun"]) == (6, 8)
        snapshot = rig.core.snapshot()
        found = captures.find(snapshot, CAPTURE_ID)
        detail = captures.detail(snapshot, found)
        power = next(one for one in detail["series"] if one["metric"] == "hw.power")
        assert (power["readings"], power["values"]) == (3, 1)
        answer = captures.samples(snapshot, found, [int(power["id"])])
        assert answer["series"][0]["value"] == [0.001, None, None]
        assert answer["series"][0]["missing"] == [[1, "timeout"], [2, "vendor_error(7)"]]


async def test_every_bit_of_a_double_is_kept(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.ratio", number_type="f64", scale=(1, 1), unit="1")])
    values = [0.1, -1e300, 5e-324, float("nan")]
    async with running(tmp_path) as rig:
        cells = [[bits(value) for value in values]]
        await rig.take(node.announce(), node.capture(1, times(0, 4), cells, last=True))
        await rig.seal()
        assert raws(rig, "hw.ratio") == cells[0]
        rows = rig.select("SELECT value FROM capture_samples ORDER BY time_ns")
        assert [row["value"] for row in rows] == [*values[:3], None]


EVERYTHING = """SELECT capture, metric, time_ns, late_ns, duration_ns, raw FROM capture_samples
    ORDER BY ALL"""


async def test_captures_survive_restart_sealing_and_merging(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), part(node, 1))
        await rig.seal()
        await rig.take(node.second(1), part(node, 2))
        expected = rig.select(EVERYTHING)
        assert len(expected) == 20
    async with running(tmp_path) as rig:
        assert rig.select(EVERYTHING) == expected
        node.seqs["capture"] = 1
        await rig.take(part(node, 2), part(node, 3, last=True))
        assert rig.core.counters.totals["duplicates"] == 1
        await rig.seal()
        before, listed = rig.select(EVERYTHING), rig.select("FROM captures")
        assert (len(before), listed[0]["complete"]) == (30, True)
        rig.clock.advance(7200)
        await rig.core.tidy()
        (merged,) = rig.core.store.sets
        assert (merged.facts.captures, merged.facts.capture_rows) == (3, 30)
        assert rig.select(EVERYTHING) == before
        assert rig.select("FROM captures") == listed
    assert query_store(tmp_path, EVERYTHING) == before


async def test_a_set_without_captures_has_no_file_for_them(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        await rig.seal()
        names = {path.name for path in rig.core.store.sets[0].path.iterdir()}
        assert names == {"samples.parquet", "account.parquet", "facts.json", "state.json"}


async def test_a_part_that_cannot_be_read_is_kept_and_leaves_its_capture_incomplete(
    tmp_path: Path,
) -> None:
    node = two_series()
    narrow = Node(columns=node.columns[:1])
    narrow.seqs["capture"] = 1
    async with running(tmp_path) as rig:
        topic, payload = narrow.capture(2, times(5, 2), [[1, 2]], last=True)
        # Blocks of one column under a schema of two.
        payload = payload.replace(narrow.schema.encode(), node.schema.encode())
        await rig.take(node.announce(), part(node, 1), (topic, payload))
        assert rig.core.counters.totals["undecodable"] == 1
        assert rig.stored()["capture"] == {node.queue: [(1, 2)]}
        assert rig.select("SELECT parts, complete, readings FROM captures") == [
            {"parts": 2, "complete": False, "readings": 10}
        ]


async def test_a_capture_of_no_rows_is_complete_and_empty(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.capture(1, [], [[], []], last=True))
        assert rig.select("SELECT complete, readings FROM captures") == [
            {"complete": True, "readings": 0}
        ]


async def test_a_capture_is_refused_under_another_topic(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        _, payload = part(node, 1)
        await rig.take(node.announce(), (node.topics.batch, payload))
        assert rig.refused() == {"value": 1}


async def test_a_capture_waits_for_its_inventory(tmp_path: Path) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(part(node, 1, last=True))
        assert rig.select("FROM captures") == []
        await rig.take(node.announce())
        assert raws(rig, "hw.power") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at_a_time", [captures.MAX_READINGS, 5], ids=["whole", "in-groups"])
@pytest.mark.parametrize("kind", captures.FORMATS)
async def test_a_capture_is_written_to_a_file_reading_by_reading(
    tmp_path: Path, kind: str, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "MAX_READINGS", at_a_time)
    node = Node(columns=[series("hw.power", sensor="a b", chip="0"), series("hw.temperature")])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), part(node, 1, last=True))
        snapshot = rig.core.snapshot()
        out = io.BytesIO()
        assert captures.write(snapshot, captures.find(snapshot, CAPTURE_ID), kind, out) == 10
    reader = pq.read_table if kind == "parquet" else pa.csv.read_csv
    table = reader(io.BytesIO(out.getvalue()))
    rows = table.to_pylist()
    assert [row["raw"] for row in rows] == [0, 1, 2, 3, 4, 0, 10, 20, 30, 40]
    assert rows[4]["time_ns"] == START_NS + SECOND_NS + 4 * MS_NS + LATE_NS
    assert (rows[4]["value"], rows[4]["unit"], rows[4]["hw_id"]) == (0.004, "W", "gpu-0")
    assert (rows[4]["late_ns"], rows[4]["duration_ns"]) == (LATE_NS, DURATION_NS)
    if kind == "csv":
        assert rows[0]["attributes"] == "chip=0 sensor=a b"
    else:
        assert dict(rows[0]["attributes"]) == {"chip": "0", "sensor": "a b"}
        assert json.loads(table.schema.metadata[b"xinmai"])["id"] == CAPTURE_ID


@pytest.mark.parametrize("kind", captures.FORMATS)
async def test_a_capture_of_no_rows_is_a_file_with_columns(tmp_path: Path, kind: str) -> None:
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.capture(1, [], [[], []], last=True))
        snapshot, out = rig.core.snapshot(), io.BytesIO()
        assert captures.write(snapshot, captures.find(snapshot, CAPTURE_ID), kind, out) == 0
    reader = pq.read_table if kind == "parquet" else pa.csv.read_csv
    assert reader(io.BytesIO(out.getvalue())).column_names[0] == "time_ns"


async def test_too_much_at_full_rate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "MAX_READINGS", 9)
    node = two_series()
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), part(node, 1, last=True))
        snapshot = rig.core.snapshot()
        found = captures.find(snapshot, CAPTURE_ID)
        ids = [int(one["id"]) for one in captures.detail(snapshot, found)["series"]]
        assert len(captures.samples(snapshot, found, ids[:1])["series"]) == 1
        with pytest.raises(Usage, match="10 readings, 9 at most"):
            captures.samples(snapshot, found, ids)
