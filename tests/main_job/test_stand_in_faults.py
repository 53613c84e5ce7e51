"""A card that hangs and a library that crashes, under the main job: the other cards go on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.standins import variables
from running import UpRun, eventually

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

SCENARIO = """
while hang device 3 hang power
while crash device 1 crash SEGV power
"""
NEWEST = """
SELECT d."index" AS card, max(s.time_ns) AS time_ns FROM samples s JOIN devices d USING (hw_id)
WHERE d.plugin = 'neutral' AND s.metric = 'hw.power' AND s.reason IS NULL
  AND s.attributes['accel.power.scope'] = 'chip' GROUP BY ALL
"""
PATIENCE_S = 60.0


class Cards:
    """A run over four cards whose faults are files."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in variables(base, SCENARIO).items():
            monkeypatch.setenv(name, value)
        self.run, self._base = UpRun(base), base
        self.run.start("--stand-in", "neutral:4")

    def begin(self, fault: str) -> None:
        """Let it happen from now on."""
        (self._base / fault).touch()

    def end(self, fault: str) -> None:
        """Let it happen no longer."""
        (self._base / fault).unlink()

    def log_says(self, words: str) -> None:
        """Wait until the agent's log does."""
        file = self._base / "state" / "log" / "agent.log"
        eventually(lambda: words in file.read_text("utf-8"), f"{words!r} in the log", PATIENCE_S)

    def are_read(self, *cards: int) -> None:
        """Wait until each has a reading of after this call."""
        now_ns = time.time_ns()

        def all_newer() -> bool:
            return {card for card, at_ns in self.newest().items() if at_ns > now_ns} >= {*cards}

        eventually(all_newer, f"new readings of the cards {cards}", PATIENCE_S)

    def newest(self) -> dict[int, int]:
        """Wall time of the newest reading by card."""
        done = self.run.run("query", "--json", NEWEST)
        if done.returncode:  # the collector is not up yet
            return {}
        rows = self.run.query(NEWEST)
        return {row["card"]: row["time_ns"] for row in rows}


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cards]:
    made = Cards(tmp_path, monkeypatch)
    try:
        yield made
    finally:
        made.run.abandon()


@pytest.mark.fault("A1")
@pytest.mark.fault("A11")
def test_a_card_that_hangs_costs_no_other_and_comes_back(cards: Cards) -> None:
    cards.are_read(0, 1, 2, 3)
    cards.begin("hang")
    cards.log_says("stuck in nsdkDeviceGetPower")
    stuck = cards.newest()[3]
    cards.are_read(0, 1, 2)
    assert cards.newest()[3] <= stuck + 1_000_000_000
    cards.end("hang")
    cards.are_read(0, 1, 2, 3)
    code, summary, stderr = cards.run.stop()
    assert code == 0, stderr
    assert summary["samples_taken"] == summary["samples_stored"] + summary["samples_lost"]


@pytest.mark.fault("A4")
def test_a_library_that_crashes_comes_back_with_every_card(cards: Cards) -> None:
    cards.are_read(0, 1, 2, 3)
    cards.begin("crash")
    cards.log_says("SIGSEGV")
    cards.end("crash")
    cards.are_read(0, 1, 2, 3)
    code, summary, stderr = cards.run.stop()
    assert code == 0, stderr
    assert summary["samples_taken"] == summary["samples_stored"] + summary["samples_lost"]
