"""Whether the kernel takes the wall clock for synchronised, by adjtimex(2)."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

_TIMEX_BYTES = 208
_STATUS = struct.Struct("=iiqqqqi")
"""modes, padding, offset, freq, maxerror, esterror, status of struct timex on 64-bit Linux."""
_STA_UNSYNC = 0x40
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class ClockSync:
    """What the kernel says; `max_error_ns` is the time daemon's own bound."""

    synced: bool
    max_error_ns: int


def clock_sync() -> ClockSync | None:
    """Ask the kernel; None where it does not answer (a sandbox, another word size)."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (AttributeError, OSError):
        return None
    return parse_timex(state, buffer.raw)


def parse_timex(state: int, timex: bytes) -> ClockSync | None:
    """The answer to a read-only adjtimex call: its return value and its struct."""
    if state < 0:
        return None
    *_, max_error_us, _, status = _STATUS.unpack_from(timex)
    synced = state != _TIME_ERROR and not status & _STA_UNSYNC
    return ClockSync(synced, max_error_us * 1000)
