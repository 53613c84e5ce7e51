from __future__ import annotations

import struct

import pytest

from xinmai.clocksync import ClockSync, clock_sync, parse_timex


def timex(status: int, max_error_us: int) -> bytes:
    return struct.pack("=iiqqqqi", 0, 0, 0, 0, max_error_us, 0, status).ljust(208, b"\0")


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        (0, 0x2001, ClockSync(synced=True, max_error_ns=1_500_000)),
        (0, 0x40, ClockSync(synced=False, max_error_ns=1_500_000)),
        (5, 0x2001, ClockSync(synced=False, max_error_ns=1_500_000)),
        (-1, 0, None),
    ],
)
def test_kernels_answer_is_understood(state: int, status: int, expected: ClockSync | None) -> None:
    assert parse_timex(state, timex(status, 1500)) == expected


def test_this_kernel_answers_or_says_nothing() -> None:
    sync = clock_sync()

    assert sync is None or sync.max_error_ns >= 0
