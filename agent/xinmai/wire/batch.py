"""Batches: blocks of samples, events, losses and the account of readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from xinmai.clock import Anchor
from xinmai.wire.capture import capture_map, capture_of, step_map, steps_of
from xinmai.wire.fields import (
    ATTRIBUTES,
    BOOT,
    COUNT,
    HEX16,
    INT64,
    MINUTE,
    NAME,
    SEQ,
    STREAM,
    V,
    decode_body,
    fields_of,
)
from xinmai.wire.limits import MAX_BLOCKS, MAX_CELLS, MAX_LANES, pack_body, refused
from xinmai.wire.messages import (
    VERSION,
    AccountEntry,
    Batch,
    Block,
    EventEntry,
    Loss,
    ReasonRun,
)
from xinmai.wire.shape import (
    Check,
    Fields,
    blob,
    flag,
    integer,
    listing,
    nullable,
    one_of,
    record,
    row,
    text,
)

_REASON_CODES: Final = integer(1, 11)
_READINGS: Final = integer(1, 2**32 - 1)
_CELL: Final = integer(0, MAX_CELLS)
_LANE: Final = integer(0, MAX_LANES - 1)
_PACKED: Final = nullable(blob)
_REASON_RUNS: Final = listing(row(_CELL, _CELL, _CELL, _REASON_CODES, INT64, _READINGS))

_ROLLUP: Final[Mapping[str, Check[Any]]] = {
    "lane": _LANE,
    "width_ns": integer(1),
    "n": _CELL,
    "time": blob,
    "ticks": _PACKED,
    "missed": _PACKED,
    "overrun": COUNT,
    "count": _PACKED,
    "last": blob,
    "min": _PACKED,
    "max": _PACKED,
    "sum": _PACKED,
    "reasons": _REASON_RUNS,
}
_RAW: Final[Mapping[str, Check[Any]]] = {
    "lane": _LANE,
    "width_ns": integer(0, 0),
    "n": _CELL,
    "time": blob,
    "late": _PACKED,
    "duration": _PACKED,
    "missed": _PACKED,
    "overrun": COUNT,
    "last": blob,
    "reasons": _REASON_RUNS,
}
_rollup_record: Final = record(_ROLLUP)
_raw_record: Final = record(_RAW)


def _block(value: Any) -> Block:
    if type(value) is dict and value.get("width_ns") == 0:
        fields = _raw_record(value)
        most_readings = 1
    else:
        fields = _rollup_record(value)
        most_readings = 2**32 - 1
        together = {fields[key] is None for key in ("min", "max", "sum")}
        if len(together) > 1:
            raise refused("value", detail="min, max and sum are null together")
    runs = fields["reasons"] = tuple([ReasonRun(*run) for run in fields["reasons"]])
    for index, run in enumerate(runs):
        if not run.windows or run.window + run.windows > fields["n"]:
            raise refused("value", f"reasons[{index}]", "beyond the last window")
        if run.readings > most_readings:
            raise refused("value", f"reasons[{index}]", "more than one reading in a row")
    return Block(**fields)


_EVENT: Final[Mapping[str, Check[Any]]] = {
    "time_ns": INT64,
    "hw_id": text,
    "code": text,
    "class": text,
    "severity": one_of("info", "warning", "error", "critical"),
    "action": text,
    "message": text,
    "attributes": ATTRIBUTES,
}
_event_record: Final = record(_EVENT)


def _event(value: Any) -> EventEntry:
    fields = _event_record(value)
    fields["event_class"] = fields.pop("class")
    return EventEntry(**fields)


_LOSS: Final[Mapping[str, Check[Any]]] = {
    "stream": STREAM,
    "queue": HEX16,
    "first": SEQ,
    "last": SEQ,
    "reason": one_of("spool_budget", "spool_damage", "refused", "shutdown"),
    "readings": listing(row(MINUTE, COUNT)),
}
_loss_record: Final = record(_LOSS)


def _loss(value: Any) -> Loss:
    fields = _loss_record(value)
    if fields["first"] > fields["last"]:
        raise refused("value", "last", "before first")
    _ascending("readings", (minute for minute, _ in fields["readings"]))
    return Loss(**fields)


def _account(value: Any) -> tuple[AccountEntry, ...]:
    entries = tuple([AccountEntry(*entry) for entry in _account_rows(value)])
    for index, entry in enumerate(entries):
        if entry.ring_overrun > entry.taken:
            raise refused("value", f"[{index}]", "more overrun than taken")
    _ascending("", (entry.minute for entry in entries))
    return entries


_account_rows: Final = listing(row(MINUTE, COUNT, COUNT, COUNT))


def _ascending(key: str, minutes: Iterable[int]) -> None:
    before: int | None = None
    for minute in minutes:
        if before is not None and minute <= before:
            raise refused("value", key, "minutes do not ascend")
        before = minute


_CLOCK: Final[Mapping[str, Check[Any]]] = {
    "mono_ns": INT64,
    "boot_ns": INT64,
    "real_ns": INT64,
    "error_ns": COUNT,
    "synced": nullable(flag),
}
_HEAD: Final[Mapping[str, Check[Any]]] = {
    "node": NAME,
    "edge": NAME,
    "boot": BOOT,
    "stream": STREAM,
    "queue": HEX16,
    "seq": SEQ,
    "schema": HEX16,
}
_BATCH: Final = record(
    {
        "v": V,
        **_HEAD,
        "clock": record(_CLOCK),
        "blocks": listing(_block, MAX_BLOCKS),
        "events": listing(_event),
        "losses": listing(_loss),
        "account": _account,
        "stand_in": flag,
    },
    {"capture": capture_of, "steps": steps_of},
)


def encode_batch(batch: Batch) -> bytes:
    """A batch body.

    Raises:
        Refused: over a limit; the caller splits.
    """
    body: Fields = {
        "v": VERSION,
        **fields_of(batch, _HEAD),
        "clock": fields_of(batch.clock, _CLOCK),
        "blocks": [_block_map(block) for block in batch.blocks],
        "events": [_event_map(event) for event in batch.events],
        "losses": [fields_of(loss, _LOSS) for loss in batch.losses],
        "account": [
            (entry.minute, entry.taken, entry.missed, entry.ring_overrun) for entry in batch.account
        ],
        "stand_in": batch.stand_in,
    }
    if batch.capture is not None:
        body["capture"] = capture_map(batch.capture)
    if batch.steps:
        body["steps"] = [step_map(step) for step in batch.steps]
    return pack_body(body)


def _block_map(block: Block) -> Fields:
    fields = fields_of(block, _ROLLUP if block.width_ns else _RAW)
    fields["reasons"] = [
        (run.series, run.window, run.windows, run.reason, run.code, run.readings)
        for run in block.reasons
    ]
    return fields


def _event_map(event: EventEntry) -> Fields:
    fields: Fields = {}
    for name in _EVENT:
        fields[name] = getattr(event, "event_class" if name == "class" else name)
    fields["attributes"] = dict(event.attributes)
    return fields


def decode_batch(data: bytes) -> Batch:
    """The inverse; blobs stay packed. Raises Refused."""
    body = decode_body(data, _BATCH)
    body["clock"] = Anchor(**body["clock"])
    batch = Batch(**body)
    _check_stream(batch)
    return batch


def _check_stream(batch: Batch) -> None:
    """What a batch holds is its stream's own (WIRE-15, WIRE-49)."""
    stream = batch.stream
    if (batch.capture is None) == (stream == "capture"):
        if stream == "capture":
            raise refused("shape", "capture", "missing")
        raise refused("value", "capture", "outside stream capture")
    if stream == "capture" and batch.account:
        raise refused("value", "account", "in stream capture")
    if stream == "event":
        if batch.blocks:
            raise refused("value", "blocks", "in stream event")
        return
    if batch.events or batch.losses:
        raise refused("value", "events" if batch.events else "losses", "outside stream event")
    for index, block in enumerate(batch.blocks):
        if (block.width_ns == 0) == (stream == "rollup"):
            raise refused("value", f"blocks[{index}].width_ns", "of another stream")
