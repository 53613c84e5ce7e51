"""A declared call as the extension takes it; everything that can be checked is checked here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from xinmai.calls.arguments import Arguments
from xinmai.calls.ctype import Mistake, fold
from xinmai.calls.function import NO_STATUS, Function, Returns
from xinmai.calls.memory import At, Out
from xinmai.calls.places import Spot
from xinmai.calls.results import Place, Result
from xinmai.errors import PluginError
from xinmai_native import calls as native

if TYPE_CHECKING:
    from xinmai.api import Series

MAX_DECIMALS = 18
BITS_OF_DOUBLE = -1
"""Stands for decimals in a series of type f64."""


def compile_call(
    function: Function,
    arguments: Sequence[object],
    results: Sequence[Result],
    returns: Returns | None,
) -> native.Call:
    """The tuple of a probe, its columns counted from 0.

    Args:
        returns: None for the function's own, or for no status where a result is the return value.

    Raises:
        PluginError: naming the function, the argument or result, and what is wrong.
    """
    try:
        return _Compiler(function, arguments, results, returns).call()
    except Mistake as mistake:
        raise PluginError(f"{function.signature}: {mistake}") from mistake


def moved(call: native.Call, column: int) -> native.Call:
    """The same call with its columns counted from another one."""
    return call._replace(results=[one._replace(column=one.column + column) for one in call.results])


class _Compiler:
    def __init__(
        self,
        function: Function,
        arguments: Sequence[object],
        results: Sequence[Result],
        returns: Returns | None,
    ) -> None:
        self._function, self._results = function, results
        self._arguments = Arguments(function, arguments)
        self._returns = self._status(returns)
        self._status_letters = {function.result.letter or "i"}

    def call(self) -> native.Call:
        results = []
        for column, result in enumerate(self._results):
            try:
                results.append(self._result(column, result))
            except Mistake as mistake:
                name = f"result {column + 1} ({result.series.metric})"
                raise Mistake(f"{name}: {mistake}") from mistake
        return native.Call(
            self._function.address,
            self._arguments.native,
            [memory.content for memory in self._arguments.memories],
            native.Returns(
                self._function.result.letter,
                self._codes(self._returns.success),
                [
                    (code, int(reason))
                    for number, reason in self._returns.reasons.items()
                    for code in self._codes([number])
                ],
            ),
            results,
        )

    def _status(self, given: Returns | None) -> Returns:
        """Whose codes the return value is read by."""
        is_result = any(self._at(result.at).out is None for result in self._results)
        returns = given or (NO_STATUS if is_result else self._function.returns)
        if is_result and returns.success:
            raise Mistake("the return value is both a result and a status; give one of them up")
        if self._function.result.kind == "pointer" and returns.success:
            raise Mistake("a pointer is returned, no status; give returns=NO_STATUS")
        return returns

    def _codes(self, numbers: Iterable[int]) -> list[int]:
        """As each type of status holds them."""
        held = {fold(number, letter) for number in numbers for letter in self._status_letters}
        return sorted(code for code in held if code is not None)

    def _result(self, column: int, result: Result) -> native.Result:
        at = self._at(result.at)
        spot = self._spot(at)
        loads = [(tag, self._load(at, one)) for tag, one in _alternatives(result, spot)]
        factor = None if result.factor is None else self._number(result.factor, at)
        numbers = [*(load for _, load in loads), *([factor] if factor else [])]
        low, high = _range(result.series, numbers)
        return native.Result(
            column,
            loads,
            spot.elements,
            spot.stride,
            factor,
            _decimals(result, numbers),
            self._own_status(result, at),
            self._whole("tag", result.tag, at),
            self._limit(result, at, spot),
            _sentinels(result.series, numbers),
            low,
            high,
        )

    def _at(self, place: Place, near: At | None = None) -> At:
        """A place with its memory: that of `near`, else the only one, else the return value."""
        if isinstance(place, At):
            return place
        if isinstance(place, Out):
            return At(place)
        outs = list(self._arguments.buffers)
        out = near.out if near else None
        if out is None and len(outs) > 1:
            raise Mistake(f"{len(outs)} Out() are passed; say in which one {place!r} is: out[...]")
        if out is None and not outs and place:
            raise Mistake(f"{place!r} is a place in an Out(), and none is passed")
        return At(out or (outs[0] if outs else None), place)

    def _spot(self, at: At) -> Spot:
        if at.out is None:
            return Spot(self._function.result)
        index = self._arguments.buffers.get(at.out)
        if index is None:
            raise Mistake(f"{at.path!r} is a place in an Out() that is no argument of this call")
        return self._arguments.memories[index].follow(at.path)

    def _load(self, at: At, spot: Spot) -> native.Load:
        kind = spot.type
        if kind.kind not in ("integer", "float"):
            raise Mistake(f"{at.path!r} is no number: {spot.there()}")
        buffer = native.RETURNED if at.out is None else self._arguments.buffers[at.out]
        return native.Load(buffer, spot.offset, kind.letter, spot.shift, spot.bits)

    def _number(self, place: Place, near: At) -> native.Load:
        at = self._at(place, near)
        spot = self._spot(at)
        if spot.stride:
            raise Mistake(f"{at.path!r}: [*] is a sum, which only `at` may name")
        return self._load(at, spot)

    def _whole(self, what: str, place: Place | None, near: At) -> native.Load | None:
        if place is None:
            return None
        load = self._number(place, near)
        if load.type in native.FLOAT_TYPES:
            raise Mistake(f"{what} is a number without fraction, and this one is a float")
        return load

    def _own_status(self, result: Result, at: At) -> native.Load | None:
        load = self._whole("status", result.status, at)
        if load and not self._returns.success:
            raise Mistake("status needs Returns with codes of success")
        if load:
            self._status_letters.add(load.type)
        return load

    def _limit(self, result: Result, at: At, spot: Spot) -> tuple[native.Load, int] | None:
        load = self._whole("written", result.written, at)
        if load and spot.entry is None:
            raise Mistake(f"written counts entries, and {at.path!r} names none, such as '[0]'")
        return (load, spot.entry or 0) if load else None


def _alternatives(result: Result, spot: Spot) -> list[tuple[int, Spot]]:
    """What to read by the tag's value; one, under 0, without a tag."""
    if (result.tag is None) != (not result.by_tag):
        raise Mistake("tag and by_tag go together: where the tag lies, and what each value means")
    if not result.by_tag:
        return [(0, _part(result, spot))]
    return [(tag, _part(result, spot.follow(path))) for tag, path in result.by_tag.items()]


