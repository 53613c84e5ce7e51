"""Messages to bytes and back. Decoding is bounded and refuses rather than guesses (WIRE-10 to 15).

A body goes through three sieves: its headers (`limits`), its shape (`shape`), and what its fields
say of each other. Whatever the bytes, a decoder raises nothing but Refused. An encoder raises it
for a message over a limit, which its sender has to split.
"""

from __future__ import annotations

from typing import Any, Final

from xinmai.wire.batch import decode_batch, encode_batch
from xinmai.wire.capture import decode_command, decode_reply, encode_command, encode_reply
from xinmai.wire.fields import (
    BOOT,
    COUNT,
    HEX16,
    INT64,
    NAME,
    ONLINE,
    SEQ,
    STREAM,
    V,
    decode_body,
    fields_of,
)
from xinmai.wire.inventory import decode_inventory, encode_inventory, schema_of
from xinmai.wire.limits import MAX_QUEUES, MAX_RANGES, pack_body, refused
from xinmai.wire.messages import VERSION, Presence, Ranges, Status, Stored
from xinmai.wire.shape import Fields, flag, free_map, listing, record, row, text

__all__ = [
    "decode_batch",
    "decode_command",
    "decode_inventory",
    "decode_presence",
    "decode_reply",
    "decode_status",
    "decode_stored",
    "encode_batch",
    "encode_command",
    "encode_inventory",
    "encode_presence",
    "encode_reply",
    "encode_status",
    "encode_stored",
    "schema_of",
]

_STATUS: Final = record(
    {
        "v": V,
        "node": NAME,
        "edge": NAME,
        "state": ONLINE,
        "boot": BOOT,
        "session": COUNT,
        "time_ns": INT64,
        "agent": text,
        "stand_in": flag,
    }
)


def encode_status(status: Status) -> bytes:
    """A status body."""
    return pack_body(
        {
            "v": VERSION,
            "node": status.node,
            "edge": status.edge,
            "state": _state(status.online),
            **fields_of(status, ("boot", "session", "time_ns", "agent", "stand_in")),
        }
    )


def decode_status(data: bytes) -> Status:
    """The inverse.

    Raises:
        Refused: over a limit or of the wrong shape.
    """
    return Status(**_online(decode_body(data, _STATUS)))


_PRESENCE: Final = record(
    {"v": V, "edge": NAME, "collector": text, "session": COUNT, "state": ONLINE, "time_ns": INT64}
)


def encode_presence(presence: Presence) -> bytes:
    """A `_collector` body."""
    return pack_body(
        {
            "v": VERSION,
            **fields_of(presence, ("edge", "collector", "session")),
            "state": _state(presence.online),
            "time_ns": presence.time_ns,
        }
    )


def decode_presence(data: bytes) -> Presence:
    """The inverse; raises Refused."""
    return Presence(**_online(decode_body(data, _PRESENCE)))


def _state(online: bool) -> str:
    return "online" if online else "offline"


def _online(body: Fields) -> Fields:
    body["online"] = body.pop("state") == "online"
    return body


_range_rows: Final = listing(row(SEQ, SEQ), MAX_RANGES)


def _ranges(value: Any) -> Ranges:
    ranges: Ranges = _range_rows(value)
    before = -1
    for index, (first, last) in enumerate(ranges):
        if first <= before + 1 or last < first:
            raise refused("value", f"[{index}]", "not closed, ascending and apart")
        before = last
    return ranges


_STORED: Final = record(
    {
        "v": V,
        "node": NAME,
        "edge": NAME,
        "collector": text,
        "session": COUNT,
        "streams": free_map(STREAM, free_map(HEX16, _ranges, MAX_QUEUES)),
    }
)


def encode_stored(stored: Stored) -> bytes:
    """A stored body."""
    return pack_body(
        {
            "v": VERSION,
            **fields_of(stored, ("node", "edge", "collector", "session")),
            "streams": {
                stream: {queue: list(ranges) for queue, ranges in queues.items()}
                for stream, queues in stored.streams.items()
            },
        }
    )


def decode_stored(data: bytes) -> Stored:
    """The inverse; raises Refused."""
    return Stored(**decode_body(data, _STORED))
