"""Python's readings on the monotonic grid: one row per lane and tick, missed ticks counted."""

from __future__ import annotations

import errno
import logging
import math
import struct
from array import array
from collections.abc import Sequence

from xinmai import clock
from xinmai.api import Missing, Poll, Reading, Reason, Series
from xinmai.sampler.plan import PollLane
from xinmai_native import Ring

_BY_ERRNO = {
    errno.ENOENT: Reason.DEVICE_LOST,
    errno.ENODEV: Reason.DEVICE_LOST,
    errno.ENXIO: Reason.DEVICE_LOST,
    errno.EACCES: Reason.NO_PERMISSION,
    errno.EPERM: Reason.NO_PERMISSION,
    errno.EINVAL: Reason.UNSUPPORTED,
    errno.EOPNOTSUPP: Reason.UNSUPPORTED,
    errno.ENODATA: Reason.UNSUPPORTED,
    errno.EAGAIN: Reason.NOT_YET,
    errno.ETIMEDOUT: Reason.TIMEOUT,
}
_MASK64 = 2**64 - 1


def missing_by_errno(code: int | None) -> Missing:
    """The reason an errno stands for; the errno itself as vendor_error where none does."""
    reason = _BY_ERRNO.get(code or 0)
    return Missing(reason) if reason else Missing(Reason.VENDOR_ERROR, code or 0)


class Poller:
    """Runs the polls of one lane and commits their row."""

    def __init__(
        self, lane: PollLane, ring: Ring, index: int, period_ns: int, log: logging.Logger
    ) -> None:
        self.lane = lane
        self.period_ns = period_ns
        # The first row at once: a rare lane must not begin with a minute of silence.
        self.due_ns = clock.mono_ns()
        self.busy_ns = 0
        self._ring, self._index, self._log = ring, index, log
        self._failing: set[str] = set()

    def set_period(self, period_ns: int) -> None:
        """Change the period from the next tick on."""
        self.period_ns = period_ns
        self.due_ns = (clock.mono_ns() // period_ns + 1) * period_ns

    def run(self, now_ns: int) -> None:
        """Take the row that is due; skip and count ticks that are already over."""
        missed = max(0, (now_ns - self.due_ns) // self.period_ns)
        scheduled_ns = self.due_ns + missed * self.period_ns
        begin_ns = clock.mono_ns()
        cells = array("q")
        reasons = bytearray()
        for call, poll in enumerate(self.lane.polls):
            self._ring.enter(self._index, call, begin_ns)
            for series, reading in zip(poll.series, self._read(poll), strict=True):
                cell, reason = encode_cell(series, reading)
                cells.append(cell)
                reasons.append(reason)
        self._ring.enter(self._index, -1, 0)
        duration_ns = clock.mono_ns() - begin_ns
        self.busy_ns += duration_ns
        self._ring.commit(
            self._index, scheduled_ns, begin_ns, duration_ns, missed, cells, bytes(reasons)
        )
        self.due_ns = (scheduled_ns // self.period_ns + 1) * self.period_ns

    def _read(self, poll: Poll) -> Sequence[Reading]:
        try:
            readings = poll.read()
            if len(readings) != len(poll.series):
                raise ValueError(f"{len(readings)} readings for {len(poll.series)} series")
        except OSError as error:
            self._lost(poll, str(error))
            return [missing_by_errno(error.errno)] * len(poll.series)
        except Exception as error:  # noqa: BLE001 - one poll must not end the host
            self._lost(poll, repr(error))
            return [Missing(Reason.VENDOR_ERROR)] * len(poll.series)
        self._returned(poll)
        return readings

    def _lost(self, poll: Poll, why: str) -> None:
        if poll.name not in self._failing:
            self._failing.add(poll.name)
            self._log.warning("reading lost: call=%s error=%s", poll.name, why)

    def _returned(self, poll: Poll) -> None:
        if poll.name in self._failing:
            self._failing.discard(poll.name)
            self._log.info("reading is back: call=%s", poll.name)


def encode_cell(series: Series, reading: Reading) -> tuple[int, int]:
    """A reading as (cell, reason) of the ring, sentinels and range applied.

    A u64 above 2^63 is stored by its bits; an f64 series by the bits of the double.
    """
    if isinstance(reading, Missing):
        code = reading.code if reading.reason is Reason.VENDOR_ERROR else 0
        return code, int(reading.reason)
    if series.type == "f64":
        if not math.isfinite(reading):
            return 0, int(Reason.IMPLAUSIBLE)
        cell: int = struct.unpack("<q", struct.pack("<d", float(reading)))[0]
        return cell, 0
    value = int(reading)
    if value in series.sentinels:
        return 0, int(Reason.UNSUPPORTED)
    if not series.low <= value <= series.high or not -(2**63) <= value < 2**64:
        return 0, int(Reason.IMPLAUSIBLE)
    folded = value & _MASK64
    return folded - 2**64 if folded >= 2**63 else folded, 0
