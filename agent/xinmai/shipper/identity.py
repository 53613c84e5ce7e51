"""Who this node is on the wire, and the inventory it announces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.wire.codec import decode_inventory, encode_inventory
from xinmai.wire.messages import DeviceEntry, Inventory, LaneEntry, SeriesEntry


@dataclass(frozen=True, slots=True)
class Identity:
    """What every message of this run carries."""

    node: str
    edge: str
    boot: str
    agent: str


def make_inventory(identity: Identity, layouts: Sequence[Layout], time_ns: int) -> Inventory:
    """The inventory of some layouts; lanes and series are numbered in their order.

    Event lanes have no columns and are left out, so a layout's lane k is the inventory's lane
    (lanes of the layouts before) + k.
    """
    devices: list[DeviceEntry] = []
    lanes: list[LaneEntry] = []
    series: list[SeriesEntry] = []
    for layout in layouts:
        first = len(series)
        lanes += [
            LaneEntry(layout.plugin, lane.name, lane.period_ns, first + lane.first, lane.count)
            for lane in layout.lanes
            if lane.count
        ]
        devices += _devices(layout)
        series += _series(layout)
    return Inventory(
        node=identity.node,
        edge=identity.edge,
        boot=identity.boot,
        agent=identity.agent,
        time_ns=time_ns,
        stand_in=any(layout.stand_in for layout in layouts),
        devices=devices,
        lanes=lanes,
        series=series,
    )


def check_layout(identity: Identity, layout: Layout) -> None:
    """Whether a collector will take the layout's inventory: a host runs vendor code.

    Raises:
        ProtocolError: it would refuse it, and every batch of this node with it.
    """
    try:
        decode_inventory(encode_inventory(make_inventory(identity, [layout], 0)))
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ProtocolError(f"not a layout: {error!r}") from error


def _devices(layout: Layout) -> list[DeviceEntry]:
    return [
        DeviceEntry(
            hw_id=device.hw_id,
            vendor=device.vendor,
            model=device.model,
            serial_number=device.serial_number,
            parent=device.parent,
            pci_bdf=device.pci_bdf,
            index=device.index,
            plugin=layout.plugin,
            stand_in=layout.stand_in,
            attributes=dict(device.attributes),
        )
        for device in layout.devices
    ]


def _series(layout: Layout) -> list[SeriesEntry]:
    return [
        SeriesEntry(
            hw_id=one.hw_id,
            metric=one.metric,
            attributes=dict(one.attributes),
            unit=one.unit,
            kind=one.kind.value,
            scale=one.scale,
            type=one.type,
            native=one.native,
            native_unit=one.native_unit,
            refresh_ns=one.refresh_ns,
            window_ns=one.window_ns,
            plugin=layout.plugin,
            stand_in=layout.stand_in,
        )
        for one in layout.series
    ]
