"""How punctual a lane is, and what it misses when it is asked for too much."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from xinmai.bench import pythonway
from xinmai.bench.figures import Bar, Figure, figure_of, in_turns
from xinmai.bench.lanes import (
    LaneRun,
    ReferenceRun,
    busy_python,
    file_probes,
    percentile,
    run_lane,
    run_reference,
    with_priority,
)

PERIOD_NS = 1_000_000
REFERENCE = "plain C loop over the same files at the same rate, policy and affinity"
P50_BAR, P99_BAR = Bar("ratio", True, 1.1), Bar("ratio", True, 1.3)
MISSED = {"missed_4khz": (250_000, 0), "missed_10khz_fifo": (100_000, 50)}
"""Period and priority by name."""
LATENESS = ("lateness_p50", "lateness_p99")
BUSY = "lateness_p99_busy_python"
NAMES = (*LATENESS, BUSY, *MISSED)


def run(
    wanted: Collection[str],
    paths: Sequence[Path],
    pairs: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Figure]:
    """The figures among NAMES that are wanted."""
    figures: list[Figure] = []
    names = [name for name in LATENESS if name in wanted]
    if names:
        tell(f"{', '.join(names)}: {pairs} pairs of {seconds:g} s")
        measured = _lateness(paths, pairs, seconds, nullcontext)
        figures += [figure for figure in measured if figure.name in names]
    if BUSY in wanted:
        tell(f"{BUSY}: the same beside a busy thread")
        figures.append(_lateness(paths, pairs, seconds, busy_python, "_busy_python")[1])
    for name in MISSED:
        if name in wanted:
            tell(f"{name}: {pairs} pairs of {seconds:g} s")
            figures.append(_missed(name, paths, pairs, seconds))
    return figures


def _lateness(
    paths: Sequence[Path],
    pairs: int,
    seconds: float,
    beside: Callable[[], AbstractContextManager[None]],
    suffix: str = "",
) -> list[Figure]:
    """p50 and p99 of begin minus scheduled, in microseconds."""
    probes = file_probes(paths)
    with beside():
        lanes, references = in_turns(
            lambda: _lane_late(run_lane(probes, len(paths), PERIOD_NS, seconds)),
            lambda: _reference_late(run_reference(paths, PERIOD_NS, seconds)),
            pairs,
        )
        python_us = pythonway.lateness_us(PERIOD_NS, min(seconds, 2.0))
    return [
        figure_of(
            f"{name}{suffix}",
            "µs from scheduled to begun at 1 kHz",
            REFERENCE,
            [one[index] for one in lanes],
            [one[index] for one in references],
            bar=bar,
            python_value=python_us[index],
        )
        for index, (name, bar) in enumerate(zip(LATENESS, (P50_BAR, P99_BAR), strict=True))
    ]


def _lane_late(ran: LaneRun) -> tuple[float, float]:
    return percentile(ran.late_ns, 50) / 1000, percentile(ran.late_ns, 99) / 1000


def _reference_late(ran: ReferenceRun) -> tuple[float, float]:
    return ran.late_p50_ns / 1000, ran.late_p99_ns / 1000


def _missed(name: str, paths: Sequence[Path], pairs: int, seconds: float) -> Figure:
    period_ns, priority = MISSED[name]
    policy = f"SCHED_FIFO {priority}" if priority else "the default policy"
    unit = f"% of ticks missed, {len(paths)} files, {policy}"

    def lane() -> float:
        return _share(
            run_lane(file_probes(paths), len(paths), period_ns, seconds, priority=priority)
        )

    def plain() -> float:
        if not priority:
            return _share(run_reference(paths, period_ns, seconds))
        return _share(with_priority(priority, lambda: run_reference(paths, period_ns, seconds)))

    try:
        return figure_of(name, unit, REFERENCE, *in_turns(lane, plain, pairs))
    except PermissionError as error:
        why = f"no right to {policy} ({error}): run as root or with CAP_SYS_NICE"
        return Figure(name, None, unit, REFERENCE, why=why)


def _share(ran: LaneRun | ReferenceRun) -> float:
    return 100 * ran.missed / (ran.rows + ran.missed)
