"""The views: names, types and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.collector.node import BOOT, Node, bits, series
from agent.collector.rig import Rig, running
from xinmai.clock import SECOND_NS

COLUMNS = {
    "captures": [
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("id", "VARCHAR"),
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("trigger", "VARCHAR"),
        ("cause", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("metric", "VARCHAR"),
        ("at_ns", "BIGINT"),
        ("from_ns", "BIGINT"),
        ("to_ns", "BIGINT"),
        ("parts", "BIGINT"),
        ("complete", "BOOLEAN"),
        ("merged", "BIGINT"),
        ("rows", "BIGINT"),
        ("readings", "BIGINT"),
        ("missed", "BIGINT"),
        ("overrun", "BIGINT"),
        ("bytes", "BIGINT"),
        ("stand_in", "BOOLEAN"),
    ],
    "capture_samples": [
        ("capture", "VARCHAR"),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("time_ns", "BIGINT"),
        ("late_ns", "BIGINT"),
        ("duration_ns", "BIGINT"),
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("metric", "VARCHAR"),
        ("attributes", "MAP(VARCHAR, VARCHAR)"),
        ("unit", "VARCHAR"),
        ("value", "DOUBLE"),
        ("raw", "BIGINT"),
        ("reason", "VARCHAR"),
    ],
    "samples": [
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("time_ns", "BIGINT"),
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("metric", "VARCHAR"),
        ("attributes", "MAP(VARCHAR, VARCHAR)"),
        ("unit", "VARCHAR"),
        ("value", "DOUBLE"),
        ("raw", "BIGINT"),
        ("count", "BIGINT"),
        ("min", "DOUBLE"),
        ("max", "DOUBLE"),
        ("reason", "VARCHAR"),
        ("stream", "VARCHAR"),
    ],
    "series": [
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("metric", "VARCHAR"),
        ("attributes", "MAP(VARCHAR, VARCHAR)"),
        ("unit", "VARCHAR"),
        ("kind", "VARCHAR"),
        ("scale", "DOUBLE"),
        ("native", "VARCHAR"),
        ("refresh_ns", "BIGINT"),
        ("window_ns", "BIGINT"),
        ("plugin", "VARCHAR"),
    ],
    "devices": [
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("vendor", "VARCHAR"),
        ("model", "VARCHAR"),
        ("serial_number", "VARCHAR"),
        ("parent", "VARCHAR"),
        ("pci_bdf", "VARCHAR"),
        ("index", "INTEGER"),
        ("plugin", "VARCHAR"),
        ("stand_in", "BOOLEAN"),
        ("present", "BOOLEAN"),
        ("first_seen", "TIMESTAMP WITH TIME ZONE"),
        ("last_seen", "TIMESTAMP WITH TIME ZONE"),
    ],
    "events": [
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("time_ns", "BIGINT"),
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("hw_id", "VARCHAR"),
        ("code", "VARCHAR"),
        ("class", "VARCHAR"),
        ("severity", "VARCHAR"),
        ("action", "VARCHAR"),
        ("message", "VARCHAR"),
        ("attributes", "MAP(VARCHAR, VARCHAR)"),
    ],
    "account": [
        ("edge", "VARCHAR"),
        ("node", "VARCHAR"),
        ("minute", "TIMESTAMP WITH TIME ZONE"),
        ("taken", "BIGINT"),
        ("stored", "BIGINT"),
        ("lost", "BIGINT"),
        ("missed", "BIGINT"),
        ("lost_by_reason", "MAP(VARCHAR, BIGINT)"),
    ],
}
"""Frozen: what people's queries and dashboards build on."""


def columns(rig: Rig, view: str) -> list[tuple[str, str]]:
    return [(row["column_name"], row["column_type"]) for row in rig.select(f"DESCRIBE {view}")]


@pytest.mark.parametrize("view", COLUMNS)
async def test_names_and_types_are_frozen(tmp_path: Path, view: str) -> None:
    node = Node()
    async with running(tmp_path) as rig:
        assert columns(rig, view) == COLUMNS[view], "of an empty store"
        await rig.take(node.announce(), node.second(1), node.event())
        assert columns(rig, view) == COLUMNS[view], "out of the tail"
        await rig.seal()
        assert columns(rig, view) == COLUMNS[view], "out of Parquet"


async def sealed_and_not(rig: Rig, sql: str) -> list[dict[str, Any]]:
    """The same answer from the tail and from Parquet."""
    before = rig.select(sql)
    await rig.seal()
    assert rig.select(sql) == before
    return before


