"""Native integers to values in base units."""

from __future__ import annotations

import struct

from xinmai.api import NumberType

_TWO64 = 2**64


def native_number(cell: int, number_type: NumberType | str) -> int | float:
    """What the vendor said: u64 and f64 are kept as bits in a signed cell."""
    if number_type == "f64":
        value: float = struct.unpack("<d", struct.pack("<q", cell))[0]
        return value
    if number_type == "u64" and cell < 0:
        return cell + _TWO64
    return cell


def base_value(cell: int, number_type: NumberType | str, scale: tuple[int, int]) -> float:
    """Value in the series' unit: native × numerator / denominator."""
    number = native_number(cell, number_type)
    numerator, denominator = scale
    return number * numerator / denominator
