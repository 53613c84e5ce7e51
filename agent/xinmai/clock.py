"""The only module that reads clocks.

Samples live on CLOCK_MONOTONIC; wall time appears once per batch, as an anchor.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinmai_native import clock as _read_together

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Anchor:
    """Three clocks read together; see spec 002 WIRE-41."""

    mono_ns: int
    boot_ns: int
    real_ns: int
    error_ns: int
    synced: bool | None = None

    def wall_ns(self, mono_ns: int) -> int:
        """Wall time of a monotonic time, by this anchor."""
        return self.real_ns + (mono_ns - self.mono_ns)

    def minute(self, mono_ns: int) -> int:
        """Wall minute since 1970 of a monotonic time, by this anchor."""
        return self.wall_ns(mono_ns) // MINUTE_NS


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Where the clocks would have stood at `mono_ns` had they not stepped then."""

    mono_ns: int
    real_ns: int
    boot_ns: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Monotonic to wall time by an anchor and the steps that lie before it, ascending (WIRE-55)."""

    anchor: Anchor
    steps: Sequence[ClockStep] = ()

    def offset_ns(self, mono_ns: int) -> int:
        """Wall time less monotonic time, at a monotonic time."""
        for step in self.steps:
            if mono_ns < step.mono_ns:
                return step.real_ns - step.mono_ns
        return self.anchor.real_ns - self.anchor.mono_ns

    def wall_ns(self, mono_ns: int) -> int:
        """Wall time of a monotonic time."""
        return mono_ns + self.offset_ns(mono_ns)

    def minute(self, mono_ns: int) -> int:
        """Wall minute since 1970 of a monotonic time."""
        return self.wall_ns(mono_ns) // MINUTE_NS

    def steps_after(self, mono_ns: int) -> Sequence[ClockStep]:
        """The steps that matter to times from `mono_ns` on."""
        return [step for step in self.steps if step.mono_ns > mono_ns]

    def wall_all(self, mono_ns: array[int]) -> array[int]:
        """Wall times of many int64 monotonic times, in any order.

        Raises:
            OverflowError: one is outside 64 bits.
        """
        if not mono_ns:
            return array("q")
        marks = [step.mono_ns for step in self.steps]
        low = min(mono_ns)
        if not marks or bisect_right(marks, low) == bisect_right(marks, max(mono_ns)):
            offset_ns = self.offset_ns(low)
            return array("q", [time_ns + offset_ns for time_ns in mono_ns])
        offsets_ns = [step.real_ns - step.mono_ns for step in self.steps]
        offsets_ns.append(self.anchor.real_ns - self.anchor.mono_ns)
        return array(
            "q", [time_ns + offsets_ns[bisect_right(marks, time_ns)] for time_ns in mono_ns]
        )


def anchor(*, synced: bool | None = None) -> Anchor:
    """Read the three clocks now."""
    mono_ns, boot_ns, real_ns, error_ns = _read_together()
    return Anchor(mono_ns, boot_ns, real_ns, error_ns, synced)


def mono_ns() -> int:
    """CLOCK_MONOTONIC now."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """CLOCK_REALTIME now."""
    return time.time_ns()


def thread_cpu_ns() -> int:
    """CPU time of the calling thread."""
    return time.thread_time_ns()


def process_cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, exact where /proc counts in hundredths of a second.

    Raises:
        OSError: there is no such process.
    """
    # As clock_getcpuclockid(3) makes it from the process id.
    return time.clock_gettime_ns((~pid << 3) | 2)


def boot_id(root: Path = Path("/")) -> str:
    """The kernel's boot id as 32 hex digits, zeros where the kernel does not tell."""
    try:
        text = (root / "proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:
        return "0" * 32
    return text.strip().replace("-", "")
