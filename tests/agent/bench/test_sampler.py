"""Shapes, names and exact counts; no time is judged here."""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from native.rig import MILLISECOND_NS, TIMEOUT_NS, make_ring
from running import eventually
from xinmai import clock
from xinmai.bench import calls, lanes, pythonway, sampler, timing
from xinmai.bench.lanes import file_probes, percentile, run_lane, run_reference, with_priority
from xinmai.cli.main import main
from xinmai.clock import SECOND_NS
from xinmai.sampler.plan import slot_bytes
from xinmai_native import Lane, call_reference_loop, call_targets

SHORT_S = 0.02


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythonway, "LEAST_NS", 1)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / str(number) for number in range(4)]
    for number, path in enumerate(paths):
        path.write_text(f"{number}\n", "ascii")
    return paths


def test_every_figure_has_its_name_reference_and_python_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "sampler", "--pairs", "1", "--seconds", str(SHORT_S), "--json"]) == 0
    figures = {one["name"]: one for one in json.loads(capsys.readouterr().out)["figures"]}
    assert tuple(figures) == sampler.NAMES
    assert {"file_lane_1khz", "sysfs_lane_1khz", "call_probe", "field_values"} < set(figures)
    assert {"lateness_p50", "lateness_p99", "lateness_p99_busy_python"} < set(figures)
    for name, one in figures.items():
        assert one["reference"]
        if one["value"] is None:
            assert one["why"]
            continue
        assert one["reference_value"] is not None
        if not name.startswith(("missed", "ticks", "row")):
            assert one["python_value"] > 0
            assert one["bar"]
    assert "96 files" in figures["file_lane_1khz"]["unit"]


def test_one_figure_alone_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--pairs", "1", "--seconds", str(SHORT_S), "--figure", "ticks_1khz"]
    assert main(["bench", "sampler", *words]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "figure"
    assert row.split()[0] == "ticks_1khz"


@pytest.mark.parametrize("words", [["--figure", "wire"], ["--pairs", "0"]])
def test_what_cannot_be_measured_is_wrong_use(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "sampler", *words]) == 2
    assert words[0] in capsys.readouterr().err


def test_ticks_of_a_lane_are_rows_and_missed(files: list[Path]) -> None:
    ran = run_lane(file_probes(files), len(files), 100_000, SHORT_S)
    assert ran.rows + ran.missed == ran.ticks
    assert ran.cpu_ns > 0
    assert list(ran.late_ns) == sorted(ran.late_ns)
    assert len(ran.late_ns) == ran.rows
    assert 0 <= ran.late_ns[0] <= ran.late_ns[-1] < 100_000


def test_lateness_is_of_the_rows_the_ring_still_holds(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "RING_BYTES", 4 * slot_bytes(len(files)))
    ran = run_lane(file_probes(files), len(files), 100_000, SHORT_S)
    assert 0 < len(ran.late_ns) <= 4


def test_the_reference_reads_every_row_it_was_asked_for(files: list[Path]) -> None:
    ran = run_reference(files, MILLISECOND_NS, SHORT_S)
    assert ran.rows == 20
    assert 0 <= ran.late_p50_ns <= ran.late_p99_ns < MILLISECOND_NS


def test_percentile_is_picked_as_the_reference_picks_it() -> None:
    ordered = list(range(200))
    assert (percentile(ordered, 50), percentile(ordered, 99)) == (100, 198)
    assert percentile([7], 99) == 7


def test_without_the_right_to_fifo_the_figure_says_so(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> float:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(timing, "run_lane", refused)
    (one,) = timing.run(["missed_10khz_fifo"], files, 1, SHORT_S, lambda line: None)
    assert one.value is None
    assert "SCHED_FIFO 50" in one.why
    assert "CAP_SYS_NICE" in one.why
    assert one.verdict == "absent"


def test_work_under_fifo_tells_why_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(PermissionError):
        with_priority(1, lambda: 0)


def row_of(probes: list[Any]) -> tuple[array[int], list[tuple[int, int, int, int]]]:
    ring, reader = make_ring(columns=calls.VALUES, slots=16)
    lane = Lane(ring, 0, MILLISECOND_NS, probes)
    lane.start()
    eventually(lambda: reader.state(0).committed > 1, "two rows")
    assert lane.stop(TIMEOUT_NS)
    rows = reader.rows(0, 1, 1)
    return array("q", rows.values), rows.reasons


@pytest.mark.parametrize("probes", [calls.read_probes, calls.field_probes])
def test_call_probes_of_the_bench_read_what_its_target_says(
    probes: Callable[[], list[Any]],
) -> None:
    cells, reasons = row_of(probes())
    assert reasons == []
    assert len(cells) == calls.VALUES
    base = 300_000
    for column, cell in enumerate(cells):
        least = base + column if probes is calls.read_probes else base * (column % calls.FIELDS)
        assert least <= cell <= least + 1023


def test_the_call_reference_counts_and_refuses() -> None:
    cpu_ns, missed = call_reference_loop(True, 8, 100_000, 50)
    assert cpu_ns > 0
    assert missed >= 0
    assert len(call_targets()[2]) == 96
    with pytest.raises(ValueError, match="0 to 96"):
        call_reference_loop(False, 97, MILLISECOND_NS, 1)
    with pytest.raises(ValueError, match="ticks"):
        call_reference_loop(False, 1, MILLISECOND_NS, 0)


def test_the_python_way_asks_the_same_target() -> None:
    read, fields, handles = call_targets()
    assert pythonway.ctypes_call_us(read, handles) > 0
    assert pythonway.ctypes_fields_us(fields, handles, 12) > 0
    with pytest.raises(OSError, match="no device 5"):
        pythonway.ctypes_call_us(read, [5])
    with pytest.raises(OSError, match="no device 5"):
        pythonway.ctypes_fields_us(fields, [5], 12)


def test_a_ticker_in_python_counts_whole_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = iter([0, 0, 5_000_000, 5_000_000, 6_500_000])
    monkeypatch.setattr(clock, "mono_ns", lambda: next(now_ns))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    p50_us, p99_us = pythonway.lateness_us(MILLISECOND_NS, 2 * MILLISECOND_NS / SECOND_NS)
    assert (p50_us, p99_us) == (4000, 4000)
