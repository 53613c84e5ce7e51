"""The only place that loads libnsdk.so.1, and everything that is asked of it in Python.

The declarations of `abi.h` are compiled to `_abi.py` when the package is built: a host then
imports them in 10 ms and 0.8 MiB, where parsing them takes 55 ms and 4.7 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinmai.api import Function, Reason, Returns, Unavailable

LIBRARY = "libnsdk.so.1"

SUCCESS, NOT_SUPPORTED, DEVICE_LOST, NO_EVENT = 0, 3, 15, 16
UTILIZATION_V2 = 20 | 2 << 24
TEXT_BYTES = 96
FIELD_TEMP_HOTSPOT_C, FIELD_PCIE_RX_BYTES, FIELD_PCIE_TX_BYTES, FIELD_PCIE_REPLAYS = 4, 7, 8, 9

RETURNS = Returns(
    success=(SUCCESS,),
    reasons={
        1: Reason.DRIVER_LOST,
        NOT_SUPPORTED: Reason.UNSUPPORTED,
        4: Reason.NO_PERMISSION,
        10: Reason.TIMEOUT,
        DEVICE_LOST: Reason.DEVICE_LOST,
    },
)


class NsdkError(Exception):
    """A function failed; `code` is the vendor's."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function}: {text} (code {code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is, as the vendor says."""

    uuid: str
    name: str
    serial: str
    firmware: str
    pci: str


class Nsdk:
    """The library, loaded and initialised. No probe may run any more when it is closed."""

    def __init__(self, path: str) -> None:
        self._ffi = _declarations()
        try:
            self._lib: Any = self._ffi.dlopen(path or LIBRARY)
        except OSError as error:
            raise Unavailable(
                "load the neutral SDK",
                path or LIBRARY,
                f"set plugins.neutral.library to its path ({error})",
            ) from error
        self._check("nsdkInit")
        self._functions: dict[str, Function] = {}

    @property
    def is_stand_in(self) -> bool:
        """Whether its devices are simulated."""
        try:
            return bool(self._lib.xinmai_standin_version)
        except AttributeError:
            return False

    def close(self) -> None:
        """`nsdkShutdown`. The library stays mapped: it may have threads of its own."""
        self._check("nsdkShutdown")

    def function(self, name: str) -> Function:
        """A function for a call probe."""
        if name not in self._functions:
            self._functions[name] = Function.from_cffi(self._ffi, self._lib, name, returns=RETURNS)
        return self._functions[name]

    def driver_version(self) -> str:
        """Of the kernel driver."""
        return self._text("nsdkDriverVersion")

    def device_count(self) -> int:
        """How many devices are here now."""
        count = self._ffi.new("unsigned *")
        self._check("nsdkDeviceCount", count)
        return int(count[0])

    def handle(self, index: int) -> Any:
        """Of the device at this index; None while it is lost."""
        handle = self._ffi.new("nsdkDevice_t *")
        try:
            self._check("nsdkDeviceByIndex", index, handle)
        except NsdkError as error:
            if error.code == DEVICE_LOST:
                return None
            raise
        return handle[0]

    def is_alive(self, handle: Any) -> bool:
        """Whether calls on it can succeed."""
        return bool(self._lib.nsdkDeviceIsAlive(handle))

    def identity(self, handle: Any) -> Identity:
        """Who the device is."""
        names = ("Uuid", "Name", "Serial", "Firmware", "Pci")
        return Identity(*(self._text(f"nsdkDevice{name}", handle) for name in names))

    def link_count(self, handle: Any, room: int) -> int:
        """How many links the device has, up to `room`; 0 where it knows of none."""
        count = self._ffi.new("unsigned *", room)
        links = self._ffi.new("nsdkLink[]", room)
        code = self._lib.nsdkDeviceGetLinks(handle, count, links)
        return int(count[0]) if code == SUCCESS else 0

    def next_event(self) -> tuple[int, int, int, str] | None:
        """Index, code, wall time in ns and message; None when there is no more."""
        event = self._ffi.new("nsdkEvent *")
        code = self._lib.nsdkEventNext(event)
        if code == NO_EVENT:
            return None
        self._raise_unless_success("nsdkEventNext", code)
        message = self._ffi.string(event.message).decode("utf-8", "replace")
        return int(event.device), int(event.code), int(event.time_us) * 1000, message

    def _text(self, function: str, *arguments: Any) -> str:
        text = self._ffi.new("char[]", TEXT_BYTES)
        self._check(function, *arguments, text, TEXT_BYTES)
        return str(self._ffi.string(text).decode("utf-8", "replace"))

    def _check(self, function: str, *arguments: Any) -> None:
        self._raise_unless_success(function, getattr(self._lib, function)(*arguments))

    def _raise_unless_success(self, function: str, code: int) -> None:
        if code != SUCCESS:
            text = self._ffi.string(self._lib.nsdkErrorString(code)).decode("utf-8", "replace")
            raise NsdkError(function, code, text)


def _declarations() -> Any:
    try:
        from xinmai_plugins.neutral._abi import ffi
    except ImportError:  # a source tree that nobody has built
        import cffi

        ffi = cffi.FFI()
        ffi.cdef((Path(__file__).parent / "abi.h").read_text("utf-8"))
    return ffi
