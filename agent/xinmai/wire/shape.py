"""Small checks that compose into the shape of a message.

A check takes one decoded value and returns it, typed, or raises Refused. The place is put together
while the refusal travels up, so that a good message pays nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from xinmai.errors import Refused
from xinmai.wire.limits import INT64_MAX, INT64_MIN, MAX_ENTRIES, refused

T = TypeVar("T")
Check = Callable[[Any], T]
Fields = dict[str, Any]
"""A map whose keys and values were checked."""


def under(place: str, error: Refused) -> Refused:
    """The same refusal, seen from one level further out."""
    inner = error.key
    joint = "." if inner and not inner.startswith("[") else ""
    return Refused(error.reason, f"{place}{joint}{inner}", error.detail)


def integer(low: int = INT64_MIN, high: int = INT64_MAX) -> Check[int]:
    """An integer in a closed range."""

    def check(value: Any) -> int:
        if type(value) is not int:
            raise refused("shape", detail="not an integer")
        if not low <= value <= high:
            raise refused("value", detail=f"outside {low} to {high}")
        return value

    return check


def text(value: Any) -> str:
    """A string; its length was bounded before."""
    if type(value) is not str:
        raise refused("shape", detail="not a string")
    return value


def short_text(most: int) -> Check[str]:
    """A string of at most `most` characters."""

    def check(value: Any) -> str:
        if len(text(value)) > most:
            raise refused("value", detail=f"more than {most} characters")
        return str(value)

    return check


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise refused("shape", detail="not a boolean")
    return value


def blob(value: Any) -> bytes:
    """Bytes."""
    if type(value) is not bytes:
        raise refused("shape", detail="not binary")
    return value


def matching(pattern: str, what: str) -> Check[str]:
    """A string that a pattern describes wholly."""
    matches = re.compile(pattern, re.ASCII).fullmatch

    def check(value: Any) -> str:
        if not matches(text(value)):
            raise refused("value", detail=f"not {what}")
        return str(value)

    return check


def one_of(*allowed: str) -> Check[str]:
    """One of a few words."""

    def check(value: Any) -> str:
        if text(value) not in allowed:
            raise refused("value", detail=f"not one of {', '.join(allowed)}")
        return str(value)

    return check


def nullable(inner: Check[T]) -> Check[T | None]:
    """Null or what `inner` takes."""

    def check(value: Any) -> T | None:
        return None if value is None else inner(value)

    return check


def listing(inner: Check[T], most: int = MAX_ENTRIES) -> Check[tuple[T, ...]]:
    """An array of at most `most` of the same."""

    def check(value: Any) -> tuple[T, ...]:
        if type(value) is not list:
            raise refused("shape", detail="not an array")
        if len(value) > most:
            raise refused("limit", detail=f"more than {most} entries")
        result: list[T] = []
        try:
            for entry in value:
                result.append(inner(entry))
        except Refused as error:
            raise under(f"[{len(result)}]", error) from None
        return tuple(result)

    return check


def row(*columns: Check[Any]) -> Check[tuple[Any, ...]]:
    """An array with a check per place."""
    width = len(columns)

    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != width:
            raise refused("shape", detail=f"not an array of {width}")
        return tuple([inner(entry) for inner, entry in zip(columns, value, strict=True)])

    return check


def free_map(key: Check[str], inner: Check[T], most: int = MAX_ENTRIES) -> Check[dict[str, T]]:
    """A map whose keys are data. They are no part of a refusal's place: they came from outside."""

    def check(value: Any) -> dict[str, T]:
        if type(value) is not dict:
            raise refused("shape", detail="not a map")
        if len(value) > most:
            raise refused("limit", detail=f"more than {most} entries")
        return {key(name): inner(entry) for name, entry in value.items()}

    return check


_NONE: Final[Mapping[str, Check[Any]]] = {}


def record(
    fields: Mapping[str, Check[Any]], optional: Mapping[str, Check[Any]] = _NONE
) -> Check[Fields]:
    """A map with `fields`, any of `optional`, and perhaps `x`, which is dropped (WIRE-12)."""
    extended = {*fields, *optional, "x"}

    def check(value: Any) -> Fields:
        if type(value) is not dict:
            raise refused("shape", detail="not a map")
        result: Fields = {}
        name = ""
        try:
            for name, inner in fields.items():  # noqa: B007 -- named in the refusal
                result[name] = inner(value[name])
            for name in optional.keys() & value.keys():
                result[name] = optional[name](value[name])
        except KeyError:
            raise refused("shape", name, "missing") from None
        except Refused as error:
            raise under(name, error) from None
        if len(value) != len(result):
            if not value.keys() <= extended:
                raise refused("shape", detail="an unknown key")
            if type(value["x"]) is not dict:
                raise refused("shape", "x", "not a map")
        return result

    return check
