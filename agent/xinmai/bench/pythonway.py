"""The same done the usual way in Python, for scale: nothing is judged by it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xinmai import clock
from xinmai.bench.lanes import percentile
from xinmai.clock import SECOND_NS

LEAST_NS = SECOND_NS // 2
"""CPU time after which a loop has been measured."""


def open_and_read_us(paths: Sequence[Path]) -> float:
    """CPU per sample of open, read, int and close."""
    names = [str(path) for path in paths]

    def read() -> None:
        for name in names:
            with open(name, encoding="ascii") as file:  # noqa: PTH123 - as most write it
                int(file.read())

    return _us_each(read, len(names))


def ctypes_call_us(address: int, handles: Sequence[int]) -> float:
    """CPU per call of a binding made with ctypes."""
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_uint64, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)
    )
    function = signature(address)

    def call() -> None:
        for handle in handles:
            value = ctypes.c_uint32()
            if function(handle, 0, ctypes.byref(value)):
                raise OSError(f"no device {handle}")
            int(value.value)

    return _us_each(call, len(handles))


class TargetField(ctypes.Structure):
    """A field of the bench's target; see `xinmai_native.call_targets`."""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("scope", ctypes.c_uint32),
        ("time_us", ctypes.c_int64),
        ("type", ctypes.c_uint32),
        ("status", ctypes.c_int32),
        ("value", ctypes.c_uint64),
    )


def ctypes_fields_us(address: int, handles: Sequence[int], n: int) -> float:
    """CPU per value where one call fills n fields."""
    array = TargetField * n
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int32, ctypes.c_uint64, ctypes.c_int32, ctypes.POINTER(TargetField)
    )
    function = signature(address)

    def call() -> None:
        for handle in handles:
            fields = array()
            for index in range(n):
                fields[index].id = index
            if function(handle, n, fields):
                raise OSError(f"no device {handle}")
            [int(field.value) for field in fields if field.status == 0]

    return _us_each(call, len(handles) * n)


def lateness_us(period_ns: int, seconds: float) -> tuple[float, float]:
    """p50 and p99 of a ticker that sleeps until each deadline; whole periods count as late too."""
    late_ns = []
    due_ns = clock.mono_ns() + period_ns
    for _ in range(max(1, int(seconds * SECOND_NS / period_ns))):
        time.sleep(max(0, due_ns - clock.mono_ns()) / SECOND_NS)
        late_ns.append(max(0, clock.mono_ns() - due_ns))
        due_ns += (late_ns[-1] // period_ns + 1) * period_ns
    late_ns.sort()
    return percentile(late_ns, 50) / 1000, percentile(late_ns, 99) / 1000


def _us_each(work: Callable[[], None], n: int) -> float:
    began_ns, used_ns, rounds = clock.thread_cpu_ns(), 0, 0
    while not rounds or used_ns < LEAST_NS:
        work()
        rounds += 1
        used_ns = clock.thread_cpu_ns() - began_ns
    return used_ns / 1000 / (rounds * n)
