"""Writes golden/: one body per kind of message, and the same as JSON that one can read.

Run once per version of the wire; a golden file that is committed never changes.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from agent.wire.reference import pack_columns
from xinmai.clock import Anchor, ClockStep
from xinmai.wire.blocks import raw_block, rollup_block
from xinmai.wire.codec import (
    decode_batch,
    decode_command,
    decode_inventory,
    decode_presence,
    decode_reply,
    decode_status,
    decode_stored,
    encode_batch,
    encode_command,
    encode_inventory,
    encode_presence,
    encode_reply,
    encode_status,
    encode_stored,
    schema_of,
)
from xinmai.wire.messages import (
    AccountEntry,
    Batch,
    Capture,
    Command,
    DeviceEntry,
    EventEntry,
    Inventory,
    LaneEntry,
    Loss,
    Presence,
    Reply,
    SeriesEntry,
    Status,
    Stored,
)
from xinmai_native import KIND_FLOAT, KIND_GAUGE, KIND_LAST, Rows, Windows

GOLDEN = Path(__file__).parent / "golden"

NODE, EDGE, BOOT = "node-07", "row.b", "0123456789abcdef0123456789abcdef"
QUEUE, OLDER_QUEUE = "00112233445566aa", "ffeeddccbbaa9988"
WALL_NS = 1_790_000_000_000_000_000
MONO_NS = 86_400_000_000_000
MINUTE = WALL_NS // 60_000_000_000
CLOCK = Anchor(MONO_NS, MONO_NS + 5_000, WALL_NS, 900, True)
KINDS = bytes([KIND_GAUGE, KIND_FLOAT, KIND_LAST])

STATUS = Status(NODE, EDGE, True, BOOT, 41, WALL_NS, "xinmai 0.1.0", stand_in=False)


def _series(metric: str, unit: str, kind: str, **other: Any) -> SeriesEntry:
    fields: dict[str, Any] = {
        "hw_id": "GPU-1f0c",
        "metric": metric,
        "attributes": {},
        "unit": unit,
        "kind": kind,
        "scale": (1, 1000),
        "type": "i64",
        "native": "vendorGetPower",
        "native_unit": "mW",
        "refresh_ns": 100_000_000,
        "window_ns": None,
        "plugin": "example",
        "stand_in": True,
    }
    return SeriesEntry(**{**fields, **other})


INVENTORY = Inventory(
    node=NODE,
    edge=EDGE,
    boot=BOOT,
    agent="xinmai 0.1.0",
    time_ns=WALL_NS,
    stand_in=True,
    devices=(
        DeviceEntry(
            hw_id="GPU-1f0c",
            vendor="示例",
            model="Example X1",
            serial_number="",
            parent="",
            pci_bdf="0000:3b:00.0",
            index=0,
            plugin="example",
            stand_in=True,
            attributes={"hw.firmware_version": "1.2.3"},
        ),
        DeviceEntry("host", "", "", "", "", "", None, "host", False, {}),
    ),
    lanes=(
        LaneEntry("example", "fast", 10_000_000, 0, 3),
        LaneEntry("host", "slow", 1_000_000_000, 3, 1),
    ),
    series=(
        _series("hw.power", "W", "gauge"),
        _series("hw.gpu.utilization", "1", "gauge", type="f64", scale=(1, 1), native_unit="1"),
        _series("hw.energy", "J", "counter", type="u64", attributes={"hw.sensor": "board"}),
        _series(
            "system.cpu.time",
            "s",
            "counter",
            hw_id="host",
            native="/proc/stat",
            native_unit="jiffy",
            scale=(1, 100),
            refresh_ns=None,
            window_ns=0,
            plugin="host",
            stand_in=False,
        ),
    ),
)


def _i64(*values: int) -> bytes:
    return array("q", values).tobytes()


def _u32(*values: int) -> bytes:
    return array("I", values).tobytes()


def _bits(*values: float) -> tuple[int, ...]:
    return struct.unpack(f"<{len(values)}q", struct.pack(f"<{len(values)}d", *values))


WINDOWS = Windows(
    next_position=400,
    overrun=2,
    n=3,
    start_ns=_i64(MONO_NS, MONO_NS + 1_000_000_000, MONO_NS + 2_000_000_123),
    ticks=_u32(100, 99, 1),
    missed=_u32(0, 1, 0),
    counts=_u32(100, 99, 1, 100, 0, 1, 100, 99, 0),
    last=_i64(250_000, 251_000, 252_000, *_bits(0.5, 0.0, 0.75), 7_000, 7_100, 0),
    min=_i64(249_000, 251_000, 252_000, *_bits(0.25, 0.0, 0.75), 0, 0, 0),
    max=_i64(255_000, 251_000, 252_000, *_bits(0.5, 0.0, 0.75), 0, 0, 0),
    sum=_i64(25_100_000, 24_849_000, 252_000, *_bits(40.0, 0.0, 0.75), 0, 0, 0),
    reasons=[(1, 1, 4, 0, 99), (2, 2, 7, -19, 1)],
)
ROWS = Rows(
    next_position=4,
    first_position=0,
    overrun=0,
    n=4,
    scheduled_ns=_i64(*(MONO_NS + 10_000_000 * row for row in range(4))),
    begin_ns=_i64(*(MONO_NS + 10_000_000 * row + 12_345 * (row % 2) for row in range(4))),
    duration_ns=_u32(800_000, 810_000, 790_000, 805_000),
    missed=_u32(0, 0, 2, 0),
    values=_i64(250_000, 250_100, 0, 250_300, *_bits(0.5, 0.5, 0.5, 0.5), 7_000, 0, 0, 7_003),
    reasons=[(0, 2, 5, 0), (2, 1, 7, 999), (2, 2, 7, 999)],
)


def _batch(**fields: Any) -> Batch:
    return Batch(
        node=NODE,
        edge=EDGE,
        boot=BOOT,
        schema=schema_of(INVENTORY),
        clock=CLOCK,
        stand_in=True,
        **fields,
    )


ROLLUP = _batch(
    stream="rollup",
    queue=QUEUE,
    seq=17,
    blocks=(rollup_block(0, 1_000_000_000, WINDOWS, KINDS),),
    account=(AccountEntry(MINUTE, 606, 3, 6),),
)
# As a sender without the dense codecs wrote it.
RAW_BLOCK = replace(
    raw_block(0, ROWS, len(KINDS)),
    time=pack_columns([array("q", ROWS.scheduled_ns)]),
    late=pack_columns([[0, 12_345, 0, 12_345]]),
    duration=pack_columns([array("I", ROWS.duration_ns)]),
    missed=pack_columns([array("I", ROWS.missed)]),
    last=pack_columns([[250_000, 250_100, 250_300], _bits(0.5, 0.5, 0.5, 0.5), [7_000, 7_003]]),
)
RAW = _batch(
    stream="raw",
    queue=QUEUE,
    seq=1,
    blocks=(RAW_BLOCK,),
    account=(AccountEntry(MINUTE, 12, 6, 0),),
)
CAPTURE = _batch(
    stream="capture",
    queue=QUEUE,
    seq=3,
    blocks=(RAW_BLOCK,),
    capture=Capture(
        id="c0ffee00c0ffee00",
        trigger="threshold",
        cause="hw.power of GPU-1f0c was 255 W, above 250 W",
        hw_id="GPU-1f0c",
        metric="hw.power",
        at_ns=WALL_NS + 20_000_000,
        from_ns=WALL_NS,
        to_ns=WALL_NS + 30_012_345,
        part=2,
        last=False,
        merged=1,
    ),
)
STEPPED = _batch(
    stream="raw",
    queue=QUEUE,
    seq=2,
    blocks=(RAW_BLOCK,),
    account=(AccountEntry(MINUTE, 12, 6, 0),),
    steps=(
        ClockStep(MONO_NS - 500, WALL_NS + 3_600_000_000_000, MONO_NS + 4_500),
        ClockStep(MONO_NS - 100, WALL_NS - 100, MONO_NS - 60_000_000_000),
    ),
)
EVENT = _batch(
    stream="event",
    queue=QUEUE,
    seq=2**40,
    events=(
        EventEntry(
            time_ns=WALL_NS,
            hw_id="GPU-1f0c",
            code="79",
            event_class="bus",
            severity="critical",
            action="drain the node",
            message="the card has fallen off the bus",
            attributes={"vendor.code": "xid"},
        ),
    ),
    losses=(
        Loss("rollup", OLDER_QUEUE, 3, 9, "spool_budget", ((MINUTE - 1, 300), (MINUTE, 120))),
        Loss("raw", OLDER_QUEUE, 1, 1, "spool_damage", ()),
    ),
)
STORED = Stored(
    node=NODE,
    edge=EDGE,
    collector="edge-b",
    session=WALL_NS,
    streams={
        "event": {QUEUE: ((1, 4),)},
        "rollup": {OLDER_QUEUE: ((1, 9),), QUEUE: ((1, 12), (14, 17))},
        "raw": {},
    },
)
PRESENCE = Presence(EDGE, "edge-b", 3, True, WALL_NS)
COMMAND = Command(NODE, EDGE, "0badcafe0badcafe", "capture", WALL_NS, 5_000_000_000, 10_000_000_000)
REPLY = Reply(NODE, EDGE, "0badcafe0badcafe", True, "c0ffee00c0ffee00", "", WALL_NS)


class Golden(NamedTuple):
    """One message and the two ways."""

    message: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


MESSAGES: Mapping[str, Golden] = {
    "status": Golden(STATUS, encode_status, decode_status),
    "inventory": Golden(INVENTORY, encode_inventory, decode_inventory),
    "batch_rollup": Golden(ROLLUP, encode_batch, decode_batch),
    "batch_raw": Golden(RAW, encode_batch, decode_batch),
    "batch_capture": Golden(CAPTURE, encode_batch, decode_batch),
    "batch_stepped": Golden(STEPPED, encode_batch, decode_batch),
    "batch_event": Golden(EVENT, encode_batch, decode_batch),
    "stored": Golden(STORED, encode_stored, decode_stored),
    "presence": Golden(PRESENCE, encode_presence, decode_presence),
    "command": Golden(COMMAND, encode_command, decode_command),
    "reply": Golden(REPLY, encode_reply, decode_reply),
}


def readable(body: bytes) -> str:
    """A body as JSON; binary as `hex:...`."""
    value = msgpack.unpackb(body)
    return (
        json.dumps(value, indent=1, ensure_ascii=False, default=lambda b: f"hex:{b.hex()}") + "\n"
    )


def main() -> None:
    """Write what is not there yet."""
    GOLDEN.mkdir(exist_ok=True)
    for name, (message, encode, _) in MESSAGES.items():
        body = encode(message)
        target = GOLDEN / f"{name}.msgpack"
        if target.exists():
            print(f"{target.name}: kept")
            continue
        target.write_bytes(body)
        target.with_suffix(".json").write_text(readable(body), "utf-8")
        print(f"{target.name}: {len(body)} bytes")


if __name__ == "__main__":
    main()
