"""One lane, or the plain C loop, for some time: what it cost and how punctual it was."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import sub
from pathlib import Path
from typing import Any, TypeVar

from xinmai import clock
from xinmai.api import INT64_MAX, INT64_MIN
from xinmai.clock import SECOND_NS
from xinmai.sampler.plan import RING_BYTES, slot_bytes
from xinmai_native import LANE_COLUMNS, TRACK_GAUGE, Lane, Ring, RingReader, reference_loop

START_NS = 20_000_000
"""From making a lane to its first tick."""
ROWS_AT_ONCE = 4096
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LaneRun:
    """What a lane did.

    Args:
        ticks: of the grid, from the first to the last row.
        late: sorted, of the rows that the ring still holds.
    """

    cpu_ns: int
    rows: int
    missed: int
    ticks: int
    late_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """What the plain C loop did; `rows` are the ticks it did not miss."""

    cpu_ns: int
    rows: int
    missed: int
    late_p50_ns: int
    late_p99_ns: int


def run_lane(
    probes: Sequence[Any], columns: int, period_ns: int, seconds: float, *, priority: int = 0
) -> LaneRun:
    """A lane over a ring as large as a host's.

    Args:
        probes: as `Lane` takes them; they fill `columns` columns.
        priority: of SCHED_FIFO, 0 for the default policy.

    Raises:
        OSError: no right to the priority.
    """
    ring = Ring([(LANE_COLUMNS, columns, 0, RING_BYTES // slot_bytes(columns), period_ns)])
    # As every host does: the sensors' own periods are measured.
    ring.track(0, [(TRACK_GAUGE, 64, 0)] * columns)
    reader = RingReader(ring.fd)
    lane = Lane(ring, 0, period_ns, probes, priority)
    first_ns = (clock.mono_ns() + START_NS) // period_ns * period_ns
    lane.start(first_ns)
    while not reader.state(0).committed:
        time.sleep(START_NS / SECOND_NS)
    time.sleep(seconds)
    cpu_ns = lane.cpu_ns()
    lane.stop(SECOND_NS)
    state = reader.state(0)
    late_ns = sorted(_late_ns(reader, state.committed))
    reader.close()
    ring.close()
    ticks = (state.scheduled_ns - first_ns) // period_ns + 1
    return LaneRun(cpu_ns, state.committed, state.missed, ticks, late_ns)


def _late_ns(reader: RingReader, committed: int) -> Iterator[int]:
    position = 0
    while position < committed:
        rows = reader.rows(0, position, ROWS_AT_ONCE)
        yield from map(sub, array("q", rows.begin_ns), array("q", rows.scheduled_ns))
        position = rows.next_position


def run_reference(paths: Sequence[Path], period_ns: int, seconds: float) -> ReferenceRun:
    """The plain C loop; its thread has the policy and affinity of the caller's."""
    rows = max(1, int(seconds * SECOND_NS / period_ns))
    cpu_ns, missed, p50_ns, p99_ns = reference_loop(list(map(bytes, paths)), period_ns, rows)
    return ReferenceRun(cpu_ns, rows, missed, p50_ns, p99_ns)


def file_probes(paths: Sequence[Path]) -> list[Any]:
    """One whole number a file, one file a column."""
    field = (0, (), INT64_MIN, INT64_MAX)
    return [(bytes(path), [(column, None, 0, *field)]) for column, path in enumerate(paths)]


def percentile(ordered: Sequence[int], per_cent: int) -> int:
    """As the plain C loop picks it."""
    return ordered[len(ordered) * per_cent // 100]


@contextmanager
def busy_python() -> Iterator[None]:
    """A thread of this process that never gives the interpreter back by itself."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    thread = threading.Thread(target=spin, name="busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def with_priority(priority: int, work: Callable[[], T]) -> T:
    """Do work in a thread under SCHED_FIFO; threads it starts inherit that.

    Raises:
        OSError: no right to it.
    """
    done: list[T] = []
    failed: list[OSError] = []

    def in_thread() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            done.append(work())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=in_thread, name="fifo")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