def _part(result: Result, spot: Spot) -> Spot:
    """The bits that were asked for by hand."""
    if not result.shift and not result.bits:
        return spot
    width = 8 * spot.type.size
    if spot.type.kind != "integer" or spot.type.letter == "?" or spot.bits:
        raise Mistake(f"shift and bits take part of an integer, and this is {spot.type.name}")
    bits = result.bits or width - result.shift
    if result.shift < 0 or bits < 1 or result.shift + bits > width:
        raise Mistake(f"{spot.type.name} has no {bits} bits from bit {result.shift} on")
    return replace(spot, shift=result.shift, bits=bits)


def _decimals(result: Result, numbers: Sequence[native.Load]) -> int:
    series, given = result.series, result.decimals
    floats = [one for one in numbers if one.type in native.FLOAT_TYPES]
    if series.type == "f64":
        if given is not None:
            raise Mistake("a series of type f64 holds the number as it is; leave decimals out")
        return BITS_OF_DOUBLE
    if floats and given is None:
        raise Mistake(
            f"a float is read into a series of type {series.type}: give decimals=N, with which "
            'number × 10^N is stored and the scale says so, or type = "f64" in metrics.toml'
        )
    if given and not floats:
        raise Mistake(f"decimals={given} is for floats, and this is an integer; use the scale")
    if not 0 <= (given or 0) <= MAX_DECIMALS:
        raise Mistake(f"decimals={given}, 0 to {MAX_DECIMALS} are allowed")
    return given or 0


def _sentinels(series: Series, numbers: Sequence[native.Load]) -> list[int]:
    """Each as the types in question hold it: -1 in memory without a sign is all ones."""
    held: set[int] = set()
    for sentinel in series.sentinels:
        found = {
            sentinel if one.type in native.FLOAT_TYPES else fold(sentinel, one.type, one.bits)
            for one in numbers
        } - {None}
        if not found:
            types = ", ".join(sorted({one.type for one in numbers}))
            raise Mistake(f"sentinel {sentinel} cannot be held by what is read (struct: {types})")
        held |= {number for number in found if number is not None}
    return sorted(held)


def _range(series: Series, numbers: Sequence[native.Load]) -> tuple[int, int]:
    """Of the cell. What has no sign and overflows a signed cell would pose as negative."""
    if series.type == "i64" and all(one.type in "BHIQ?" for one in numbers):
        return max(series.low, 0), series.high
    return series.low, series.high
