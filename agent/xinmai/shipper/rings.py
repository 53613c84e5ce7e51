"""The rings the shipper reads: who sent them, how far they are read, which are finished.

A plugin's rings are read strictly one after another, so that what a dead host committed is
shipped, under its own inventory, before its successor's first row.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass

from xinmai import clock
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.shipper.identity import Identity, check_layout
from xinmai.wire.blocks import kinds_of
from xinmai_native import LANE_RECORDS, RingError, RingReader

MAX_MISSED = 2**32
KNOWN_RINGS = 32
"""Finished rings whose positions are kept: one that is sent again is not read again."""

log = logging.getLogger("xinmai.shipper")

Positions = dict[str, dict[int, int]]
"""Next position by ring id and lane."""


@dataclass(slots=True, eq=False)
class Ring:
    """One generation of one host.

    Args:
        added_ns: CLOCK_MONOTONIC when it came.
        gone_ns: from when on it does not grow any more; None: it still may.
    """

    layout: Layout
    reader: RingReader
    positions: dict[int, int]
    kinds: list[bytes]
    added_ns: int
    gone_ns: int | None = None
    closed: bool = False

    @property
    def id(self) -> str:
        """Hex of the ring's id."""
        return self.layout.ring_id

    @property
    def gone(self) -> bool:
        """Whether it will not grow any more."""
        return self.gone_ns is not None and clock.mono_ns() >= self.gone_ns

    @property
    def finished(self) -> bool:
        """Whether it will not grow and everything in it was read."""
        return self.gone and all(
            position >= self.reader.state(lane).committed
            for lane, position in self.positions.items()
        )


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a lane's grid stood when its ring was last read: what follows is missed or taken."""

    scheduled_ns: int
    period_ns: int


