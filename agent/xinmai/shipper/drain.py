"""From rings to spool: roll up, pack, account, append. The position moves only after the append."""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

import msgpack

from xinmai import clock
from xinmai.clock import Anchor
from xinmai.config import ShipperConfig
from xinmai.shipper.events import read_event
from xinmai.shipper.identity import Identity, make_inventory
from xinmai.shipper.rings import Positions, Ring, RingSet
from xinmai.spool.spools import SpoolSet
from xinmai.wire.blocks import raw_block, rollup_block
from xinmai.wire.codec import encode_batch, encode_inventory, schema_of
from xinmai.wire.messages import (
    STREAMS,
    AccountEntry,
    Batch,
    Block,
    EventEntry,
    Inventory,
    Loss,
    Stream,
)

CELLS_PER_BLOCK = 16_384
"""Worst case 5 statistics of 10 bytes each: a block alone stays under the body limit."""
EVENTS_PER_BATCH = 256
FOREVER_NS = 2**62

log = logging.getLogger("xinmai.shipper")


@dataclass(slots=True)
class Totals:
    """Since this shipper started, in readings."""

    taken: int = 0
    missed: int = 0
    ring_overrun: int = 0
    batches: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Pending:
    """One batch in the making."""

    stream: Stream
    blocks: list[Block] = field(default_factory=list)
    bytes: int = 0
    taken: Counter[int] = field(default_factory=Counter)
    missed: Counter[int] = field(default_factory=Counter)
    overrun: Counter[int] = field(default_factory=Counter)
    moves: list[tuple[Ring, int, int]] = field(default_factory=list)

    def account(self) -> list[AccountEntry]:
        minutes = sorted({*self.taken, *self.missed, *self.overrun})
        return [AccountEntry(m, self.taken[m], self.missed[m], self.overrun[m]) for m in minutes]


