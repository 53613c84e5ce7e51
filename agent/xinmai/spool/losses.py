"""Losses of one spool, from their declaration until they are known to be shipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xinmai.spool.held import Held, Run
from xinmai.wire.messages import Loss, Ranges, Stream
from xinmai.wire.ranges import RangeSet

_Key = tuple[str, str, int, int]


@dataclass(slots=True)
class _Entry:
    loss: Loss
    home: Held | None
    """The segment that holds its LOSS record."""
    taken: bool = False


class LossBook:
    """Each loss is given out once, kept on disk until `forget`, and given out again after a crash.

    A loss never changes once declared: what comes again is the same and can be recognised.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._entries: dict[_Key, _Entry] = {}
        self._declared: dict[str, RangeSet] = {}
        self.lost_readings = 0
        self.lost_records = 0

    def declare(self, loss: Loss, home: Held | None = None) -> None:
        """Add a loss, new or (with its home) found in a segment."""
        key = _key(loss)
        if key in self._entries:
            self._entries[key].home = home or self._entries[key].home
            return
        self._entries[key] = _Entry(loss, home)
        self.note(loss)
        if home is None:
            self.count(loss)

    def note(self, loss: Loss) -> None:
        """It was declared, wherever it is now: its range is not declared anew."""
        if loss.stream == self._stream:
            self._declared.setdefault(loss.queue, RangeSet()).add(loss.first, loss.last)

    def count(self, loss: Loss) -> None:
        """Book a loss as one of this run."""
        if loss.stream == self._stream:
            self.lost_records += loss.last - loss.first + 1
            self.lost_readings += sum(count for _, count in loss.readings)

    def declare_run(self, queue: str, run: Run, reason: str) -> None:
        """Declare records as lost, and again the losses that they carried."""
        self.declare(Loss(self._stream, queue, run.first, run.last, reason, run.readings))
        for loss in run.carried:
            self.declare(loss)

    def take(self) -> list[Loss]:
        """Losses not given out yet."""
        fresh = [entry for entry in self._entries.values() if not entry.taken]
        for entry in fresh:
            entry.taken = True
        return [entry.loss for entry in fresh]

    def forget(self, losses: Iterable[Loss]) -> None:
        """These are durable in the event stream."""
        for loss in losses:
            self._entries.pop(_key(loss), None)

    def unwritten(self) -> list[Loss]:
        """Losses that are in memory only."""
        return [entry.loss for entry in self._entries.values() if entry.home is None]

    def written(self, losses: Iterable[Loss], home: Held) -> None:
        """These stand in a LOSS record of a segment now."""
        for loss in losses:
            self._entries[_key(loss)].home = home

    def orphan(self, home: Held) -> None:
        """A segment goes away: what it held must be written again."""
        for entry in self._entries.values():
            if entry.home is home:
                entry.home = None

    def homes(self) -> set[int]:
        """Ids of the segments that must stay for the sake of their losses."""
        return {id(entry.home) for entry in self._entries.values()}

    def undeclared(self, queue: str, first: int, last: int) -> Ranges:
        """Parts of a range of seqs that no loss covers."""
        return self._declared.get(queue, RangeSet()).gaps(last, first)

    def closed(self, queue: str, ranges: Ranges) -> None:
        """The collector has closed these: no need to remember that they were declared."""
        declared = self._declared.pop(queue, None)
        if declared is None:
            return
        known = RangeSet(ranges)
        left = [part for first, last in declared.ranges for part in known.gaps(last, first)]
        if left:
            self._declared[queue] = RangeSet(left)


def _key(loss: Loss) -> _Key:
    return (loss.stream, loss.queue, loss.first, loss.last)
