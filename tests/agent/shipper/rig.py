"""Rings with a producer in the test, real spools, and what stands in their records, decoded."""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest

from xinmai import clock
from xinmai.api import Device, Series
from xinmai.catalog import Kind
from xinmai.clock import MINUTE_NS, SECOND_NS, Anchor
from xinmai.config import CaptureConfig, ShipperConfig
from xinmai.layout import EVENT_LANE, LaneLayout, Layout
from xinmai.shipper.drain import Drain
from xinmai.shipper.identity import Identity
from xinmai.shipper.positions import known_positions
from xinmai.shipper.rings import RingSet
from xinmai.spool.spools import SpoolSet
from xinmai.wire.blocks import Expanded, expand, kinds_of
from xinmai.wire.codec import decode_batch, decode_inventory, schema_of
from xinmai.wire.messages import Batch, Inventory, Loss, Stream
from xinmai_native import LANE_COLUMNS, LANE_RECORDS
from xinmai_native import Ring as Producer

WALL_NS = 1_790_000_000 * SECOND_NS // MINUTE_NS * MINUTE_NS
"""Wall time of the monotonic zero: a whole minute."""
IDENTITY = Identity("n1", "local", "ab" * 16, "0.1")
TICK_NS = 100_000_000
MIB = 2**20


class Clock:
    """Replaces `xinmai.clock`; stands still until told."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_ns = 1000 * SECOND_NS
        self.wall_offset_ns = WALL_NS
        patch.setattr(clock, "mono_ns", lambda: self.now_ns)
        patch.setattr(clock, "wall_ns", lambda: self.now_ns + self.wall_offset_ns)
        patch.setattr(clock, "anchor", self.anchor)

    @property
    def now_s(self) -> float:
        return self.now_ns / SECOND_NS

    def anchor(self, *, synced: bool | None = None) -> Anchor:
        wall_ns = self.now_ns + self.wall_offset_ns
        return Anchor(self.now_ns, self.now_ns, wall_ns, 1000, synced)

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@dataclass(frozen=True)
class LaneSpec:
    """Columns of one kind."""

    name: str = "fast"
    period_ns: int = TICK_NS
    columns: int = 2
    kind: Kind = Kind.GAUGE
    slots: int = 64


def series_of(plugin: str, lane: LaneSpec, native: str = "") -> list[Series]:
    return [
        Series(
            hw_id="card",
            metric="hw.power",
            unit="W",
            kind=lane.kind,
            attributes={"column": f"{lane.name}{column}", "plugin": plugin},
            native=native,
        )
        for column in range(lane.columns)
    ]


class Host:
    """A plugin host: its ring and its layout."""

    def __init__(
        self,
        plugin: str = "acme",
        lanes: Sequence[LaneSpec] = (LaneSpec(),),
        *,
        generation: int = 1,
        native: str = "",
        event_slots: int = 64,
        event_bytes: int = 2048,
    ) -> None:
        self.lanes = lanes
        self.ring = Producer(
            [
                *((LANE_COLUMNS, one.columns, 0, one.slots, one.period_ns) for one in lanes),
                (LANE_RECORDS, 0, event_bytes, event_slots, SECOND_NS),
            ]
        )
        series: list[Series] = []
        layouts: list[LaneLayout] = []
        for one in lanes:
            layouts.append(LaneLayout(one.name, one.period_ns, len(series), one.columns, ("call",)))
            series += series_of(plugin, one, native)
        layouts.append(LaneLayout(EVENT_LANE, SECOND_NS, len(series), 0))
        self.layout = Layout(
            plugin=plugin,
            generation=generation,
            ring_id=self.ring.id.hex(),
            stand_in=False,
            devices=(Device(hw_id="card", vendor="acme"),),
            series=tuple(series),
            lanes=tuple(layouts),
        )

    @property
    def id(self) -> str:
        return self.layout.ring_id

    def row(
        self,
        at_ns: int,
        value: int = 0,
        *,
        lane: int = 0,
        missed: int = 0,
        reasons: bytes = b"",
        late_ns: int = 0,
    ) -> None:
        """One row: column c has value + c, or its reason."""
        columns = self.lanes[lane].columns
        cells = array("q", [value + column for column in range(columns)])
        self.ring.commit(
            lane, at_ns, at_ns + late_ns, 1000, missed, cells, reasons or bytes(columns)
        )

    def rows(self, start_ns: int, count: int, *, lane: int = 0, value: int = 0) -> None:
        """`count` rows on the lane's grid, numbered from `value` on."""
        period_ns = self.lanes[lane].period_ns
        for at in range(count):
            self.row(start_ns + at * period_ns, value + at, lane=lane)

    def event(self, code: str = "xid", **fields: object) -> None:
        body = {
            "time_ns": WALL_NS,
            "hw_id": "card",
            "code": code,
            "class": "driver",
            "severity": "error",
            "action": "reset",
            "message": "fell off the bus",
            "attributes": {"slot": "3"},
        }
        self.record(msgpack.packb(body | fields))

    def record(self, payload: bytes) -> None:
        self.ring.append(len(self.lanes), 1, payload)


@dataclass
class Reading:
    """One cell with values of a decoded batch."""

    plugin: str
    lane: str
    column: int
    time_ns: int
    count: int
    last: int
    min: int
    max: int
    sum: int


