"""C types as a call probe needs them, whoever declared them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "integer", "float", "pointer", "struct", "union", "array", "void", "function", "opaque", "other"
]

_SIGNED = {1: "b", 2: "h", 4: "i", 8: "q"}
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_BITS = {"b": 8, "h": 16, "i": 32, "q": 64, "B": 8, "H": 16, "I": 32, "Q": 64, "?": 8}

# The psABIs leave it to each machine whether a plain char has a sign.
CHAR_IS_SIGNED = platform.machine() in ("x86_64", "i686", "loongarch64")


class Mistake(Exception):
    """What is wrong with a declaration; whoever knows the place puts it before the text."""


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct or union; bits 0 is the whole of its type."""

    offset: int
    type: CType
    shift: int = 0
    bits: int = 0


@dataclass(frozen=True, slots=True)
class CType:
    """A type.

    Args:
        name: as C writes it.
        kind: `opaque` is a struct nobody described, `other` what no lane can handle.
        size: in bytes; 0 where nobody knows, as of void and of what is opaque.
        letter: of `struct`, for integers and floats.
        members: by name, of structs and unions.
        item, length: of an array.
        target: gives what a pointer points to; a call, since types may point to themselves.
    """

    name: str
    kind: Kind
    size: int = 0
    letter: str = ""
    members: Mapping[str, Member] = field(default_factory=dict)
    item: CType | None = None
    length: int = 0
    target: Callable[[], CType] | None = field(default=None, compare=False)

    @property
    def is_signed(self) -> bool:
        """Of an integer."""
        return self.letter.islower()


VOID = CType("void", "void")


def integer(name: str, size: int, *, signed: bool) -> CType:
    """An integer of 1, 2, 4 or 8 bytes; wider ones are beyond a lane."""
    letter = (_SIGNED if signed else _UNSIGNED).get(size)
    return CType(name, "integer", size, letter) if letter else CType(name, "other", size)


def boolean(name: str) -> CType:
    """C's bool: the low byte counts."""
    return CType(name, "integer", 1, "?")


def floating(name: str, size: int) -> CType:
    """A float or a double; anything wider is beyond a lane."""
    letter = {4: "f", 8: "d"}.get(size)
    return CType(name, "float", size, letter) if letter else CType(name, "other", size)


def array(item: CType, length: int) -> CType:
    """Items one behind the other; length 0 is a flexible array, whose end nobody knows."""
    name, bracket, rest = item.name.partition("[")
    return CType(
        f"{name}[{length}]{bracket}{rest}", "array", item.size * length, item=item, length=length
    )


def limits(letter: str, bits: int = 0) -> tuple[int, int]:
    """Least and greatest number of an integer type, or of a bit field of it."""
    if letter == "?":
        return 0, 1
    width = bits or _BITS[letter]
    return (-(1 << width - 1), (1 << width - 1) - 1) if letter.islower() else (0, (1 << width) - 1)


def fold(number: int, letter: str, bits: int = 0) -> int | None:
    """The number that an integer type holds for the same bits, such as 0xFFFFFFFF for -1.

    None where so many bits hold it neither with a sign nor without.
    """
    if letter == "?":
        return number if 0 <= number <= 1 else None
    width = bits or _BITS[letter]
    if not -(1 << width - 1) <= number < 1 << width:
        return None
    rest = number & (1 << width) - 1
    return rest - (1 << width) if letter.islower() and rest >> width - 1 else rest
