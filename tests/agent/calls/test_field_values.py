"""One call, many counters, each with its own status and type: as its own binding declares it."""

from __future__ import annotations

import ctypes
import struct

import pytest

from agent.calls.rig import series
from xinmai.api import CallProbe, Function, Out, Result
from xinmai_native import LANE_COLUMNS, Lane, Ring
from xinmai_native.calls import Buffer, Load, Value

binding = pytest.importorskip("pynvml", reason="the binding of the library in question")

IDS = [186, 83, 82, 197, 198, 138, 139, 140, 141, 161, 162, 163]
BY_TAG = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


def test_field_values_are_one_probe() -> None:
    # The library is not here: any function has an address, and none is called.
    function = Function.from_ctypes(
        ctypes.CDLL(None).getpid,
        ctypes.c_uint,
        [binding.c_nvmlDevice_t, ctypes.c_int, ctypes.POINTER(binding.c_nvmlFieldValue_t)],
        name="nvmlDeviceGetFieldValues",
    )
    handle = ctypes.cast(0x1234, binding.c_nvmlDevice_t)
    values = Out(prime=[{"fieldId": one, "scopeId": 0, "nvmlReturn": 999} for one in IDS])
    probe = CallProbe(
        function,
        [handle, len(IDS), values],
        [
            Result(
                series(f"field {one}"),
                f"[{at}].value",
                decimals=0,
                status=f"[{at}].nvmlReturn",
                tag=f"[{at}].valueType",
                by_tag=BY_TAG,
            )
            for at, one in enumerate(IDS)
        ],
    )
    call = probe.native
    assert call.arguments == [Value(0x1234), Value(12), Buffer(0)]
    assert [len(content) for content in call.buffers] == [480]
    assert [struct.unpack_from("IIqqiI", call.buffers[0], 40 * at) for at in range(12)] == [
        (one, 0, 0, 0, 0, 999) for one in IDS
    ]
    assert len(call.results) == 12
    second = call.results[1]
    assert second.status == Load(0, 68, "I")
    assert second.tag == Load(0, 64, "I")
    assert [(tag, load.offset, load.type) for tag, load in second.loads] == [
        (tag, 72, letter) for tag, letter in enumerate("dIQQqiH")
    ]
    # What the extension would refuse, it refuses here.
    Lane(Ring([(LANE_COLUMNS, 12, 0, 16, 1_000_000)]), 0, 1_000_000, [call])
