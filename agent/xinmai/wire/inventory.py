"""Inventories: everything that samples do not carry, and the schema id that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from xinmai.wire.fields import (
    ATTRIBUTES,
    BOOT,
    COUNT,
    INT64,
    NAME,
    V,
    decode_body,
    fields_of,
)
from xinmai.wire.limits import MAX_LANES, MAX_SERIES, pack_body, refused
from xinmai.wire.messages import VERSION, DeviceEntry, Inventory, LaneEntry, SeriesEntry
from xinmai.wire.shape import (
    Check,
    Fields,
    flag,
    integer,
    listing,
    nullable,
    one_of,
    record,
    row,
    text,
)

_DEVICE: Final[Mapping[str, Check[Any]]] = {
    "hw_id": text,
    "vendor": text,
    "model": text,
    "serial_number": text,
    "parent": text,
    "pci_bdf": text,
    "index": nullable(INT64),
    "plugin": text,
    "stand_in": flag,
    "attributes": ATTRIBUTES,
}
_LANE: Final[Mapping[str, Check[Any]]] = {
    "plugin": text,
    "name": text,
    "period_ns": COUNT,
    "series": row(COUNT, COUNT),
}
_SERIES: Final[Mapping[str, Check[Any]]] = {
    "hw_id": text,
    "metric": text,
    "attributes": ATTRIBUTES,
    "unit": text,
    "kind": one_of("gauge", "counter", "state", "bitmask"),
    "scale": row(INT64, integer(1)),
    "type": one_of("i64", "u64", "f64"),
    "native": text,
    "native_unit": text,
    "refresh_ns": nullable(COUNT),
    "window_ns": nullable(COUNT),
    "plugin": text,
    "stand_in": flag,
}
_INVENTORY: Final = record(
    {
        "v": V,
        "node": NAME,
        "edge": NAME,
        "boot": BOOT,
        "agent": text,
        "time_ns": INT64,
        "stand_in": flag,
        "devices": listing(record(_DEVICE)),
        "lanes": listing(record(_LANE), MAX_LANES),
        "series": listing(record(_SERIES), MAX_SERIES),
    }
)


def encode_inventory(inventory: Inventory) -> bytes:
    """An inventory body; raises Refused over a limit."""
    return pack_body(_map(inventory))


def _map(inventory: Inventory) -> Fields:
    return {
        "v": VERSION,
        **fields_of(inventory, ("node", "edge", "boot", "agent", "time_ns", "stand_in")),
        "devices": [fields_of(device, _DEVICE) for device in inventory.devices],
        "lanes": [
            {
                "plugin": lane.plugin,
                "name": lane.name,
                "period_ns": lane.period_ns,
                "series": [lane.first, lane.count],
            }
            for lane in inventory.lanes
        ],
        "series": [fields_of(series, _SERIES) for series in inventory.series],
    }


def decode_inventory(data: bytes) -> Inventory:
    """The inverse; raises Refused."""
    body = decode_body(data, _INVENTORY)
    series_count = len(body["series"])
    lanes = []
    for index, lane in enumerate(body["lanes"]):
        first, count = lane["series"]
        if first + count > series_count:
            raise refused("value", f"lanes[{index}].series", "beyond the last series")
        lanes.append(LaneEntry(lane["plugin"], lane["name"], lane["period_ns"], first, count))
    body["lanes"] = tuple(lanes)
    body["devices"] = tuple([DeviceEntry(**device) for device in body["devices"]])
    body["series"] = tuple([SeriesEntry(**series) for series in body["series"]])
    return Inventory(**body)


def schema_of(inventory: Inventory) -> str:
    """The schema id, WIRE-30."""
    body = _map(inventory)
    del body["time_ns"]
    return hashlib.sha256(pack_body(_keys_sorted(body))).hexdigest()[:16]


def _keys_sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keys_sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_keys_sorted(entry) for entry in value]
    return value
