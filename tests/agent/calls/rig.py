"""`tinysdk` as each kind of binding declares it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinmai.api import Function, Kind, Reason, Returns, Series
from xinmai.api import NumberType as NumberType

RETURNS = Returns(reasons={-3: Reason.UNSUPPORTED, -9: Reason.DEVICE_LOST})


def series(name: str = "hw.power", type: NumberType = "i64", **more: Any) -> Series:
    """A series of the device `card`."""
    return Series("card", name, "1", Kind.GAUGE, {}, type=type, **more)


class Device(ctypes.Structure):
    """Opaque."""


Handle = ctypes.POINTER(Device)


class Way(ctypes.Structure):
    _fields_ = (
        ("voltage", ctypes.c_uint),
        ("current", ctypes.c_uint),
        ("power", ctypes.c_uint),
    )


class Number(ctypes.Union):
    _fields_ = (
        ("real", ctypes.c_double),
        ("whole", ctypes.c_uint),
        ("below", ctypes.c_int),
        ("wide", ctypes.c_ulonglong),
    )


class Value(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint),
        ("scope", ctypes.c_uint),
        ("time_us", ctypes.c_longlong),
        ("type", ctypes.c_int),
        ("status", ctypes.c_int),
        ("value", Number),
    )


class Sensor(ctypes.Structure):
    _fields_ = (("id", ctypes.c_uint), ("celsius", ctypes.c_byte * 4))


class State(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint),
        ("is_on", ctypes.c_uint, 1),
        ("mode", ctypes.c_uint, 3),
        ("level", ctypes.c_int, 4),
        ("sensor", Sensor),
        ("owner", Handle),
        ("notify", ctypes.CFUNCTYPE(None, ctypes.c_int)),
    )


PARAMETERS: Mapping[str, tuple[Any, list[Any]]] = {
    "tsdk_get_power": (ctypes.c_int, [Handle, ctypes.POINTER(ctypes.c_uint)]),
    "tsdk_get_fan": (ctypes.c_int, [Handle, ctypes.POINTER(ctypes.c_uint)]),
    "tsdk_get_ways": (
        ctypes.c_int,
        [ctypes.c_int, ctypes.POINTER(ctypes.c_uint), ctypes.POINTER(Way)],
    ),
    "tsdk_get_energy": (
        ctypes.c_int,
        [
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_uint64),
            ctypes.POINTER(ctypes.c_float),
            ctypes.POINTER(ctypes.c_uint64),
        ],
    ),
    "tsdk_get_values": (ctypes.c_int, [Handle, ctypes.c_int, ctypes.POINTER(Value)]),
    "tsdk_get_state": (ctypes.c_int, [Handle, ctypes.POINTER(State)]),
    "tsdk_count": (ctypes.c_uint, []),
}


@dataclass
class Cffi:
    """In-line or out-of-line, which look the same from here."""

    ffi: Any
    lib: Any

    def function(self, name: str) -> Function:
        return Function.from_cffi(self.ffi, self.lib, name, returns=RETURNS)

    def handle(self, index: int) -> Any:
        out = self.ffi.new("tsdk_device_t *")
        assert self.lib.tsdk_get_handle(index, out) == 0
        return out[0]


@dataclass
class Ctypes:
    """The same library, opened by ctypes."""

    dll: ctypes.CDLL

    def function(self, name: str) -> Function:
        restype, argtypes = PARAMETERS[name]
        return Function.from_ctypes(getattr(self.dll, name), restype, argtypes, returns=RETURNS)

    def handle(self, index: int) -> Any:
        out = Handle()
        assert self.dll.tsdk_get_handle(index, ctypes.byref(out)) == 0
        return out


Binding = Cffi | Ctypes
