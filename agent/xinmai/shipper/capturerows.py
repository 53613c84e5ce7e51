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
    limit = max(1, most_cells // columns)
    end = reader.state(lane).committed
    while position < end:
        rows = reader.rows(lane, position, limit)
        while rows.n > 1 and len(rows.reasons) > RUNS_PER_BLOCK:
            rows = reader.rows(lane, position, rows.n // 2)
        times = array("q", rows.scheduled_ns)
        inside = bisect_left(times, until_ns)
        if inside < rows.n:
            rows = cut_rows(rows, inside, columns)
        if rows.n or (rows.overrun and inside == len(times)):
            block = raw_block(wire_lane, rows, columns)
            first_ns, last_ns = (times[0], times[rows.n - 1]) if rows.n else (0, 0)
            size = block_bytes(block)
            yield (
                Chunk((ring.id, lane), rows.next_position, block, first_ns, last_ns, size),
                rows.n * columns,
            )
        if inside < len(times) or rows.next_position <= position:
            return
        position = rows.next_position


def cut_rows(rows: Rows, n: int, columns: int) -> Rows:
    """The first `n` of some rows."""
    values = b"".join(
        [rows.values[8 * at * rows.n : 8 * (at * rows.n + n)] for at in range(columns)]
    )
    return rows._replace(
        n=n,
        next_position=rows.first_position + n,
        scheduled_ns=rows.scheduled_ns[: 8 * n],
        begin_ns=rows.begin_ns[: 8 * n],
        duration_ns=rows.duration_ns[: 4 * n],
        missed=rows.missed[: 4 * n],
        values=values,
        reasons=[one for one in rows.reasons if one[1] < n],
    )


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
