"""The numbers of WIRE-11, and one pass over a body's headers that enforces them beforehand.

A few bytes can ask msgpack for gigabytes (nested arrays that each claim 65,536 entries), and its
own bounds know nothing of nesting. So the headers are walked first, in constant memory; what
passes can cost a bounded multiple of its size and no more.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final, Literal, get_args

import msgpack

from xinmai.errors import Refused

MAX_BODY_BYTES: Final = 2**20
MAX_NESTING: Final = 16
MAX_ENTRIES: Final = 65_536
"""In one array or map."""
MAX_VALUES: Final = 262_144
"""In a whole body: every key, scalar, array and map counts one."""
MAX_STRING_BYTES: Final = 65_536
MAX_LANES: Final = 4_096
MAX_SERIES: Final = 65_536
MAX_BLOCKS: Final = 4_096
MAX_CELLS: Final = 2**20
"""In a block: windows or rows, times columns."""
MAX_RANGES: Final = 256
MAX_QUEUES: Final = 8
"""Of a stream, in a stored message."""
MAX_STEPS: Final = 8
"""Clock steps in a batch."""
MAX_CAUSE_CHARACTERS: Final = 300
"""Of the cause of a capture, and of the error of a reply."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

RefusalReason = Literal[
    "too_big",
    "limit",
    "not_msgpack",
    "forbidden",
    "version",
    "shape",
    "value",
    "blob",
    "topic",
    "origin",
]
"""Every reason a Refused of the wire can carry, WIRE-14."""
REFUSAL_REASONS: Final[tuple[str, ...]] = get_args(RefusalReason)


def refused(reason: RefusalReason, key: str = "", detail: str = "") -> Refused:
    """A refusal whose reason is one of WIRE-14."""
    return Refused(reason, key, detail)


_FIXED_BYTES: Final = bytes(
    [1] * 0x80  # positive fixint
    + [0] * 0x20  # fixmap, fixarray
    + [1 + n for n in range(32)]  # fixstr
    + [1, 0, 1, 1]  # nil, never used, false, true
    + [0] * 8  # bin, ext, float
    + [2, 3, 5, 9, 2, 3, 5, 9]  # uint, int
    + [0] * 12  # fixext, str, array, map
    + [1] * 0x20  # negative fixint
)
"""Length of a value by its first byte; 0 where the first byte does not tell all."""

_BIN_8: Final = 0xC4
_BIN_LENGTH_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_STRING_LENGTH_BYTES: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY_LENGTH_BYTES: Final = {0xDC: 2, 0xDD: 4}
_MAP_LENGTH_BYTES: Final = {0xDE: 2, 0xDF: 4}
_FLOATS: Final = {0xCA: struct.Struct(">f"), 0xCB: struct.Struct(">d")}


def check_body(data: bytes) -> None:
    """Walk a body's headers against WIRE-10 and WIRE-11; needs no memory of its own.

    Raises:
        Refused: too big, over a limit, broken, or holding an extension type, NaN or infinity.
    """
    size = len(data)
    if size > MAX_BODY_BYTES:
        raise refused("too_big", detail=f"{size} bytes, at most {MAX_BODY_BYTES}")
    try:
        end = _walk(data)
    except (IndexError, struct.error):
        raise refused("not_msgpack", detail="ends too early") from None
    if end != size:
        raise refused("not_msgpack", detail="bytes missing or left over")


def _walk(data: bytes) -> int:
    """Position behind the first value; IndexError where the data ends before it is known."""
    fixed_bytes_of = _FIXED_BYTES
    position = 0
    values = left = 1
    outer: list[int] = []
    while True:
        while left:
            left -= 1
            first = data[position]
            fixed_bytes = fixed_bytes_of[first]
            if fixed_bytes:
                position += fixed_bytes
            elif first == _BIN_8:
                position += 2 + data[position + 1]
            else:
                position, entries = _special(data, position, first)
                if entries >= 0:
                    outer.append(left)
                    left = entries
                    values += entries
                    if values > MAX_VALUES:
                        raise refused("limit", detail=f"more than {MAX_VALUES} values in a body")
                    if len(outer) > MAX_NESTING:
                        raise refused("limit", detail=f"nested deeper than {MAX_NESTING}")
        if not outer:
            return position
        left = outer.pop()


def _special(data: bytes, position: int, first: int) -> tuple[int, int]:
    """(position behind header and payload, values that follow inside or -1 for a scalar)."""
    if first in _BIN_LENGTH_BYTES:
        start, length = _length(data, position, _BIN_LENGTH_BYTES[first])
        return start + length, -1
    if first in _STRING_LENGTH_BYTES:
        start, length = _length(data, position, _STRING_LENGTH_BYTES[first])
        if length > MAX_STRING_BYTES:
            raise refused("limit", detail=f"a string over {MAX_STRING_BYTES} bytes")
        return start + length, -1
    if 0x80 <= first <= 0x9F:
        entries = first & 0x0F
        return position + 1, entries if first >= 0x90 else 2 * entries
    if first in _ARRAY_LENGTH_BYTES or first in _MAP_LENGTH_BYTES:
        is_map = first in _MAP_LENGTH_BYTES
        width = (_MAP_LENGTH_BYTES if is_map else _ARRAY_LENGTH_BYTES)[first]
        start, entries = _length(data, position, width)
        if entries > MAX_ENTRIES:
            raise refused("limit", detail=f"more than {MAX_ENTRIES} entries in one array or map")
        return start, 2 * entries if is_map else entries
    if first in _FLOATS:
        layout = _FLOATS[first]
        if not math.isfinite(layout.unpack_from(data, position + 1)[0]):
            raise refused("forbidden", detail="NaN or infinity")
        return position + 1 + layout.size, -1
    if first == 0xC1:
        raise refused("not_msgpack", detail="a byte that msgpack never uses")
    raise refused("forbidden", detail="an extension type")


def _length(data: bytes, position: int, width: int) -> tuple[int, int]:
    start = position + 1 + width
    return start, int.from_bytes(data[position + 1 : start], "big")


def unpack_body(data: bytes) -> Any:
    """One msgpack value, bounded; arrays become lists.

    Raises:
        Refused: as `check_body`, and for duplicate keys and keys that are no strings.
    """
    check_body(data)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_distinct,
            ext_hook=_no_extension,
        )
    except (ValueError, msgpack.UnpackException) as error:
        # Not chained: msgpack's own messages quote what they could not read.
        raise refused("not_msgpack", detail=type(error).__name__) from None


def _distinct(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise refused("forbidden", detail="a duplicate key")
    for key in result:
        if type(key) is not str:
            raise refused("not_msgpack", detail="a key that is no string")
    return result


def _no_extension(code: int, data: bytes) -> Any:
    raise refused("forbidden", detail="an extension type")


def pack_body(value: object) -> bytes:
    """The inverse. A lone surrogate (from a file name, say) is written as its escape.

    Raises:
        Refused: the value is over a limit; the sender has to split it.
    """
    data: bytes = msgpack.packb(value, unicode_errors="backslashreplace")
    check_body(data)
    return data