@dataclass
class Rig:
    """Rings, drain and spools of one shipper run."""

    directory: Path
    clock: Clock
    config: ShipperConfig = ShipperConfig()
    budget_bytes: int = 64 * MIB
    packet_bytes: int = MIB
    captures: CaptureConfig = CaptureConfig()
    drained: list[str] = field(default_factory=list)
    is_open: bool = True
    following: list[Rig] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spools = SpoolSet(self.directory, budget_bytes=self.budget_bytes, floor_bytes=0)
        self.rings = RingSet(IDENTITY, known_positions(self.spools))
        self.drain = Drain(
            IDENTITY,
            self.config,
            self.rings,
            self.spools,
            self.drained.append,
            lambda: self.packet_bytes,
            self.captures,
        )

    def close(self) -> None:
        for rig in self.following:
            rig.close()
        if self.is_open:
            self.spools.close()
        self.is_open = False

    def add(self, *hosts: Host) -> None:
        for host in hosts:
            self.rings.add(host.layout, host.ring.fd)

    def run(self, now_ns: int = 0) -> None:
        """Drain, after moving the clock where a time is given."""
        self.clock.now_ns = now_ns or self.clock.now_ns
        self.drain.run()

    def again(self, *hosts: Host) -> Rig:
        """The next run, after this one has ended; it is given these rings."""
        self.close()
        return self._following(self.directory, hosts)

    def killed(self, *hosts: Host) -> Rig:
        """The next run as if this one were killed now."""
        number = len(list(self.directory.parent.iterdir()))
        copy = self.directory.with_name(f"spool{number}")
        shutil.copytree(self.directory, copy)
        return self._following(copy, hosts)

    def _following(self, directory: Path, hosts: Sequence[Host]) -> Rig:
        rig = Rig(
            directory, self.clock, self.config, self.budget_bytes, self.packet_bytes, self.captures
        )
        self.following.append(rig)
        rig.add(*hosts)
        return rig

    def payloads(self, stream: Stream) -> list[bytes]:
        spool = self.spools[stream]
        records = [spool.read(queue, seq) for queue, seq, _ in list(spool.unstored())]
        return [record.payload for record in records if record is not None]

    def batches(self, stream: Stream = "rollup") -> list[Batch]:
        return [decode_batch(payload) for payload in self.payloads(stream)]

    def inventory(self, batch: Batch) -> Inventory:
        payload = self.spools[batch.stream].inventory(batch.schema)
        assert payload is not None
        inventory = decode_inventory(payload)
        assert schema_of(inventory) == batch.schema
        return inventory

    def readings(self, stream: Stream = "rollup") -> list[Reading]:
        """Every cell with values, checked against the accounts of its batch."""
        return [one for batch in self.batches(stream) for one in self.unpacked(batch)]

    def unpacked(self, batch: Batch) -> Iterator[Reading]:
        inventory = self.inventory(batch)
        check_account(batch, inventory)
        for block in batch.blocks:
            lane = inventory.lanes[block.lane]
            found = expand(block, kinds_in(inventory, block.lane))
            for cell in range(len(found.series)):
                yield Reading(
                    lane.plugin,
                    lane.name,
                    found.series[cell],
                    found.window_time_ns[found.window[cell]],
                    found.count[cell],
                    found.last[cell],
                    found.min[cell],
                    found.max[cell],
                    found.sum[cell],
                )

    def values(self, stream: Stream = "raw", column: int = 0) -> list[int]:
        """Of one column, in the order of the batches."""
        return [one.last for one in self.readings(stream) if one.column == column]

    def losses(self) -> list[Loss]:
        return [loss for batch in self.batches("event") for loss in batch.losses]

    def codes(self) -> list[str]:
        return [event.code for batch in self.batches("event") for event in batch.events]

    def store(self, stream: Stream = "rollup") -> None:
        """The collector has everything."""
        spool = self.spools[stream]
        for queue, seq, _ in list(spool.unstored()):
            spool.mark_stored(queue, [(seq, seq)])


def kinds_in(inventory: Inventory, lane: int) -> bytes:
    entry = inventory.lanes[lane]
    series = inventory.series[entry.first : entry.first + entry.count]
    return kinds_of([(one.kind, one.type) for one in series])


def check_account(batch: Batch, inventory: Inventory) -> None:
    """WIRE-47, minute by minute; the tests' raw rows are not late over the end of a minute."""
    if batch.stream == "capture":
        return
    found: Counter[int] = Counter()
    for block in batch.blocks:
        cells = expand(block, kinds_in(inventory, block.lane))
        for window, time_ns in enumerate(cells.window_time_ns):
            found[batch.timeline.minute(time_ns)] += readings_of(cells, window)
    said = {entry.minute: entry.taken - entry.ring_overrun for entry in batch.account}
    assert {m: n for m, n in said.items() if n} == {m: n for m, n in found.items() if n}


def readings_of(cells: Expanded, window: int) -> int:
    valued = sum(n for at, n in zip(cells.window, cells.count, strict=True) if at == window)
    missing = sum(
        run.readings for run in cells.reasons if run.window <= window < run.window + run.windows
    )
    return valued + missing


def totals(batches: Sequence[Batch]) -> tuple[int, int, int]:
    """(taken, missed, ring_overrun) over all accounts."""
    entries = [entry for batch in batches for entry in batch.account]
    return (
        sum(entry.taken for entry in entries),
        sum(entry.missed for entry in entries),
        sum(entry.ring_overrun for entry in entries),
    )
