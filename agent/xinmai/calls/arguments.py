"""What is passed to a function: numbers, handles, pointers, and memory for the call to fill."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from xinmai.calls.ctype import CType, Mistake, limits
from xinmai.calls.function import Function
from xinmai.calls.memory import Memory, Out, lay_out
from xinmai_native import calls as native


class Arguments:
    """The arguments of one probe, as the extension takes them.

    Raises:
        Mistake: naming the argument, its type, and what is wrong with it.
    """

    def __init__(self, function: Function, given: Sequence[object]) -> None:
        self.buffers: dict[Out, int] = {}
        """Index by the `Out` that stands for it."""
        self.memories: list[Memory] = []
        self.native: list[native.Value | native.Buffer] = []
        self._function = function
        parameters = function.parameters
        if len(given) != len(parameters):
            raise Mistake(f"it takes {len(parameters)} arguments, and {len(given)} are given")
        for number, (parameter, one) in enumerate(zip(parameters, given, strict=True), 1):
            try:
                self.native.append(self._argument(parameter, one))
            except Mistake as mistake:
                raise Mistake(f"argument {number} ({parameter.name}): {mistake}") from mistake

    def _argument(self, parameter: CType, given: object) -> native.Value | native.Buffer:
        if isinstance(given, Out):
            return native.Buffer(self._buffer(parameter, given))
        if parameter.kind == "pointer":
            return native.Value(self._pointer(parameter, given))
        low, high = limits(parameter.letter)
        value = _integer(given)
        if not low <= value <= high:
            raise Mistake(f"{value} does not fit, {low} to {high}")
        return native.Value(value)

    def _buffer(self, parameter: CType, out: Out) -> int:
        if out not in self.buffers:
            element = None if out.type is None else self._function.binding.type_of(out.type)
            self.buffers[out] = len(self.memories)
            self.memories.append(lay_out(out, parameter, element))
        elif parameter.kind != "pointer":
            raise Mistake(f"Out() stands for memory, and the parameter is {parameter.name}")
        return self.buffers[out]

    def _pointer(self, parameter: CType, given: object) -> int:
        if given is None:
            return 0
        found = self._function.binding.pointer(given)
        if found is not None:
            address, kind = found
            if "void *" not in (kind.name, parameter.name) and kind.name != parameter.name:
                raise Mistake(f"a {kind.name} is given")
            return address
        address = _integer(given)
        if not 0 <= address < 1 << 64:
            raise Mistake(f"{address} is no address")
        if address and parameter.target is not None and parameter.target().size:
            raise Mistake(
                f"{address} is a number; give Out() for memory, or a pointer of this type"
            )
        return address


def _integer(given: Any) -> int:
    """A Python integer, or one that ctypes or cffi wraps."""
    for read in (operator.index, lambda one: operator.index(one.value), _wrapped):
        try:
            return read(given)
        except (TypeError, AttributeError):
            continue
    raise Mistake(f"{given!r} is neither an integer nor a pointer; Out() is memory to be filled")


def _wrapped(given: Any) -> int:
    """Of cffi, whose integers convert by `int` alone; a text does as well and is none."""
    if isinstance(given, float | str | bytes):
        raise TypeError
    return int(given)
