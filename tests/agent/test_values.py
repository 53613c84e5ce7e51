from __future__ import annotations

import struct

import pytest

from xinmai.api import Kind, Series
from xinmai.sampler.pollers import encode_cell
from xinmai.values import base_value, native_number


@pytest.mark.parametrize(
    ("cell", "number_type", "number"),
    [
        (5, "i64", 5),
        (-5, "i64", -5),
        (5, "u64", 5),
        (-1, "u64", 2**64 - 1),
        (-(2**63), "u64", 2**63),
        (struct.unpack("<q", struct.pack("<d", -2.5))[0], "f64", -2.5),
    ],
)
def test_number_of_a_cell(cell: int, number_type: str, number: float) -> None:
    assert native_number(cell, number_type) == number


@pytest.mark.parametrize(
    ("reading", "number_type"), [(2**64 - 7, "u64"), (-(2**63), "i64"), (0.1, "f64")]
)
def test_reading_comes_back_from_its_cell(reading: float, number_type: str) -> None:
    series = Series("", "m", "1", Kind.GAUGE, {}, type=number_type)  # type: ignore[arg-type]
    assert native_number(encode_cell(series, reading)[0], number_type) == reading


def test_value_is_in_the_base_unit() -> None:
    assert base_value(65_250, "i64", (1, 1000)) == 65.25
    assert base_value(3, "i64", (125_000, 1)) == 375_000
    assert base_value(-2, "u64", (4, 1)) == float((2**64 - 2) * 4)
    assert base_value(struct.unpack("<q", struct.pack("<d", 0.5))[0], "f64", (3, 2)) == 0.75
