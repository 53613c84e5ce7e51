"""A capture as a user asks for one, every reading held against what was streamed raw."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from running import UpRun, eventually

AGAINST_RAW = """
SELECT count(*) AS captured, count(s.time_ns) AS found,
    count(*) FILTER (s.time_ns IS NOT NULL AND s.raw IS NOT DISTINCT FROM c.raw) AS equal
FROM capture_samples c LEFT JOIN samples s
    ON s.stream = 'raw' AND abs(s.time_ns - c.time_ns) < 1000000 AND s.node = c.node
    AND s.hw_id = c.hw_id AND s.metric = c.metric AND s.attributes = c.attributes
"""
"""Each batch has an anchor of its own: one row's wall times differ by what the clocks slewed, far
less than the 100 ms between rows."""


@pytest.mark.kill
@pytest.mark.broker
def test_every_captured_reading_is_the_one_that_was_taken(tmp_path: Path) -> None:
    run = UpRun(tmp_path, ["--set", "shipper.raw=*"])
    out = tmp_path / "trace.parquet"

    def capture() -> subprocess.CompletedProcess[str] | None:
        """None while no node is online, or none of its hosts reads."""
        done = run.run("capture", "--before", "1s", "--after", "1s", "--json", "--out", str(out))
        too_early = ("no collector", "no node is online", "ask again in a moment")
        return None if any(words in done.stderr for words in too_early) else done

    try:
        run.start()
        done = eventually(capture, "a node that can be asked", timeout_s=60.0)
        assert done.returncode == 0, done.stderr
        detail = json.loads(done.stdout)
        assert (detail["capture"]["trigger"], detail["capture"]["complete"]) == ("command", True)
        code, summary, stderr = run.stop()
    finally:
        run.abandon()
    assert code == 0, stderr
    # Captured readings are in the account once, by their rollups and raw rows.
    assert summary["samples_taken"] == summary["samples_stored"] > 0
    table = pq.read_table(out)
    assert table.num_rows == detail["capture"]["readings"] > 0
    (against,) = run.query(AGAINST_RAW)
    assert against == dict.fromkeys(("captured", "found", "equal"), table.num_rows)
