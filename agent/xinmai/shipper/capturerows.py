"""Rows of a capture's window out of the rings, packed into the parts that a batch holds."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from xinmai.shipper.inventories import Announced
from xinmai.shipper.rings import Ring
from xinmai.shipper.take import RUNS_PER_BLOCK, block_bytes
from xinmai.wire.blocks import raw_block
from xinmai.wire.messages import Block
from xinmai_native import RingReader, Rows

LaneKey = tuple[str, int]
"""Ring id and lane."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one lane.

    Args:
        position: where reading goes on once this is kept.
        first_ns, last_ns: scheduled times, CLOCK_MONOTONIC.
    """

    key: LaneKey
    position: int
    block: Block
    first_ns: int
    last_ns: int
    size_bytes: int


@dataclass(slots=True)
class Part:
    """What one batch of a capture holds."""

    announced: Announced
    chunks: list[Chunk] = field(default_factory=list)
    size_bytes: int = 0
    cells: int = 0

    def add(self, chunk: Chunk, cells: int) -> None:
        """Add rows."""
        self.chunks.append(chunk)
        self.size_bytes += chunk.size_bytes
        self.cells += cells

    def halves(self) -> list[Part]:
        """Two smaller parts in the same order; none where it cannot be parted."""
        middle = len(self.chunks) // 2
        if not middle:
            return []
        return [Part(self.announced, part) for part in (self.chunks[:middle], self.chunks[middle:])]


def chunks_of(
    ring: Ring, lane: int, wire_lane: int, position: int, until_ns: int, most_cells: int
) -> Iterator[tuple[Chunk, int]]:
    """Rows from a position on that were due before `until_ns`, each with its number of cells.

    Raises:
        RingError: what the ring says cannot be.
    """
    columns, reader = ring.layout.lanes[lane].count, ring.reader
    most = max(1, most_cells // columns)
    end = reader.state(lane).committed
    while position < end:
        rows = _rows_until(reader, lane, position, until_ns, most)
        if rows is None:
            return
        times = array("q", rows.scheduled_ns)
        block = raw_block(wire_lane, rows, columns)
        ends_ns = (times[0], times[-1]) if times else (0, 0)
        size_bytes = block_bytes(block)
        chunk = Chunk((ring.id, lane), rows.next_position, block, *ends_ns, size_bytes)
        yield chunk, rows.n * columns
        position = max(position + 1, rows.next_position)


def _rows_until(
    reader: RingReader, lane: int, position: int, until_ns: int, most: int
) -> Rows | None:
    """At most so many rows due before `until_ns`; None for none.

    Read again with a lower limit rather than cut: what a read says of its rows it says of them all.
    """
    while most:
        rows = reader.rows(lane, position, most)
        inside = bisect_left(array("q", rows.scheduled_ns), until_ns)
        if inside < rows.n:
            most = inside
        elif rows.n > 1 and len(rows.reasons) > RUNS_PER_BLOCK:
            most = rows.n // 2
        else:
            return rows if rows.n or rows.overrun else None
    return None


def first_position(reader: RingReader, lane: int, slots: int, from_ns: int) -> int:
    """The position of the first row that was due at `from_ns` or later, else the next one.

    Rows ascend in time; of a ring where they do not, some position is found all the same.
    """
    high = reader.state(lane).committed
    low = max(0, high - slots)
    while low < high:
        middle = (low + high) // 2
        rows = reader.rows(lane, middle, 1)
        if rows.n and array("q", rows.scheduled_ns)[0] < from_ns:
            low = max(middle + 1, min(rows.next_position, high))
        else:
            high = middle
    return low
