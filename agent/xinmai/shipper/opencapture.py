"""A capture under way, what its batches say of it, and how many there may be."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from xinmai.clock import SECOND_NS, Timeline
from xinmai.shipper.capturerows import LaneKey, Part
from xinmai.shipper.triggers import Cause
from xinmai.wire.limits import MAX_CAUSE_CHARACTERS
from xinmai.wire.messages import Capture

HOUR_NS: Final = 3600 * SECOND_NS
NAME_CHARS: Final = 256
"""Of a device or metric: no host decides how long a batch's head is."""


@dataclass(slots=True)
class RecorderState:
    """What `status` and the shipper's own series tell; `last` is the newest capture."""

    captures: int = 0
    merged: int = 0
    suppressed: int = 0
    last: dict[str, Any] | None = None


@dataclass(slots=True)
class OpenCapture:
    """A capture under way; times are CLOCK_MONOTONIC."""

    id: str
    cause: Cause
    from_ns: int
    until_ns: int
    positions: dict[LaneKey, int] = field(default_factory=dict)
    parts: int = 0
    size_bytes: int = 0
    merged: int = 0
    cut: str = ""

    def merge(self, until_ns: int, longest_ns: int) -> None:
        """Another trigger falls into this."""
        self.merged += 1
        self.until_ns = max(self.until_ns, min(until_ns, self.from_ns + longest_ns))

    def keep(self, part: Part) -> None:
        """A part's rows are in the spool, or given up."""
        for chunk in part.chunks:
            self.positions[chunk.key] = chunk.position

    def label(self, part: Part, timeline: Timeline, *, last: bool) -> Capture:
        """What its next batch says of it."""
        spans = [chunk for chunk in part.chunks if chunk.block.n]
        first_ns = min((chunk.first_ns for chunk in spans), default=self.until_ns)
        last_ns = max((chunk.last_ns for chunk in spans), default=self.until_ns)
        # Between them the wall clock may have been set back.
        ends = sorted((timeline.wall_ns(first_ns), timeline.wall_ns(last_ns)))
        return Capture(
            id=self.id,
            trigger=self.cause.trigger,
            cause=_short(self.cause.text, f" ({self.cut})" if self.cut else ""),
            hw_id=_printable(self.cause.hw_id)[:NAME_CHARS],
            metric=_printable(self.cause.metric)[:NAME_CHARS],
            at_ns=timeline.wall_ns(self.cause.at_ns),
            from_ns=ends[0],
            to_ns=ends[1],
            part=self.parts + 1,
            last=last,
            merged=self.merged,
        )

    def summary(self, label: Capture) -> dict[str, Any]:
        """What `status` tells of it."""
        return {
            "id": label.id,
            "trigger": label.trigger,
            "cause": label.cause,
            "at_ns": label.at_ns,
            "parts": label.part,
            "bytes": self.size_bytes,
            "merged": label.merged,
            "open": not label.last,
        }


class Allowance:
    """So many in an hour."""

    def __init__(self, most: int) -> None:
        self._times: deque[int] = deque(maxlen=max(1, most))
        self._most = most

    def take(self, now_ns: int) -> bool:
        """Whether one more is allowed, which is then taken."""
        full = len(self._times) == self._most and now_ns - self._times[0] < HOUR_NS
        if not self._most or full:
            return False
        self._times.append(now_ns)
        return True


def _short(text: str, end: str) -> str:
    return _printable(text)[: MAX_CAUSE_CHARACTERS - len(end)] + end


def _printable(text: str) -> str:
    """A lone surrogate becomes its escape here, before its length counts (WIRE-16)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
