"""A simulated node: an inventory, queues with sequence numbers, and batches that add up."""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from xinmai.clock import MINUTE_NS, SECOND_NS, Anchor
from xinmai.wire.blocks import kinds_of, raw_block, rollup_block
from xinmai.wire.codec import encode_batch, encode_inventory, encode_status, schema_of
from xinmai.wire.messages import (
    AccountEntry,
    Batch,
    Block,
    Capture,
    DeviceEntry,
    EventEntry,
    Inventory,
    LaneEntry,
    Loss,
    SeriesEntry,
    Status,
    Stream,
    Trigger,
)
from xinmai.wire.topics import Topics
from xinmai_native import Rows, Windows

BOOT = "ab" * 16
START_NS = 1_790_000_000 * SECOND_NS // MINUTE_NS * MINUTE_NS
"""Wall time of the node's monotonic zero: a whole minute."""
CAPTURE_ID = "c0ffee00c0ffee00"
DURATION_NS = 2000
Message = tuple[str, bytes]


def bits(value: float) -> int:
    cell: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return cell


def series(
    metric: str,
    hw_id: str = "gpu-0",
    *,
    kind: str = "gauge",
    number_type: str = "i64",
    scale: tuple[int, int] = (1, 1000),
    unit: str = "W",
    **attributes: str,
) -> SeriesEntry:
    return SeriesEntry(
        hw_id=hw_id,
        metric=metric,
        attributes=attributes,
        unit=unit,
        kind=kind,
        scale=scale,
        type=number_type,
        native="readPower",
        native_unit="mW",
        refresh_ns=100_000_000,
        window_ns=None,
        plugin="example",
        stand_in=True,
    )


def device(hw_id: str = "gpu-0", index: int | None = 0) -> DeviceEntry:
    return DeviceEntry(hw_id, "acme", "A1", "sn", "", "0000:01:00.0", index, "example", True, {})


def plain_series(columns: int) -> list[SeriesEntry]:
    """`columns` gauges; one metric, told apart by an attribute."""
    return [series("hw.power", sensor=str(column)) for column in range(columns)]


