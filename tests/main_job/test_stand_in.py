"""The main job over simulated cards: each stored reading is what the scenario says."""

from __future__ import annotations

import ctypes
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.standins import own_copy, variables
from running import UpRun

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

SECONDS = 12
SCENARIO = """
device * power square low 90W high 390W period 700ms stagger 130ms noise 1500mW refresh 50ms
at 0s device 2 error 4 power
"""
POWER = """
SELECT hw_id, time_ns, raw, reason FROM samples
WHERE metric = 'hw.power' AND attributes['accel.power.scope'] = 'chip' AND stream = 'raw'
ORDER BY hw_id, time_ns
"""
CARDS = "SELECT hw_id, \"index\", stand_in, plugin FROM devices WHERE vendor = 'Neutral'"
PERIOD_NS = 100_000_000
CLOCK_STEP_NS = 2_000_000
"""How far the wall clock may drift from the monotonic one in a run."""

Peek = Callable[[int, int], int]


class Finished:
    """One run with its scenario's second 0, and both clocks beside it."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.t0_ns = time.monotonic_ns()
        self.offset_ns = time.time_ns() - time.monotonic_ns()
        self.calls, self.violations = base / "calls", base / "violations"
        settings = {
            "t0_ns": str(self.t0_ns),
            "calls": str(self.calls),
            "violations": str(self.violations),
        }
        for name, value in variables(base, SCENARIO, **settings).items():
            monkeypatch.setenv(name, value)
        run = UpRun(base, ["--set", "shipper.raw=neutral/fast*"])
        try:
            run.start("--for", f"{SECONDS}s", "--stand-in", "neutral:4")
            self.code, self.summary, self.stderr = run.finish()
        finally:
            run.abandon()
        self.cards: list[dict[str, Any]] = run.query(CARDS)
        self.power: list[dict[str, Any]] = run.query(POWER)
        self.peek = _peek(own_copy(base))


def _peek(library: Path) -> Peek:
    """The truth, from the library itself."""
    sdk = ctypes.CDLL(str(library))
    assert sdk.nsdkInit() == 0
    value = ctypes.c_int64()

    def peek(device: int, t_ns: int) -> int:
        at = ctypes.c_int64(t_ns)
        assert sdk.xinmai_standin_peek(device, b"power", 0, at, ctypes.byref(value)) == 0
        return value.value

    return peek


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Finished(tmp_path_factory.mktemp("up"), monkeypatch)


def test_cards_are_stored_as_stand_ins(finished: Finished) -> None:
    assert finished.code == 0, finished.stderr
    assert {card["index"]: (card["stand_in"], card["plugin"]) for card in finished.cards} == {
        index: (True, "neutral") for index in range(4)
    }


def test_nothing_taken_is_lost(finished: Finished) -> None:
    assert finished.summary["samples_taken"] == finished.summary["samples_stored"] > 0


def test_power_is_stored_ten_times_a_second(finished: Finished) -> None:
    for card in finished.cards:
        times = [row["time_ns"] for row in finished.power if row["hw_id"] == card["hw_id"]]
        span = (times[-1] - times[0]) / PERIOD_NS
        missed = finished.summary["samples_missed"]
        assert span > 10
        assert len(times) + missed >= span
        assert len(times) <= span + 2


def test_each_stored_reading_is_the_scenarios_at_its_time(finished: Finished) -> None:
    indices = {card["hw_id"]: card["index"] for card in finished.cards}
    values = [row for row in finished.power if row["reason"] is None]
    assert len(values) > 3 * 10
    for row in values:
        t_ns = row["time_ns"] - finished.offset_ns - finished.t0_ns
        # Read at some instant between the row's time and the end of its call.
        around = {
            finished.peek(indices[row["hw_id"]], max(0, t_ns + shift))
            for shift in (-CLOCK_STEP_NS, 0, CLOCK_STEP_NS, 10 * CLOCK_STEP_NS, 25 * CLOCK_STEP_NS)
        }
        assert row["raw"] in around, row


def test_an_error_of_one_card_is_a_reason_of_that_card_alone(finished: Finished) -> None:
    failed = {row["hw_id"] for row in finished.power if row["reason"] is not None}
    assert failed == {card["hw_id"] for card in finished.cards if card["index"] == 2}
    reasons = {row["reason"] for row in finished.power if row["reason"] is not None}
    assert reasons == {"no_permission"}
    assert all(row["raw"] is None for row in finished.power if row["reason"] is not None)


def test_the_library_is_opened_once_closed_once_and_only_read(finished: Finished) -> None:
    counts = {
        name.rstrip(b"\0").decode(): calls
        for name, calls in struct.iter_unpack("<56sQ", finished.calls.read_bytes())
        if calls
    }
    # Once by the host, once more by this test's own look, which is not closed.
    assert (counts["(open)"], counts["(close)"]) == (2, 1)
    assert counts["nsdkDeviceGetPower"] >= len(finished.power)
    assert not finished.violations.exists()
