"""Python's readings on the monotonic grid: one row per lane and tick, missed ticks counted."""

from __future__ import annotations

import errno
import logging
import math
import struct
from array import array
from collections.abc import Sequence

from xinmai import clock
from xinmai.api import INT64_MAX, INT64_MIN, Missing, Poll, Reading, Reason, Series
from xinmai.sampler.plan import PollLane
from xinmai.sampler.serial import Turns
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
    errno.ENOTTY: Reason.UNSUPPORTED,
    errno.EAGAIN: Reason.NOT_YET,
    errno.ETIMEDOUT: Reason.TIMEOUT,
}
_MASK64 = 2**64 - 1
_UNSUPPORTED = (0, int(Reason.UNSUPPORTED))
_IMPLAUSIBLE = (0, int(Reason.IMPLAUSIBLE))


def missing_by_errno(code: int | None) -> Missing:
    """The reason an errno stands for; the errno itself as vendor_error where none does."""
    reason = _BY_ERRNO.get(code or 0)
    return Missing(reason) if reason else Missing(Reason.VENDOR_ERROR, code or 0)


class Poller:
    """Runs the polls of one lane and commits their row; each poll takes a turn of its own."""

    def __init__(
        self, lane: PollLane, ring: Ring, index: int, log: logging.Logger, turns: Turns
    ) -> None:
        self.lane = lane
        # The first row at once: a rare lane must not begin with a minute of silence.
        self.due_ns = clock.mono_ns()
        self._ring, self._index, self._log, self._turns = ring, index, log, turns
        self._failing: set[int] = set()

    def run(self, now_ns: int) -> None:
        """Take the row that is due; skip and count ticks that are already over."""
        period_ns = self.lane.period_ns
        missed = max(0, (now_ns - self.due_ns) // period_ns)
        scheduled_ns = self.due_ns + missed * period_ns
        begin_ns = clock.mono_ns()
        cells, reasons = array("q"), bytearray()
        for call, poll in enumerate(self.lane.polls):
            for cell, reason in self._cells(call, poll):
                cells.append(cell)
                reasons.append(reason)
        duration_ns = clock.mono_ns() - begin_ns
        self._ring.commit(
            self._index, scheduled_ns, begin_ns, duration_ns, missed, cells, bytes(reasons)
        )
        self.due_ns = (scheduled_ns // period_ns + 1) * period_ns

    def _cells(self, call: int, poll: Poll) -> list[tuple[int, int]]:
        try:
            readings = self._read(call, poll)
            if len(readings) != len(poll.series):
                raise ValueError(f"{len(readings)} readings for {len(poll.series)} series")
            cells = [encode_cell(*pair) for pair in zip(poll.series, readings, strict=True)]
        except OSError as error:
            self._lost(call, str(error))
            return [_missing_cell(missing_by_errno(error.errno))] * len(poll.series)
        except Exception as error:  # noqa: BLE001 - one poll must not end the host
            self._lost(call, repr(error))
            return [_missing_cell(Missing(Reason.VENDOR_ERROR))] * len(poll.series)
        self._returned(call)
        return cells

    def _read(self, call: int, poll: Poll) -> Sequence[Reading]:
        """The header names the call only while it is in the library, not while it waits."""
        with self._turns.turn():
            self._ring.enter(self._index, call, clock.mono_ns())
            try:
                return poll.read()
            finally:
                self._ring.enter(self._index, -1, 0)

    def _lost(self, call: int, why: str) -> None:
        if call not in self._failing:
            self._failing.add(call)
            name = self.lane.polls[call].name
            self._log.warning("reading lost: call=%s error=%s", name, why)

    def _returned(self, call: int) -> None:
        if call in self._failing:
            self._failing.discard(call)
            self._log.info("reading is back: call=%s", self.lane.polls[call].name)


def encode_cell(series: Series, reading: Reading) -> tuple[int, int]:
    """A reading as (cell, reason) of the ring, sentinels and range applied.

    A u64 above 2^63 is stored by its bits and compared as such, as C lanes do; an f64 series holds
    the bits of the double.
    """
    if isinstance(reading, Missing):
        return _missing_cell(reading)
    if series.type == "f64":
        return _float_cell(series, reading)
    if not isinstance(reading, int) and not math.isfinite(reading):
        return _IMPLAUSIBLE
    value = int(reading)
    if not INT64_MIN <= value <= (_MASK64 if series.type == "u64" else INT64_MAX):
        return _IMPLAUSIBLE
    cell = _folded(value)
    if any(cell == _folded(sentinel) for sentinel in series.sentinels):
        return _UNSUPPORTED
    return (cell, 0) if series.low <= cell <= series.high else _IMPLAUSIBLE


def _float_cell(series: Series, reading: float) -> tuple[int, int]:
    """Bounds are integers, rounded inwards from the catalogue's: a float may lie in between."""
    try:
        number = float(reading)
    except OverflowError:
        return _IMPLAUSIBLE
    if number in series.sentinels:
        return _UNSUPPORTED
    low = series.low - 1 if series.low > INT64_MIN else -math.inf
    high = series.high + 1 if series.high < INT64_MAX else math.inf
    if not math.isfinite(number) or not low < number < high:
        return _IMPLAUSIBLE
    cell: int = struct.unpack("<q", struct.pack("<d", number))[0]
    return cell, 0


def _missing_cell(missing: Missing) -> tuple[int, int]:
    code = _folded(missing.code) if missing.reason is Reason.VENDOR_ERROR else 0
    return code, int(missing.reason)


def _folded(value: int) -> int:
    """Modulo 2^64, as signed."""
    bits = value & _MASK64
    return bits - 2**64 if bits > INT64_MAX else bits
