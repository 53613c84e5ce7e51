"""One form for every figure, and the statistics that make a ratio worth printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, NamedTuple, TypeVar

NOISY = 0.30
"""Spread of the paired ratios above which nothing is claimed."""

Verdict = Literal["pass", "fail", "noisy", "absent", "none"]
T = TypeVar("T")


class Bar(NamedTuple):
    """What a figure must reach."""

    of: Literal["value", "ratio"]
    is_most: bool
    limit: float

    def __str__(self) -> str:
        return f"{self.of} {'≤' if self.is_most else '≥'} {self.limit:g}"

    def holds(self, reached: float) -> bool:
        """Whether so much is enough."""
        return reached <= self.limit if self.is_most else reached >= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `reference` says in words what it is compared with.

    Args:
        value: None where it could not be measured; `why` says it in words.
        python_value: the same done the usual way in Python, for scale.
    """

    name: str
    value: float | None
    unit: str
    reference: str
    reference_value: float | None = None
    ratio: float | None = None
    spread: float | None = None
    python_value: float | None = None
    bar: Bar | None = None
    why: str = ""

    @property
    def verdict(self) -> Verdict:
        """Nothing is claimed where the pairs disagree too much; `none` where there is no bar."""
        if self.value is None:
            return "absent"
        if self.spread is not None and self.spread > NOISY:
            return "noisy"
        reached = self.ratio if self.bar and self.bar.of == "ratio" else self.value
        if self.bar is None or reached is None:
            return "none"
        return "pass" if self.bar.holds(reached) else "fail"

    def to_map(self) -> dict[str, Any]:
        """As printed in JSON; what does not apply is left out, but for the first six keys."""
        out: dict[str, Any] = {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "reference": self.reference,
            "reference_value": self.reference_value,
            "ratio": self.ratio,
        }
        more = {
            "spread": self.spread,
            "python_value": self.python_value,
            "bar": str(self.bar) if self.bar else None,
            "why": self.why or None,
        }
        out |= {key: value for key, value in more.items() if value is not None}
        return out | {"verdict": self.verdict}


def in_turns(ours: Callable[[], T], theirs: Callable[[], T], pairs: int) -> tuple[list[T], list[T]]:
    """Measure A B A B."""
    measured = [(ours(), theirs()) for _ in range(pairs)]
    return [mine for mine, _ in measured], [other for _, other in measured]


def figure_of(
    name: str,
    unit: str,
    reference: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    bar: Bar | None = None,
    python_value: float | None = None,
) -> Figure:
    """The median of the paired ratios is judged, their spread printed; none against nought."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other]
    is_whole = len(ratios) == len(ours)
    return Figure(
        name=name,
        value=median(ours),
        unit=unit,
        reference=reference,
        reference_value=median(theirs),
        ratio=median(ratios) if is_whole else None,
        spread=spread(ratios) if is_whole else None,
        bar=bar,
        python_value=python_value,
    )


def paired(
    name: str,
    unit: str,
    reference: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    pairs: int,
    *,
    bar: Bar | None = None,
    python_value: float | None = None,
) -> Figure:
    """Measure in turns, and make a figure of it."""
    mine, others = in_turns(ours, theirs, pairs)
    return figure_of(name, unit, reference, mine, others, bar=bar, python_value=python_value)


def spread(ratios: Sequence[float]) -> float:
    """Distance between the quartiles, by the median."""
    ordered = sorted(ratios)
    quarter = len(ordered) // 4
    middle = median(ordered)
    return (ordered[-1 - quarter] - ordered[quarter]) / middle if middle else 0.0
