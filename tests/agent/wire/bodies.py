"""Bodies that are wrong in one place each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, TypeVar

import msgpack

from xinmai.errors import Refused

T = TypeVar("T")
Path = tuple[str | int, ...]

FREE_MAPS = {"attributes", "streams", "x"}
"""Maps whose keys are data."""


def attempt(call: Callable[[], T]) -> T | Refused:
    """The result, or the refusal; any other exception is a finding."""
    try:
        return call()
    except Refused as refusal:
        # Without its frames, which would keep the body alive.
        return refusal.with_traceback(None)


def refusal_of(call: Callable[[], object]) -> Refused:
    """The refusal that must come."""
    result = attempt(call)
    assert isinstance(result, Refused), "accepted"
    return result


def pack(value: object) -> bytes:
    """Msgpack without any check."""
    body: bytes = msgpack.packb(value, strict_types=False)
    return body


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """Every place in a decoded body, outermost first."""
    yield at
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, entry in inner:
        yield from places(entry, (*at, key))


def records(value: Any) -> Iterator[Path]:
    """Places of the maps whose keys are fixed."""
    for at in places(value):
        free = any(step in FREE_MAPS for step in at)
        if isinstance(get(value, at), dict) and not free:
            yield at


def get(value: Any, at: Path) -> Any:
    """What stands at a place."""
    for step in at:
        value = value[step]
    return value


def replaced(value: Any, at: Path, new: object) -> Any:
    """A copy with something else at a place."""
    if not at:
        return new
    copy = deepcopy(value)
    get(copy, at[:-1])[at[-1]] = new
    return copy


def dotted(at: Path) -> str:
    """A place as refusals name it."""
    text = ""
    for step in at:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def damaged(body: bytes, source: random.Random) -> bytes:
    """A body with a few bytes changed, cut out, doubled or inserted."""
    data = bytearray(body)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(data) + 1)
        length = source.choice((1, 1, 1, 2, 8, 64))
        match source.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << source.randrange(8)
            case 1 if at < len(data):
                data[at] = source.choice(
                    b"\x00\x7f\x80\x90\xc0\xc1\xc4\xc7\xcb\xd9\xdc\xdd\xdf\xff"
                )
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                data[at:at] = source.randbytes(length)
    return bytes(data)
