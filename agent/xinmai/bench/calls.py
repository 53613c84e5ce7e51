"""What a call probe costs above the raw call it makes.

Lane and plain C loop wake up equally often and make the same calls of a function that is as cheap
as a vendor's can be; both also run without any call. What is left is the probe's own; what a lane
pays for its row, whatever fills it, is `row_cost`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from ctypes import sizeof
from statistics import median
from typing import NamedTuple

from xinmai.bench import pythonway
from xinmai.bench.figures import Bar, Figure, in_turns, spread
from xinmai.bench.lanes import run_lane
from xinmai.bench.pythonway import TargetField
from xinmai.clock import SECOND_NS
from xinmai_native import call_reference_loop, call_targets
from xinmai_native.calls import Buffer, Call, Load, Result, Returns, Value

NAMES = ("call_probe", "field_values", "row_cost")
PERIOD_NS = 1_000_000
VALUES = 96
"""A row: so many calls of one result each, or a twelfth as many calls of twelve."""
FIELDS = 12
BARS = {"call_probe": Bar("value", True, 0.06), "field_values": Bar("value", True, 0.02)}
_UINT, _ULONG = 1, 3
"""Types that a field may say it has."""


def run(
    wanted: Collection[str], pairs: int, seconds: float, tell: Callable[[str], None]
) -> list[Figure]:
    """The figures among NAMES that are wanted."""
    figures: list[Figure] = []
    read, fields, handles = call_targets()
    if "call_probe" in wanted:
        tell(f"call_probe: {VALUES} calls a row, {pairs} pairs of {seconds:g} s, with and without")
        runs = _runs(read_probes(), pairs, seconds, is_fields=False)
        python_us = pythonway.ctypes_call_us(read, handles)
        figures.append(_probe_figure("call_probe", "call", runs, python_us))
    if "field_values" in wanted:
        tell(f"field_values: {VALUES // FIELDS} calls of {FIELDS} values a row, likewise")
        runs = _runs(field_probes(), pairs, seconds, is_fields=True)
        python_us = pythonway.ctypes_fields_us(fields, handles, FIELDS)
        figures.append(_probe_figure("field_values", "value", runs, python_us))
    if "row_cost" in wanted:
        tell(f"row_cost: rows of {VALUES} cells without a probe")
        figures.append(_row_figure(_runs([], pairs, seconds, is_fields=False)))
    return figures


def read_probes() -> list[Call]:
    """One result a call, of one device each."""
    function, _, handles = call_targets()
    return [
        Call(
            function,
            [Value(handle), Value(column), Buffer(0)],
            [bytes(4)],
            Returns(),
            [Result(column, [(0, Load(0, 0, "I"))])],
        )
        for column, handle in enumerate(handles[:VALUES])
    ]


def field_probes() -> list[Call]:
    """Twelve results a call, each with a status and a type of its own."""
    _, function, handles = call_targets()
    return [
        Call(
            function,
            [Value(handle), Value(FIELDS), Buffer(0)],
            [_template()],
            Returns(),
            [_result(index, device * FIELDS + index) for index in range(FIELDS)],
        )
        for device, handle in enumerate(handles[: VALUES // FIELDS])
    ]


def _template() -> bytes:
    return b"".join(bytes(TargetField(id=index)) for index in range(FIELDS))


def _result(index: int, column: int) -> Result:
    start = index * sizeof(TargetField)
    value = start + TargetField.value.offset
    return Result(
        column,
        [(_UINT, Load(0, value, "I")), (_ULONG, Load(0, value, "Q"))],
        status=Load(0, start + TargetField.status.offset, "i"),
        tag=Load(0, start + TargetField.type.offset, "I"),
    )


class _Run(NamedTuple):
    """CPU per value, in microseconds."""

    value: float
    empty: float
    """The same without a probe or call."""


def _runs(
    probes: Sequence[Call], pairs: int, seconds: float, *, is_fields: bool
) -> tuple[list[_Run], list[_Run]]:
    """Lane and plain C loop, in turns."""
    rows = max(1, int(seconds * SECOND_NS / PERIOD_NS))

    def lane_us(probes: Sequence[Call]) -> float:
        ran = run_lane(probes, VALUES, PERIOD_NS, seconds)
        return ran.cpu_ns / 1000 / (ran.rows * VALUES)

    def plain_us(calls: int) -> float:
        cpu_ns, _ = call_reference_loop(is_fields, calls, PERIOD_NS, rows)
        return cpu_ns / 1000 / (rows * VALUES)

    return in_turns(
        lambda: _Run(lane_us(probes), lane_us([])),
        lambda: _Run(plain_us(len(probes)), plain_us(0)),
        pairs,
    )


def _probe_figure(
    name: str, what: str, runs: tuple[list[_Run], list[_Run]], python_us: float
) -> Figure:
    """Of paired differences; the spread is that of lanes to loops, with all that they do."""
    both = list(zip(*runs, strict=True))
    ratios = [lane.value / plain.value for lane, plain in both]
    return Figure(
        name=name,
        value=median(
            (lane.value - lane.empty) - (plain.value - plain.empty) for lane, plain in both
        ),
        unit=f"µs of CPU per {what} above the raw call; the row is row_cost",
        reference="plain C loop: the same raw calls through a pointer at the same rate, all in all",
        reference_value=median(plain.value for _, plain in both),
        ratio=median(ratios),
        spread=spread(ratios),
        python_value=python_us,
        bar=BARS[name],
    )


def _row_figure(runs: tuple[list[_Run], list[_Run]]) -> Figure:
    both = list(zip(*runs, strict=True))
    ratios = [lane.empty / plain.empty for lane, plain in both]
    return Figure(
        name="row_cost",
        value=median(lane.empty - plain.empty for lane, plain in both),
        unit=f"µs of CPU per cell of a row of {VALUES} above the timer",
        reference="plain C loop: the timer alone",
        reference_value=median(plain.empty for _, plain in both),
        ratio=median(ratios),
        spread=spread(ratios),
    )
