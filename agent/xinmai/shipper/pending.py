"""A batch in the making: what was taken, the account, and how far the rings are read then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xinmai.clock import Timeline
from xinmai.shipper.inventories import Announced
from xinmai.shipper.rings import Positions
from xinmai.shipper.take import Take
from xinmai.wire.messages import AccountEntry, Block, Stream


@dataclass(slots=True)
class Pending:
    """One batch of a stream; nothing of it is final before `settle`."""

    stream: Stream
    announced: Announced
    timeline: Timeline
    takes: list[Take] = field(default_factory=list)
    size_bytes: int = 0
    cells: int = 0

    @property
    def blocks(self) -> list[Block]:
        """Of all takes."""
        return [take.block for take in self.takes if take.block is not None]

    @property
    def first_ns(self) -> int:
        """The earliest time of a row or window."""
        return min(take.first_ns for take in self.takes)

    def has_room(self, take: Take, most_bytes: int, most_cells: int) -> bool:
        """Whether the batch stays within its limits with this in it."""
        size_bytes, cells = self.size_bytes + take.size_bytes, self.cells + take.cells
        return size_bytes <= most_bytes and cells <= most_cells

    def add(self, take: Take) -> None:
        """Add what was taken."""
        self.takes.append(take)
        self.size_bytes += take.size_bytes
        self.cells += take.cells

    def halves(self) -> Sequence[Pending]:
        """Two smaller batches in the same order; this one where it cannot be parted."""
        middle = len(self.takes) // 2
        if not middle:
            return [self]
        return [
            Pending(self.stream, self.announced, self.timeline, takes)
            for takes in (self.takes[:middle], self.takes[middle:])
        ]

    def positions(self, before: Positions) -> Positions:
        """`before` as it will be once this batch is kept; changes it."""
        for take in self.takes:
            before.setdefault(take.ring.id, {})[take.lane] = take.position
        return before

    def settle(self) -> None:
        """The batch is kept: move the rings' positions."""
        for take in self.takes:
            take.ring.positions[take.lane] = take.position

    def account(self) -> list[AccountEntry]:
        """By minute (WIRE-46); what was overwritten or never began counts for now."""
        taken: dict[int, int] = {}
        missed: dict[int, int] = {}
        overrun: dict[int, int] = {}
        now = self.timeline.minute(self.timeline.anchor.mono_ns)
        for take in self.takes:
            _add(taken, take.taken.items())
            _add(missed, take.missed.items())
            if take.overrun:
                _add(overrun, [(now, take.overrun)])
            if take.between:
                _add(missed, [(now, take.between)])
        _add(taken, overrun.items())
        return [
            AccountEntry(
                minute, taken.get(minute, 0), missed.get(minute, 0), overrun.get(minute, 0)
            )
            for minute in sorted({*taken, *missed})
        ]


def _add(to: dict[int, int], counts: Iterable[tuple[int, int]]) -> None:
    for minute, count in counts:
        to[minute] = to.get(minute, 0) + count