@dataclass
class Node:
    """One node with one lane of one second.

    Args:
        columns: the lane's series.
    """

    name: str = "n1"
    edge: str = "local"
    columns: Sequence[SeriesEntry] = field(default_factory=lambda: plain_series(4))
    devices: Sequence[DeviceEntry] = field(default_factory=lambda: [device()])
    boot: str = BOOT
    queue: str = "00000000000000aa"
    start_ns: int = START_NS
    seqs: Counter[str] = field(default_factory=Counter)

    @property
    def topics(self) -> Topics:
        return Topics(self.edge, self.name)

    @property
    def kinds(self) -> bytes:
        return kinds_of([(one.kind, one.type) for one in self.columns])

    @property
    def inventory(self) -> Inventory:
        lane = LaneEntry("example", "fast", 100_000_000, 0, len(self.columns))
        return Inventory(
            self.name,
            self.edge,
            self.boot,
            "0.1",
            self.start_ns,
            True,
            self.devices,
            [lane],
            self.columns,
        )

    @property
    def schema(self) -> str:
        return schema_of(self.inventory)

    def announce(self) -> Message:
        return self.topics.inventory(self.schema), encode_inventory(self.inventory)

    def status(self, *, online: bool = True, session: int = 1, boot: str = "") -> Message:
        status = Status(
            self.name, self.edge, online, boot or self.boot, session, self.start_ns, "0.1", True
        )
        return self.topics.status, encode_status(status)

    def clock(self) -> Anchor:
        return Anchor(0, 0, self.start_ns, 1000, True)

    def message(
        self,
        stream: Stream,
        *,
        seq: int = 0,
        queue: str = "",
        schema: str = "",
        blocks: Sequence[Block] = (),
        events: Sequence[EventEntry] = (),
        losses: Sequence[Loss] = (),
        account: Sequence[AccountEntry] = (),
        capture: Capture | None = None,
    ) -> Message:
        self.seqs[stream] = seq or self.seqs[stream] + 1
        batch = Batch(
            node=self.name,
            edge=self.edge,
            boot=self.boot,
            stream=stream,
            queue=queue or self.queue,
            seq=self.seqs[stream],
            schema=schema or self.schema,
            clock=self.clock(),
            blocks=blocks,
            events=events,
            losses=losses,
            account=account,
            stand_in=True,
            capture=capture,
        )
        topics = {"event": self.topics.event, "capture": self.topics.capture}
        return topics.get(stream, self.topics.batch), encode_batch(batch)

    def second(
        self,
        at_s: int,
        *,
        value: int = 1000,
        ticks: int = 10,
        reasons: Sequence[tuple[int, int, int]] = (),
        seq: int = 0,
        overrun: int = 0,
        missed: int = 0,
        queue: str = "",
    ) -> Message:
        """One rollup batch with one window: column c has value + c, +-5, unless it has a reason.

        Args:
            reasons: (column, reason, code).
        """
        n = len(self.columns)
        block = rollup_block(0, SECOND_NS, windows(at_s, n, value, ticks, reasons), self.kinds)
        minute = (self.start_ns + at_s * SECOND_NS) // MINUTE_NS
        account = AccountEntry(minute, n * ticks + overrun, missed, overrun)
        return self.message("rollup", seq=seq, queue=queue, blocks=[block], account=[account])

    def same(self, at_s: int, cell: int, *, ticks: int) -> Message:
        """One rollup batch whose readings are all the same."""
        n = len(self.columns)
        one = windows(at_s, n, cell, 1)
        counted = one._replace(
            ticks=array("I", [ticks]).tobytes(), counts=array("I", [ticks] * n).tobytes()
        )
        minute = (self.start_ns + at_s * SECOND_NS) // MINUTE_NS
        block = rollup_block(0, SECOND_NS, counted, self.kinds)
        account = AccountEntry(minute, n * ticks, 0, 0)
        return self.message("rollup", blocks=[block], account=[account])

    def raw(self, at_ns: Sequence[int], values: Sequence[int], late_ns: int = 0) -> Message:
        """One raw batch; the same values in each column."""
        columns = len(self.columns)
        taken = Counter((self.start_ns + time_ns) // MINUTE_NS for time_ns in at_ns)
        account = [AccountEntry(m, taken[m] * columns, 0, 0) for m in sorted(taken)]
        block = raw_block(0, plain_rows(at_ns, [values] * columns, late_ns), columns)
        return self.message("raw", blocks=[block], account=account)

    def capture(
        self,
        part: int,
        at_ns: Sequence[int],
        cells: Sequence[Sequence[int]],
        *,
        capture_id: str = CAPTURE_ID,
        last: bool = False,
        late_ns: int = 0,
        seq: int = 0,
        reasons: Sequence[tuple[int, int, int, int]] = (),
        overrun: int = 0,
        missed: int = 0,
        trigger: Trigger = "event",
    ) -> Message:
        """One part of a capture: rows due at monotonic times, cells by column.

        Args:
            reasons: (column, row, reason, code).
        """
        rows = plain_rows(at_ns, cells, late_ns, reasons, missed=missed)
        block = raw_block(0, rows._replace(overrun=overrun), len(self.columns))
        walls = [self.start_ns + time_ns for time_ns in at_ns] or [self.start_ns]
        capture = Capture(
            id=capture_id,
            trigger=trigger,
            cause="xid 79 of gpu-0",
            hw_id="gpu-0",
            metric="",
            at_ns=self.start_ns + SECOND_NS,
            from_ns=walls[0],
            to_ns=walls[-1],
            part=part,
            last=last,
            merged=part - 1,
        )
        blocks = [block] if at_ns else []
        return self.message("capture", seq=seq, blocks=blocks, capture=capture)

    def event(self, code: str = "xid", at_s: int = 0, message: str = "fell off the bus") -> Message:
        entry = EventEntry(
            self.start_ns + at_s * SECOND_NS,
            "gpu-0",
            code,
            "driver",
            "error",
            "reset",
            message,
            {"slot": "3"},
        )
        return self.message("event", events=[entry])

    def lose(
        self, first: int, last: int, readings: Sequence[tuple[int, int]], *, queue: str = ""
    ) -> Message:
        loss = Loss("rollup", queue or self.queue, first, last, "spool_budget", readings)
        return self.message("event", losses=[loss])


def plain_rows(
    at_ns: Sequence[int],
    cells: Sequence[Sequence[int]],
    late_ns: int = 0,
    reasons: Sequence[tuple[int, int, int, int]] = (),
    missed: int = 0,
) -> Rows:
    """Rows of a lane: due at `at_ns`, begun `late_ns` later, each 2000 ns long.

    Args:
        missed: ticks before the first row.
    """
    n = len(at_ns)
    return Rows(
        next_position=n,
        first_position=0,
        overrun=0,
        n=n,
        scheduled_ns=array("q", at_ns).tobytes(),
        begin_ns=array("q", [time_ns + late_ns for time_ns in at_ns]).tobytes(),
        duration_ns=array("I", [DURATION_NS] * n).tobytes(),
        missed=array("I", [missed, *[0] * (n - 1)][:n]).tobytes(),
        values=array("q", [cell for column in cells for cell in column]).tobytes(),
        reasons=list(reasons),
        distinct=array(
            "I", [n - sum(at == column for at, *_ in reasons) for column in range(len(cells))]
        ).tobytes(),
    )


def windows(
    at_s: int, columns: int, value: int, ticks: int, reasons: Sequence[tuple[int, int, int]] = ()
) -> Windows:
    """One window per column."""
    without = {column for column, _, _ in reasons}
    spread = 5 if ticks > 1 else 0

    def cells(offset: int) -> bytes:
        return array(
            "q", [0 if c in without else value + c + offset for c in range(columns)]
        ).tobytes()

    sums = [0 if c in without else (value + c) * ticks for c in range(columns)]
    return Windows(
        next_position=0,
        overrun=0,
        n=1,
        start_ns=array("q", [at_s * SECOND_NS]).tobytes(),
        ticks=array("I", [ticks]).tobytes(),
        missed=array("I", [0]).tobytes(),
        counts=array("I", [0 if c in without else ticks for c in range(columns)]).tobytes(),
        last=cells(0),
        min=cells(-spread),
        max=cells(spread),
        sum=array("q", sums).tobytes(),
        reasons=[(column, 0, reason, code, ticks) for column, reason, code in reasons],
    )
