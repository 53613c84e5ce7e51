"""Declared calls, made by a real lane into a real library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.calls.rig import PARAMETERS, RETURNS, Binding, Cffi, Ctypes, series
from agent.calls.shapes import count, energy, power, state, values, ways
from fakes.fakesys import read_probes
from xinmai.api import (
    NO_STATUS,
    RETURN,
    CallProbe,
    Cost,
    Function,
    Missing,
    Out,
    Reading,
    Reason,
    Result,
)

VERSION = 32 | 2 << 24
"""As the library checks it: size of the struct and number of the version."""


def read(probe: CallProbe) -> list[Reading]:
    """One row of it."""
    return [reading for _, reading in read_probes([probe])]


SHAPES = {
    power: [42_002],
    count: [4],
    state: [1, -3, 43, 2],
    ways: [3002, 2001, Missing(Reason.UNSUPPORTED)],
    energy: [155_000, 15.5],
    values: [80, 25, -50, Missing(Reason.UNSUPPORTED)],
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_reads_what_the_library_gives(shape: object, binding: Binding) -> None:
    assert callable(shape)
    assert read(shape(binding)) == SHAPES[shape]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_cffi_and_ctypes_declare_the_same_call(
    shape: object, in_line: Cffi, out_of_line: Cffi, by_ctypes: Ctypes
) -> None:
    assert callable(shape)
    made = [shape(one).native for one in (in_line, out_of_line, by_ctypes)]
    # The handle is of the library's own, and so the same to all.
    assert made[0] == made[1] == made[2]


def test_failing_call_gives_its_reason_or_its_code(binding: Binding) -> None:
    fan = binding.function("tsdk_get_fan")
    known = CallProbe(fan, [binding.handle(0), Out()], [Result(series())])
    unknown = CallProbe(fan, [binding.handle(1), Out()], [Result(series())])
    assert read(known) == [Missing(Reason.UNSUPPORTED)]
    assert read(unknown) == [Missing(Reason.VENDOR_ERROR, -1)]


def test_codes_may_be_written_without_a_sign(binding: Binding) -> None:
    fan = binding.function("tsdk_get_fan")
    returns = replace(RETURNS, reasons={2**32 - 1: Reason.ASLEEP})
    probe = CallProbe(fan, [binding.handle(1), Out()], [Result(series())], returns=returns)
    assert read(probe) == [Missing(Reason.ASLEEP)]


def test_sentinel_without_a_sign_is_found_in_either(binding: Binding) -> None:
    function = binding.function("tsdk_get_values")
    out = Out(prime=[{"id": 3}])
    arguments = [binding.handle(0), 1, out]
    below = Result(series("below", sentinels=(2**32 - 5,)), "[0].value.below")
    whole = Result(series("whole", sentinels=(-5,)), "[0].value.whole")
    assert read(CallProbe(function, arguments, [below, whole])) == [
        Missing(Reason.UNSUPPORTED),
        Missing(Reason.UNSUPPORTED),
    ]


def test_value_without_a_sign_never_poses_as_negative(binding: Binding) -> None:
    function = binding.function("tsdk_get_ways")
    beyond = Out(type=None, prime=2**32 - 1)
    wide = Result(series("wide"), beyond)
    probe = CallProbe(function, [0, beyond, Out(count=3)], [wide])
    assert probe.native.results[0].low == 0


def test_return_value_is_a_result_and_then_no_status(binding: Binding) -> None:
    probe = CallProbe(binding.function("tsdk_count"), [], [Result(series(), RETURN)])
    assert read(probe) == [4]
    assert list(probe.native.returns.success) == list(NO_STATUS.success)


def test_function_without_a_return_value_always_succeeds(by_ctypes: Ctypes) -> None:
    _, argtypes = PARAMETERS["tsdk_get_fan"]
    function = Function.from_ctypes(by_ctypes.dll.tsdk_get_fan, None, argtypes)
    probe = CallProbe(function, [by_ctypes.handle(1), Out()], [Result(series())])
    assert read(probe) == [0]


def test_one_memory_may_stand_for_two_parameters(binding: Binding) -> None:
    function = binding.function("tsdk_get_energy")
    shared, resolution = Out(), Out()
    probe = CallProbe(function, [5, shared, resolution, shared], [Result(series(), shared)])
    assert [len(content) for content in probe.native.buffers] == [8, 4]
    assert read(probe) == [0]


def test_room_for_a_struct_that_has_grown(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_state")
    out = Out(prime={"version": VERSION}, least_bytes=2048)
    probe = CallProbe(function, [by_cffi.handle(0), out], [Result(series(), "is_on")])
    assert [len(content) for content in probe.native.buffers] == [2048]
    assert read(probe) == [1]


def test_memory_can_be_of_a_type_by_name_and_primed_by_bytes(by_cffi: Cffi) -> None:
    function = by_cffi.function("tsdk_get_ways")
    number = Out(type="unsigned int", prime=(3).to_bytes(4, "little"))
    many = Out(type="tsdk_way_t[3]")
    probe = CallProbe(function, [1, number, many], [Result(series(), many["[1].power"])])
    assert read(probe) == [2001]


def test_is_named_as_an_operator_should_see_it(binding: Binding) -> None:
    function = binding.function("tsdk_count")
    arguments: list[object] = []
    assert power(binding).name == "tsdk_get_power of card"
    assert count(binding).cost is Cost.FAST
    of_the_node = replace(series(), hw_id="")
    assert CallProbe(function, arguments, [Result(of_the_node)]).name == "tsdk_count"
    assert CallProbe(function, arguments, [Result(series())], name="all").name == "all"


def test_series_name_the_function_they_come_from(binding: Binding) -> None:
    function = binding.function("tsdk_count")
    exact, loose = series(native="tsdk_count, entry 3"), series("other", native="tsdk_count_v2")
    probe = CallProbe(function, [], [Result(exact)])
    assert [one.native for one in probe.series] == ["tsdk_count, entry 3"]
    probe = CallProbe(function, [], [Result(loose)])
    assert [one.native for one in probe.series] == ["tsdk_count"]
