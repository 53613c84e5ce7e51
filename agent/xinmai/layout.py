"""What a host's ring holds: devices, lanes and the series of each lane.

A host sends its layout with the ring's descriptor; the supervisor hands both to the shipper unread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xinmai.api import Device, Series
from xinmai.catalog import Kind
from xinmai.errors import ProtocolError

EVENT_LANE = "events"
SELF_LANE = "self"
"""The host's own series, once a second."""


@dataclass(frozen=True, slots=True)
class LaneLayout:
    """One ring lane.

    Args:
        first, count: the lane's columns are `series[first:first + count]`; the event lane has 0.
        calls: name of each probe or poll, by the index that the ring's header shows while it runs.
        cost: cost class, "" for the framework's own lanes.
        owners: hw_id of the device that each call is made on.
    """

    name: str
    period_ns: int
    first: int
    count: int
    calls: Sequence[str] = ()
    cost: str = ""
    owners: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything needed to read one generation of a host's ring.

    Args:
        ring_id: hex of the ring's id.
        generation: grows within a host when devices change.
        stand_in: the readings are simulated at the vendor's ABI.
    """

    plugin: str
    generation: int
    ring_id: str
    stand_in: bool
    devices: Sequence[Device]
    series: Sequence[Series]
    lanes: Sequence[LaneLayout] = field(default=())

    def to_map(self) -> dict[str, Any]:
        """A msgpack-able map."""
        return asdict(self)

    @classmethod
    def from_map(cls, data: Mapping[str, Any]) -> Layout:
        """The inverse of `to_map`.

        Raises:
            ProtocolError: the map is not a layout.
        """
        try:
            return cls(
                plugin=str(data["plugin"]),
                generation=int(data["generation"]),
                ring_id=str(data["ring_id"]),
                stand_in=bool(data["stand_in"]),
                devices=tuple(Device(**entry) for entry in data["devices"]),
                series=tuple(_series(entry) for entry in data["series"]),
                lanes=tuple(LaneLayout(**entry) for entry in data["lanes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"not a layout: {error!r}") from error


def _series(entry: Mapping[str, Any]) -> Series:
    num, den = entry["scale"]
    fixed = {
        "kind": Kind(entry["kind"]),
        "scale": (int(num), int(den)),
        "sentinels": tuple(entry["sentinels"]),
    }
    return Series(**{**entry, **fixed})
