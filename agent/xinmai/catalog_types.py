"""What an entry of the metric catalogue says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a number means."""

    GAUGE = "gauge"
    COUNTER = "counter"
    STATE = "state"
    BITMASK = "bitmask"


@dataclass(frozen=True, slots=True)
class Definition:
    """One catalogue entry.

    Args:
        unit: UCUM base unit; ratios are `1` and run 0 to 1.
        low, high: plausible range in the base unit, None for no bound.
        attributes: attribute names a series of this metric may carry.
        text: one line for `xinmai explain`.
    """

    name: str
    unit: str
    kind: Kind
    text: str
    attributes: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute name of series or devices.

    Args:
        values: every value it may have; empty where the set is open.
    """

    name: str
    text: str
    values: tuple[str, ...] = ()
