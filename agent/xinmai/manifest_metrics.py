"""Reads a plugin's `metrics.toml`: one table per metric, checked against the catalogue."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import cast, get_args

from xinmai.api import INT64_MAX, INT64_MIN, Cost, Metric, NumberType
from xinmai.catalog import (
    ATTRIBUTES,
    COMMON_ATTRIBUTES,
    NATIVE_PREFIX,
    UNITS,
    Definition,
    Kind,
    lookup,
    refusal,
)
from xinmai.errors import PluginError
from xinmai.tables import Table, read_toml

MIN_WIDTH_BITS = 8
MAX_WIDTH_BITS = 64


def read_metrics(file: Path, plugin: str) -> dict[str, Metric]:
    """Every metric of a plugin by key, in the order of the file.

    Raises:
        PluginError: names file, key and rule.
    """
    metrics = {key: _metric(key, table, plugin) for key, table in _tables(file)}
    if not metrics:
        raise PluginError(f"{file}: a plugin supplies at least one metric")
    return metrics


def read_texts(file: Path, plugin: str) -> dict[str, str]:
    """What each metric of a plugin is, by key: for README tables and `plugin list`."""
    return {key: _definition(table, plugin).text for key, table in _tables(file)}


def _tables(file: Path) -> list[tuple[str, Table]]:
    return Table(file, "", read_toml(file)).tables()


def _metric(key: str, table: Table, plugin: str) -> Metric:
    definition = _definition(table, plugin)
    scale = _scale(table)
    number = cast(NumberType, table.one_of("type", get_args(NumberType), "i64"))
    low, high = _bounds(table, definition, scale, number)
    metric = Metric(
        key=key,
        metric=definition.name,
        unit=definition.unit,
        kind=definition.kind,
        attributes=_attributes(table, definition),
        varies=_varies(table, definition),
        native=table.take("native", str),
        native_unit=table.take("native_unit", str),
        scale=scale,
        type=number,
        cost=Cost(table.one_of("cost", tuple(Cost))),
        sentinels=_sentinels(table),
        low=low,
        high=high,
        refresh_ns=table.duration_ns("refresh"),
        window_ns=table.duration_ns("window"),
        width_bits=_width(table, definition, number),
    )
    table.done()
    return metric


def _definition(table: Table, plugin: str) -> Definition:
    name, unit = table.take("metric", str), table.take("unit", str)
    if name.startswith(NATIVE_PREFIX):
        return _native(table, plugin, name, unit)
    try:
        definition = lookup(name)
    except PluginError as error:
        raise table.fail("metric", str(error)) from error
    if unit != definition.unit:
        raise table.fail("unit", f"{unit!r}, but {name} is in {definition.unit!r}: use scale")
    for key in ("kind", "text"):
        if table.has(key):
            raise table.fail(key, f"the catalogue says it for {name}; only native series say it")
    return definition


def _native(table: Table, plugin: str, name: str, unit: str) -> Definition:
    prefix = f"{NATIVE_PREFIX}{plugin}."
    if not name.startswith(prefix) or name == prefix:
        raise table.fail("metric", f"native series of this plugin begin with {prefix}")
    if unit not in UNITS and not (unit.startswith("{") and unit.endswith("}")):
        raise table.fail("unit", f"{unit!r} is none of {', '.join(sorted(UNITS))} or {{thing}}")
    kind = Kind(table.one_of("kind", tuple(Kind)))
    return Definition(name, unit, kind, table.take("text", str), tuple(ATTRIBUTES))


def _attributes(table: Table, definition: Definition) -> dict[str, str]:
    attributes = table.take("attributes", dict, {})
    for key, value in attributes.items():
        if type(value) is not str:
            raise table.fail(f"attributes.{key}", f"{value!r} is no str")
    why = refusal(definition, attributes)
    if why:
        raise table.fail("attributes", why)
    return attributes


def _varies(table: Table, definition: Definition) -> tuple[str, ...]:
    names = table.strings("varies")
    for name in names:
        if name not in COMMON_ATTRIBUTES.union(definition.attributes):
            known = ", ".join(sorted(COMMON_ATTRIBUTES.union(definition.attributes)))
            raise table.fail("varies", f"{name!r} is no attribute of {definition.name}: {known}")
    return names


def _scale(table: Table) -> tuple[int, int]:
    scale = table.take("scale", list, [1, 1])
    if len(scale) != 2 or any(type(part) is not int or part <= 0 for part in scale):
        raise table.fail("scale", f"{scale!r} is no [numerator, denominator] of positive integers")
    return scale[0], scale[1]


def _sentinels(table: Table) -> tuple[int, ...]:
    sentinels = table.take("sentinels", list, [])
    if any(type(value) is not int for value in sentinels):
        raise table.fail("sentinels", f"{sentinels!r} is no list of native integers")
    return tuple(sentinels)


def _width(table: Table, definition: Definition, number: NumberType) -> int:
    """Bits of the native counter; 64 where not given."""
    if not table.has("width"):
        return MAX_WIDTH_BITS
    width = table.take("width", int)
    if definition.kind is not Kind.COUNTER or number == "f64":
        raise table.fail("width", f"{definition.name} is no counter of integers")
    if not MIN_WIDTH_BITS <= width <= MAX_WIDTH_BITS:
        raise table.fail("width", f"{width} bits are not {MIN_WIDTH_BITS} to {MAX_WIDTH_BITS}")
    return width


def _bounds(
    table: Table, definition: Definition, scale: tuple[int, int], number: NumberType
) -> tuple[int, int]:
    """Plausible native integers: of `range` where given, else of the catalogue."""
    low, high = _range(table, definition)
    ratio = Fraction(scale[1], scale[0])
    first = INT64_MIN if low is None else math.ceil(Fraction(low) * ratio)
    last = INT64_MAX if high is None else math.floor(Fraction(high) * ratio)
    if number == "u64" and last >= INT64_MAX:
        # Above 2**63 the cell's bits read as a negative integer: no bound can hold there.
        return INT64_MIN, INT64_MAX
    return max(first, INT64_MIN), min(last, INT64_MAX)


def _range(table: Table, definition: Definition) -> tuple[float | None, float | None]:
    if not table.has("range"):
        return definition.low, definition.high
    bounds = table.take("range", list)
    if len(bounds) != 2 or any(type(bound) not in (int, float) for bound in bounds):
        raise table.fail("range", f"{bounds!r} is no [low, high] in {definition.unit!r}")
    low, high = bounds
    if low > high:
        raise table.fail("range", f"{low} is above {high}")
    if not _inside(low, definition) or not _inside(high, definition):
        raise table.fail(
            "range", f"wider than the catalogue's {definition.low} to {definition.high}"
        )
    return low, high


def _inside(bound: float, definition: Definition) -> bool:
    above = definition.low is None or bound >= definition.low
    return above and (definition.high is None or bound <= definition.high)
