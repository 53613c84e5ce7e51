"""Slow and plain second implementations, to check the extension against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

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
    """COL-1 and COL-2, whichever is shorter: what a column may take at most below 64 values."""
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
    """COL-4 and COL-6: pieces, the first of codec 0 or 1 holding all that is left."""
    values: list[int] = []
    while len(values) < length:
        if at >= len(data):
            raise ValueError("missing bytes")
        codec, left = data[at], length - len(values)
        if codec == 0:
            piece, at = unpack_plain(data, at + 1, left)
        elif codec == 1:
            piece, at = unpack_delta(data, at + 1, left)
        elif codec <= 14:
            piece, at = unpack_dense(data, at, min(left, PIECE))
        else:
            raise ValueError("unknown codec")
        values += piece
    return values, at


def unpack_plain(data: bytes, at: int, length: int) -> tuple[list[int], int]:
    end = at + 8 * length
    if end > len(data):
        raise ValueError("missing bytes")
    cells = (data[i : i + 8] for i in range(at, end, 8))
    return [int.from_bytes(cell, "little", signed=True) for cell in cells], end


def unpack_delta(data: bytes, at: int, length: int) -> tuple[list[int], int]:
    values = []
    before = 0
    for _ in range(length):
        step, at = read_signed(data, at)
        before = signed(before + step)
        values.append(before)
    return values, at


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    coded, at = read_varint(data, at)
    return unzigzag(coded), at


def unzigzag(coded: int) -> int:
    return coded >> 1 if coded % 2 == 0 else -(coded + 1) // 2


PIECE = 2048


class Bits:
    """COL-8: low bits first; zeros behind the end, where `check` refuses to have been."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.number = int.from_bytes(data, "little")
        self.at = 0

    def take(self, bits: int) -> int:
        value = self.number >> self.at & (1 << bits) - 1
        self.at += bits
        return value

    def check(self) -> int:
        used = -(-self.at // 8)
        if used > len(self.data):
            raise ValueError("missing bytes")
        if self.take(8 * used - self.at):
            raise ValueError("the last byte is not filled up with zeros")
        return used


def unpack_dense(data: bytes, at: int, length: int) -> tuple[list[int], int]:
    """COL-7: heads, base, scale, shape, then the numbers."""
    if data[at] == 14:
        return unpack_levels(data, at + 1, length)
    kind = data[at] - 2
    at += 1
    scaled, order, zigzagged = kind >= 6, kind % 6 // 2, kind % 2 == 1
    heads = []
    for _ in range(order):
        head, at = read_signed(data, at)
        heads.append(head)
    base, at = read_signed(data, at)
    scale, at = read_varint(data, at) if scaled else (1, at)
    if length <= order:
        raise ValueError("fewer values than bytes for the heads")
    numbers, at = read_numbers(data, at, length - order)
    values = [base + scale * (unzigzag(number) if zigzagged else number) for number in numbers]
    for head in reversed(heads):
        values = list(accumulate(values, initial=head))
    return [signed(value) for value in values], at


def read_numbers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """COL-8: the shape, and numbers of that shape."""
    if at >= len(data):
        raise ValueError("missing bytes")
    shape = data[at]
    stream = Bits(data[at + 1 :])
    if shape <= 64:
        numbers = [stream.take(shape) for _ in range(count)]
    else:
        numbers = read_binned(stream, shape - 65, count)
    return numbers, at + 1 + stream.check()


def unpack_levels(data: bytes, at: int, length: int) -> tuple[list[int], int]:
    """COL-15: a list of values, then their numbers in it."""
    if at >= len(data) or data[at] >= 64:
        raise ValueError("missing bytes or over 64 levels")
    count = data[at] + 1
    level, at = read_signed(data, at + 1)
    levels = [level]
    while len(levels) < count:
        step, at = read_varint(data, at)
        levels.append(levels[-1] + step)
    numbers, at = read_numbers(data, at, length)
    if max(numbers) >= count:
        raise ValueError("no such level")
    return [signed(levels[number]) for number in numbers], at


def read_binned(stream: Bits, shape: int, count: int) -> list[int]:
    """COL-9 to COL-12."""
    mantissa, table_log = shape % 4, shape // 4 + 5
    if table_log > 9:
        raise ValueError("unknown shape")
    first, bins, order = stream.take(9), stream.take(7) + 1, stream.take(2)
    if first + bins > (65 - mantissa) << mantissa:
        raise ValueError("bins beyond 64 bits")
    weights = [read_weight(stream, order) for _ in range(bins)]
    if sum(weights) != 1 << table_log:
        raise ValueError("weights do not add up")
    states = make_states(weights, table_log)
    at = [stream.take(table_log), stream.take(table_log)]
    numbers = []
    for i in range(0, count, 2):
        pair = [states[at[turn]] for turn in range(min(2, count - i))]
        for turn, (_, width, start) in enumerate(pair):
            at[turn] = start + stream.take(width)
        for index, _, _ in pair:
            low, open_bits = bucket(first + index, mantissa)
            numbers.append(low + stream.take(open_bits))
    stream.check()
    if at != [0, 0]:
        raise ValueError("the bytes do not end where they began")
    return numbers


def read_weight(stream: Bits, order: int) -> int:
    zeros = 0
    while stream.take(1) == 0:
        zeros += 1
        if zeros > 9:
            raise ValueError("a weight over 9 bits or missing bytes")
    high = (1 << zeros) + stream.take(zeros) - 1
    return high << order | stream.take(order)


def make_states(weights: list[int], table_log: int) -> list[tuple[int, int, int]]:
    """(bin, bits to read, start of the next state) of each state."""
    size = 1 << table_log
    owner = [0] * size
    at = 0
    for index, weight in enumerate(weights):
        for _ in range(weight):
            owner[at] = index
            at = (at + size // 2 + size // 8 + 3) % size
    states = []
    turn = list(weights)
    for index in owner:
        width = table_log - (turn[index].bit_length() - 1)
        states.append((index, width, (turn[index] << width) - size))
        turn[index] += 1
    return states


def bucket(index: int, mantissa: int) -> tuple[int, int]:
    """COL-9: least number of a bucket, and how many low bits it leaves open."""
    open_bits = max(0, (index >> mantissa) - 1)
    return (index - (open_bits << mantissa)) << open_bits, open_bits


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