class Drain:
    """Reads every ring's news into the spools; run about once a second."""

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
        self.inventory: Inventory | None = None
        self.totals = Totals()

    @property
    def schema(self) -> str:
        """Of the current inventory, "" before the first."""
        return self._schema

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
            for ring in heads:
                self._drain_ring(ring, anchor, final=final or ring.gone)
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
        for stream in STREAMS:
            self._spools[stream].put_inventory(self._schema, payload)
        base = 0
        for ring in heads:
            self._lane_base[ring.layout.ring_id] = base
            base += sum(1 for lane in ring.layout.lanes if lane.count)

    def _drain_ring(self, ring: Ring, anchor: Anchor, *, final: bool) -> None:
        pending: dict[Stream, _Pending] = {}
        for lane, entry in enumerate(ring.layout.lanes):
            if not entry.count:
                continue
            raw = any(
                fnmatch(f"{ring.layout.plugin}/{entry.name}", pattern)
                for pattern in self._config.raw
            )
            stream: Stream = "raw" if raw else "rollup"
            batch = pending.setdefault(stream, _Pending(stream))
            take = self._take_rows if raw else self._take_windows
            while take(ring, lane, batch, anchor, final):
                if batch.bytes >= self._config.batch_bytes:
                    self._append(batch, anchor)
                    batch = pending[stream] = _Pending(stream)
        for batch in pending.values():
            self._append(batch, anchor)

    def _take_windows(
        self, ring: Ring, lane: int, batch: _Pending, anchor: Anchor, final: bool
    ) -> bool:
        """Add one block of windows; False when the lane has no more."""
        columns = ring.layout.lanes[lane].count
        close_ns = FOREVER_NS if final else self._close_before_ns(ring, lane, anchor.mono_ns)
        windows = ring.reader.windows(
            lane,
            self._position(batch, ring, lane),
            self._config.window_ns,
            close_ns,
            max(1, CELLS_PER_BLOCK // columns),
            ring.kinds[lane],
        )
        between = self._between(ring, lane)
        overrun = windows.overrun * columns
        if windows.n:
            block = rollup_block(
                self._wire_lane(ring, lane), self._config.window_ns, windows, ring.kinds[lane]
            )
            batch.blocks.append(block)
            batch.bytes += _size(block)
            ticks, missed = array("I", windows.ticks), array("I", windows.missed)
            for at, start_ns in enumerate(array("q", windows.start_ns)):
                minute = anchor.minute(start_ns)
                batch.taken[minute] += ticks[at] * columns
                batch.missed[minute] += missed[at] * columns
        return self._book(
            ring, lane, batch, anchor, windows.next_position, overrun, between * columns, windows.n
        )

    def _take_rows(
        self, ring: Ring, lane: int, batch: _Pending, anchor: Anchor, final: bool
    ) -> bool:
        """Add one block of rows at full rate; False when the lane has no more."""
        columns = ring.layout.lanes[lane].count
        limit = max(1, 4 * CELLS_PER_BLOCK // columns)
        rows = ring.reader.rows(lane, self._position(batch, ring, lane), limit)
        between = self._between(ring, lane)
        if rows.n:
            block = raw_block(self._wire_lane(ring, lane), rows, columns)
            batch.blocks.append(block)
            batch.bytes += _size(block)
            missed = array("I", rows.missed)
            for at, scheduled_ns in enumerate(array("q", rows.scheduled_ns)):
                minute = anchor.minute(scheduled_ns)
                batch.taken[minute] += columns
                batch.missed[minute] += missed[at] * columns
        return self._book(
            ring,
            lane,
            batch,
            anchor,
            rows.next_position,
            rows.overrun * columns,
            between * columns,
            rows.n,
        )

    def _book(
        self,
        ring: Ring,
        lane: int,
        batch: _Pending,
        anchor: Anchor,
        next_position: int,
        overrun: int,
        missed: int,
        n: int,
    ) -> bool:
        minute = anchor.minute(anchor.mono_ns)
        if overrun:
            batch.taken[minute] += overrun
            batch.overrun[minute] += overrun
        if missed:
            batch.missed[minute] += missed
        if n or overrun or missed:
            batch.moves.append((ring, lane, next_position))
        return n > 0

    def _position(self, batch: _Pending, ring: Ring, lane: int) -> int:
        for moved, at, position in reversed(batch.moves):
            if moved is ring and at == lane:
                return position
        return ring.positions[lane]

    def _between(self, ring: Ring, lane: int) -> int:
        """Ticks missed between the ring before and this one; asked once per lane of a new ring."""
        if ring.positions[lane] or (ring.layout.plugin, ring.layout.lanes[lane].name) not in (
            self._rings.marks
        ):
            return 0
        first = ring.reader.rows(lane, 0, 1)
        if not first.n:
            return 0
        return self._rings.missed_between(ring, lane, array("q", first.scheduled_ns)[0])

    def _close_before_ns(self, ring: Ring, lane: int, now_ns: int) -> int:
        """Windows that end by then are closed even though no later row has come.

        A lane slower than the window has one row per window: nothing else can come. A faster one
        is given two ticks more, which matters only when it falls silent.
        """
        period_ns = ring.reader.state(lane).period_ns or ring.layout.lanes[lane].period_ns
        return FOREVER_NS if period_ns >= self._config.window_ns else now_ns - 2 * period_ns

    def _wire_lane(self, ring: Ring, lane: int) -> int:
        return self._lane_base[ring.layout.ring_id] + lane

    def _append(self, batch: _Pending, anchor: Anchor) -> None:
        account = batch.account()
        if not batch.blocks and not account:
            return
        self._put(
            batch.stream,
            anchor,
            self._moved(batch),
            blocks=batch.blocks,
            account=account,
            readings=[(entry.minute, entry.taken) for entry in account],
        )
        for ring, lane, position in batch.moves:
            ring.positions[lane] = position
        self.totals.taken += batch.taken.total()
        self.totals.missed += batch.missed.total()
        self.totals.ring_overrun += batch.overrun.total()

    def _moved(self, batch: _Pending) -> Positions:
        """Positions as they will be once this batch is in the spool."""
        positions = self._rings.positions()
        for ring, lane, position in batch.moves:
            positions[ring.layout.ring_id][lane] = position
        return positions

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


def _size(block: Block) -> int:
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
    return sum(len(blob) for blob in blobs if blob) + 32 * len(block.reasons) + 64


def pack_positions(positions: Positions) -> bytes:
    """Meta of a spool record."""
    packed: bytes = msgpack.packb(positions)
    return packed


def known_positions(spools: SpoolSet, newest: int = 8) -> Positions:
    """How far the rings were read, by the newest surviving records of each stream.

    Every record carries the position of each ring held then, so few records tell all.
    """
    out: Positions = {}
    for stream in STREAMS:
        for count, meta in enumerate(spools[stream].last_meta()):
            if count >= newest:
                break
            _merge(out, meta)
    return out


def _merge(out: Positions, meta: bytes) -> None:
    try:
        read = msgpack.unpackb(meta, strict_map_key=False)
        for ring_id, lanes in read.items():
            mine = out.setdefault(str(ring_id), {})
            for lane, position in lanes.items():
                mine[int(lane)] = max(mine.get(int(lane), 0), int(position))
    except (ValueError, TypeError, AttributeError, msgpack.exceptions.UnpackException) as error:
        log.warning("spool record without readable positions: %s", error)
