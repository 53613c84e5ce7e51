"""What is known in memory of a segment's records: some 45 bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinmai.spool.facts import Readings, sum_readings
from xinmai.spool.layout import SegmentHeader
from xinmai.wire.messages import Loss

_LIVE, _GONE = 0, 1


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive seqs that are held and not stored."""

    first: int
    last: int
    readings: Readings
    carried: tuple[Loss, ...]


class Held:
    """Index of one segment.

    A record is live until it is stored, lost, or written again in a later segment.

    Args:
        path, header: of the file.
        size: bytes the file takes, with what is reserved.
    """

    def __init__(self, path: Path, header: SegmentHeader, size: int) -> None:
        self.path, self.header, self.size = path, header, size
        self.serial = self.declared_at = 0
        self.inventories: dict[str, int] = {}
        self.carry_offset: int | None = None
        self._seqs, self._offsets, self._sizes = array("Q"), array("Q"), array("I")
        self._gone = bytearray()
        self._marks, self._minutes, self._counts = array("I"), array("q"), array("q")
        self._carried: dict[int, tuple[Loss, ...]] = {}
        self._keys: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._seqs)

    @property
    def queue(self) -> str:
        """Its queue id."""
        return self.header.queue

    @property
    def first_seq(self) -> int:
        """Lowest seq it may hold."""
        return self.header.first_seq

    @property
    def last_seq(self) -> int:
        """Highest seq it was given, the one before its first while there is none."""
        return self._seqs[-1] if self._seqs else self.first_seq - 1

    @property
    def live(self) -> int:
        """Records that are held and not stored."""
        return self._gone.count(_LIVE)

    def add(
        self,
        seq: int,
        offset: int,
        size: int,
        key: str,
        readings: Readings,
        carried: tuple[Loss, ...] = (),
    ) -> None:
        """Index one batch; seqs come in ascending order, `size` is that of the payload."""
        if not self._keys or self._keys[-1][1] != key:
            self._keys.append((len(self._seqs), key))
        if carried:
            self._carried[seq] = carried
        self._marks.append(len(self._minutes))
        for minute, count in readings:
            self._minutes.append(minute)
            self._counts.append(count)
        self._offsets.append(offset)
        self._sizes.append(size)
        self._seqs.append(seq)
        # Last: `unstored` may be under way in another thread and looks here first.
        self._gone.append(_LIVE)

    def offset(self, seq: int) -> int | None:
        """Where a live record is."""
        at = bisect_left(self._seqs, seq)
        if at < len(self._seqs) and self._seqs[at] == seq and self._gone[at] == _LIVE:
            return self._offsets[at]
        return None

    def holds(self, seq: int) -> bool:
        """Whether a record was indexed, live or not."""
        at = bisect_left(self._seqs, seq)
        return at < len(self._seqs) and self._seqs[at] == seq

    def close_range(self, first: int, last: int) -> list[Run]:
        """Records from `first` to `last` are live no longer; says which of them were."""
        start, end = self._span(first, last)
        if self._gone.find(_LIVE, start, end) < 0:
            return []
        runs = list(self._runs(start, end))
        self._gone[start:end] = bytes([_GONE]) * (end - start)
        return runs

    def close_stored(self, first: int, last: int) -> bool:
        """As `close_range`, without saying more than whether any was live."""
        start, end = self._span(first, last)
        if self._gone.find(_LIVE, start, end) < 0:
            return False
        self._gone[start:end] = bytes([_GONE]) * (end - start)
        return True

    def unstored(self, after: int) -> Iterator[tuple[str, int, int]]:
        """(queue, seq, payload bytes) of live records behind a seq; sees those added meanwhile."""
        at = bisect_right(self._seqs, after) - 1
        while (at := self._gone.find(_LIVE, at + 1)) >= 0:
            yield self.queue, self._seqs[at], self._sizes[at]

    def spans(self) -> Iterator[tuple[int, int]]:
        """Closed ranges of the seqs it was given, live or not."""
        if len(self) and self.last_seq - self._seqs[0] == len(self) - 1:
            yield self._seqs[0], self.last_seq
            return
        begin = 0
        for at in range(1, len(self._seqs) + 1):
            if at == len(self._seqs) or not self._follows(begin, at):
                yield self._seqs[begin], self._seqs[at - 1]
                begin = at

    def carried(self) -> Iterator[Loss]:
        """Losses that live records carry."""
        for seq, losses in self._carried.items():
            if self.offset(seq) is not None:
                yield from losses

    def schemas(self) -> Iterator[str]:
        """Schemas that live records name."""
        if not self._keys:  # a segment that no record has gone into yet
            return
        ends = [start for start, _ in self._keys[1:]] + [len(self._seqs)]
        for (start, key), end in zip(self._keys, ends, strict=True):
            if self._gone.find(_LIVE, start, end) >= 0:
                yield key

    def meta_offsets(self) -> Iterator[int]:
        """Offsets of records with a meta, newest first, the carried one last."""
        yield from reversed(self._offsets)
        if self.carry_offset is not None:
            yield self.carry_offset

    def _span(self, first: int, last: int) -> tuple[int, int]:
        return bisect_left(self._seqs, first), bisect_right(self._seqs, last)

    def _runs(self, start: int, end: int) -> Iterator[Run]:
        at = start
        while (at := self._gone.find(_LIVE, at, end)) >= 0:
            begin = at
            while at < end and self._gone[at] == _LIVE and self._follows(begin, at):
                at += 1
            yield self._run(begin, at)

    def _follows(self, begin: int, at: int) -> bool:
        return self._seqs[at] - self._seqs[begin] == at - begin

    def _run(self, start: int, end: int) -> Run:
        first, last = self._seqs[start], self._seqs[end - 1]
        mark = self._marks[start]
        stop = self._marks[end] if end < len(self._marks) else len(self._minutes)
        pairs = list(zip(self._minutes[mark:stop], self._counts[mark:stop], strict=True))
        carried: Sequence[Loss] = [
            loss
            for seq in sorted(self._carried)
            if first <= seq <= last
            for loss in self._carried[seq]
        ]
        return Run(first, last, sum_readings([pairs]), tuple(carried))
