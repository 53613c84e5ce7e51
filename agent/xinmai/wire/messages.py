"""The messages of wire v1 as data; spec 002 gives every field. Encoding is in `codec`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from xinmai.clock import Anchor, ClockStep, Timeline

VERSION = 1

Stream = Literal["event", "rollup", "capture", "raw"]
STREAMS: tuple[Stream, ...] = ("event", "rollup", "capture", "raw")
"""In order of priority."""


@dataclass(frozen=True, slots=True)
class Status:
    """Retained presence of a node, and its will."""

    node: str
    edge: str
    online: bool
    boot: str
    session: int
    time_ns: int
    agent: str
    stand_in: bool = False


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One device of an inventory."""

    hw_id: str
    vendor: str
    model: str
    serial_number: str
    parent: str
    pci_bdf: str
    index: int | None
    plugin: str
    stand_in: bool
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LaneEntry:
    """One lane: its columns are `series[first:first + count]` of the inventory."""

    plugin: str
    name: str
    period_ns: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """One series: value in `unit` = raw × scale[0] / scale[1]."""

    hw_id: str
    metric: str
    attributes: Mapping[str, str]
    unit: str
    kind: str
    scale: tuple[int, int]
    type: str
    native: str
    native_unit: str
    refresh_ns: int | None
    window_ns: int | None
    plugin: str
    stand_in: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that samples do not carry."""

    node: str
    edge: str
    boot: str
    agent: str
    time_ns: int
    stand_in: bool
    devices: Sequence[DeviceEntry]
    lanes: Sequence[LaneEntry]
    series: Sequence[SeriesEntry]


@dataclass(frozen=True, slots=True)
class ReasonRun:
    """`readings` readings without a value in each of `windows` windows (rows) from `window` on."""

    series: int
    window: int
    windows: int
    reason: int
    code: int
    readings: int


@dataclass(frozen=True, slots=True)
class Block:
    """One lane's rollup windows (width_ns > 0) or raw rows (width_ns = 0), packed.

    Every blob is a packed column group of spec 001 or None with the meaning of WIRE-42 and 43.
    A raw block uses `late` and `duration`; a rollup block `ticks`, `count`, `min`, `max`, `sum`.
    `overrun` is in readings: rows overwritten before they were read, times the lane's series.
    """

    lane: int
    width_ns: int
    n: int
    time: bytes
    last: bytes
    overrun: int = 0
    ticks: bytes | None = None
    missed: bytes | None = None
    count: bytes | None = None
    min: bytes | None = None
    max: bytes | None = None
    sum: bytes | None = None
    late: bytes | None = None
    duration: bytes | None = None
    reasons: Sequence[ReasonRun] = ()


@dataclass(frozen=True, slots=True)
class EventEntry:
    """One event; wall time."""

    time_ns: int
    hw_id: str
    code: str
    event_class: str
    severity: str
    action: str
    message: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Loss:
    """A closed range of seqs that will never come; readings lost by minute."""

    stream: Stream
    queue: str
    first: int
    last: int
    reason: str
    readings: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """Readings that one drain took from the rings, by minute; see WIRE-46."""

    minute: int
    taken: int
    missed: int
    ring_overrun: int


Trigger = Literal["event", "threshold", "rate", "lost", "command"]


@dataclass(frozen=True, slots=True)
class Capture:
    """Which capture a batch of stream capture is a part of; see WIRE-49. Times are wall times.

    `metric` is "" and `hw_id` "" where the trigger has none. `merged` counts the further triggers
    that had fallen into this capture when the part was written.
    """

    id: str
    trigger: Trigger
    cause: str
    hw_id: str
    metric: str
    at_ns: int
    from_ns: int
    to_ns: int
    part: int
    last: bool
    merged: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One record of a stream."""

    node: str
    edge: str
    boot: str
    stream: Stream
    queue: str
    seq: int
    schema: str
    clock: Anchor
    blocks: Sequence[Block] = ()
    events: Sequence[EventEntry] = ()
    losses: Sequence[Loss] = ()
    account: Sequence[AccountEntry] = ()
    stand_in: bool = False
    capture: Capture | None = None
    steps: Sequence[ClockStep] = ()

    @property
    def timeline(self) -> Timeline:
        """Where its monotonic times lie on the wall."""
        return Timeline(self.clock, self.steps)


Ranges = Sequence[tuple[int, int]]
"""Closed, ascending, not adjacent."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a collector holds durably of one node."""

    node: str
    edge: str
    collector: str
    session: int
    streams: Mapping[Stream, Mapping[str, Ranges]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Presence:
    """Who collects an edge."""

    edge: str
    collector: str
    session: int
    online: bool
    time_ns: int


@dataclass(frozen=True, slots=True)
class Command:
    """What a collector asks of a node, and when (wall time); see WIRE-62."""

    node: str
    edge: str
    id: str
    command: Literal["capture"]
    time_ns: int
    before_ns: int
    after_ns: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a command: the id of its capture, or "" and the error."""

    node: str
    edge: str
    id: str
    ok: bool
    capture: str
    error: str
    time_ns: int
