"""The only module that reads clocks.

Samples live on CLOCK_MONOTONIC; wall time appears once per batch, as an anchor.
"""

from __future__ import annotations

import time
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
