"""The inventories in force: one for all rings, several only where one would be over a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xinmai.errors import Refused
from xinmai.shipper.identity import Identity, make_inventory
from xinmai.shipper.rings import Ring
from xinmai.wire.codec import encode_inventory, schema_of
from xinmai.wire.messages import Stream

StreamOf = Callable[[Ring, int], Stream]
"""The stream that a ring's lane goes to."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """Lanes of one ring that go to one stream.

    Args:
        numbers: (index in the ring, index in the inventory) of each.
    """

    ring: Ring
    stream: Stream
    numbers: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Announced:
    """An inventory, and the rings that it describes."""

    schema: str
    payload: bytes
    stand_in: bool
    rings: Sequence[Ring]
    lanes: Sequence[Lanes]

    def open_rings(self) -> Iterator[Ring]:
        """Those that are held still."""
        return (ring for ring in self.rings if not ring.closed)


def announce(
    identity: Identity, rings: Sequence[Ring], time_ns: int, stream_of: StreamOf
) -> list[Announced]:
    """Inventories of the rings, each within the limits of the wire.

    Raises:
        Refused: a single ring is over a limit; `check_layout` lets none pass.
    """
    inventory = make_inventory(identity, [ring.layout for ring in rings], time_ns)
    try:
        payload = encode_inventory(inventory)
    except Refused:
        middle = len(rings) // 2
        if not middle:
            raise
        halves = rings[:middle], rings[middle:]
        return [one for half in halves for one in announce(identity, half, time_ns, stream_of)]
    lanes = list(_lanes(rings, stream_of))
    return [Announced(schema_of(inventory), payload, inventory.stand_in, rings, lanes)]


def _lanes(rings: Sequence[Ring], stream_of: StreamOf) -> Iterator[Lanes]:
    base = 0
    for ring in rings:
        numbers: dict[Stream, list[tuple[int, int]]] = {}
        count = sum(1 for lane in ring.layout.lanes if lane.count)
        for lane in range(count):
            numbers.setdefault(stream_of(ring, lane), []).append((lane, base + lane))
        base += count
        for stream, mine in numbers.items():
            yield Lanes(ring, stream, mine)
