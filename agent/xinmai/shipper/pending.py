"""A batch in the making: blocks, account, and how far the rings will be read once it is kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xinmai.clock import Anchor
from xinmai.shipper.rings import Positions, Ring
from xinmai.wire.messages import AccountEntry, Block, Stream


@dataclass(slots=True)
class Pending:
    """One batch of a stream; counts are in readings."""

    stream: Stream
    anchor: Anchor
    blocks: list[Block] = field(default_factory=list)
    size_bytes: int = 0
    cells: int = 0
    taken: Counter[int] = field(default_factory=Counter)
    missed: Counter[int] = field(default_factory=Counter)
    overrun: Counter[int] = field(default_factory=Counter)
    _moves: dict[tuple[str, int], tuple[Ring, int]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.blocks or self.taken or self.missed)

    def is_full(self, most_bytes: int, most_cells: int) -> bool:
        """Whether it should be sent before another block comes in."""
        return self.size_bytes >= most_bytes or self.cells >= most_cells

    def position(self, ring: Ring, lane: int) -> int:
        """Where reading goes on."""
        move = self._moves.get((ring.layout.ring_id, lane))
        return move[1] if move else ring.positions[lane]

    def add(
        self,
        block: Block,
        columns: int,
        times_ns: bytes,
        missed: bytes,
        ticks: bytes | None = None,
    ) -> None:
        """Add a block and book its readings by the minute of their rows.

        Args:
            block: as it will be sent.
            columns: series of its lane.
            times_ns: int64 per window or row.
            missed: uint32 per window or row.
            ticks: uint32 per window; None for rows.
        """
        self.blocks.append(block)
        self.size_bytes += block_bytes(block)
        self.cells += block.n * columns
        times = array("q", times_ns)
        counts: Iterable[int] = [1] * len(times) if ticks is None else array("I", ticks)
        for time_ns, count, skipped in zip(times, counts, array("I", missed), strict=True):
            minute = self.anchor.minute(time_ns)
            self.taken[minute] += count * columns
            if skipped:
                self.missed[minute] += skipped * columns

    def move(self, ring: Ring, lane: int, position: int, *, overrun: int, missed: int) -> None:
        """Note how far a lane was read; what was lost or missed on the way counts for now."""
        minute = self.anchor.minute(self.anchor.mono_ns)
        if overrun:
            self.taken[minute] += overrun
            self.overrun[minute] += overrun
        if missed:
            self.missed[minute] += missed
        self._moves[ring.layout.ring_id, lane] = (ring, position)

    def positions(self, before: Positions) -> Positions:
        """`before` as it will be once this batch is kept; changes it."""
        for (ring_id, lane), (_, position) in self._moves.items():
            before[ring_id][lane] = position
        return before

    def settle(self) -> None:
        """The batch is kept: move the rings' positions."""
        for (_, lane), (ring, position) in self._moves.items():
            ring.positions[lane] = position

    def account(self) -> list[AccountEntry]:
        """By minute."""
        minutes = sorted({*self.taken, *self.missed, *self.overrun})
        return [AccountEntry(m, self.taken[m], self.missed[m], self.overrun[m]) for m in minutes]


def block_bytes(block: Block) -> int:
    """About what a block adds to a body."""
    blobs = (
        block.time,
        block.last,
        block.ticks,
        block.missed,
        block.count,
        block.min,
        block.max,
        block.sum,
        block.late,
        block.duration,
    )
    return sum(len(blob) for blob in blobs if blob) + 32 * len(block.reasons) + 64
