"""Slow and plain second implementations, to check the extension against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from native.rig import bits, float64s
from xinmai_native import KIND_FLOAT, KIND_GAUGE

VENDOR_ERROR = 7
IMPLAUSIBLE = 8
KEPT_REASONS = 16


def signed(value: int) -> int:
    """A number modulo 2**64, as a signed one."""
    value %= 2**64
    return value - 2**64 if value >= 2**63 else value


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(difference: int) -> int:
    return 2 * difference if difference >= 0 else -2 * difference - 1


def pack_column(values: Sequence[int]) -> bytes:
    """COL-1 to COL-3."""
    if not values:
        return b""
    before = 0
    coded = b""
    for value in values:
        coded += varint(zigzag(signed(value - before)))
        before = value
    if len(coded) <= 8 * len(values):
        return b"\x01" + coded
    return b"\x00" + b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def pack(columns: Sequence[Sequence[int]]) -> bytes:
    return b"".join(pack_column(values) for values in columns)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("missing bytes")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                raise ValueError("over 64 bits")
            return value, at
    raise ValueError("over 64 bits")


def unpack_column(data: bytes, at: int, length: int) -> tuple[list[int], int]:
    if length == 0:
        return [], at
    if at >= len(data):
        raise ValueError("missing bytes")
    codec = data[at]
    at += 1
    if codec > 1:
        raise ValueError("unknown codec")
    values = []
    before = 0
    for _ in range(length):
        if codec == 0:
            if at + 8 > len(data):
                raise ValueError("missing bytes")
            values.append(int.from_bytes(data[at : at + 8], "little", signed=True))
            at += 8
        else:
            coded, at = read_varint(data, at)
            before = signed(before + (coded >> 1 if coded % 2 == 0 else -(coded + 1) // 2))
            values.append(before)
    return values, at


def unpack(data: bytes, lengths: Sequence[int]) -> list[int]:
    """COL-4."""
    out: list[int] = []
    at = 0
    for length in lengths:
        values, at = unpack_column(data, at, length)
        out += values
    if at != len(data):
        raise ValueError("bytes left over")
    return out


@dataclass
class Row:
    scheduled_ns: int
    begin_ns: int
    missed: int
    values: list[int]
    reasons: list[int]


@dataclass
class Window:
    index: int
    rows: list[Row] = field(default_factory=list)


@dataclass
class Rolled:
    """One column of one window."""

    count: int
    last: int
    min: int
    max: int
    sum: int
    reasons: dict[tuple[int, int], int]


def cut(rows: Sequence[Row], width_ns: int) -> list[Window]:
    """Neighbouring rows of one window together."""
    windows: list[Window] = []
    for row in rows:
        index = row.scheduled_ns // width_ns
        if not windows or windows[-1].index != index:
            windows.append(Window(index))
        windows[-1].rows.append(row)
    return windows


def start_ns(window: Window, width_ns: int) -> int:
    return window.rows[0].begin_ns if len(window.rows) == 1 else window.index * width_ns


def as_float(cell: int) -> float:
    return float64s(cell.to_bytes(8, "little", signed=True))[0]


def roll(window: Window, column: int, kind: int) -> Rolled:
    values = []
    reasons: dict[tuple[int, int], int] = {}
    for row in window.rows:
        value, reason = row.values[column], row.reasons[column]
        if reason == 0 and kind == KIND_FLOAT and not math.isfinite(as_float(value)):
            reason = IMPLAUSIBLE
        if reason == 0:
            values.append(value)
            continue
        key = (reason, value if reason == VENDOR_ERROR else 0)
        if key not in reasons and reason == VENDOR_ERROR and len(reasons) >= KEPT_REASONS:
            key = (VENDOR_ERROR, 0)
        reasons[key] = reasons.get(key, 0) + 1
    if not values:
        return Rolled(0, 0, 0, 0, 0, reasons)
    if kind == KIND_GAUGE:
        total = signed(sum(values))
        return Rolled(len(values), values[-1], min(values), max(values), total, reasons)
    if kind == KIND_FLOAT:
        floats = [as_float(value) for value in values]
        added = 0.0
        for number in floats:
            added += number
        return Rolled(
            len(values), values[-1], bits(min(floats)), bits(max(floats)), bits(added), reasons
        )
    return Rolled(len(values), values[-1], 0, 0, 0, reasons)
