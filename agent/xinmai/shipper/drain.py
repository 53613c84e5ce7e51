"""From rings to spool: roll up, pack, account, append."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from functools import partial

from xinmai import clock
from xinmai.clock import SECOND_NS, Anchor, Timeline
from xinmai.clocksync import clock_sync
from xinmai.config import CaptureConfig, ShipperConfig
from xinmai.errors import Refused
from xinmai.shipper.clocksteps import ClockSteps
from xinmai.shipper.events import events_lost, read_event, ring_dropped
from xinmai.shipper.identity import Identity
from xinmai.shipper.inventories import Announced, Lanes, announce
from xinmai.shipper.pending import Pending
from xinmai.shipper.recorder import Limits, Recorder
from xinmai.shipper.rings import Ring, RingSet
from xinmai.shipper.take import FOREVER_NS, How, Take, Taker, take_rows, take_windows
from xinmai.shipper.writer import Totals, Writer
from xinmai.spool.spools import SpoolSet
from xinmai.wire.limits import MAX_BODY_BYTES
from xinmai.wire.messages import EventEntry, Loss, Stream
from xinmai_native import RingError

TAKERS: Mapping[Stream, Taker] = {"rollup": take_windows, "raw": take_rows}
CELLS_PER_BLOCK = 4_096
RAW_CELLS_PER_BLOCK = 65_536
"""Rows are values alone, and longer columns are packed denser and faster."""
RAW_CELL_BYTES = 9
"""At the most: what cannot be packed, and its share of the row's times."""
CELLS_PER_BATCH = 2**20
"""Half of what a collector takes: what never changes is packed so small that bytes do not tell."""
EVENTS_PER_BATCH = (256, 16, 1)
"""Tried in turn until a batch is within the limits."""
LOSSES_PER_BATCH = 256
CELL_BYTES = 16
"""A cell with all its statistics, as seldom as it takes so much."""
LOSS_BYTES = 256
PACKET_MARGIN_BYTES = 2_048
LEAST_BATCH_BYTES = 512
SYNCED_NS = 16 * SECOND_NS