class RingSet:
    """All rings, by plugin, oldest first.

    Args:
        known: how far earlier runs of the shipper have read which ring.
    """

    def __init__(self, identity: Identity, known: Positions | None = None) -> None:
        self._identity = identity
        self._queues: dict[str, deque[Ring]] = {}
        self._marks: dict[tuple[str, str], _Mark] = {}
        self._known: Positions = dict(known or {})
        self._dropped: dict[str, str] = {}
        self.damaged: dict[str, str] = {}
        """Why a plugin's newest ring cannot be read, by plugin."""

    def add(self, layout: Layout, fd: int) -> None:
        """Take a ring over; one that is held already may grow again.

        Raises:
            ProtocolError: the descriptor is no ring or does not fit the layout; said in `damaged`.
        """
        if layout.ring_id in self._dropped:
            return
        for ring in self:
            if ring.id == layout.ring_id:
                ring.gone_ns = None
                return
        try:
            self._queues.setdefault(layout.plugin, deque()).append(self._open(layout, fd))
        except (ProtocolError, RingError, OSError) as error:
            self.damaged[layout.plugin] = f"its ring cannot be read: {error}"
            raise ProtocolError(f"ring of plugin {layout.plugin}: {error}") from error
        self.damaged.pop(layout.plugin, None)

    def _open(self, layout: Layout, fd: int) -> Ring:
        reader = RingReader(fd)
        _check_fit(layout, reader)
        check_layout(self._identity, layout)
        start = self._known.get(layout.ring_id, {})
        lanes = range(len(layout.lanes))
        return Ring(
            layout,
            reader,
            {lane: start.get(lane, 0) for lane in lanes},
            [_kinds(layout, lane) for lane in lanes],
            clock.mono_ns(),
        )

    def __iter__(self) -> Iterator[Ring]:
        """Every ring held."""
        for queue in self._queues.values():
            yield from queue

    def newest(self) -> dict[str, Ring]:
        """The youngest ring of each plugin."""
        return {plugin: queue[-1] for plugin, queue in self._queues.items() if queue}

    def heads(self) -> list[Ring]:
        """The ring to read now, of each plugin, in the order of the plugins' names."""
        return [queue[0] for _, queue in sorted(self._queues.items()) if queue]

    def mark_gone(self, ring_id: str) -> None:
        """The ring will not grow any more."""
        for ring in self:
            if ring.id == ring_id:
                ring.gone_ns = 0

    def mark_others_gone(self, but: str, at_ns: int = 0) -> None:
        """From a time on no ring but one will grow: the sampler is gone, or says so."""
        for ring in self:
            if ring.id != but:
                ring.gone_ns = at_ns if ring.gone_ns is None else min(ring.gone_ns, at_ns)

    def drop(self, ring: Ring, why: str) -> None:
        """Give a ring up that cannot be trusted; its successors are read."""
        plugin = ring.layout.plugin
        log.error("ring dropped: plugin=%s ring=%s error=%s", plugin, ring.id, why)
        queue = self._queues[plugin]
        if ring is queue[-1]:
            self.damaged[plugin] = f"its ring is damaged: {why}"
        queue.remove(ring)
        self._dropped[ring.id] = why
        self._let_go(ring)

    def take_finished(self) -> list[Ring]:
        """Remove the heads that are finished, remembering where their grids stood."""
        out = []
        for queue in self._queues.values():
            while queue and queue[0].finished:
                ring = queue.popleft()
                self._remember(ring)
                self._let_go(ring)
                out.append(ring)
        return out

    def _remember(self, ring: Ring) -> None:
        for index, lane in enumerate(ring.layout.lanes):
            state = ring.reader.state(index)
            if lane.count and state.scheduled_ns:
                period_ns = state.period_ns if state.period_ns > 0 else lane.period_ns
                self._marks[ring.layout.plugin, lane.name] = _Mark(state.scheduled_ns, period_ns)

    def _let_go(self, ring: Ring) -> None:
        ring.reader.close()
        ring.closed = True
        self._known.pop(ring.id, None)
        self._known[ring.id] = ring.positions
        while len(self._known) > KNOWN_RINGS:
            del self._known[next(iter(self._known))]

    def keep_known(self, held: Container[str]) -> None:
        """Only these rings can still come again: forget how far others were read."""
        self._known = {key: value for key, value in self._known.items() if key in held}

    def missed_between(self, ring: Ring, lane: int) -> int:
        """Ticks of the lane's grid between the ring before and this one's first row."""
        entry = ring.layout.lanes[lane]
        mark = self._marks.get((ring.layout.plugin, entry.name))
        first = ring.reader.rows(lane, 0, 1) if mark is not None else None
        if mark is None or first is None or not first.n:
            return 0
        passed_ns = array("q", first.scheduled_ns)[0] - mark.scheduled_ns
        # What the ring itself counts before that row is booked with the row.
        counted = 1 + first.overrun + array("I", first.missed)[0]
        return min(MAX_MISSED, max(0, round(passed_ns / mark.period_ns) - counted))

    def positions(self) -> Positions:
        """How far each ring is read, for the spool's record, with those that may come again."""
        held = {ring.id: ring.positions for ring in self}
        return {key: dict(lanes) for key, lanes in (self._known | held).items()}


def _kinds(layout: Layout, lane: int) -> bytes:
    entry = layout.lanes[lane]
    series = layout.series[entry.first : entry.first + entry.count]
    return kinds_of([(one.kind.value, one.type) for one in series])


def _check_fit(layout: Layout, reader: RingReader) -> None:
    if reader.id.hex() != layout.ring_id:
        raise ProtocolError(f"ring {reader.id.hex()} came as {layout.ring_id}")
    if len(reader.lanes) != len(layout.lanes):
        raise ProtocolError(
            f"{len(reader.lanes)} lanes in the ring, {len(layout.lanes)} in the layout"
        )
    last = len(layout.lanes) - 1
    for index, ((kind, columns, _, _), lane) in enumerate(
        zip(reader.lanes, layout.lanes, strict=True)
    ):
        fits = columns == lane.count and 0 <= lane.first <= len(layout.series) - lane.count
        if not fits or lane.period_ns < 1 or (kind == LANE_RECORDS) != (index == last):
            raise ProtocolError(f"lane {lane.name} does not fit the ring")
