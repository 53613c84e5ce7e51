"""What a series id means, and which devices there are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final

import msgpack
import pyarrow as pa

from xinmai.wire.messages import DeviceEntry, Inventory, LaneEntry, SeriesEntry

MAP_TYPE: Final = pa.map_(pa.string(), pa.string())
SERIES_SCHEMA: Final = pa.schema(
    [
        ("series_id", pa.int64()),
        ("edge", pa.string()),
        ("node", pa.string()),
        ("hw_id", pa.string()),
        ("metric", pa.string()),
        ("attributes", MAP_TYPE),
        ("unit", pa.string()),
        ("kind", pa.string()),
        ("type", pa.string()),
        ("num", pa.int64()),
        ("den", pa.int64()),
        ("native", pa.string()),
        ("native_unit", pa.string()),
        ("refresh_ns", pa.int64()),
        ("window_ns", pa.int64()),
        ("period_ns", pa.int64()),
        ("plugin", pa.string()),
        ("stand_in", pa.bool_()),
    ]
)
DEVICE_SCHEMA: Final = pa.schema(
    [
        ("edge", pa.string()),
        ("node", pa.string()),
        ("hw_id", pa.string()),
        ("vendor", pa.string()),
        ("model", pa.string()),
        ("serial_number", pa.string()),
        ("parent", pa.string()),
        ("pci_bdf", pa.string()),
        ("index", pa.int64()),
        ("plugin", pa.string()),
        ("stand_in", pa.bool_()),
        ("present", pa.bool_()),
        ("first_seen_ns", pa.int64()),
        ("last_seen_ns", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class SeriesMeta:
    """One series of one node, as it was last described."""

    series_id: int
    edge: str
    node: str
    hw_id: str
    metric: str
    attributes: tuple[tuple[str, str], ...]
    unit: str
    kind: str
    type: str
    num: int
    den: int
    native: str
    native_unit: str
    refresh_ns: int | None
    window_ns: int | None
    period_ns: int | None
    plugin: str
    stand_in: bool

    @classmethod
    def of(cls, edge: str, node: str, entry: SeriesEntry, period_ns: int | None) -> SeriesMeta:
        """From an inventory's entry."""
        attributes = tuple(sorted(entry.attributes.items()))
        num, den = entry.scale
        return cls(
            series_id_of(edge, node, entry, attributes),
            edge,
            node,
            entry.hw_id,
            entry.metric,
            attributes,
            entry.unit,
            entry.kind,
            entry.type,
            num,
            den,
            entry.native,
            entry.native_unit,
            entry.refresh_ns,
            entry.window_ns,
            period_ns,
            entry.plugin,
            entry.stand_in,
        )

    def to_line(self) -> bytes:
        """One line of the series file."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> SeriesMeta:
        """The inverse.

        Raises:
            ValueError, TypeError, KeyError: it is no such line.
        """
        fields = json.loads(line)
        pairs = fields["attributes"]
        fields["attributes"] = tuple((str(key), str(value)) for key, value in pairs)
        return cls(**fields)


def series_id_of(
    edge: str, node: str, entry: SeriesEntry, attributes: tuple[tuple[str, str], ...]
) -> int:
    """Identity of a series; what its integers mean is part of it: a new scale is a new id."""
    meaning = (entry.unit, entry.kind, entry.type, *entry.scale)
    identity = msgpack.packb((edge, node, entry.hw_id, entry.metric, attributes, meaning))
    return int.from_bytes(hashlib.sha256(identity).digest()[:8], "big", signed=True)


def metas_of(inventory: Inventory) -> list[SeriesMeta]:
    """Every series of an inventory, in its order."""
    periods: list[int | None] = [None] * len(inventory.series)
    for lane in inventory.lanes:
        periods[lane.first : lane.first + lane.count] = [lane.period_ns or None] * lane.count
    return [
        SeriesMeta.of(inventory.edge, inventory.node, entry, period_ns)
        for entry, period_ns in zip(inventory.series, periods, strict=True)
    ]


def readings_hz(lanes: Iterable[LaneEntry]) -> float:
    """Readings a second that an inventory's lanes promise."""
    return sum(lane.count * 1e9 / lane.period_ns for lane in lanes if lane.period_ns > 0)


class SeriesView:
    """All series at one moment; the Arrow table is made by the first who asks, in its thread."""

    def __init__(self, metas: Sequence[SeriesMeta]) -> None:
        self.metas = metas

    @cached_property
    def table(self) -> pa.Table:
        """As rows of SERIES_SCHEMA."""
        return _table(self.metas, SERIES_SCHEMA)


