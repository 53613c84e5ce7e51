"""What a call probe costs above the raw call it makes.

Lane and plain C loop wake up equally often and make the same calls of a function that is as cheap
as a vendor's can be, so what differs is the probe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from ctypes import sizeof
from statistics import median

from xinmai.bench import pythonway
from xinmai.bench.figures import Bar, Figure, in_turns, spread
from xinmai.bench.lanes import run_lane
from xinmai.bench.pythonway import TargetField
from xinmai.clock import SECOND_NS
from xinmai_native import call_reference_loop, call_targets
from xinmai_native.calls import Buffer, Call, Load, Result, Returns, Value

NAMES = ("call_probe", "field_values")
PERIOD_NS = 1_000_000
VALUES = 96
"""A row: so many calls of one result each, or a twelfth as many calls of twelve."""
FIELDS = 12
UNIT = "µs of CPU per {} above the raw call, a row of {} included"
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
        tell(f"call_probe: {VALUES} calls a row, {pairs} pairs of {seconds:g} s")
        python_us = pythonway.ctypes_call_us(read, handles)
        figures.append(_figure("call_probe", read_probes(), pairs, seconds, python_us))
    if "field_values" in wanted:
        tell(f"field_values: {VALUES // FIELDS} calls of {FIELDS} values a row")
        python_us = pythonway.ctypes_fields_us(fields, handles, FIELDS)
        figures.append(_figure("field_values", field_probes(), pairs, seconds, python_us))
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


def _figure(
    name: str, probes: Sequence[Call], pairs: int, seconds: float, python_us: float
) -> Figure:
    """Differences per value, paired; the noise that decides is that of the ratios."""
    is_fields = name == "field_values"
    lanes, raws = in_turns(
        lambda: _lane_us(probes, seconds),
        lambda: _raw_us(len(probes), is_fields, seconds),
        pairs,
    )
    ratios = [lane / raw for lane, raw in zip(lanes, raws, strict=True)]
    return Figure(
        name=name,
        value=median(lane - raw for lane, raw in zip(lanes, raws, strict=True)),
        unit=UNIT.format("value" if is_fields else "call", VALUES),
        reference="plain C loop: the same raw calls through a pointer at the same rate",
        reference_value=median(raws),
        ratio=median(ratios),
        spread=spread(ratios),
        python_value=python_us,
        bar=BARS[name],
    )


def _lane_us(probes: Sequence[Call], seconds: float) -> float:
    ran = run_lane(probes, VALUES, PERIOD_NS, seconds)
    return ran.cpu_ns / 1000 / (ran.rows * VALUES)


def _raw_us(calls: int, is_fields: bool, seconds: float) -> float:  # noqa: FBT001 - its one switch
    rows = max(1, int(seconds * SECOND_NS / PERIOD_NS))
    cpu_ns, _ = call_reference_loop(is_fields, calls, PERIOD_NS, rows)
    return cpu_ns / 1000 / (rows * VALUES)
