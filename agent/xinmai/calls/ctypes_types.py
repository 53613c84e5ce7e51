"""Functions, types and pointers of ctypes, for bindings that came with it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xinmai.calls.ctype import (
    CHAR_IS_SIGNED,
    VOID,
    CType,
    Kind,
    Member,
    Mistake,
    array,
    boolean,
    floating,
    integer,
)

_POINTER: type[Any] = ctypes.POINTER(ctypes.c_int).__mro__[1]
_ARRAY: type[Any] = ctypes.Array
_FUNCTION: type[Any] = ctypes.CFUNCTYPE(None).__mro__[1]
_SIMPLE: type[Any] = ctypes.c_int.__mro__[1]
_TEXTS = {"z": ctypes.c_char, "Z": ctypes.c_wchar}


@dataclass(frozen=True, slots=True, eq=False)
class CtypesBinding:
    """What made a function: it keeps the library open, and knows types and pointers."""

    function: Any

    def address(self) -> int:
        """Of the function."""
        return ctypes.cast(self.function, ctypes.c_void_p).value or 0

    def type_of(self, given: object) -> CType:
        """A ctypes class as a type."""
        if isinstance(given, type):
            return ctypes_type(given)
        raise Mistake(f"{given!r} is no ctypes class")

    def pointer(self, given: object) -> tuple[int, CType] | None:
        """Address and type of ctypes' own pointers and arrays; None for anything else."""
        if isinstance(given, ctypes.Array):
            return ctypes.addressof(given), ctypes_pointer(given._type_)
        kind = ctypes_type(type(given))
        if kind.kind != "pointer":
            return None
        holder: Any = given
        return ctypes.cast(holder, ctypes.c_void_p).value or 0, kind


def ctypes_type(given: Any) -> CType:
    """The model of a ctypes class; None is void, as in `restype`."""
    if given is None:
        return VOID
    if isinstance(given, type):
        return _of_class(given)
    raise Mistake(f"{given!r} is no ctypes class")


def _of_class(given: Any) -> CType:
    if issubclass(given, _POINTER):
        return ctypes_pointer(getattr(given, "_type_", None))
    if issubclass(given, _ARRAY):
        return array(ctypes_type(given._type_), given._length_)
    if issubclass(given, ctypes.Structure | ctypes.Union):
        return _struct(given)
    if issubclass(given, _FUNCTION):
        return CType(given.__name__, "function")
    return _simple(given) if issubclass(given, _SIMPLE) else CType(given.__name__, "other")


def ctypes_pointer(item: Any) -> CType:
    """A pointer to a ctypes class, None for void."""
    name = "void" if item is None else item.__name__
    return CType(f"{name} *", "pointer", 8, "Q", target=lambda: ctypes_type(item))


def _simple(given: Any) -> CType:
    code, name, size = given._type_, given.__name__, ctypes.sizeof(given)
    if code == "P":
        return ctypes_pointer(None)
    if code in _TEXTS:
        return ctypes_pointer(_TEXTS[code])
    is_swapped = size > 1 and given is getattr(given, "__ctype_be__", None)
    if is_swapped or code not in "?cfdbBhHiIlLqQ":
        return CType(name, "other", size)
    if code == "?":
        return boolean(name)
    if code in "fd":
        return floating(name, size)
    return integer(name, size, signed=CHAR_IS_SIGNED if code == "c" else code.islower())


def _struct(given: Any) -> CType:
    kind: Kind = "union" if issubclass(given, ctypes.Union) else "struct"
    members = dict(_members(given, 0))
    if not members:
        return CType(given.__name__, "opaque")
    return CType(given.__name__, kind, ctypes.sizeof(given), members=members)


def _members(given: Any, base: int) -> Iterator[tuple[str, Member]]:
    """Fields of a class and of those it builds on; those of anonymous members as its own."""
    for owner in reversed(given.__mro__):
        anonymous = vars(owner).get("_anonymous_", ())
        for name, kind, *bits in vars(owner).get("_fields_", ()):
            place = vars(owner)[name]
            if name in anonymous:
                yield from _members(kind, base + place.offset)
            # The field's size is in bytes, but of a bit field it is its bits and its shift.
            shift = place.size & 0xFFFF if bits else 0
            yield name, Member(base + place.offset, ctypes_type(kind), shift, *bits)
