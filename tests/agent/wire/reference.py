"""Blocks unpacked one cell at a time, straight from docs/specs: slow, plain, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from native.reference import unpack_column
from xinmai.wire.messages import Block
from xinmai_native import KIND_LAST


def pack_columns(columns: Sequence[Sequence[int]]) -> bytes:
    """COL-1 to COL-3."""
    packed = b""
    for column in columns:
        plain = b"".join(value.to_bytes(8, "little", signed=True) for value in column)
        delta = b"".join(
            _varint(_zigzag(value - before))
            for before, value in zip([0, *column], column, strict=False)
        )
        if column:
            packed += b"\1" + delta if len(delta) <= len(plain) else b"\0" + plain
    return packed


def unpack_columns(packed: bytes, lengths: Sequence[int]) -> list[list[int]]:
    """COL-4; ValueError for what is no packing."""
    columns: list[list[int]] = []
    at = 0
    for length in lengths:
        column, at = unpack_column(packed, at, length)
        columns.append(column)
    if at != len(packed):
        raise ValueError("bytes left over")
    return columns


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _zigzag(difference: int) -> int:
    wrapped = _signed(difference)
    return ((wrapped << 1) ^ (wrapped >> 63)) % 2**64


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class Cell:
    """What one series read in one window or row; None where the wire does not say."""

    count: int
    last: int | None
    low: int | None = None
    high: int | None = None
    modular_sum: int | None = None


def cells(block: Block, kinds: bytes) -> dict[tuple[int, int], Cell]:
    """(series, window) to cell, following the sentences of WIRE-42 and WIRE-43."""
    n, columns = block.n, range(len(kinds))
    if block.width_ns == 0:
        holes = {
            (run.series, run.window + step) for run in block.reasons for step in range(run.windows)
        }
        counts = [[int((series, row) not in holes) for row in range(n)] for series in columns]
    elif block.count is None:
        counts = [[1] * n for _ in columns]
    else:
        counts = unpack_columns(block.count, [n] * len(kinds))
    valued = [[count for count in column if count] for column in counts]
    several = [
        [count for count in counts[series] if count > 1 and kinds[series] != KIND_LAST]
        for series in columns
    ]
    last = unpack_columns(block.last, list(map(len, valued)))
    spread = [
        None if blob is None else unpack_columns(blob, list(map(len, several)))
        for blob in (block.min, block.max, block.sum)
    ]
    result: dict[tuple[int, int], Cell] = {}
    for series in columns:
        for window in range(n):
            count = counts[series][window]
            value = last[series].pop(0) if count else None
            extra: list[int | None] = [None, None, None]
            if count > 1 and kinds[series] != KIND_LAST:
                extra = [None if part is None else part[series].pop(0) for part in spread]
            result[series, window] = Cell(count, value, *extra)
    return result
