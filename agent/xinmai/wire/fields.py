"""Fields that several messages share, and the way from bytes to a checked body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xinmai.clock import MINUTE_NS
from xinmai.wire.limits import INT64_MAX, INT64_MIN, refused, unpack_body
from xinmai.wire.messages import STREAMS, VERSION
from xinmai.wire.shape import Check, Fields, free_map, integer, matching, one_of, text
from xinmai.wire.topics import HEX16_PATTERN, NAME_PATTERN

NAME: Final = matching(NAME_PATTERN, "a name of WIRE-2")
HEX16: Final = matching(HEX16_PATTERN, "16 lower-case hex digits")
BOOT: Final = matching("[0-9a-f]{32}", "32 lower-case hex digits")
ONLINE: Final = one_of("online", "offline")
STREAM: Final = one_of(*STREAMS)
INT64: Final = integer()
COUNT: Final = integer(0)
SEQ: Final = integer(1)
MINUTE: Final = integer(INT64_MIN // MINUTE_NS, INT64_MAX // MINUTE_NS)
ATTRIBUTES: Final = free_map(text, text)
V: Final = integer(VERSION, VERSION)


def decode_body(data: bytes, check: Check[Fields]) -> Fields:
    """A body's fields without `v`.

    Raises:
        Refused: over a limit, of another version or of the wrong shape.
    """
    body = unpack_body(data)
    # Before all else: a later version may hold anything.
    version = body.get("v") if type(body) is dict else None
    if type(version) is int and version != VERSION:
        raise refused("version", "v", f"not {VERSION}")
    fields = check(body)
    del fields["v"]
    return fields


def fields_of(entry: object, names: Iterable[str]) -> Fields:
    """The map of an entry whose attributes bear the names of the wire."""
    fields = {name: getattr(entry, name) for name in names}
    if "attributes" in fields:
        fields["attributes"] = dict(fields["attributes"])
    return fields
