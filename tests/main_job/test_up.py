"""The main job as a user runs it: up, query, and the machine's own word for what it stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running import UpRun

SUMMARY = {
    "nodes",
    "devices",
    "series",
    "samples_taken",
    "samples_stored",
    "samples_lost",
    "samples_missed",
    "lost_by_reason",
    "gaps",
    "store",
    "url",
}
SECONDS = 20
MEMORY = """
SELECT DISTINCT value FROM samples WHERE metric = 'system.memory.limit' AND value IS NOT NULL
"""
LOOPBACK = """
SELECT time_ns, raw FROM samples
WHERE metric = 'hw.network.io' AND hw_id LIKE '%lo%'
  AND attributes['network.io.direction'] = 'receive' ORDER BY time_ns
"""
CONTEXT_SWITCHES = """
SELECT raw FROM samples WHERE metric = 'accel.host.context_switches' ORDER BY time_ns
"""
LONG_SERIES = """
SELECT count(*) AS n FROM (
  SELECT hw_id, metric, attributes, max(time_ns) - min(time_ns) AS span_ns, count(*) AS rows
  FROM samples GROUP BY ALL
) WHERE span_ns >= 15e9 AND rows >= 15
"""
HOLES = """
SELECT count(*) AS n FROM (
  SELECT time_ns - lag(time_ns) OVER (PARTITION BY hw_id, metric, attributes ORDER BY time_ns) AS d
  FROM samples WHERE hw_id <> '' AND metric IN ('hw.network.io', 'system.cpu.time')
) WHERE d > 1.5e9
"""


def loopback_bytes() -> int:
    return int(Path("/sys/class/net/lo/statistics/rx_bytes").read_text("ascii"))


def context_switches() -> int:
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        if line.startswith("ctxt "):
            return int(line.split()[1])
    raise AssertionError("/proc/stat has no ctxt")


def total_memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("/proc/meminfo has no MemTotal")


class Finished:
    """One whole run, shared by the tests of this file."""

    def __init__(self, run: UpRun) -> None:
        self.run = run
        self.before = (loopback_bytes(), context_switches())
        run.start("--for", f"{SECONDS}s")
        self.code, self.summary, self.stderr = run.finish()
        self.after = (loopback_bytes(), context_switches())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    run = UpRun(tmp_path_factory.mktemp("up"))
    try:
        yield Finished(run)
    finally:
        run.abandon()


def test_up_ends_by_itself_and_prints_the_frozen_summary(finished: Finished) -> None:
    assert finished.code == 0, finished.stderr
    assert set(finished.summary) == SUMMARY


def test_the_account_of_a_quiet_run_closes_without_loss(finished: Finished) -> None:
    summary = finished.summary
    assert summary["samples_taken"] == summary["samples_stored"] > 0
    assert (summary["samples_lost"], summary["lost_by_reason"], summary["gaps"]) == (0, {}, 0)


def test_a_hundred_series_span_fifteen_seconds_without_a_hole(finished: Finished) -> None:
    assert finished.run.query(LONG_SERIES)[0]["n"] >= 100
    assert finished.run.query(HOLES) == [{"n": 0}]


def test_a_constant_equals_what_proc_says(finished: Finished) -> None:
    assert finished.run.query(MEMORY) == [{"value": float(total_memory_bytes())}]


@pytest.mark.parametrize(("sql", "at"), [(LOOPBACK, 0), (CONTEXT_SWITCHES, 1)])
def test_counters_lie_between_what_was_read_before_and_after(
    finished: Finished, sql: str, at: int
) -> None:
    stored = [row["raw"] for row in finished.run.query(sql)]
    assert len(stored) >= 15
    assert finished.before[at] <= stored[0] <= stored[-1] <= finished.after[at]
    assert stored == sorted(stored)


def test_account_by_minute_adds_up_to_the_summary(finished: Finished) -> None:
    rows = finished.run.query("SELECT * FROM account")
    assert sum(row["taken"] for row in rows) == finished.summary["samples_taken"]
    assert all(row["taken"] == row["stored"] + row["lost"] for row in rows)


def test_query_needs_no_running_collector_and_no_option(finished: Finished) -> None:
    devices: list[dict[str, Any]] = finished.run.query("SELECT * FROM devices")
    assert {"host", "link"} <= {row["plugin"] for row in devices}


def test_temp_leaves_nothing_behind(tmp_path: Path) -> None:
    run = UpRun(tmp_path)
    try:
        run.start("--for", "3s", "--temp")
        code, summary, stderr = run.finish()
    finally:
        run.abandon()
    assert code == 0, stderr
    assert not Path(summary["store"]).exists()


def test_up_without_mosquitto_runs_on_the_python_broker(tmp_path: Path) -> None:
    run = UpRun(tmp_path, ["--broker", "amqtt"])
    try:
        run.start("--for", "6s")
        code, summary, stderr = run.finish()
    finally:
        run.abandon()
    assert code == 0, stderr
    assert "amqtt (MQTT 3.1.1)" in stderr
    assert summary["samples_taken"] == summary["samples_stored"] > 0


def test_kept_store_is_found_by_query_without_an_option(tmp_path: Path) -> None:
    run = UpRun(tmp_path)
    try:
        run.start("--for", "3s", "--keep", str(tmp_path / "elsewhere"))
        code, summary, stderr = run.finish()
    finally:
        run.abandon()
    assert code == 0, stderr
    assert summary["store"] == str(tmp_path / "elsewhere")
    assert run.query("SELECT count(*) AS n FROM samples")[0]["n"] > 0


@pytest.mark.parametrize("wrong", ["cadence.fst=1s", "cadence.fast=quick"])
def test_wrong_configuration_starts_nothing(tmp_path: Path, wrong: str) -> None:
    run = UpRun(tmp_path)
    done = run.run("up", "--set", wrong, "--for", "1s")
    assert done.returncode == 2
    assert wrong.partition("=")[0] in done.stderr
    assert not (tmp_path / "state").exists()


def test_up_json_is_one_line_on_stdout(finished: Finished) -> None:
    assert json.dumps(finished.summary)
    assert "broker:" in finished.stderr
