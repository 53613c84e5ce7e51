"""One form for every figure, and the statistics that make a ratio worth printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

NOISY = 0.30
"""Spread of the paired ratios above which nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `reference` says in words what it is compared with."""

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float | None = None
    ratio: float | None = None
    spread: float | None = None

    def to_map(self) -> dict[str, Any]:
        """As printed; `verdict` is `noisy` where the pairs disagree too much."""
        out: dict[str, Any] = {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "reference": self.reference,
            "reference_value": self.reference_value,
            "ratio": self.ratio,
        }
        if self.spread is not None:
            out["spread"] = self.spread
            out["verdict"] = "noisy" if self.spread > NOISY else "ok"
        return out


def paired(
    name: str,
    unit: str,
    reference: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    pairs: int,
) -> Figure:
    """Measure A B A B; the median of the paired ratios is judged, their spread printed."""
    measured = [(ours(), theirs()) for _ in range(pairs)]
    ratios = [mine / other for mine, other in measured]
    return Figure(
        name=name,
        value=median(mine for mine, _ in measured),
        unit=unit,
        reference=reference,
        reference_value=median(other for _, other in measured),
        ratio=median(ratios),
        spread=spread(ratios),
    )


def spread(ratios: Sequence[float]) -> float:
    """Distance between the quartiles, by the median."""
    ordered = sorted(ratios)
    quarter = len(ordered) // 4
    return (ordered[-1 - quarter] - ordered[quarter]) / median(ordered)
