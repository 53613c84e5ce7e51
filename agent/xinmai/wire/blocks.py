"""Rows and windows to packed blocks and back (WIRE-42, WIRE-43)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from xinmai.wire.messages import Block, ReasonRun
from xinmai_native import Rows, Windows


def rollup_block(lane: int, width_ns: int, windows: Windows, kinds: bytes) -> Block:
    """Pack what a ring reader rolled up.

    Args:
        lane: index in the inventory.
        windows: n windows, column-major.
        kinds: uint8 per column, KIND_* of the extension.
    """
    raise NotImplementedError


def raw_block(lane: int, rows: Rows, columns: int) -> Block:
    """Pack rows at full rate."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Expanded:
    """A block unpacked into one entry per cell that has values; reasons apart.

    All arrays have the same length except `window_*`, which have n.
    For raw blocks and cells with one reading min = max = last and sum = last.
    """

    window_time_ns: array[int]
    """CLOCK_MONOTONIC; window start or the row's own time."""
    window_ticks: array[int]
    window_missed: array[int]
    series: array[int]
    """Column within the lane."""
    window: array[int]
    count: array[int]
    last: array[int]
    min: array[int]
    max: array[int]
    sum: list[int]
    """True sum of integers (bits of a double for f64 columns)."""
    reasons: Sequence[ReasonRun]

    @property
    def readings(self) -> int:
        """Readings with value and readings with reason together."""
        return sum(self.count) + sum(run.windows * run.readings for run in self.reasons)


def expand(block: Block, kinds: bytes) -> Expanded:
    """Unpack a block of untrusted origin.

    Args:
        kinds: uint8 per column of the lane, KIND_* of the extension (see `kinds_of`).

    Raises:
        Refused: a blob does not hold what the block says.
    """
    raise NotImplementedError


def kinds_of(series: Sequence[tuple[str, str]]) -> bytes:
    """KIND_* per (kind, type) of a lane's series: f64 gauge is float, other gauges gauge, rest last."""
    raise NotImplementedError