async def test_a_gauge_is_the_mean_of_its_window_in_its_unit(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power")])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1, value=2000))
        (row,) = await sealed_and_not(rig, "SELECT * FROM samples")
        assert row == {
            "time": "2026-09-21T14:13:01.000000Z",
            "time_ns": node.start_ns + SECOND_NS,
            "edge": "local",
            "node": "n1",
            "hw_id": "gpu-0",
            "metric": "hw.power",
            "attributes": {},
            "unit": "W",
            "value": 2.0,
            "raw": 2000,
            "count": 10,
            "min": 1.995,
            "max": 2.005,
            "reason": None,
            "stream": "rollup",
        }


async def test_a_counter_is_the_last_of_its_window(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.energy", kind="counter", unit="J")])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1, value=2**53 + 1))
        (row,) = await sealed_and_not(rig, "SELECT value, raw FROM samples")
        assert row == {"value": (2**53 + 1) / 1000, "raw": 2**53 + 1}


async def test_doubles_and_unsigned_integers_keep_their_value(tmp_path: Path) -> None:
    values = [0.1, -2.25e-300, 5e-324, 1.7976931348623157e308, -0.0]
    columns = [
        series("hw.voltage", number_type="f64", scale=(1, 1), n=str(n)) for n in range(len(values))
    ]
    node = Node(columns=columns)
    huge = Node(
        name="n2", columns=[series("hw.errors", kind="counter", number_type="u64", scale=(1, 1))]
    )
    async with running(tmp_path) as rig:
        await rig.take(huge.announce(), huge.raw([SECOND_NS], [-1]))
        for n, value in enumerate(values):
            one = Node(name=f"f{n}", columns=node.columns[n : n + 1])
            await rig.take(one.announce(), one.raw([SECOND_NS], [bits(value)]))
        rows = await sealed_and_not(
            rig, "SELECT value FROM samples WHERE metric = 'hw.voltage' ORDER BY node"
        )
        assert [row["value"] for row in rows] == values
        assert rig.select("SELECT value FROM samples WHERE node = 'n2'") == [{"value": 2.0**64 - 1}]


async def test_means_of_doubles_are_means_of_doubles(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.voltage", number_type="f64", scale=(1, 1))])
    async with running(tmp_path) as rig:
        # Four equal readings: the window's sum is their number times the bits' double.
        await rig.take(node.announce(), node.same(1, bits(0.25), ticks=4))
        rows = await sealed_and_not(rig, "SELECT value, min, count FROM samples")
        assert rows == [{"value": 0.25, "min": 0.25, "count": 4}]


async def test_a_reason_stands_where_there_is_no_value(tmp_path: Path) -> None:
    node = Node(columns=Node().columns[:3])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1, reasons=[(1, 2, 0), (2, 7, -5)]))
        rows = await sealed_and_not(
            rig, "SELECT value, raw, count, min, reason FROM samples ORDER BY reason NULLS FIRST"
        )
        assert rows[1:] == [
            {"value": None, "raw": None, "count": 10, "min": None, "reason": "no_permission"},
            {"value": None, "raw": None, "count": 10, "min": None, "reason": "vendor_error(-5)"},
        ]


async def test_raw_rows_stand_at_their_begin(tmp_path: Path) -> None:
    node = Node(columns=Node().columns[:1])
    async with running(tmp_path) as rig:
        times = [59_999_999_999, 60_000_999_999]
        await rig.take(node.announce(), node.raw(times, [1000, 2000], late_ns=500))
        rows = await sealed_and_not(
            rig, "SELECT time_ns, value, count, stream FROM samples ORDER BY time"
        )
        assert [row["time_ns"] - node.start_ns for row in rows] == [at + 500 for at in times]
        assert rows[0]["stream"] == "raw"
        # Its account books the row by the minute it was due in.
        minutes = rig.select("SELECT taken, stored FROM account ORDER BY minute")
        assert minutes == [{"taken": 1, "stored": 1}, {"taken": 1, "stored": 1}]
        assert rig.core.counters.totals["account_mismatch"] == 0


async def test_the_account_says_what_became_of_every_reading(tmp_path: Path) -> None:
    node = Node()
    minute = node.start_ns // (60 * SECOND_NS)
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1, overrun=8, missed=4), node.second(61))
        await rig.take(node.lose(3, 4, [(minute, 30), (minute + 1, 5)]))
        rows = await sealed_and_not(rig, "SELECT * EXCLUDE (minute) FROM account ORDER BY minute")
        place = {"edge": "local", "node": "n1"}
        assert rows == [
            {
                **place,
                "taken": 78,
                "stored": 40,
                "lost": 38,
                "missed": 4,
                "lost_by_reason": {"ring_overrun": 8, "spool_budget": 30},
            },
            {
                **place,
                "taken": 45,
                "stored": 40,
                "lost": 5,
                "missed": 0,
                "lost_by_reason": {"spool_budget": 5},
            },
        ]


async def test_series_and_devices_describe_what_is_stored(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power", sensor="a")])
    async with running(tmp_path) as rig:
        await rig.take(node.announce(), node.second(1))
        (row,) = rig.select("SELECT * FROM series")
        assert (row["scale"], row["native"], row["refresh_ns"]) == (0.001, "readPower", 100_000_000)
        assert row["attributes"] == {"sensor": "a"}
        (row,) = rig.select("SELECT * FROM devices")
        assert row["first_seen"] == "2026-09-21T14:13:00.000000Z"
        assert row["last_seen"] == "2026-09-21T14:13:01.000000Z"
        assert (row["vendor"], row["index"], row["present"]) == ("acme", 0, True)
        assert node.boot == BOOT
