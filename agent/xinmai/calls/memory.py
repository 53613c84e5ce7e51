"""Scratch memory for the pointers a call fills, and what it holds before every call."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinmai.calls.ctype import CType, Mistake, limits
from xinmai.calls.places import Spot, root

MAX_BYTES = 1 << 20
"""Of one buffer, as the extension allows."""

Prime = int | float | bytes | Mapping[str, "Prime"] | Sequence["Prime"] | None
"""Initial content in the declaration's own terms; what is not named is zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Out:
    """Memory for a pointer parameter, written with the same content before every call.

    The same object for two parameters is the same memory. Places in it are named by a path:
    `out["ways[2].power"]`, `out["[*].power"]` for the sum over all, `out[3]["value"]`.

    Args:
        type: C name or type of one element; what the parameter points to where None.
        count: how many elements the pointer leads to; as many as `prime` has where that is a list,
            else one that is no array.
        prime: content before each call: a number, a mapping of field names, a list of these, or
            bytes; the rest is zero. A version, field ids, a capacity.
        least_bytes: room beyond the type, for a library whose struct may have grown.
    """

    type: Any = None
    count: int | None = None
    prime: Prime = None
    least_bytes: int = 0

    def __getitem__(self, step: str | int) -> At:
        return At(self, "")[step]


@dataclass(frozen=True, slots=True)
class At:
    """A place in an `Out`; None for the return value."""

    out: Out | None
    path: str = field(default="")

    def __getitem__(self, step: str | int) -> At:
        text = f"[{step}]" if isinstance(step, int) else step
        dot = "." if self.path and not text.startswith("[") else ""
        return At(self.out, f"{self.path}{dot}{text}")


RETURN = At(None)
"""The return value as a place."""


@dataclass(frozen=True, slots=True)
class Memory:
    """An `Out` with its type: what lies where, and the bytes before each call."""

    start: Spot
    content: bytes

    def follow(self, path: str) -> Spot:
        """The place a path names; `[0]` of what is no array is the thing itself, as in C."""
        is_array = self.start.type.kind == "array"
        return self.start.follow(path if is_array else path.removeprefix("[0]").lstrip("."))


def lay_out(out: Out, parameter: CType, element: CType | None) -> Memory:
    """Memory for a parameter.

    Args:
        element: the type that `out` gives itself, None for the parameter's own.

    Raises:
        Mistake: no size is known, or the initial content does not fit.
    """
    if parameter.target is None:
        raise Mistake(f"Out() stands for memory, and the parameter is {parameter.name}")
    pointee = parameter.target()
    kind = element or pointee
    if not kind.size:
        raise Mistake(
            f"nobody says how large {kind.name} is; give the type, as Out('some_struct_t')"
        )
    if element and pointee.size and element.size < pointee.size and out.count is None:
        raise Mistake(f"{element.name} is smaller than {pointee.name}, which the call writes")
    start = root(kind, _count(out, kind))
    size = max(start.type.size, out.least_bytes)
    if size > MAX_BYTES:
        raise Mistake(f"{size} bytes of memory are asked for, {MAX_BYTES} are the most")
    content = bytearray(size)
    _fill(content, start, out.prime)
    return Memory(start, bytes(content))


def _count(out: Out, kind: CType) -> int | None:
    prime, count = out.prime, out.count
    if count is None and kind.kind != "array" and isinstance(prime, Sequence):
        count = None if isinstance(prime, bytes) else len(prime)
    if count is not None and count < 1:
        raise Mistake(f"count is {count}; a call cannot fill less than one element")
    return count


def _fill(content: bytearray, spot: Spot, prime: Prime) -> None:
    if prime is None:
        return
    if isinstance(prime, bytes):
        room = spot.type.size if spot.offset else len(content)
        if len(prime) > room:
            raise Mistake(f"prime has {len(prime)} bytes for {spot.type.name} of {room}")
        content[spot.offset : spot.offset + len(prime)] = prime
    elif isinstance(prime, Mapping):
        for name, value in prime.items():
            _fill(content, spot.follow(name), value)
    elif isinstance(prime, Sequence):
        if len(prime) > spot.type.length:
            raise Mistake(f"prime lists {len(prime)} for {spot.type.name}")
        for index, value in enumerate(prime):
            _fill(content, spot.follow(f"[{index}]"), value)
    else:
        _put(content, spot, prime)


def _put(content: bytearray, spot: Spot, number: float) -> None:
    kind = spot.type
    if not kind.letter:
        raise Mistake(f"prime gives {number!r} for {kind.name}; give its fields by name or index")
    if kind.kind == "float":
        struct.pack_into(f"<{kind.letter}", content, spot.offset, number)
        return
    low, high = limits(kind.letter, spot.bits)
    if not isinstance(number, int) or not low <= number <= high:
        raise Mistake(f"prime {number!r} does not fit {kind.name}, {low} to {high}")
    whole = slice(spot.offset, spot.offset + kind.size)
    mask = (1 << (spot.bits or 8 * kind.size)) - 1
    before = int.from_bytes(content[whole], "little") & ~(mask << spot.shift)
    content[whole] = (before | (number & mask) << spot.shift).to_bytes(kind.size, "little")
