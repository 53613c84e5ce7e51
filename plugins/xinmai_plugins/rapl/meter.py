"""Turns a counter that wraps into one that only grows, and says so where it cannot."""

from __future__ import annotations

from dataclasses import dataclass

from xinmai.api import Missing, Reading, Reason

GAP = Missing(Reason.IMPLAUSIBLE)

_SLACK_NS = 100_000_000
"""The counter renews about every millisecond and reads are not on time: room for both."""

_REMEMBERED = 10
"""Readings for which the value before a drop can still come back."""


@dataclass(frozen=True, slots=True)
class _Mark:
    raw_uj: int
    mono_ns: int
    total_uj: int


class Meter:
    """Energy of one zone in µJ, growing since the first reading.

    Args:
        range_uj: value at which the hardware counter starts over, None where the kernel does not
            tell: then a drop is a gap, never a guess.
        max_power_w: more than the zone can draw; a larger step is no reading.
    """

    def __init__(self, range_uj: int | None, max_power_w: int) -> None:
        self._range_uj, self._max_power_w = range_uj, max_power_w
        self._last: _Mark | None = None
        self._before_drop: _Mark | None = None
        self._drop_age = 0

    def take(self, raw_uj: int, mono_ns: int) -> Reading:
        """The grown total at a raw value, or a gap where energy of unknown size went by."""
        last = self._last
        if last is None:
            return self._mark(raw_uj, mono_ns, raw_uj)
        returned_uj = self._returned(raw_uj, mono_ns)
        if returned_uj is not None:
            return self._mark(raw_uj, mono_ns, returned_uj)
        step_uj = self._step(last, raw_uj, mono_ns)
        if step_uj is None:
            if raw_uj < last.raw_uj:
                self._before_drop, self._drop_age = last, 0
            self._mark(raw_uj, mono_ns, last.total_uj)
            return GAP
        return self._mark(raw_uj, mono_ns, last.total_uj + step_uj)

    def _mark(self, raw_uj: int, mono_ns: int, total_uj: int) -> int:
        self._last = _Mark(raw_uj, mono_ns, total_uj)
        return total_uj

    def _step(self, mark: _Mark, raw_uj: int, mono_ns: int) -> int | None:
        """Energy since a mark; None where it cannot be known."""
        step_uj = raw_uj - mark.raw_uj
        if step_uj < 0 and self._range_uj is not None:
            step_uj += self._range_uj
        return step_uj if 0 <= step_uj <= self._most(mark, mono_ns) else None

    def _most(self, mark: _Mark, mono_ns: int) -> int:
        """Most that can have gone by since a mark; -1 after time enough for an unseen wrap."""
        elapsed_ns = mono_ns - mark.mono_ns + _SLACK_NS
        most_uj = self._max_power_w * elapsed_ns // 1000
        return most_uj if self._range_uj is None or most_uj < self._range_uj else -1

    def _returned(self, raw_uj: int, mono_ns: int) -> int | None:
        """Total where the counter is back at what it was before a drop: the drop was a bad read.

        Without this the way back would be booked as energy.
        """
        mark = self._before_drop
        if mark is None:
            return None
        self._drop_age += 1
        step_uj = raw_uj - mark.raw_uj
        if 0 <= step_uj <= self._most(mark, mono_ns):
            self._before_drop = None
            return max(mark.total_uj + step_uj, self._last.total_uj if self._last else 0)
        if self._drop_age >= _REMEMBERED:
            self._before_drop = None
        return None
