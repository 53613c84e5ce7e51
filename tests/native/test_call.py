"""Call probes: what a function returns or leaves in memory becomes a value or a reason."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from native.callrig import (
    DEVICE_LOST,
    IMPLAUSIBLE,
    NO_PERMISSION,
    UNSUPPORTED,
    VALUE,
    VENDOR_ERROR,
    Cell,
    Functions,
    newest,
    result,
    returned,
    run_once,
    running,
)
from native.rig import HIGH, LOW, bits, field, probe
from xinmai_native import CANARY_CODE
from xinmai_native.calls import FLOAT_TYPES, RETURNED, Buffer, Call, Load, Result, Returns, Value

WIDTHS = {"b": 8, "B": 8, "h": 16, "H": 16, "i": 32, "I": 32, "q": 64, "Q": 64}


def limits(type_: str) -> list[int]:
    width = WIDTHS[type_]
    return [0, 2**width - 1] if type_.isupper() else [-(2 ** (width - 1)), 2 ** (width - 1) - 1, -1]


def cell(value: int) -> int:
    """As a cell holds it: modulo 2**64, signed."""
    return (value + 2**63) % 2**64 - 2**63


@pytest.mark.parametrize("type_", WIDTHS)
def test_each_width_and_sign_is_loaded_at_its_limits(functions: Functions, type_: str) -> None:
    numbers = limits(type_)
    # At odd addresses too: a packed struct aligns nothing.
    data = b"\xa5" + b"".join(struct.pack(f"<{type_}", number) + b"\xa5" for number in numbers)
    size = struct.calcsize(type_) + 1
    loads = [result(i, Load(0, 1 + i * size, type_)) for i in range(len(numbers))]
    cells = run_once(functions.leaves(data, *loads), columns=len(numbers))
    assert cells == [(VALUE, cell(number)) for number in numbers]


@pytest.mark.parametrize("type_", WIDTHS)
def test_garbage_above_the_return_value_is_cut_off(functions: Functions, type_: str) -> None:
    for number in limits(type_):
        garbage = 0xDEAD_BEEF_DEAD_BEEF << WIDTHS[type_]
        call = functions.gives(
            (garbage | number % 2 ** WIDTHS[type_]) % 2**64, type_, returned(type_)
        )
        assert run_once(call) == [(VALUE, cell(number))]


@pytest.mark.parametrize(("raw", "value"), [(0xFFFF_FF00, 0), (0xFFFF_FF01, 1), (0x02, 1)])
def test_bool_is_its_low_byte(functions: Functions, raw: int, value: int) -> None:
    call = functions.gives(raw, "?", returned("?"))
    assert run_once(call) == [(VALUE, value)]


@pytest.mark.parametrize(
    ("load", "value"),
    [
        (Load(0, 0, "I", 0, 4), 0x8),
        (Load(0, 0, "I", 4, 8), 0xD7),
        (Load(0, 0, "i", 0, 4), -8),
        (Load(0, 0, "i", 28, 4), -6),
        (Load(0, 0, "I", 31, 1), 1),
        (Load(0, 0, "i", 31, 1), -1),
        (Load(0, 0, "Q", 1, 63), 0x12345678A0000D78 >> 1),
        (Load(0, 3, "H", 4, 12), 0x78A),
        (Load(0, 0, "?", 3, 1), 1),
        (Load(0, 0, "?", 0, 3), 0),
    ],
)
def test_bit_fields_are_cut_out(functions: Functions, load: Load, value: int) -> None:
    data = struct.pack("<Q", 0x12345678A0000D78)
    assert run_once(functions.leaves(data, result(0, load))) == [(VALUE, value)]


@pytest.mark.parametrize(
    ("number", "decimals", "expected"),
    [
        (0.0, 0, (VALUE, 0)),
        (-0.0, 3, (VALUE, 0)),
        (0.5, 0, (VALUE, 1)),
        (-0.5, 0, (VALUE, -1)),
        (2.5, 0, (VALUE, 3)),
        (0.49999999999999994, 0, (VALUE, 0)),
        (2.0**52 - 0.5, 0, (VALUE, 2**52)),
        (2.0**53 + 2, 0, (VALUE, 2**53 + 2)),
        (123.456, 3, (VALUE, 123456)),
        (-123.4565, 3, (VALUE, -123457)),
        (1e-18, 18, (VALUE, 1)),
        (math.nan, 0, (IMPLAUSIBLE, 0)),
        (math.inf, 0, (IMPLAUSIBLE, 0)),
        (-math.inf, 3, (IMPLAUSIBLE, 0)),
        (1e308, 18, (IMPLAUSIBLE, 0)),
        (2.0**63, 0, (IMPLAUSIBLE, 0)),
        (-(2.0**63), 0, (VALUE, -(2**63))),
        (2.0**63 - 1024, 0, (VALUE, 2**63 - 1024)),
        (-(2.0**63) - 2048, 0, (IMPLAUSIBLE, 0)),
    ],
)
def test_double_is_rounded_half_away_from_zero_or_implausible(
    functions: Functions, number: float, decimals: int, expected: Cell
) -> None:
    data = struct.pack("<xd", number)
    one = result(0, Load(0, 1, "d"), decimals=decimals)
    assert run_once(functions.leaves(data, one)) == [expected]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1.5, (VALUE, bits(1.5))),
        (-0.0, (VALUE, bits(-0.0))),
        (math.nan, (IMPLAUSIBLE, 0)),
        (math.inf, (IMPLAUSIBLE, 0)),
        (-101.0, (IMPLAUSIBLE, 0)),
    ],
)
def test_bits_of_a_double_are_kept(functions: Functions, number: float, expected: Cell) -> None:
    for type_ in FLOAT_TYPES:
        data = struct.pack(f"<{type_}", number)
        one = result(0, Load(0, 0, type_), decimals=-1, low=-100)
        assert run_once(functions.leaves(data, one)) == [expected]


def test_arguments_keep_all_64_bits(functions: Functions) -> None:
    given = [2**64 - 1, -(2**63), 0x0123_4567_89AB_CDEF, 2**63, -2, 0xFEDC_BA98_7654_3210]
    weights = [1, 3, 5, 7, 11, 13]
    for n in range(7):
        expected = sum(a * w for a, w in zip(given[:n], weights, strict=False)) if n else 7
        arguments = [Value(value) for value in given[:n]]
        call = Call(functions.address(f"args{n}"), arguments, [], Returns("Q", ()), [returned("Q")])
        assert run_once(call) == [(VALUE, cell(expected))]


def test_narrow_arguments_take_the_low_bits(functions: Functions) -> None:
    arguments = [Value(-3), Value(65535), Value(-70000)]
    call = Call(functions.address("narrow"), arguments, [], Returns("b", ()), [returned("b")])
    assert run_once(call) == [(VALUE, -128)]


def test_in_out_arguments_are_primed_before_each_call(functions: Functions) -> None:
    buffers = [struct.pack("<II", 8, 0), struct.pack("<I", 100)]
    results = [result(0, Load(1, 0, "I")), result(1, Load(0, 0, "I"))]
    arguments = [Buffer(0), Buffer(1)]
    call = Call(functions.address("add_into"), arguments, buffers, Returns(), results)
    with running([call], 2) as (reader, _lane):
        for _ in range(5):
            assert newest(reader, 2) == [(VALUE, 108), (VALUE, 16)]


def test_argument_points_into_its_buffer(functions: Functions) -> None:
    call = Call(
        functions.address("add_into"),
        [Buffer(0, 4), Buffer(0, 12)],
        [struct.pack("<4I", 0, 5, 0, 60)],
        Returns(),
        [result(0, Load(0, 12, "I"))],
    )
    assert run_once(call) == [(VALUE, 65)]


def test_probes_find_their_own_buffers_in_memory_they_share(functions: Functions) -> None:
    # The longer ones move what the shorter ones before them point to.
    data = [bytes(length) + struct.pack("<I", length) for length in (0, 3000, 8, 40000, 90)]
    loads = [Load(0, len(item) - 4, "I") for item in data]
    primed = [functions.leaves(item, result(i, loads[i])) for i, item in enumerate(data)]
    written = Call(
        functions.address("add_into"),
        [Buffer(0), Buffer(1)],
        [struct.pack("<I", 5), struct.pack("<I", 60)],
        Returns(),
        [result(5, Load(1, 0, "I"))],
    )
    cells = run_once(written, *primed, columns=6)
    assert cells == [(VALUE, length) for length in (0, 3000, 8, 40000, 90, 65)]


def test_versioned_struct_is_refused_by_a_wrong_template_only(functions: Functions) -> None:
    returns = Returns("i", (0,), [(25, UNSUPPORTED)])
    address = functions.address("versioned")
    probes = [
        Call(address, [Buffer(0)], [struct.pack("<II", version, 0)], returns, [one])
        for version, one in [
            (0x1000010, result(0, Load(0, 4, "I"))),
            (0x1000014, result(1, Load(0, 4, "I"))),
        ]
    ]
    assert run_once(*probes, columns=2) == [(VALUE, 4321), (UNSUPPORTED, 0)]


def test_elements_of_an_array_are_summed(functions: Functions) -> None:
    ways = [(12000, -5), (12100, 7), (11900, 2**31 - 1)]
    data = b"".join(struct.pack("<Ii", *way) for way in ways)
    results = [
        result(0, Load(0, 0, "I"), elements=3, stride=8),
        result(1, Load(0, 4, "i"), elements=3, stride=8),
        result(2, Load(0, 0, "I"), elements=3, stride=8, sentinels=[12100]),
    ]
    cells = run_once(functions.leaves(data, *results), columns=3)
    assert cells == [(VALUE, 36000), (VALUE, 2**31 + 1), (UNSUPPORTED, 0)]


def test_floats_of_an_array_are_summed(functions: Functions) -> None:
    data = struct.pack("<3d", 0.1, 0.2, 0.3)
    one = result(0, Load(0, 0, "d"), elements=3, stride=8, decimals=3)
    assert run_once(functions.leaves(data, one)) == [(VALUE, 600)]


@pytest.mark.parametrize(
    ("type_", "numbers", "expected"),
    [
        ("q", [2**63 - 1, 1], (IMPLAUSIBLE, 0)),
        ("q", [2**63 - 1, -1], (VALUE, 2**63 - 2)),
        ("q", [-(2**63), -1], (IMPLAUSIBLE, 0)),
        ("Q", [2**63, 2**63 - 1], (VALUE, -1)),
        ("Q", [2**64 - 1, 1], (IMPLAUSIBLE, 0)),
        ("Q", [2**63, 1], (VALUE, -(2**63) + 1)),
    ],
)
def test_sum_that_no_cell_holds_is_implausible(
    functions: Functions, type_: str, numbers: Sequence[int], expected: Cell
) -> None:
    data = struct.pack(f"<2{type_}", *numbers)
    one = result(0, Load(0, 0, type_), elements=2, stride=8)
    assert run_once(functions.leaves(data, one)) == [expected]


@pytest.mark.parametrize(
    ("format_", "number", "factor", "expected"),
    [
        ("<Ii", 3_000_000_000, 7, (VALUE, 21_000_000_000)),
        ("<II", 2**32 - 1, 2**32 - 1, (VALUE, cell((2**32 - 1) ** 2))),
        ("<QQ", 2**64 - 1, 1, (VALUE, -1)),
        ("<QQ", 2**64 - 1, 2**64 - 1, (IMPLAUSIBLE, 0)),
        ("<QQ", 2**32, 2**32, (IMPLAUSIBLE, 0)),
        ("<Qq", 2**63, 1, (IMPLAUSIBLE, 0)),
        ("<qq", -(2**63), -(2**63), (IMPLAUSIBLE, 0)),
        ("<qQ", -(2**63), 2**64 - 1, (IMPLAUSIBLE, 0)),
        ("<qq", -(2**62), 2, (VALUE, -(2**63))),
        ("<QQ", 2**64 - 1, 0, (VALUE, 0)),
    ],
)
def test_product_is_whole_or_implausible(
    functions: Functions, format_: str, number: int, factor: int, expected: Cell
) -> None:
    offset = struct.calcsize(format_[:2])
    one = result(0, Load(0, 0, format_[1]), factor=Load(0, offset, format_[2]))
    assert run_once(functions.leaves(struct.pack(format_, number, factor), one)) == [expected]


def test_product_with_a_float_is_rounded(functions: Functions) -> None:
    # An energy counter and its resolution in µJ.
    data = struct.pack("<Qf", 1_000_001, 15.3)
    one = result(0, Load(0, 0, "Q"), factor=Load(0, 8, "f"), decimals=0)
    assert run_once(functions.leaves(data, one)) == [(VALUE, 15_300_015)]


VALUES = struct.Struct("<IIi4x8s")
"""Like nvmlFieldValue_t: field, type of the value, status, value."""
ALTERNATIVES = [
    (0, Load(0, 16, "d")),
    (1, Load(0, 16, "I")),
    (2, Load(0, 16, "Q")),
    (3, Load(0, 16, "q")),
    (4, Load(0, 16, "i")),
]


def field_value(column: int, at: int, **more: int) -> Result:
    loads = [(tag, load._replace(offset=16 + at)) for tag, load in ALTERNATIVES]
    tag, status = Load(0, at + 4, "I"), Load(0, at + 8, "i")
    one = Result(column, loads, status=status, tag=tag)
    return one._replace(**more)  # type: ignore[arg-type]


def test_entries_have_their_own_status_and_type(functions: Functions) -> None:
    entries = [
        (0, 0, struct.pack("<d", 1.25)),
        (1, 0, struct.pack("<II", 7, 99)),
        (2, 0, struct.pack("<Q", 2**64 - 2)),
        (3, 0, struct.pack("<q", -9)),
        (4, 0, struct.pack("<ii", -8, 99)),
        (2, 3, bytes(8)),
        (2, 999, bytes(8)),
        (5, 0, bytes(8)),
        (1, 4, bytes(8)),
    ]
    data = b"".join(VALUES.pack(1, tag, status, value) for tag, status, value in entries)
    results = [field_value(i, i * VALUES.size) for i in range(len(entries))]
    results[0] = results[0]._replace(decimals=2)
    results[1] = results[1]._replace(decimals=2)
    returns = Returns("i", (7, 0), [(3, UNSUPPORTED), (4, NO_PERMISSION)])
    cells = run_once(functions.leaves(data, *results, returns=returns), columns=len(entries))
    assert cells == [
        (VALUE, 125),
        (VALUE, 700),
        (VALUE, -2),
        (VALUE, -9),
        (VALUE, -8),
        (UNSUPPORTED, 0),
        (VENDOR_ERROR, 999),
        (IMPLAUSIBLE, 0),
        (NO_PERMISSION, 0),
    ]


@pytest.mark.parametrize(("filled", "type_", "present"), [(2, "I", 2), (0, "i", 0), (-1, "i", 0)])
def test_entries_beyond_the_limit_are_unsupported(
    functions: Functions, filled: int, type_: str, present: int
) -> None:
    data = struct.pack(f"<{type_}3I", filled, 10, 11, 12)
    results = [result(i, Load(0, 4 + 4 * i, "I"), limit=(Load(0, 0, type_), i)) for i in range(3)]
    expected = [(VALUE, 10 + i) if i < present else (UNSUPPORTED, 0) for i in range(3)]
    assert run_once(functions.leaves(data, *results), columns=3) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, (VALUE, 4)),
        (5, (VALUE, 4)),
        (-3, (DEVICE_LOST, 0)),
        (12, (VENDOR_ERROR, 12)),
        (-77, (VENDOR_ERROR, -77)),
    ],
)
def test_return_codes_become_reasons(functions: Functions, code: int, expected: Cell) -> None:
    returns = Returns("i", (0, 5), [(-3, DEVICE_LOST), (12, VENDOR_ERROR)])
    results = [result(0, Load(0, 0, "I")), result(1, Load(0, 0, "I"), sentinels=[4])]
    data = struct.pack("<I", 4)
    call = Call(functions.address("give"), [Value(code)], [data], returns, results)
    second = (UNSUPPORTED, 0) if expected[0] == VALUE else expected
    assert run_once(call, columns=2) == [expected, second]


def test_status_of_a_void_function_is_not_looked_at(functions: Functions) -> None:
    one = result(0, Load(0, 0, "I"))
    call = functions.leaves(struct.pack("<I", 4), one, returns=Returns("", (0,)))
    assert run_once(call) == [(VALUE, 4)]


SENTINELS = [
    (type_, number)
    for type_, width in WIDTHS.items()
    for number in ([2**width - 1, 2**width - 2] if type_.isupper() else [-1, *limits(type_)])
]


@pytest.mark.fault("A17")
@pytest.mark.parametrize(("type_", "sentinel"), SENTINELS)
@pytest.mark.parametrize("how", ["plain", "sum", "factor", "float factor"])
def test_no_sentinel_of_any_integer_reaches_a_cell(
    functions: Functions, type_: str, sentinel: int, how: str
) -> None:
    size = struct.calcsize(type_)
    data = struct.pack(f"<2{type_}f", 1, sentinel, 1.5)
    first, second = Load(0, 0, type_), Load(0, size, type_)
    one = {
        "plain": result(0, second, sentinels=[7, sentinel]),
        "sum": result(0, first, elements=2, stride=size, sentinels=[7, sentinel]),
        "factor": result(0, first, factor=second, sentinels=[7, sentinel]),
        "float factor": result(0, second, factor=Load(0, 2 * size, "f"), sentinels=[sentinel]),
    }[how]
    assert run_once(functions.leaves(data, one)) == [(UNSUPPORTED, 0)]


@pytest.mark.fault("A17")
@pytest.mark.parametrize("type_", FLOAT_TYPES)
@pytest.mark.parametrize(
    "sentinel", [-1, 0, 255, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -(2**63)]
)
@pytest.mark.parametrize("decimals", [-1, 0, 3])
def test_no_sentinel_reaches_a_cell_as_a_float(
    functions: Functions, type_: str, sentinel: int, decimals: int
) -> None:
    data = struct.pack(f"<{type_}", sentinel)
    results = [
        result(0, Load(0, 0, type_), decimals=decimals, sentinels=[sentinel]),
        result(
            1, Load(0, 0, type_), factor=Load(0, 0, type_), decimals=decimals, sentinels=[sentinel]
        ),
    ]
    assert run_once(functions.leaves(data, *results), columns=2) == [(UNSUPPORTED, 0)] * 2


@pytest.mark.parametrize(("low", "high", "reason"), [(5, 9, VALUE), (10, 11, 8), (0, 8, 8)])
def test_cell_outside_its_range_is_implausible(
    functions: Functions, low: int, high: int, reason: int
) -> None:
    data = struct.pack("<Id", 9, 0.9)
    results = [
        result(0, Load(0, 0, "I"), low=low, high=high),
        result(1, Load(0, 4, "d"), decimals=1, low=low, high=high),
    ]
    cells = run_once(functions.leaves(data, *results), columns=2)
    assert cells == [(reason, 9 if reason == VALUE else 0)] * 2


@pytest.mark.fault("A6")
@pytest.mark.parametrize("beyond", [1, 64, 500])
def test_function_that_writes_past_its_struct_is_not_called_again(
    functions: Functions, beyond: int
) -> None:
    calls = ctypes.c_uint64()
    size = 20
    bad = Call(
        functions.address("trample"),
        [Buffer(0), Value(size + beyond)],
        [bytes(size), bytes(4)],
        Returns(),
        [result(0, Load(0, 0, "I")), result(1, Load(1, 0, "I"))],
    )
    counted = Call(
        functions.address("count"),
        [Value(ctypes.addressof(calls))],
        [struct.pack("<I", 6)],
        Returns(),
        [result(2, Load(0, 0, "I"))],
    )
    with running([probe("/proc/uptime", field(3)), bad, counted], 4) as (reader, lane):
        cells = newest(reader, 4)
        before = calls.value
        cells = newest(reader, 4)
        assert calls.value > before
        assert lane.trampled() == [1]
    assert cells[:3] == [(VENDOR_ERROR, CANARY_CODE), (VENDOR_ERROR, CANARY_CODE), (VALUE, 6)]
    assert cells[3][0] == VALUE


def test_last_byte_of_a_buffer_is_the_functions_own(functions: Functions) -> None:
    call = Call(
        functions.address("trample"),
        [Buffer(0), Value(20)],
        [bytes(20)],
        Returns(),
        [result(0, Load(0, 19, "B"))],
    )
    with running([call], 1) as (reader, lane):
        assert newest(reader, 1) == [(VALUE, 0xA5)]
        assert lane.trampled() == []


def test_files_and_calls_keep_their_order(functions: Functions) -> None:
    uptime = probe("/proc/uptime", field(1))
    calls = [functions.gives(c, "I", returned("I", c)) for c in (0, 2, 3)]
    cells = run_once(calls[0], uptime, calls[1], calls[2], columns=4)
    assert [cells[c] for c in (0, 2, 3)] == [(VALUE, 0), (VALUE, 2), (VALUE, 3)]
    assert cells[1][0] == VALUE


def test_function_may_take_much_of_the_stack(functions: Functions) -> None:
    call = Call(functions.address("deep"), [Value(800 << 10)], [], Returns(), [returned("i")])
    assert run_once(call) == [(VALUE, 0)]


def test_plain_tuples_are_calls_too(functions: Functions) -> None:
    load = (RETURNED, 0, "i", 0, 0)
    one = (0, [(0, load)], 1, 0, None, 0, None, None, None, (), LOW, HIGH)
    call: Any = (functions.address("give"), [(-4,)], [], ("i", (), ()), [one])
    assert run_once(call) == [(VALUE, -4)]
