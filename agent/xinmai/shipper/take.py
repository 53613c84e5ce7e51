"""One read of one lane: a packed block and what it means for the account. Trusts no host (C6)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from xinmai.clock import SECOND_NS, Timeline
from xinmai.shipper.rings import Ring
from xinmai.wire.blocks import raw_block, rollup_block
from xinmai.wire.messages import Block
from xinmai_native import RingError, Rows, Windows

RUNS_PER_BLOCK = 8_192
"""Reason runs, seven values each: a block stays far inside the limits of a body."""
MAX_READINGS = 2**36
"""Overwritten or missed in one read: a day of a kilohertz lane of 800 series is less."""
AHEAD_NS = 60 * SECOND_NS
FOREVER_NS = 2**63 - 1


@dataclass(slots=True)
class Take:
    """What one read took; counts are in readings.

    Args:
        position: where reading goes on once this is kept.
        block: None where there is no row.
        taken, missed: by minute; taken without overrun.
        cells: of the block, with a value or without.
        first_ns: the earliest time in the block.
        more: whether the lane may have more now.
    """

    ring: Ring
    lane: int
    position: int
    block: Block | None = None
    taken: dict[int, int] = field(default_factory=dict)
    missed: dict[int, int] = field(default_factory=dict)
    overrun: int = 0
    between: int = 0
    size_bytes: int = 0
    cells: int = 0
    first_ns: int = FOREVER_NS
    more: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.block or self.between)


class How(NamedTuple):
    """How a lane is read.

    Args:
        wire_lane: index in the inventory.
        close_ns: windows that end by then are closed even though no later row has come.
        cells: about as many in a block at most.
        between: ticks missed between the ring before and this one.
        final: nothing will come after this.
        look: shown what was read.
    """

    wire_lane: int
    width_ns: int
    close_ns: int
    cells: int
    between: int = 0
    final: bool = False
    look: Callable[[Windows | Rows], None] | None = None


Taker = Callable[[Ring, int, int, Timeline, How], Take]
"""Reads a lane of a ring from a position on."""


def take_windows(ring: Ring, lane: int, position: int, timeline: Timeline, how: How) -> Take:
    """Roll rows up to windows.

    Raises:
        RingError: what the ring says cannot be.
    """
    columns, kinds = ring.layout.lanes[lane].count, ring.kinds[lane]
    limit = max(1, how.cells // columns)
    committed = ring.reader.state(lane).committed if how.final else 0
    while True:
        windows = ring.reader.windows(lane, position, how.width_ns, how.close_ns, limit, kinds)
        if windows.n <= 1 or len(windows.reasons) <= RUNS_PER_BLOCK:
            break
        limit = windows.n // 2
    if not windows.n and windows.next_position < committed:
        raise RingError(f"lane {lane} has a row of a time that never ends")
    take = _new_take(ring, lane, windows, how)
    take.more = windows.n == limit
    if windows.n:
        _book(take, timeline, windows.start_ns, windows.missed, array("I", windows.ticks))
        if how.look is not None:
            how.look(windows)
    if windows.n or windows.overrun:
        take.block = rollup_block(how.wire_lane, how.width_ns, windows, kinds)
        take.size_bytes, take.cells = block_bytes(take.block), windows.n * columns
    return take


def take_rows(ring: Ring, lane: int, position: int, timeline: Timeline, how: How) -> Take:
    """Rows at full rate.

    Raises:
        RingError: what the ring says cannot be.
    """
    columns = ring.layout.lanes[lane].count
    limit = max(1, how.cells // columns)
    while True:
        rows = ring.reader.rows(lane, position, limit)
        if rows.n <= 1 or len(rows.reasons) <= RUNS_PER_BLOCK:
            break
        limit = rows.n // 2
    take = _new_take(ring, lane, rows, how)
    # A row that cannot be read ends a batch; at the end of a ring there is no next second.
    take.more = rows.n == limit or (how.final and rows.n > 0)
    if rows.n:
        _book(take, timeline, rows.scheduled_ns, rows.missed, [1] * rows.n)
        if how.look is not None:
            how.look(rows)
    if rows.n or rows.overrun:
        take.block = raw_block(how.wire_lane, rows, columns)
        take.size_bytes, take.cells = block_bytes(take.block), rows.n * columns
    return take


def _new_take(ring: Ring, lane: int, read: Windows | Rows, how: How) -> Take:
    columns = ring.layout.lanes[lane].count
    overrun = read.overrun * columns
    if overrun > MAX_READINGS:
        raise RingError(f"lane {lane} claims {overrun} readings that nobody read")
    between = min(MAX_READINGS, how.between * columns)
    return Take(ring, lane, read.next_position, overrun=overrun, between=between)


def _book(
    take: Take, timeline: Timeline, times_ns: bytes, missed: bytes, ticks: Iterable[int]
) -> None:
    """By the minute of windows or rows."""
    columns = take.ring.layout.lanes[take.lane].count
    times, skipped = array("q", times_ns), array("I", missed)
    take.first_ns = min(times)
    if take.first_ns < 0 or max(times) > timeline.anchor.mono_ns + AHEAD_NS:
        raise RingError(f"lane {take.lane} has a row of a time that is not of this boot")
    if sum(skipped) * columns > MAX_READINGS:
        raise RingError(f"lane {take.lane} claims {sum(skipped)} missed ticks")
    for time_ns, count, ticks_missed in zip(times, ticks, skipped, strict=True):
        minute = timeline.minute(time_ns)
        take.taken[minute] = take.taken.get(minute, 0) + count * columns
        if ticks_missed:
            take.missed[minute] = take.missed.get(minute, 0) + ticks_missed * columns


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
    # The names of a block's keys and its numbers take some 100 bytes.
    return sum(map(len, filter(None, blobs))) + 24 * len(block.reasons) + 128
