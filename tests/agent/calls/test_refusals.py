"""What no lane can do is refused where it is declared, in words that say what to write instead."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from agent.calls.rig import Binding, Cffi, Ctypes, Handle, Way, series
from xinmai.api import (
    RETURN,
    CallProbe,
    Function,
    Out,
    PluginError,
    Reason,
    Result,
    Returns,
    Unavailable,
)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tsdk_log", "int tsdk_log(char *, ...) has a variable number of arguments"),
        ("tsdk_by_value", "tsdk_way_t tsdk_by_value(int) returns tsdk_way_t by value"),
        ("tsdk_take", "has as argument 1 tsdk_way_t by value"),
        ("tsdk_take_union", "has as argument 1 tsdk_number_t by value"),
        ("tsdk_ratio", "double tsdk_ratio(int) returns double in a register"),
        ("tsdk_limit", "has as argument 1 float in a register"),
        ("tsdk_listen", "has as argument 1 a callback (void(*)(int))"),
        ("tsdk_seven", "has 7 arguments, a lane passes 6 at most"),
        ("tsdk_precise", "has as argument 1 long double, a type beyond 64 bits"),
    ],
)
def test_signature_that_no_lane_can_call(by_cffi: Cffi, name: str, why: str) -> None:
    with pytest.raises(PluginError) as refused:
        by_cffi.function(name)
    assert why in str(refused.value)
    assert str(refused.value).endswith("which no lane can call; read it in a Poll instead")


@pytest.mark.parametrize(
    ("restype", "argtypes", "why"),
    [
        (ctypes.c_double, [], "returns c_double in a register"),
        (Way, [], "returns Way by value"),
        (None, [ctypes.c_float], "has as argument 1 c_float in a register"),
        (None, [ctypes.CFUNCTYPE(None)], "has as argument 1 a callback"),
        (None, [ctypes.c_longdouble], "a type beyond 64 bits"),
        (None, [ctypes.c_int] * 7, "has 7 arguments"),
        (None, [ctypes.c_int.__ctype_be__], "without a fixed meaning"),
        (None, ["int"], "'int' is no ctypes class"),
    ],
)
def test_signature_of_ctypes_that_no_lane_can_call(
    by_ctypes: Ctypes, restype: Any, argtypes: list[Any], why: str
) -> None:
    with pytest.raises(PluginError) as refused:
        Function.from_ctypes(by_ctypes.dll.tsdk_count, restype, argtypes)
    assert why in str(refused.value)
    assert str(refused.value).removeprefix("void ").startswith(("tsdk_count", "c_double", "Way"))


def test_sentinel_that_no_type_can_hold(binding: Binding) -> None:
    power = binding.function("tsdk_get_power")
    result = Result(series(sentinels=(2**40,)))
    with pytest.raises(PluginError, match="sentinel 1099511627776 cannot be held"):
        _ = CallProbe(power, [binding.handle(0), Out()], [result]).native


def test_function_that_the_library_lacks_is_unavailable(by_cffi: Cffi) -> None:
    names = ("tsdk_get_power_v2", "tsdk_get_power")
    assert Function.from_cffi(by_cffi.ffi, by_cffi.lib, *names).name == "tsdk_get_power"
    assert Function.find(by_cffi.ffi, by_cffi.lib, names[0]) is None
    with pytest.raises(Unavailable, match="tsdk_get_power_v2"):
        by_cffi.function("tsdk_get_power_v2")


def test_function_that_the_binding_lacks_is_an_error(by_cffi: Cffi) -> None:
    with pytest.raises(PluginError, match="have no such function; add its prototype"):
        by_cffi.function("tsdk_get_pwoer")
    with pytest.raises(PluginError, match="this is no function"):
        by_cffi.function("TSDK_OK")


def handle(binding: Binding) -> Any:
    return binding.handle(0)


ARGUMENTS: list[tuple[str, Callable[[Binding], list[object]], str]] = [
    ("tsdk_get_power", lambda b: [handle(b)], "it takes 2 arguments, and 1 are given"),
    ("tsdk_get_power", lambda _: [1.5, Out()], "1.5 is neither an integer nor a pointer"),
    ("tsdk_get_power", lambda _: ["0", Out()], "'0' is neither an integer nor a pointer"),
    ("tsdk_get_power", lambda _: [-1, Out()], "-1 is no address"),
    ("tsdk_get_power", lambda b: [handle(b), 7], "argument 2"),
    ("tsdk_get_power", lambda b: [handle(b), 7], "7 is a number; give Out() for memory"),
    ("tsdk_get_power", lambda b: [handle(b), handle(b)], "argument 2"),
    ("tsdk_get_power", lambda _: [Out(), Out()], "nobody says how large"),
    ("tsdk_get_power", lambda b: [handle(b), Out(count=0)], "count is 0"),
    ("tsdk_get_power", lambda b: [handle(b), Out(prime=-1)], "prime -1 does not fit"),
    ("tsdk_get_power", lambda b: [handle(b), Out(prime=1.5)], "prime 1.5 does not fit"),
    ("tsdk_get_power", lambda b: [handle(b), Out(prime=bytes(5))], "prime has 5 bytes"),
    ("tsdk_get_power", lambda b: [handle(b), Out(prime={"mw": 1})], "no field 'mw'"),
    ("tsdk_get_power", lambda b: [handle(b), Out(count=1 << 20)], "1048576 are the most"),
    ("tsdk_get_ways", lambda _: [2**31, Out(), Out()], "argument 1"),
    ("tsdk_get_ways", lambda _: [2**31, Out(), Out()], "2147483648 does not fit, -2147483648 to"),
    ("tsdk_get_ways", lambda _: [Out(), Out(), Out()], "Out() stands for memory"),
    ("tsdk_get_ways", lambda _: [0, Out(), Out(prime={"pover": 1})], "did you mean 'power'?"),
    ("tsdk_get_ways", lambda _: [0, Out(), Out(count=1, prime=[{}, {}])], "prime lists 2"),
    ("tsdk_get_ways", lambda _: [0, Out(), Out(prime=3)], "prime gives 3 for"),
    ("tsdk_get_state", lambda b: [handle(b), Out(prime={"level": 8})], "prime 8 does not fit"),
]


@pytest.mark.parametrize(("name", "given", "why"), ARGUMENTS)
def test_argument_that_does_not_fit(
    binding: Binding, name: str, given: Callable[[Binding], list[object]], why: str
) -> None:
    function = binding.function(name)
    with pytest.raises(PluginError) as refused:
        CallProbe(function, given(binding), [])
    assert str(refused.value).startswith(f"{function.signature}: ")
    assert why in str(refused.value)


def test_pointer_of_another_type(by_cffi: Cffi, by_ctypes: Ctypes) -> None:
    pointers = by_cffi.ffi.new("tsdk_device_t *")
    with pytest.raises(PluginError, match=r"argument 1 .*: a struct tsdk_device \*\* is given"):
        CallProbe(by_cffi.function("tsdk_get_power"), [pointers, Out()], [])
    with pytest.raises(PluginError, match=r"argument 1 .*: a LP_Device \* is given"):
        CallProbe(by_ctypes.function("tsdk_get_power"), [ctypes.pointer(Handle()), Out()], [])


def test_pointers_that_fit(by_cffi: Cffi, by_ctypes: Ctypes) -> None:
    ffi = by_cffi.ffi
    function = by_cffi.function("tsdk_get_power")
    memory = ffi.new("unsigned int[2]")
    for one in (None, 0, 7, ffi.NULL, ffi.cast("void *", 7), ffi.cast("tsdk_device_t", 7)):
        CallProbe(function, [one, memory], [])
    by_hand = (ctypes.c_uint * 2)()
    for two in (None, 0, 7, ctypes.c_void_p(7), Handle(), by_ctypes.handle(0)):
        CallProbe(by_ctypes.function("tsdk_get_power"), [two, by_hand], [])


def test_types_given_by_hand(by_cffi: Cffi, by_ctypes: Ctypes) -> None:
    for binding, wrong, small in ((by_cffi, "tsdk_wya_t", "char"), (by_ctypes, 7, ctypes.c_char)):
        function = binding.function("tsdk_get_ways")
        with pytest.raises(PluginError, match="argument 3 .*(knows no type|is no ctypes class)"):
            CallProbe(function, [0, Out(), Out(type=wrong)], [])
        with pytest.raises(PluginError, match="argument 3 .*is smaller than"):
            CallProbe(function, [0, Out(), Out(type=small)], [])


PLACES: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "'' is no number: tsdk_value_t[4] is an array: name an entry, [0] to [3], or [*]"),
    ("[0]", {}, "it has id, scope, time_us, type, status, value"),
    ("[0].vale", {}, "no field 'vale' in tsdk_value_t; did you mean 'value'?"),
    ("[4].type", {}, "[4] is beyond tsdk_value_t[4], which has 4"),
    ("[0][1]", {}, "[1] of tsdk_value_t, which is no array"),
    ("[0].value.", {}, "cannot be read from '.' on"),
    ("[0]->type", {}, "cannot be read from '->type' on"),
    ("[0].value", {}, "is no number: it has real, whole, below, wide"),
    ("[0].value.real", {}, "give decimals=N"),
    ("[0].value.whole", {"decimals": 3}, "decimals=3 is for floats"),
    ("[0].value.real", {"decimals": 19}, "decimals=19, 0 to 18 are allowed"),
    ("[0].value.real", {"bits": 3}, "shift and bits take part of an integer"),
    ("[0].value.whole", {"shift": 30, "bits": 3}, "has no 3 bits from bit 30 on"),
    ("[0].value", {"tag": "[0].type"}, "tag and by_tag go together"),
    ("[0].value", {"by_tag": {0: "wide"}}, "tag and by_tag go together"),
    ("[0].value", {"tag": "[0].type", "by_tag": {0: "Wide"}}, "did you mean 'wide'?"),
    ("[0].type", {"status": "[0].value.real"}, "status is a number without fraction"),
    ("[0].type", {"status": "[*].status"}, "[*] is a sum, which only `at` may name"),
    ("[0].type", {"factor": "[0].value"}, "is no number"),
    ("[0].type", {"status": Out()}, "in an Out() that is no argument of this call"),
    ("[0].type", {"status": "[0].status", "at": RETURN}, "both a result and a status"),
]


@pytest.mark.parametrize(("at", "more", "why"), PLACES)
def test_place_that_is_not_there(by_cffi: Cffi, at: str, more: dict[str, Any], why: str) -> None:
    function = by_cffi.function("tsdk_get_values")
    result = Result(series(), **{"at": at, **more})
    returns = Returns() if result.at is RETURN else None
    with pytest.raises(PluginError) as refused:
        CallProbe(function, [0, 4, Out(count=4)], [result], returns)
    assert why in str(refused.value)


def test_float_by_its_bits_has_no_decimals(by_cffi: Cffi) -> None:
    result = Result(series(type="f64"), "[0].value.real", decimals=3)
    with pytest.raises(PluginError, match="result 1 .* leave decimals out"):
        CallProbe(by_cffi.function("tsdk_get_values"), [0, 1, Out(count=1)], [result])


def test_pointer_is_no_number_and_leads_nowhere(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_state")
    for at in ("owner", "owner[0]", "notify"):
        with pytest.raises(PluginError, match=r"result 1 \(hw\.power\)"):
            CallProbe(function, [0, Out()], [Result(series(), at)])


def test_which_memory_must_be_said_where_there_are_two(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_ways")
    with pytest.raises(PluginError, match=r"2 Out\(\) are passed; say in which one"):
        CallProbe(function, [0, Out(), Out()], [Result(series(), "power")])


def test_written_counts_entries(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_ways")
    written, ways = Out(), Out()
    result = Result(series(), ways["power"], written=written)
    with pytest.raises(PluginError, match="written counts entries"):
        CallProbe(function, [0, written, ways], [result])


def test_place_without_memory(by_cffi: Cffi) -> None:
    with pytest.raises(PluginError, match=r"is a place in an Out\(\), and none is passed"):
        CallProbe(by_cffi.function("tsdk_count"), [], [Result(series(), "power")])


def test_sum_goes_over_one_array(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_state")
    states = Out(count=2)
    with pytest.raises(PluginError, match=r"\[\*\] stands twice"):
        CallProbe(function, [0, states], [Result(series(), "[*].sensor.celsius[*]")])


def test_pointer_that_is_returned_is_no_status(by_ctypes: Ctypes) -> None:
    function = Function.from_ctypes(by_ctypes.dll.tsdk_count, ctypes.c_char_p, [])
    with pytest.raises(PluginError, match="a pointer is returned, no status"):
        CallProbe(function, [], [])
    with pytest.raises(PluginError, match="is no number"):
        CallProbe(function, [], [Result(series(), RETURN)])


def test_status_needs_codes_of_success(by_cffi: Cffi) -> None:
    result = Result(series(), "[0].type", status="[0].status")
    returns = Returns(success=(), reasons={1: Reason.ASLEEP})
    with pytest.raises(PluginError, match="status needs Returns with codes of success"):
        CallProbe(by_cffi.function("tsdk_get_values"), [0, 1, Out(count=1)], [result], returns)
