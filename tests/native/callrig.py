"""What tests of call probes share: functions to call, probes that call them, one row of results."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from native.rig import HIGH, LOW, TIMEOUT_NS, Probe, int64s, make_ring, wait_rows
from xinmai_native import Gate, Lane, RingReader
from xinmai_native.calls import RETURNED, Buffer, Call, Load, Result, Returns, Value

VALUE, UNSUPPORTED, NO_PERMISSION, DEVICE_LOST, VENDOR_ERROR, IMPLAUSIBLE = 0, 1, 2, 5, 7, 8
PERIOD_NS = 200_000
NO_STATUS = Returns("i", ())

Cell = tuple[int, int]
"""(reason, value or code)."""


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of tests/native/c/calls.c."""

    library: ctypes.CDLL
    path: Path

    def address(self, name: str) -> int:
        address = ctypes.cast(self.library[name], ctypes.c_void_p).value
        assert address is not None
        return address

    def gives(self, value: int, type_: str, *results: Result) -> Call:
        """Returns `value`, all 64 bits of it."""
        return Call(self.address("give"), [Value(value)], [], Returns(type_, ()), results)

    def leaves(self, data: bytes, *results: Result, returns: Returns = NO_STATUS) -> Call:
        """Leaves `data` in buffer 0."""
        return Call(self.address("args0"), [Buffer(0)], [data], returns, results)


def result(
    column: int,
    load: Load,
    *,
    elements: int = 1,
    stride: int = 0,
    factor: Load | None = None,
    decimals: int = 0,
    status: Load | None = None,
    limit: tuple[Load, int] | None = None,
    sentinels: Sequence[int] = (),
    low: int = LOW,
    high: int = HIGH,
) -> Result:
    """A result of one load."""
    rest = (elements, stride, factor, decimals, status, None, limit, sentinels, low, high)
    return Result(column, [(0, load)], *rest)


def returned(type_: str, column: int = 0) -> Result:
    return result(column, Load(RETURNED, 0, type_))


@contextmanager
def running(
    probes: Sequence[Call | Probe],
    columns: int,
    period_ns: int = PERIOD_NS,
    gate: Gate | None = None,
) -> Iterator[tuple[RingReader, Lane]]:
    ring, reader = make_ring(columns, 4096)
    lane = Lane(ring, 0, period_ns, probes, gate=gate)
    lane.start()
    try:
        yield reader, lane
    finally:
        assert lane.stop(TIMEOUT_NS)


def newest(reader: RingReader, columns: int) -> list[Cell]:
    """The cells of a row that began after this call."""
    position = wait_rows(reader, reader.state(0).committed + 2).committed - 1
    rows = reader.rows(0, position, 1)
    reasons = {c: reason for c, _, reason, _ in rows.reasons}
    return [(reasons.get(c, VALUE), int64s(rows.values)[c]) for c in range(columns)]


def run_once(*probes: Call | Probe, columns: int = 1) -> list[Cell]:
    """The cells of a row that is not the lane's first."""
    with running(probes, columns) as (reader, _lane):
        return newest(reader, columns)