class SeriesTable:
    """Every series that stored rows name."""

    def __init__(self, metas: Iterable[SeriesMeta] = ()) -> None:
        self._metas: dict[int, SeriesMeta] = {}
        self._by_node: dict[tuple[str, str], dict[int, SeriesMeta]] = {}
        self._view: SeriesView | None = None
        self.adopt(metas)

    def __len__(self) -> int:
        return len(self._metas)

    def adopt(self, metas: Iterable[SeriesMeta]) -> None:
        """Take newer descriptions."""
        for meta in metas:
            if self._metas.get(meta.series_id) != meta:
                self._metas[meta.series_id] = meta
                self._by_node.setdefault((meta.edge, meta.node), {})[meta.series_id] = meta
                self._view = None

    def find(self, series_id: int) -> SeriesMeta | None:
        """A series by id."""
        return self._metas.get(series_id)

    def of_node(self, edge: str, node: str) -> Iterable[SeriesMeta]:
        """A node's series."""
        return self._by_node.get((edge, node), {}).values()

    def view(self) -> SeriesView:
        """All series now; unchanging."""
        if self._view is None:
            self._view = SeriesView(tuple(self._metas.values()))
        return self._view


def _table(rows: Sequence[object], schema: pa.Schema) -> pa.Table:
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """One device of one node and when it was seen."""

    edge: str
    node: str
    entry: DeviceEntry
    present: bool
    first_seen_ns: int
    last_seen_ns: int

    def to_map(self) -> dict[str, Any]:
        """For the state of a sealed set."""
        return {**asdict(self), "entry": asdict(self.entry)}

    @classmethod
    def from_map(cls, data: Mapping[str, Any]) -> DeviceRow:
        """The inverse; raises KeyError or TypeError."""
        return cls(**{**data, "entry": DeviceEntry(**data["entry"])})


@dataclass(frozen=True, slots=True)
class Version:
    """Which inventory of a node its devices were last taken from."""

    schema: str
    boot: str
    time_ns: int


class DeviceBook:
    """Devices of all nodes; `present` follows the newest inventory that stored data names."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], dict[str, DeviceRow]] = {}
        self._versions: dict[tuple[str, str], Version] = {}

    def adopt(self, schema: str, inventory: Inventory, now_ns: int, boot: str = "") -> bool:
        """Take an inventory's devices.

        Args:
            now_ns: wall time of the batch that names it.
            boot: boot that the node says it is in, "" where unknown: a backlog from before
                a reboot does not bring back what is gone.

        Returns:
            Whether it is the node's newest.
        """
        key = (inventory.edge, inventory.node)
        before = self._versions.get(key)
        if before is not None and before.schema == schema:
            return True
        devices = self._nodes.setdefault(key, {})
        newest = before is None or _newer(inventory, before, boot)
        if newest:
            self._versions[key] = Version(schema, inventory.boot, inventory.time_ns)
            for hw_id, row in devices.items():
                devices[hw_id] = replace(row, present=False)
        for entry in inventory.devices:
            held = devices.get(entry.hw_id)
            if held is None:
                devices[entry.hw_id] = DeviceRow(*key, entry, newest, now_ns, now_ns)
            elif newest:
                devices[entry.hw_id] = replace(held, entry=entry, present=True)
        return newest

    def seen(self, edge: str, node: str, hw_id: str, time_ns: int) -> None:
        """A reading with a value came from a device."""
        devices = self._nodes.get((edge, node), {})
        row = devices.get(hw_id)
        if row is not None and time_ns > row.last_seen_ns:
            devices[hw_id] = replace(row, last_seen_ns=time_ns)

    def schema_of(self, edge: str, node: str) -> str | None:
        """The schema of a node's newest inventory."""
        version = self._versions.get((edge, node))
        return version.schema if version else None

    def of_node(self, edge: str, node: str) -> Sequence[DeviceRow]:
        """A node's devices, also those that are gone."""
        return list(self._nodes.get((edge, node), {}).values())

    def to_map(self) -> dict[str, Any]:
        """For the state of a sealed set."""
        return {
            "devices": [row.to_map() for rows in self._nodes.values() for row in rows.values()],
            "versions": [[*key, asdict(version)] for key, version in self._versions.items()],
        }

    @classmethod
    def from_map(cls, data: Mapping[str, Any]) -> DeviceBook:
        """The inverse; raises KeyError, ValueError or TypeError."""
        book = cls()
        for entry in data["devices"]:
            row = DeviceRow.from_map(entry)
            book._nodes.setdefault((row.edge, row.node), {})[row.entry.hw_id] = row
        for edge, node, version in data["versions"]:
            book._versions[edge, node] = Version(**version)
        return book

    def rows(self) -> Sequence[DeviceRow]:
        """Every device now; unchanging."""
        return [row for rows in self._nodes.values() for row in rows.values()]


def device_table(rows: Sequence[DeviceRow]) -> pa.Table:
    """Devices as rows of DEVICE_SCHEMA."""
    columns = [
        pa.array(
            [getattr(row if hasattr(row, field.name) else row.entry, field.name) for row in rows],
            field.type,
        )
        for field in DEVICE_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=DEVICE_SCHEMA)


def _newer(inventory: Inventory, before: Version, boot: str) -> bool:
    if boot and (inventory.boot == boot) != (before.boot == boot):
        return inventory.boot == boot
    return inventory.time_ns >= before.time_ns
