"""Plugin folders for tests, each from a few lines of a class body.

`tiny(folder)` is a plugin that works; the texts below replace one of its methods by one that
hangs, crashes, raises, prints or follows a directory of devices.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from xinmai.manifest import PluginSource, source_of_folder

METRICS = """
[power]
metric = "hw.power"
unit = "W"
native = "power"
native_unit = "mW"
scale = [1, 1000]
cost = "slow"

[temperature]
metric = "hw.temperature"
unit = "Cel"
native = "temperature"
native_unit = "m°C"
scale = [1, 1000]
cost = "fast"

[jobs]
metric = "accel.native.{name}.jobs"
unit = "{{job}}"
kind = "counter"
text = "jobs done"
native = "jobs"
native_unit = "1"
type = "u64"
cost = "slow"

[load]
metric = "accel.native.{name}.load"
unit = "1"
kind = "gauge"
text = "share of time with work"
native = "load"
native_unit = "1"
type = "f64"
cost = "slow"
"""

_HEAD = """
from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from xinmai.api import (
    CallProbe, Cost, Device, Event, Field, FileProbe, Function, Missing, Out, Plugin, PluginError,
    Poll, Reason, Result, Unavailable,
)


def deadlock():
    \"\"\"A library that waits for ever: Python runs no signal handler in it.\"\"\"
    lock = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


class Tiny(Plugin):
"""

_DEFAULTS = {
    "discover": """
        def discover(self):
            return [Device(hw_id="one"), Device(hw_id="two")]
    """,
    "readings": """
        def readings(self, device):
            power = self.context.metrics["power"].of(device)
            yield Poll(f"power of {device.hw_id}", [power], lambda: [42_000])
    """,
}

UNAVAILABLE = """
    def open(self):
        raise Unavailable("load the library", "libtiny.so", "install tiny-sdk")
"""

OPEN_FAILS = """
    def open(self):
        raise RuntimeError("no such luck")
"""

OPEN_HANGS = """
    def open(self):
        deadlock()
"""

FOLLOWS_A_DIRECTORY = """
    def _names(self):
        return self.context.names("/devices")

    def discover(self):
        self._found = self._names()
        return [Device(hw_id=name) for name in self._found]

    def changed(self):
        return self._names() != self._found
"""

READS_FILES = """
    def discover(self):
        return [Device(hw_id=name) for name in self.context.names("/files")]

    def readings(self, device):
        path = self.context.path(f"/files/{device.hw_id}")
        temperature = self.context.metrics["temperature"]
        yield FileProbe(path, [Field(temperature.of(device))], temperature.cost)
"""

WAITS_AT_A_FIFO = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        fifo = self.context.path("/fifo")
        read = lambda: [int(fifo.read_text())]
        yield Poll(f"fifo of {device.hw_id}", [power], read)

    def discover(self):
        return [Device(hw_id="one")]
"""

HANGS_WHEN_TOLD = """
    def _power(self, device):
        if self.context.path(f"/hang-{device.hw_id}").exists():
            deadlock()
        return [42_000]

    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        yield Poll(f"power of {device.hw_id}", [power], lambda: self._power(device))
"""

CALLS_A_LIBRARY = """
    def open(self):
        import cffi
        self._ffi = cffi.FFI()
        self._ffi.cdef(self.context.text("/tinysdk.h"))
        self._lib = self._ffi.dlopen(str(self.context.path("/libtinysdk.so")))
        self._lib.tsdk_init(str(self.context.root).encode())

    def discover(self):
        return [Device(hw_id=f"card-{index}", index=index) for index in range(2)]

    def readings(self, device):
        metrics = self.context.metrics
        handle = self._ffi.new("tsdk_device_t *")
        self._lib.tsdk_get_handle(device.index, handle)
        power = Function.from_cffi(self._ffi, self._lib, "tsdk_get_power_v2", "tsdk_get_power")
        yield CallProbe(power, [handle[0], Out()], [Result(metrics["power"].of(device))])
        jobs = metrics["jobs"].of(device)
        yield Poll(f"jobs of {device.hw_id}", [jobs], lambda: [self._lib.tsdk_count()])
"""
"""Two cards of `tinysdk`, put under the root by `fakes.clib.put`; `hang-1` hangs the second."""

WRITES_BEYOND = """
    def readings(self, device):
        handle = self._ffi.new("tsdk_device_t *")
        self._lib.tsdk_get_handle(device.index, handle)
        for name, key in (("tsdk_get_name", "temperature"), ("tsdk_get_power", "power")):
            function = Function.from_cffi(self._ffi, self._lib, name)
            result = Result(self.context.metrics[key].of(device))
            yield CallProbe(function, [handle[0], Out()], [result])
"""
"""In place of the readings of CALLS_A_LIBRARY."""

CRASHES_WHEN_TOLD = """
    def _power(self):
        if self.context.path("/crash").exists():
            os.kill(os.getpid(), signal.SIGSEGV)
            deadlock()
        return [42_000]

    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        yield Poll(f"power of {device.hw_id}", [power], self._power)
"""


def raises(method: str) -> str:
    """A body whose `method` raises while the file `broken` is under the root."""
    call = f"super().{method}()" if method in ("events", "changed", "close") else "[]"
    return f"""
    def {method}(self, *_):
        if self.context.path("/broken").exists():
            raise RuntimeError("{method} does not work")
        return {call}
    """


def tiny(
    folder: Path,
    *bodies: str,
    name: str = "tiny",
    threading: str = "serial",
    vendor: str = "",
    kill_safe: bool = False,
    metrics: str = METRICS,
    more: str = "",
) -> PluginSource:
    """Write a plugin folder and return it as the agent finds it.

    Args:
        folder: made when missing.
        bodies: methods of the class, as text; what is missing is filled in with two devices of
            one steady reading each.
        more: further lines of `plugin.toml`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "plugin.toml").write_text(
        f'name = "{name}"\nowner = "tests"\nsummary = "A plugin of the tests"\n'
        f'vendor = "{vendor}"\nthreading = "{threading}"\nkill_safe = {str(kill_safe).lower()}\n'
        f"{more}\n",
        "utf-8",
    )
    (folder / "metrics.toml").write_text(metrics.format(name=name), "utf-8")
    (folder / "plugin.py").write_text(_code(bodies), "utf-8")
    return source_of_folder(folder)


def _code(bodies: tuple[str, ...]) -> str:
    given = [textwrap.dedent(body) for body in bodies]
    defaults = [
        textwrap.dedent(body)
        for method, body in _DEFAULTS.items()
        if not any(f"def {method}(" in one for one in given)
    ]
    return _HEAD + textwrap.indent("\n".join([*given, *defaults]), "    ")
