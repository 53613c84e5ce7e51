"""`xinmai bench sampler`: lanes against plain C loops that do the same reads and calls."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from xinmai.bench import calls, pythonway, timing
from xinmai.bench.figures import Bar, Figure, paired
from xinmai.bench.lanes import file_probes, run_lane, run_reference

FILES = 96
PERIOD_NS = 1_000_000
REFERENCE = "plain C loop: pread and parse of the same kept-open files at the same rate"
UNIT = "µs of CPU per sample"
BAR = Bar("ratio", True, 1.10)
_SHM = Path("/dev/shm")

NAMES = ("file_lane_1khz", "sysfs_lane_1khz", "ticks_1khz", *calls.NAMES, *timing.NAMES)
"""Figures, in the order in which they are measured."""


def run(
    pairs: int, seconds: float, tell: Callable[[str], None], only: Collection[str] = ()
) -> list[Figure]:
    """Measure.

    Args:
        pairs: how many times each side runs.
        seconds: how long each side runs.
        tell: progress, one line.
        only: names of figures; empty for all.
    """
    wanted = [name for name in NAMES if not only or name in only]
    figures: list[Figure] = []
    base = _SHM if _SHM.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="xinmai-bench-", dir=base) as name:
        paths = _number_files(Path(name))
        for lane, files in (("file_lane_1khz", paths), ("sysfs_lane_1khz", _counters())):
            if lane in wanted:
                tell(f"{lane}: {len(files)} files, {pairs} pairs of {seconds:g} s")
                figures.append(_lane_figure(lane, files, pairs, seconds))
        if "ticks_1khz" in wanted:
            figures.append(_ticks_figure(paths, seconds))
        figures += calls.run(wanted, pairs, seconds, tell)
        figures += timing.run(wanted, paths, pairs, seconds, tell)
    return figures


def _number_files(directory: Path) -> list[Path]:
    paths = [directory / f"value{index:03}" for index in range(FILES)]
    for index, path in enumerate(paths):
        path.write_text(f"{index * 7919 + 40_000}\n", "ascii")
    return paths


def _counters() -> list[Path]:
    """Counters of real sysfs: those of the network interfaces, which every machine has."""
    return sorted(Path("/sys/class/net").glob("*/statistics/*"))[:FILES]


def _lane_figure(name: str, paths: Sequence[Path], pairs: int, seconds: float) -> Figure:
    if not paths:
        return Figure(name, None, UNIT, REFERENCE, why="there is no network interface in sysfs")
    return paired(
        name,
        f"{UNIT}, {len(paths)} files",
        REFERENCE,
        lambda: _lane_us(paths, seconds),
        lambda: _reference_us(paths, seconds),
        pairs,
        bar=BAR,
        python_value=pythonway.open_and_read_us(paths),
    )


def _lane_us(paths: Sequence[Path], seconds: float) -> float:
    ran = run_lane(file_probes(paths), len(paths), PERIOD_NS, seconds)
    return ran.cpu_ns / 1000 / (ran.rows * len(paths))


def _reference_us(paths: Sequence[Path], seconds: float) -> float:
    ran = run_reference(paths, PERIOD_NS, seconds)
    return ran.cpu_ns / 1000 / (ran.rows * len(paths))


def _ticks_figure(paths: Sequence[Path], seconds: float) -> Figure:
    """Rows and missed ticks against the grid: exactly all of it, whatever the machine did."""
    ran = run_lane(file_probes(paths), len(paths), PERIOD_NS, seconds)
    return Figure(
        name="ticks_1khz",
        value=ran.rows + ran.missed,
        unit="ticks taken or counted as missed",
        reference=f"ticks of the grid; {ran.missed} missed",
        reference_value=ran.ticks,
        ratio=(ran.rows + ran.missed) / ran.ticks,
    )
