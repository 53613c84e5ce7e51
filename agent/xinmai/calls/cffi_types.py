"""Functions, types and pointers of cffi, in-line and out-of-line; cffi itself is not imported."""

from __future__ import annotations

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
from xinmai.errors import PluginError

_FLOATS = ("float", "double")
_CHARACTERS = ("wchar_t", "char16_t", "char32_t")


@dataclass(frozen=True, slots=True, eq=False)
class CffiBinding:
    """What made a function: it keeps the library open, and knows types and pointers."""

    ffi: Any
    lib: Any

    def symbol(self, name: str) -> Any | None:
        """The function as cffi hands it out, None where the library has none of the name.

        Raises:
            PluginError: the binding declares no such function.
        """
        try:
            symbol = getattr(self.lib, name)
        except Exception as error:  # AttributeError, or a class of cffi's own, by mode
            if name in dir(self.lib):
                return None
            raise PluginError(
                f"{name}: the cffi declarations have no such function; add its prototype to them"
            ) from error
        if not isinstance(symbol, self.ffi.CData) or self.ffi.typeof(symbol).kind != "function":
            raise PluginError(f"{name}: the cffi declarations say that this is no function")
        return symbol

    def address(self, pointer: Any) -> int:
        """Of a pointer or function."""
        return int(self.ffi.cast("uintptr_t", pointer))

    def type_of(self, given: object) -> CType:
        """A type by its C name, or cffi's own object of it."""
        if not isinstance(given, str):
            return cffi_type(self.ffi, given)
        try:
            return cffi_type(self.ffi, self.ffi.typeof(given))
        except Exception as error:  # of several classes, all of them saying what cannot be read
            raise Mistake(f"cffi knows no type {given!r}: {error}") from error

    def pointer(self, given: object) -> tuple[int, CType] | None:
        """Address and type of cffi's own pointers and arrays; None for anything else."""
        if not isinstance(given, self.ffi.CData):
            return None
        kind = self.ffi.typeof(given)
        if kind.kind == "array":
            return self.address(given), cffi_pointer(self.ffi, kind.item)
        return (self.address(given), cffi_type(self.ffi, kind)) if kind.kind == "pointer" else None


def cffi_type(ffi: Any, ctype: Any) -> CType:
    """The model of a cffi type."""
    kind = ctype.kind
    if kind == "void":
        return VOID
    if kind in ("primitive", "enum"):
        return _number(ffi, ctype)
    if kind == "pointer":
        return cffi_pointer(ffi, ctype.item)
    if kind == "array":
        return array(cffi_type(ffi, ctype.item), ctype.length or 0)
    if kind in ("struct", "union"):
        return _struct(ffi, ctype, kind)
    return CType(ctype.cname, "function" if kind == "function" else "other")


def cffi_pointer(ffi: Any, item: Any) -> CType:
    """A pointer to a cffi type."""
    name = f"{item.cname} *".replace("* *", "**")
    return CType(name, "pointer", 8, "Q", target=lambda: cffi_type(ffi, item))


def _number(ffi: Any, ctype: Any) -> CType:
    name, size = ctype.cname, ffi.sizeof(ctype)
    if name == "_Bool":
        return boolean(name)
    if name == "char":
        return integer(name, size, signed=CHAR_IS_SIGNED)
    if name in _FLOATS:
        return floating(name, size)
    if name in _CHARACTERS or "complex" in name or name == "long double":
        return CType(name, "other", size)
    return integer(name, size, signed=int(ffi.cast(ctype, -1)) < 0)


def _struct(ffi: Any, ctype: Any, kind: Kind) -> CType:
    # The size comes first: cffi 2.1 aborts the process when asked for the fields of a struct that
    # an out-of-line binding does not describe, and has a class of errors for its size by mode.
    try:
        size = ffi.sizeof(ctype)
    except Exception:  # noqa: BLE001
        return CType(ctype.cname, "opaque")
    members = {
        name: Member(
            field.offset,
            cffi_type(ffi, field.type),
            max(0, field.bitshift),
            max(0, field.bitsize),
        )
        for name, field in ctype.fields
    }
    return CType(ctype.cname, kind, size, members=members)
