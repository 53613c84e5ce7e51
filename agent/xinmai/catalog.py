"""The metric vocabulary: one table, shared by every plugin.

Plugins refer to it and never invent names; what no entry fits goes under `accel.native.<plugin>.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from xinmai.catalog_attributes import ATTRIBUTE_TABLE
from xinmai.catalog_table import TABLE
from xinmai.catalog_types import Attribute, Definition, Kind
from xinmai.errors import PluginError

__all__ = [
    "ATTRIBUTES",
    "CATALOG",
    "COMMON_ATTRIBUTES",
    "NATIVE_PREFIX",
    "UNITS",
    "Attribute",
    "Definition",
    "Kind",
    "lookup",
    "refusal",
]

NATIVE_PREFIX = "accel.native."
"""Behind it a plugin's own name and whatever the plugin calls the quantity."""

UNITS = frozenset({"1", "A", "By", "By/s", "Cel", "Hz", "J", "Pa", "V", "W", "m3/s", "rpm", "s"})
"""UCUM base units; counted things are `{thing}` besides."""

COMMON_ATTRIBUTES = frozenset({"hw.name", "hw.type"})
"""Attributes that any series may carry."""

CATALOG: Mapping[str, Definition] = MappingProxyType({entry.name: entry for entry in TABLE})
ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType({a.name: a for a in ATTRIBUTE_TABLE})


def lookup(name: str) -> Definition:
    """The entry of a metric name.

    Raises:
        PluginError: there is none; the message names those that are close.
    """
    try:
        return CATALOG[name]
    except KeyError:
        raise PluginError(f"metric {name!r} is not in the catalogue{_hint(name)}") from None


def _hint(name: str) -> str:
    close = get_close_matches(name, CATALOG, n=3)
    if not close:
        return f"; what no entry fits goes under {NATIVE_PREFIX}<plugin>."
    return f"; close to it: {', '.join(close)}"


def refusal(definition: Definition, attributes: Mapping[str, str]) -> str:
    """Why a series of this metric may not carry these attributes, "" when it may."""
    allowed = COMMON_ATTRIBUTES.union(definition.attributes)
    for name, value in attributes.items():
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            return f"{definition.name} has no attribute {name!r}; allowed: {known}"
        values = ATTRIBUTES[name].values
        if values and value not in values:
            return f"{name} = {value!r} is none of {', '.join(values)}"
    return ""
