"""From takes, events and losses to spool records. A position moves only after the append."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from xinmai.clock import Anchor, ClockStep, Timeline
from xinmai.errors import Refused
from xinmai.shipper.capturerows import Part
from xinmai.shipper.identity import Identity
from xinmai.shipper.inventories import Announced
from xinmai.shipper.pending import Pending
from xinmai.shipper.positions import pack_positions
from xinmai.shipper.rings import Positions
from xinmai.spool.spools import SpoolSet
from xinmai.wire.codec import encode_batch
from xinmai.wire.messages import AccountEntry, Batch, Block, Capture, EventEntry, Loss, Stream

log = logging.getLogger("xinmai.shipper")


@dataclass(slots=True)
class Totals:
    """Since this shipper started; the first three in readings."""

    taken: int = 0
    missed: int = 0
    ring_overrun: int = 0
    batches: int = 0
    bytes: int = 0


class Writer:
    """Appends to the spools.

    Args:
        positions: of every ring as they are now, for the record's meta.
    """

    def __init__(
        self, identity: Identity, spools: SpoolSet, positions: Callable[[], Positions]
    ) -> None:
        self._identity, self._spools, self._positions = identity, spools, positions
        self.totals = Totals()

    def keep(self, pending: Pending) -> None:
        """Append one batch, or several where one is over a limit of the wire.

        Raises:
            OSError: the spool cannot take more; what was not kept did not move the rings.
        """
        try:
            self._append(pending, pending.blocks)
        except Refused as refusal:
            halves = pending.halves()
            if len(halves) > 1:
                for half in halves:
                    self.keep(half)
                return
            self._give_up(pending, refusal)

    def _append(self, pending: Pending, blocks: Sequence[Block]) -> tuple[str, int]:
        account = pending.account()
        identity = self._put(
            pending.stream,
            pending.announced,
            pending.timeline.anchor,
            pending.positions(self._positions()),
            blocks=blocks,
            account=account,
            steps=pending.timeline.steps_after(pending.first_ns),
        )
        pending.settle()
        for entry in account:
            self.totals.taken += entry.taken
            self.totals.missed += entry.missed
            self.totals.ring_overrun += entry.ring_overrun
        return identity

    def _give_up(self, pending: Pending, refusal: Refused) -> None:
        """A single read that no body can hold: its readings are lost, and said to be."""
        ring = pending.takes[0].ring
        log.error("readings cannot be sent: plugin=%s error=%s", ring.layout.plugin, refusal)
        queue, seq = self._append(pending, ())
        self._spools[pending.stream].discard(queue, seq, seq, "refused")

    def put_events(
        self,
        announced: Announced,
        anchor: Anchor,
        events: Sequence[EventEntry],
        moved: Positions,
    ) -> None:
        """Append a batch of events.

        Args:
            moved: positions that differ from those of the rings once this is kept.

        Raises:
            OSError: the spool cannot take more.
            Refused: over a limit.
        """
        positions = self._positions()
        for ring_id, lanes in moved.items():
            positions[ring_id] |= lanes
        self._put("event", announced, anchor, positions, events=events)

    def put_capture(self, part: Part, timeline: Timeline, capture: Capture) -> int:
        """Append one batch of a capture; returns its size in bytes.

        Raises:
            OSError: the spool cannot take more.
            Refused: over a limit.
        """
        before = self.totals.bytes
        first_ns = min((chunk.first_ns for chunk in part.chunks if chunk.block.n), default=0)
        self._put(
            "capture",
            part.announced,
            timeline.anchor,
            self._positions(),
            blocks=[chunk.block for chunk in part.chunks],
            capture=capture,
            steps=timeline.steps_after(first_ns) if part.chunks else (),
        )
        return self.totals.bytes - before

    def put_losses(self, announced: Announced, anchor: Anchor, losses: Sequence[Loss]) -> None:
        """Append losses as one batch, or as several where one is over a limit.

        Raises:
            OSError: the spool cannot take more; some may have been kept.
        """
        try:
            self._put("event", announced, anchor, self._positions(), losses=losses)
        except Refused:
            middle = len(losses) // 2
            if middle:
                self.put_losses(announced, anchor, losses[:middle])
                self.put_losses(announced, anchor, losses[middle:])
            elif losses[0].readings:
                self.put_losses(announced, anchor, [replace(losses[0], readings=())])
            else:
                raise

    def _put(
        self,
        stream: Stream,
        announced: Announced,
        anchor: Anchor,
        positions: Positions,
        *,
        blocks: Sequence[Block] = (),
        events: Sequence[EventEntry] = (),
        losses: Sequence[Loss] = (),
        account: Sequence[AccountEntry] = (),
        capture: Capture | None = None,
        steps: Sequence[ClockStep] = (),
    ) -> tuple[str, int]:
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
                schema=announced.schema,
                clock=anchor,
                blocks=blocks,
                events=events,
                losses=losses,
                account=account,
                stand_in=announced.stand_in,
                capture=capture,
                steps=steps,
            )
        )
        spool.put_inventory(announced.schema, announced.payload)
        identity = spool.append(
            payload,
            schema=announced.schema,
            meta=pack_positions(positions),
            readings=[(entry.minute, entry.taken) for entry in account],
            losses=losses,
        )
        self.totals.batches += 1
        self.totals.bytes += len(payload)
        return identity
