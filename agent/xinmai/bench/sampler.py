"""`xinmai bench sampler`: a lane against a plain C loop that does the same reads and parses."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xinmai.api import INT64_MAX, INT64_MIN
from xinmai.bench.figures import Figure, paired
from xinmai.clock import SECOND_NS
from xinmai_native import LANE_COLUMNS, Lane, Ring, RingReader, reference_loop

FILES = 100
PERIOD_NS = 1_000_000
REFERENCE = "plain C loop: pread and parse of the same kept-open files at the same rate"
_SHM = Path("/dev/shm")


def run(pairs: int, seconds: float, tell: Callable[[str], None]) -> list[Figure]:
    """Measure.

    Args:
        pairs: how many times each side runs.
        seconds: how long each side runs.
        tell: progress, one line.
    """
    figures = []
    base = _SHM if _SHM.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="xinmai-bench-", dir=base) as name:
        paths = _number_files(Path(name))
        tell(f"file_lane_1khz: {pairs} pairs of {seconds:g} s")
        figures.append(_lane_figure("file_lane_1khz", paths, pairs, seconds))
        figures.append(_ticks_figure(paths, seconds))
    counters = sorted(Path("/sys/class/net").glob("*/statistics/*"))[:FILES]
    if counters:
        tell(f"sysfs_lane_1khz: {len(counters)} counters")
        figures.append(_lane_figure("sysfs_lane_1khz", counters, pairs, seconds))
    return figures


def _number_files(directory: Path) -> list[Path]:
    paths = [directory / f"value{index:03}" for index in range(FILES)]
    for index, path in enumerate(paths):
        path.write_text(f"{index * 7919 + 40_000}\n", "ascii")
    return paths


def _lane_figure(name: str, paths: Sequence[Path], pairs: int, seconds: float) -> Figure:
    return paired(
        name,
        "µs of CPU per sample",
        REFERENCE,
        lambda: _lane(paths, seconds)[0],
        lambda: _reference(paths, seconds),
        pairs,
    )


def _lane(paths: Sequence[Path], seconds: float) -> tuple[float, int, int, int]:
    """(CPU µs per sample, rows, missed ticks, ticks of the grid) of a lane over some time."""
    slots = int(seconds * SECOND_NS / PERIOD_NS) + 1000
    ring = Ring([(LANE_COLUMNS, len(paths), 0, slots, PERIOD_NS)])
    reader = RingReader(ring.fd)
    field = (0, (), INT64_MIN, INT64_MAX)
    probes = [(bytes(path), [(column, None, 0, *field)]) for column, path in enumerate(paths)]
    lane = Lane(ring, 0, PERIOD_NS, probes)
    lane.start()
    time.sleep(seconds)
    cpu_ns = lane.cpu_ns()
    lane.stop(SECOND_NS)
    state = reader.state(0)
    first = reader.rows(0, 0, 1)
    begin_ns = int.from_bytes(first.scheduled_ns[:8], "little", signed=True)
    ticks = (state.scheduled_ns - begin_ns) // PERIOD_NS + 1
    reader.close()
    ring.close()
    return cpu_ns / 1000 / (state.committed * len(paths)), state.committed, state.missed, ticks


def _reference(paths: Sequence[Path], seconds: float) -> float:
    """CPU µs per sample of the C loop; ticks it missed read nothing and do not count."""
    ticks = int(seconds * SECOND_NS / PERIOD_NS)
    cpu_ns, missed, _, _ = reference_loop([bytes(path) for path in paths], PERIOD_NS, ticks)
    return cpu_ns / 1000 / ((ticks - missed) * len(paths))


def _ticks_figure(paths: Sequence[Path], seconds: float) -> Figure:
    """Rows and missed ticks against the grid: exactly all of it, whatever the machine did."""
    _, rows, missed, ticks = _lane(paths, seconds)
    return Figure(
        name="ticks_1khz",
        value=rows + missed,
        unit="ticks taken or counted as missed",
        reference=f"ticks of the grid; {missed} missed",
        reference_value=ticks,
        ratio=(rows + missed) / ticks,
    )
