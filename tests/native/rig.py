"""What the tests of the extension share: waiting, arrays, rings with known rows."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from xinmai_native import LANE_COLUMNS, LaneState, Ring, RingReader

LOW = -(2**63)
HIGH = 2**63 - 1
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
TIMEOUT_NS = 20 * SECOND_NS

Field = tuple[int, bytes | None, int, int, Sequence[int], int, int]
Probe = tuple[bytes, Sequence[Field]]


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for a condition that another thread or process brings about."""
    tick = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        tick.wait(0.001)


def int64s(data: bytes) -> list[int]:
    return array("q", data).tolist()


def uint32s(data: bytes) -> list[int]:
    return array("I", data).tolist()


def float64s(data: bytes) -> list[float]:
    return array("d", data).tolist()


def column(data: bytes, n: int, index: int) -> list[int]:
    """One column of column-major int64 cells."""
    return int64s(data)[index * n : (index + 1) * n]


def bits(value: float) -> int:
    """A double as it stands in a cell."""
    return array("q", array("d", [value]).tobytes())[0]


def make_ring(columns: int = 2, slots: int = 64) -> tuple[Ring, RingReader]:
    """A ring of one lane and its reader."""
    ring = Ring([(LANE_COLUMNS, columns, 0, slots, SECOND_NS)])
    return ring, RingReader(ring.fd)


def commit(
    ring: Ring,
    scheduled_ns: int,
    values: Sequence[int],
    reasons: Sequence[int] | None = None,
    *,
    missed: int = 0,
    late_ns: int = 0,
) -> int:
    """Commit one row to lane 0; it takes 5 ns."""
    return ring.commit(
        0,
        scheduled_ns,
        scheduled_ns + late_ns,
        5,
        missed,
        array("q", values),
        bytes(reasons if reasons is not None else [0] * len(values)),
    )


def field(
    index_of_column: int,
    key: bytes | None = None,
    index: int = 0,
    decimals: int = 0,
    sentinels: Sequence[int] = (),
    low: int = LOW,
    high: int = HIGH,
) -> Field:
    return (index_of_column, key, index, decimals, sentinels, low, high)


def probe(path: Path | str, *fields: Field) -> Probe:
    return (str(path).encode(), fields)


def wait_rows(reader: RingReader, rows: int, lane: int = 0) -> LaneState:
    """Wait until so many rows are committed."""
    until(lambda: reader.state(lane).committed >= rows)
    return reader.state(lane)
