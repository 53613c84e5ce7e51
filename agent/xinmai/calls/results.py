"""What is taken out of a call: one result per series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from xinmai.calls.memory import At, Out

if TYPE_CHECKING:
    from xinmai.api import Series

Place = At | Out | str
"""`RETURN`, a place in an `Out`, a whole `Out`, or a path in the probe's only `Out`."""


@dataclass(frozen=True, slots=True)
class Result:
    """A number for a series. Sentinels, scale and plausible range are the series' own.

    Args:
        at: where it lies: the whole of the only `Out`, or the return value where there is none,
            unless something else is said. A path with `[*]` is the sum over all elements.
        factor: place of the other factor of a product.
        decimals: for floats in a series of integers: the number × 10^decimals is stored, rounded.
        shift, bits: part of an integer; a bit field's own come from its type.
        status: place of this entry's own status, read by the probe's `Returns`.
        tag, by_tag: place of a number that tells which of these holds the value: paths by number,
            from `at` on, such as the members of a union. Any other number reads as implausible.
        written: place of the number of entries that the call has filled in; an entry beyond it
            reads as unsupported.
    """

    series: Series
    at: Place = ""
    factor: Place | None = None
    decimals: int | None = None
    shift: int = 0
    bits: int = 0
    status: Place | None = None
    tag: Place | None = None
    by_tag: Mapping[int, str] = field(default_factory=dict)
    written: Place | None = None