class Drain:
    """Reads every ring's news into the spools; run about once a second.

    Args:
        on_drained: told the id of each ring that is finished.
        packet_bytes: largest message that the broker takes, as far as is known.
    """

    def __init__(
        self,
        identity: Identity,
        config: ShipperConfig,
        rings: RingSet,
        spools: SpoolSet,
        on_drained: Callable[[str], None],
        packet_bytes: Callable[[], int] = lambda: MAX_BODY_BYTES,
        captures: CaptureConfig | None = None,
    ) -> None:
        self._identity, self._config = identity, config
        self._rings, self._spools = rings, spools
        self._on_drained, self._packet_bytes = on_drained, packet_bytes
        self._writer = Writer(identity, spools, rings.positions)
        self.recorder = Recorder(
            captures or CaptureConfig(), config.window_ns, self._writer, self._tell
        )
        self._steps = ClockSteps(self._tell)
        self._announced: list[Announced] = []
        self._losses: list[Loss] = []
        self._news: list[EventEntry] = []
        self._synced: bool | None = None
        self._synced_until_ns = 0
        self._limit_bytes = config.batch_bytes

    @property
    def totals(self) -> Totals:
        """What was done since the start."""
        return self._writer.totals

    @property
    def schemas(self) -> set[str]:
        """Of the inventories in force."""
        return {one.schema for one in self._announced}

    def look_at_clock(self) -> Timeline:
        """Notice a step now, not only when the next window ends."""
        return self._steps.look(clock.anchor(synced=self._clock_synced()))

    def run(self, *, leaving: bool = False) -> None:
        """Take everything that is ready; of a ring that is gone that is all.

        Args:
            leaving: nothing will be read after this; an open capture ends here.

        Raises:
            OSError: a spool cannot take more; positions stay, the rings keep what they hold.
        """
        self._look_at_packets()
        failed: OSError | None = None
        changed = True
        while changed and failed is None:
            timeline = self.look_at_clock()
            self._announce(timeline.anchor)
            for step in (self._drain_losses, self._drain_news, self._drain_events):
                failed = _first_error(failed, step, timeline.anchor)
            for stream in TAKERS:
                failed = _first_error(failed, self._drain_columns, timeline, stream)
            failed = _first_error(failed, self._record, timeline, leaving)
            changed = self._has_other_heads()
        if failed is not None:
            raise failed

    def _has_other_heads(self) -> bool:
        """Whether there are rings to read and they are not those announced."""
        heads = self._rings.heads()
        return bool(heads) and heads != [ring for one in self._announced for ring in one.rings]

    def _clock_synced(self) -> bool | None:
        now_ns = clock.mono_ns()
        if now_ns >= self._synced_until_ns:
            state = clock_sync()
            self._synced = state.synced if state else None
            self._synced_until_ns = now_ns + SYNCED_NS
        return self._synced

    def _announce(self, anchor: Anchor) -> None:
        """Make the inventory of the rings at hand current, if it is another one."""
        if self._has_other_heads():
            self._announced = announce(
                self._identity, self._rings.heads(), anchor.real_ns, self._stream_of
            )

    def _look_at_packets(self) -> None:
        most = self._packet_bytes() - PACKET_MARGIN_BYTES
        self._limit_bytes = max(LEAST_BATCH_BYTES, min(self._config.batch_bytes, most))

    def _stream_of(self, ring: Ring, lane: int) -> Stream:
        name = f"{ring.layout.plugin}/{ring.layout.lanes[lane].name}"
        is_raw = any(fnmatch(name, pattern) for pattern in self._config.raw)
        return "raw" if is_raw else "rollup"

    def _record(self, timeline: Timeline, leaving: bool) -> None:
        """Copy for an open capture, then let finished rings go; where it fails they are kept."""
        limits = Limits(
            self._limit_bytes, CELLS_PER_BATCH, self._cells_per_block("capture"), self._drop
        )
        self.recorder.record(self._announced, timeline, limits, leaving=leaving)
        for ring in self._rings.take_finished():
            self._let_go(ring)

    def _drain_columns(self, timeline: Timeline, stream: Stream) -> None:
        for announced in self._announced:
            pending = Pending(stream, announced, timeline)
            for lanes in announced.lanes:
                if lanes.stream != stream or lanes.ring.closed:
                    continue
                try:
                    pending = self._drain_lanes(lanes, pending, final=lanes.ring.gone)
                except RingError as error:
                    self._drop(lanes.ring, error)
            self._keep(pending)

    def _drain_lanes(self, lanes: Lanes, pending: Pending, *, final: bool) -> Pending:
        """Read lanes of a ring; returns the batch that is not full yet."""
        for lane, wire_lane in lanes.numbers:
            position: int | None = lanes.ring.positions[lane]
            while position is not None:
                how = self._how(lanes.ring, lane, wire_lane, position, pending, final=final)
                take = TAKERS[pending.stream](lanes.ring, lane, position, pending.timeline, how)
                if take:
                    pending = self._add(pending, take)
                position = take.position if take.more else None
        return pending

    def _add(self, pending: Pending, take: Take) -> Pending:
        if pending.takes and not pending.has_room(take, self._limit_bytes, CELLS_PER_BATCH):
            self._keep(pending)
            pending = Pending(pending.stream, pending.announced, pending.timeline)
        pending.add(take)
        return pending

    def _keep(self, pending: Pending) -> None:
        if pending.takes:
            self._writer.keep(pending)

    def _cells_per_block(self, stream: Stream) -> int:
        """So many that a block alone stays within a batch."""
        if stream != "rollup":
            return min(RAW_CELLS_PER_BLOCK, self._limit_bytes // RAW_CELL_BYTES)
        return min(CELLS_PER_BLOCK, self._limit_bytes // CELL_BYTES)

    def _how(
        self,
        ring: Ring,
        lane: int,
        wire_lane: int,
        position: int,
        pending: Pending,
        *,
        final: bool,
    ) -> How:
        anchor = pending.timeline.anchor
        return How(
            wire_lane=wire_lane,
            width_ns=self._config.window_ns,
            close_ns=FOREVER_NS if final else self._close_before_ns(ring, lane, anchor),
            cells=self._cells_per_block(pending.stream),
            between=0 if position else self._rings.missed_between(ring, lane),
            final=final,
            look=partial(self.recorder.look_at_cells, ring, lane),
        )

    def _close_before_ns(self, ring: Ring, lane: int, anchor: Anchor) -> int:
        """Windows that end by then are closed even though no later row has come.

        A lane slower than the window has one row per window: nothing else can come. A faster one
        is given two ticks more, which matters only when it falls silent.
        """
        period_ns = ring.reader.state(lane).period_ns or ring.layout.lanes[lane].period_ns
        return FOREVER_NS if period_ns >= self._config.window_ns else anchor.mono_ns - 2 * period_ns

    def _drop(self, ring: Ring, error: RingError) -> None:
        """What a hostile or damaged ring says is no reason to stop reading the others."""
        self._rings.drop(ring, str(error))
        self._tell(ring_dropped(ring.layout.plugin, str(error)))
        self._let_go(ring)

    def _let_go(self, ring: Ring) -> None:
        self.recorder.forget(ring)
        self._on_drained(ring.id)

    def _tell(self, event: EventEntry) -> None:
        self._news.append(event)

    def _drain_losses(self, anchor: Anchor) -> None:
        self._losses += self._spools.take_losses()
        while self._losses and self._announced:
            part = self._losses[: min(LOSSES_PER_BATCH, 1 + self._limit_bytes // LOSS_BYTES)]
            self._writer.put_losses(self._announced[0], anchor, part)
            del self._losses[: len(part)]

    def _drain_news(self, anchor: Anchor) -> None:
        if self._news and self._announced:
            self._writer.put_events(self._announced[0], anchor, self._news, {})
            self._news = []

    def _drain_events(self, anchor: Anchor) -> None:
        for announced in self._announced:
            for ring in announced.open_rings():
                try:
                    while self._take_events(ring, announced, anchor):
                        pass
                except RingError as error:
                    self._drop(ring, error)

    def _take_events(self, ring: Ring, announced: Announced, anchor: Anchor) -> bool:
        """One batch of events; False when there are none left."""
        lane, plugin = len(ring.layout.lanes) - 1, ring.layout.plugin
        for count in EVENTS_PER_BATCH:
            at, overrun, records = ring.reader.records(lane, ring.positions[lane], count)
            events = [read_event(plugin, payload) for _, payload in records]
            if overrun:
                events.insert(0, events_lost(plugin, overrun))
            if not events:
                return False
            if count > 1 and sum(len(payload) for _, payload in records) > self._limit_bytes:
                continue
            try:
                self._writer.put_events(announced, anchor, events, {ring.id: {lane: at}})
            except Refused:
                continue
            ring.positions[lane] = at
            for event in events:
                self.recorder.look_at_event(plugin, event)
            return True
        raise RingError("an event is over a limit of the wire")


def _first_error(
    failed: OSError | None, step: Callable[..., None], *arguments: object
) -> OSError | None:
    """Run a step; one stream that is full must not stop the others."""
    try:
        step(*arguments)
    except OSError as error:
        return failed or error
    return failed
