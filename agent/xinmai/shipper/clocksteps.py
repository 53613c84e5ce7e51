"""Steps of the wall clock and suspends: noticed, told, and kept for rows from before (G6).

Without them a row taken before a step would be placed on the wall by the clock as it is afterwards.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from xinmai.clock import SECOND_NS, Anchor, ClockStep, Timeline
from xinmai.wire.limits import MAX_STEPS
from xinmai.wire.messages import EventEntry

LEAST_STEP_NS: Final = 50_000_000
SLEW: Final = 2_000
"""A clock that is being corrected gains or loses at most a 2000th, which is no step."""

_TFD_TIMER_ABSTIME: Final = 1
_TFD_TIMER_CANCEL_ON_SET: Final = 2
_FAR_S: Final = 2**40


class ClockSteps:
    """What the clocks did since the shipper started; the newest steps, as many as a batch takes.

    Args:
        tell: takes the events.
    """

    def __init__(self, tell: Callable[[EventEntry], None]) -> None:
        self._tell = tell
        self._steps: deque[ClockStep] = deque(maxlen=MAX_STEPS)
        self._before: Anchor | None = None

    def look(self, anchor: Anchor) -> Timeline:
        """Hold an anchor against the one before; returns where monotonic times lie now."""
        before, self._before = self._before, anchor
        if before is not None:
            self._compare(before, anchor)
        return Timeline(anchor, tuple(self._steps))

    def _compare(self, before: Anchor, now: Anchor) -> None:
        passed_ns = now.mono_ns - before.mono_ns
        expected = ClockStep(now.mono_ns, before.real_ns + passed_ns, before.boot_ns + passed_ns)
        real_ns, slept_ns = now.real_ns - expected.real_ns, now.boot_ns - expected.boot_ns
        least_ns = LEAST_STEP_NS + passed_ns // SLEW + before.error_ns + now.error_ns
        slept = slept_ns > least_ns
        if abs(real_ns) > least_ns or slept:
            self._steps.append(expected)
        if slept:
            self._tell(_suspended(now, slept_ns))
        stepped_ns = real_ns - (slept_ns if slept else 0)
        if abs(stepped_ns) > least_ns:
            self._tell(_stepped(now, stepped_ns))


def _stepped(now: Anchor, step_ns: int) -> EventEntry:
    way = "forward" if step_ns > 0 else "back"
    return _event(
        now,
        "clock_step",
        "warning",
        f"the wall clock was set {way} by {abs(step_ns) / SECOND_NS:.3f} s",
        "see that one time service runs, and that it slews",
        {"xinmai.step.ns": str(step_ns)},
    )


def _suspended(now: Anchor, slept_ns: int) -> EventEntry:
    message = f"the machine was suspended for {slept_ns / SECOND_NS:.3f} s"
    return _event(now, "suspended", "info", message, "", {"xinmai.suspended.ns": str(slept_ns)})


def _event(
    now: Anchor, code: str, severity: str, message: str, action: str, attributes: dict[str, str]
) -> EventEntry:
    return EventEntry(now.real_ns, "", code, "agent", severity, action, message, attributes)


class ClockWatch:
    """Tells at once when the wall clock is set or the machine wakes, where the kernel can.

    Elsewhere a step is noticed by the next comparison, up to a window late.
    """

    def __init__(self, on_change: Callable[[], object]) -> None:
        self._on_change = on_change
        self._fd = _armed_timer()

    @property
    def active(self) -> bool:
        """Whether the kernel tells."""
        return self._fd >= 0

    def start(self) -> None:
        """Listen on the running event loop."""
        if self.active:
            asyncio.get_running_loop().add_reader(self._fd, self._changed)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.active:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _changed(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError as error:
            # The timer stays armed: reading its cancellation is all that is needed.
            if error.errno != errno.ECANCELED:
                self.close()
                return
        self._on_change()


class _Times(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")
    )


def _armed_timer() -> int:
    """A timerfd on the wall clock that is cancelled when it is set; -1 where there is none."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.timerfd_create(time.CLOCK_REALTIME, os.O_CLOEXEC | os.O_NONBLOCK))
    except (OSError, AttributeError):
        return -1
    times, flags = _Times(0, 0, _FAR_S, 0), _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
    if fd >= 0 and libc.timerfd_settime(fd, flags, ctypes.byref(times), None) != 0:
        os.close(fd)
        return -1
    return fd
