"""The rings the shipper reads: who sent them, how far they are read, which are finished.

A plugin's rings are read strictly one after another, so that what a dead host committed is
shipped, under its own inventory, before its successor's first row.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.wire.blocks import kinds_of
from xinmai_native import RingError, RingReader

log = logging.getLogger("xinmai.shipper")

Positions = dict[str, dict[int, int]]
"""Next position by ring id and lane."""


@dataclass(slots=True)
class Ring:
    """One generation of one host."""

    layout: Layout
    reader: RingReader
    positions: dict[int, int]
    kinds: list[bytes]
    gone: bool = False

    @property
    def finished(self) -> bool:
        """Whether it will not grow and everything in it was read."""
        return self.gone and all(
            self.positions[lane] >= self.reader.state(lane).committed for lane in self.positions
        )


@dataclass(slots=True)
class Mark:
    """Where a lane's grid stood when its ring was last read: what follows is missed or taken."""

    scheduled_ns: int
    period_ns: int
    columns: int


@dataclass(slots=True)
class RingSet:
    """All rings, by plugin, oldest first."""

    queues: dict[str, deque[Ring]] = field(default_factory=dict)
    marks: dict[tuple[str, str], Mark] = field(default_factory=dict)

    def add(self, layout: Layout, fd: int, known: Mapping[str, Mapping[int, int]]) -> None:
        """Take a ring over; `known` says how far earlier runs of the shipper have read it.

        Raises:
            ProtocolError: the descriptor is no ring or does not fit the layout.
        """
        if any(ring.layout.ring_id == layout.ring_id for ring in self.all()):
            return
        try:
            reader = RingReader(fd)
        except RingError as error:
            raise ProtocolError(f"ring of plugin {layout.plugin}: {error}") from error
        _check_fit(layout, reader)
        start = known.get(layout.ring_id, {})
        ring = Ring(
            layout,
            reader,
            {lane: start.get(lane, 0) for lane in range(len(layout.lanes))},
            [_kinds(layout, lane) for lane in range(len(layout.lanes))],
        )
        self.queues.setdefault(layout.plugin, deque()).append(ring)

    def all(self) -> Iterator[Ring]:
        """Every ring held."""
        for queue in self.queues.values():
            yield from queue

    def heads(self) -> list[Ring]:
        """The ring to read now, of each plugin, in the order of the plugins' names."""
        return [queue[0] for _, queue in sorted(self.queues.items()) if queue]

    def mark_gone(self, ring_id: str) -> None:
        """The ring will not grow any more."""
        for ring in self.all():
            if ring.layout.ring_id == ring_id:
                ring.gone = True

    def mark_all_gone(self) -> None:
        """The sampler is gone, and its hosts with it."""
        for ring in self.all():
            ring.gone = True

    def take_finished(self) -> list[Ring]:
        """Remove the heads that are finished, remembering where their grids stood."""
        out = []
        for queue in self.queues.values():
            while queue and queue[0].finished:
                ring = queue.popleft()
                self._remember(ring)
                ring.reader.close()
                out.append(ring)
        return out

    def _remember(self, ring: Ring) -> None:
        for index, lane in enumerate(ring.layout.lanes):
            state = ring.reader.state(index)
            if lane.count and state.scheduled_ns:
                mark = Mark(state.scheduled_ns, state.period_ns or lane.period_ns, lane.count)
                self.marks[(ring.layout.plugin, lane.name)] = mark

    def missed_between(self, ring: Ring, lane: int, first_scheduled_ns: int) -> int:
        """Ticks of the lane's grid between the ring before and this ring's first row."""
        layout = ring.layout.lanes[lane]
        mark = self.marks.pop((ring.layout.plugin, layout.name), None)
        if mark is None:
            return 0
        return max(0, round((first_scheduled_ns - mark.scheduled_ns) / mark.period_ns) - 1)

    def positions(self) -> Positions:
        """How far each ring is read, for the spool's record."""
        return {ring.layout.ring_id: dict(ring.positions) for ring in self.all()}


def _kinds(layout: Layout, lane: int) -> bytes:
    entry = layout.lanes[lane]
    series = layout.series[entry.first : entry.first + entry.count]
    return kinds_of([(one.kind.value, one.type) for one in series])


def _check_fit(layout: Layout, reader: RingReader) -> None:
    if reader.id.hex() != layout.ring_id:
        raise ProtocolError(
            f"plugin {layout.plugin}: ring {reader.id.hex()} came as {layout.ring_id}"
        )
    if len(reader.lanes) != len(layout.lanes):
        raise ProtocolError(
            f"plugin {layout.plugin}: {len(reader.lanes)} lanes in the ring, "
            f"{len(layout.lanes)} in the layout"
        )
    for (_, columns, _, _), lane in zip(reader.lanes, layout.lanes, strict=True):
        if columns != lane.count or lane.first + lane.count > len(layout.series):
            raise ProtocolError(f"plugin {layout.plugin}: lane {lane.name} does not fit the ring")
