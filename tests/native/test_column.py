from __future__ import annotations

import random
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import reference
from native.rig import int64s
from xinmai_native import pack, unpack

INT64 = st.integers(-(2**63), 2**63 - 1)
# Neighbours that differ little, as readings do, besides any.
SERIES = st.one_of(
    st.lists(INT64, max_size=40),
    st.lists(st.integers(-3, 3), max_size=40),
    st.lists(st.sampled_from([-(2**63), 2**63 - 1, 0, 2**55, 2**55 - 1]), max_size=10),
)


def packed(columns: Sequence[Sequence[int]]) -> bytes:
    values = array("q", [value for values in columns for value in values])
    return pack(values, lengths_of(columns))


def lengths_of(columns: Sequence[Sequence[int]]) -> array[int]:
    return array("I", [len(values) for values in columns])


@pytest.mark.statement("COL-1")
@pytest.mark.statement("COL-2")
@pytest.mark.statement("COL-3")
@given(st.lists(SERIES, max_size=6))
def test_columns_come_back_also_from_the_reference(columns: list[list[int]]) -> None:
    data = packed(columns)
    assert len(data) <= len(reference.pack(columns))
    flat = [value for values in columns for value in values]
    assert int64s(unpack(data, lengths_of(columns))) == flat
    assert reference.unpack(data, lengths_of(columns)) == flat


@pytest.mark.statement("COL-1")
def test_plain_codec_is_little_endian_cells() -> None:
    assert packed([[-(2**63)]]) == b"\x00" + bytes(7) + b"\x80"


@pytest.mark.statement("COL-2")
def test_differences_are_zigzag_varints() -> None:
    assert packed([[1, 1, 0, 64]]) == b"\x01\x02\x00\x01\x80\x01"


@pytest.mark.statement("COL-2")
def test_difference_wraps_around() -> None:
    columns = [[2**63 - 1, -(2**63), 2**63 - 1]]
    assert packed(columns)[-2:] == b"\x02\x01"
    assert int64s(unpack(packed(columns), array("I", [3]))) == columns[0]


@pytest.mark.statement("COL-3")
def test_longer_codec_is_not_taken() -> None:
    assert packed([[2**55]])[0] == 0
    assert packed([[2**55 - 1]])[0] == 1, "equal length: differences"
    rng = random.Random(1)
    noise = [rng.getrandbits(64) - 2**63 for _ in range(100)]
    assert len(packed([noise])) == 801


@pytest.mark.statement("COL-3")
def test_empty_column_takes_no_byte() -> None:
    assert packed([]) == b""
    assert packed([[], [], []]) == b""
    assert packed([[], [1], []]) == packed([[1]])
    assert unpack(b"", array("I", [0, 0])) == b""


@pytest.mark.statement("COL-4")
@pytest.mark.statement("COL-5")
@pytest.mark.parametrize("codec", [15, 16, 127, 128, 255])
def test_unknown_codec_is_refused(codec: int) -> None:
    with pytest.raises(ValueError, match="codec"):
        unpack(bytes([codec]) + bytes(16), array("I", [2]))


@pytest.mark.statement("COL-4")
def test_varint_over_64_bits_is_refused() -> None:
    assert int64s(unpack(b"\x01" + b"\xff" * 9 + b"\x01", array("I", [1]))) == [-(2**63)]
    for wide in (b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x00", b"\x80" * 11 + b"\x00"):
        with pytest.raises(ValueError, match="64 bits"):
            unpack(b"\x01" + wide, array("I", [1]))


@pytest.mark.statement("COL-4")
@given(st.lists(SERIES.filter(bool), min_size=1, max_size=4))
def test_each_truncation_is_refused(columns: list[list[int]]) -> None:
    data = packed(columns)
    for end in range(len(data)):
        with pytest.raises(ValueError, match="bytes"):
            unpack(data[:end], lengths_of(columns))


@pytest.mark.statement("COL-4")
@given(st.lists(SERIES, max_size=4), st.binary(min_size=1, max_size=5))
def test_bytes_left_over_are_refused(columns: list[list[int]], more: bytes) -> None:
    with pytest.raises(ValueError, match="left over|bytes"):
        unpack(packed(columns) + more, lengths_of(columns))


@given(st.binary(max_size=60), st.lists(st.integers(0, 12), max_size=5))
def test_any_bytes_read_as_in_the_reference(data: bytes, lengths: list[int]) -> None:
    try:
        expected = reference.unpack(data, lengths)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            unpack(data, array("I", lengths))
    else:
        assert int64s(unpack(data, array("I", lengths))) == expected


def test_more_values_than_allowed_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(ValueError, match=r"2\*\*24"):
        unpack(bytes(100), array("I", [2**24 + 1]))
    with pytest.raises(ValueError, match=r"2\*\*24"):
        unpack(bytes(100), array("I", [2**32 - 1] * 1000))
    with pytest.raises(ValueError, match="fewer bytes"):
        unpack(b"\x02\x00\x00\x00", array("I", [4097]))
    with pytest.raises(ValueError, match="fewer bytes"):
        unpack(b"\x01\x00", array("I", [2**24]))


def test_lengths_must_add_up() -> None:
    for lengths in ([1], [3], [2, 1], []):
        with pytest.raises(ValueError, match="add up"):
            pack(array("q", [1, 2]), array("I", lengths))
    with pytest.raises(ValueError, match="add up"):
        pack(bytes(9), array("I", [1]))
    with pytest.raises(ValueError, match="uint32"):
        pack(bytes(8), bytes(3))


def test_unaligned_buffers_are_read() -> None:
    values = memoryview(b"x" + array("q", [5, 6]).tobytes())[1:]
    lengths = memoryview(b"xxx" + array("I", [2]).tobytes())[3:]
    data = pack(values, lengths)
    assert int64s(unpack(memoryview(b"x" + data)[1:], lengths)) == [5, 6]


@pytest.mark.statement("COL-5")
def test_stored_columns_stay_readable() -> None:
    stored = bytes.fromhex("00ffffffffffffffff 01 0a000001".replace(" ", ""))
    assert int64s(unpack(stored, array("I", [1, 0, 4]))) == [-1, 5, 5, 5, 4]


def test_large_columns_come_back() -> None:
    rng = random.Random(2)
    columns = [[rng.randrange(1000) for _ in range(5000)], [rng.getrandbits(62)] * 5000]
    assert int64s(unpack(packed(columns), lengths_of(columns))) == columns[0] + columns[1]
