"""From rings to spool: roll up, pack, account, append. A position moves only after the append."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from xinmai import clock
from xinmai.clock import Anchor
from xinmai.config import ShipperConfig
from xinmai.shipper.events import read_event
from xinmai.shipper.identity import Identity, make_inventory
from xinmai.shipper.pending import Pending
from xinmai.shipper.positions import pack_positions
from xinmai.shipper.rings import Positions, Ring, RingSet
from xinmai.spool.spools import SpoolSet
from xinmai.wire.blocks import raw_block, rollup_block
from xinmai.wire.codec import encode_batch, encode_inventory, schema_of
from xinmai.wire.messages import (
    AccountEntry,
    Batch,
    Block,
    EventEntry,
    Inventory,
    Loss,
    Stream,
)

CELLS_PER_BLOCK = 16_384
"""Worst case 5 statistics of 10 bytes each, or a reason run a cell: a block stays in the limits."""
RAW_CELLS_PER_BLOCK = 65_536
"""Of values alone, at most 9 bytes each; longer columns are packed denser and faster."""
CELLS_PER_BATCH = 2**20
"""Half of what a collector takes: what never changes is packed so small that bytes do not tell."""
EVENTS_PER_BATCH = 256
FOREVER_NS = 2**62

log = logging.getLogger("xinmai.shipper")


@dataclass(slots=True)
class Totals:
    """Since this shipper started; the first three in readings."""

    taken: int = 0
    missed: int = 0
    ring_overrun: int = 0
    batches: int = 0
    bytes: int = 0


class Drain:
    """Reads every ring's news into the spools; run about once a second.

    Args:
        on_drained: told the id of each ring that is finished.
    """

    def __init__(
        self,
        identity: Identity,
        config: ShipperConfig,
        rings: RingSet,
        spools: SpoolSet,
        on_drained: Callable[[str], None],
    ) -> None:
        self._identity, self._config = identity, config
        self._rings, self._spools = rings, spools
        self._on_drained = on_drained
        self._heads: list[str] = []
        self._schema = ""
        self._lane_base: dict[str, int] = {}
        self._streams: dict[tuple[str, int], Stream] = {}
        self.inventory: Inventory | None = None
        self.totals = Totals()

    def run(self, *, final: bool = False) -> None:
        """Take everything that is ready.

        Args:
            final: close every window, however young: nothing will come after it.

        Raises:
            OSError: the spool cannot take more; positions stay, the rings keep what they hold.
        """
        while True:
            heads = self._rings.heads()
            anchor = clock.anchor()
            self._announce(heads, anchor)
            self._drain_columns(heads, anchor, final=final)
            self._drain_events(heads, anchor)
            finished = self._rings.take_finished()
            for ring in finished:
                self._on_drained(ring.layout.ring_id)
            if not finished:
                return

    def _announce(self, heads: Sequence[Ring], anchor: Anchor) -> None:
        """Make the inventory of the rings at hand current, if it is another one."""
        ids = [ring.layout.ring_id for ring in heads]
        if ids == self._heads and self._schema:
            return
        self._heads = ids
        layouts = [ring.layout for ring in heads]
        self.inventory = make_inventory(self._identity, layouts, anchor.real_ns)
        self._schema = schema_of(self.inventory)
        payload = encode_inventory(self.inventory)
        for spool in self._spools:
            spool.put_inventory(self._schema, payload)
        self._lane_base, self._streams = {}, {}
        base = 0
        for ring in heads:
            self._lane_base[ring.layout.ring_id] = base
            for lane, entry in enumerate(ring.layout.lanes):
                if entry.count:
                    name = f"{ring.layout.plugin}/{entry.name}"
                    raw = any(fnmatch(name, pattern) for pattern in self._config.raw)
                    self._streams[ring.layout.ring_id, lane] = "raw" if raw else "rollup"
                    base += 1

    def _drain_columns(self, heads: Sequence[Ring], anchor: Anchor, *, final: bool) -> None:
        batches: dict[Stream, Pending] = {}
        for ring in heads:
            for lane, entry in enumerate(ring.layout.lanes):
                if not entry.count:
                    continue
                stream = self._streams[ring.layout.ring_id, lane]
                more = True
                while more:
                    batch = batches.setdefault(stream, Pending(stream, anchor))
                    take = self._take_rows if stream == "raw" else self._take_windows
                    more = take(ring, lane, batch, final or ring.gone)
                    if batch.is_full(self._config.batch_bytes, CELLS_PER_BATCH):
                        self._append(batches.pop(stream))
        for batch in batches.values():
            self._append(batch)

    def _take_windows(self, ring: Ring, lane: int, batch: Pending, final: bool) -> bool:
        """Add one block of windows; True when the lane may have more."""
        columns = ring.layout.lanes[lane].count
        limit = max(1, CELLS_PER_BLOCK // columns)
        kinds, width_ns = ring.kinds[lane], self._config.window_ns
        close_ns = FOREVER_NS if final else self._close_before_ns(ring, lane, batch.anchor)
        windows = ring.reader.windows(
            lane, batch.position(ring, lane), width_ns, close_ns, limit, kinds
        )
        missed = self._between(ring, lane) * columns
        if windows.n:
            block = rollup_block(self._wire_lane(ring, lane), width_ns, windows, kinds)
            batch.add(block, columns, windows.start_ns, windows.missed, windows.ticks)
        overrun = windows.overrun * columns
        if windows.n or overrun or missed:
            batch.move(ring, lane, windows.next_position, overrun=overrun, missed=missed)
        return windows.n == limit

    def _take_rows(self, ring: Ring, lane: int, batch: Pending, _final: bool) -> bool:
        """Add one block of rows at full rate; True when the lane may have more."""
        columns = ring.layout.lanes[lane].count
        position = batch.position(ring, lane)
        limit = max(1, RAW_CELLS_PER_BLOCK // columns)
        rows = ring.reader.rows(lane, position, limit)
        if len(rows.reasons) > CELLS_PER_BLOCK:
            limit = max(1, CELLS_PER_BLOCK // columns)
            rows = ring.reader.rows(lane, position, limit)
        missed = self._between(ring, lane) * columns
        if rows.n:
            block = raw_block(self._wire_lane(ring, lane), rows, columns)
            batch.add(block, columns, rows.scheduled_ns, rows.missed)
        overrun = rows.overrun * columns
        if rows.n or overrun or missed:
            batch.move(ring, lane, rows.next_position, overrun=overrun, missed=missed)
        return rows.n == limit

    def _between(self, ring: Ring, lane: int) -> int:
        """Ticks missed between the ring before and this one; asked once per lane of a new ring."""
        name = ring.layout.lanes[lane].name
        if ring.positions[lane] or (ring.layout.plugin, name) not in self._rings.marks:
            return 0
        first = ring.reader.rows(lane, 0, 1)
        if not first.n:
            return 0
        return self._rings.missed_between(ring, lane, array("q", first.scheduled_ns)[0])

    def _close_before_ns(self, ring: Ring, lane: int, anchor: Anchor) -> int:
        """Windows that end by then are closed even though no later row has come.

        A lane slower than the window has one row per window: nothing else can come. A faster one
        is given two ticks more, which matters only when it falls silent.
        """
        period_ns = ring.reader.state(lane).period_ns or ring.layout.lanes[lane].period_ns
        return FOREVER_NS if period_ns >= self._config.window_ns else anchor.mono_ns - 2 * period_ns

    def _wire_lane(self, ring: Ring, lane: int) -> int:
        return self._lane_base[ring.layout.ring_id] + lane

    def _append(self, batch: Pending) -> None:
        if batch.is_empty:
            return
        account = batch.account()
        self._put(
            batch.stream,
            batch.anchor,
            batch.positions(self._rings.positions()),
            blocks=batch.blocks,
            account=account,
            readings=[(entry.minute, entry.taken) for entry in account],
        )
        batch.settle()
        self.totals.taken += batch.taken.total()
        self.totals.missed += batch.missed.total()
        self.totals.ring_overrun += batch.overrun.total()

    def _drain_events(self, heads: Sequence[Ring], anchor: Anchor) -> None:
        losses = self._spools.take_losses()
        if losses:
            self._put("event", anchor, self._rings.positions(), losses=losses)
        for ring in heads:
            lane = len(ring.layout.lanes) - 1
            while True:
                at, overrun, records = ring.reader.records(
                    lane, ring.positions[lane], EVENTS_PER_BATCH
                )
                if overrun:
                    log.warning("events overrun: plugin=%s n=%d", ring.layout.plugin, overrun)
                if not records:
                    ring.positions[lane] = at
                    break
                events = [read_event(ring.layout.plugin, payload) for _, payload in records]
                positions = self._rings.positions()
                positions[ring.layout.ring_id][lane] = at
                self._put("event", anchor, positions, events=events)
                ring.positions[lane] = at

    def _put(
        self,
        stream: Stream,
        anchor: Anchor,
        positions: Positions,
        *,
        blocks: Sequence[Block] = (),
        events: Sequence[EventEntry] = (),
        losses: Sequence[Loss] = (),
        account: Sequence[AccountEntry] = (),
        readings: Sequence[tuple[int, int]] = (),
    ) -> None:
        spool = self._spools[stream]
        queue, seq = spool.next_identity()
        payload = encode_batch(
            Batch(
                node=self._identity.node,
                edge=self._identity.edge,
                boot=self._identity.boot,
                stream=stream,
                queue=queue,
                seq=seq,
                schema=self._schema,
                clock=anchor,
                blocks=blocks,
                events=events,
                losses=losses,
                account=account,
                stand_in=bool(self.inventory and self.inventory.stand_in),
            )
        )
        spool.append(
            payload,
            schema=self._schema,
            meta=pack_positions(positions),
            readings=readings,
            losses=losses,
        )
        self.totals.batches += 1
        self.totals.bytes += len(payload)
