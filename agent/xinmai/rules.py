"""Rules that begin a capture, as a person writes them: `hw.power@GPU-* above 700`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Literal

Test = Literal["above", "below", "rate"]
RULE_FORM: Final = (
    "METRIC[{ATTRIBUTE=VALUE}][@HW_ID] above|below|rate NUMBER, or rate FACTORx LEAST"
)
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE: Final = re.compile(
    r"(?P<metric>[a-z0-9_.*?]+)(?P<attributes>(?:\{[a-z0-9_.]+=[^{}]*\})*)(?:@(?P<hw_id>\S+))?"
    rf"\s+(?P<test>above|below|rate)\s+(?P<number>{_NUMBER})(?P<times>x\s+(?P<least>{_NUMBER}))?",
    re.ASCII,
)
_ATTRIBUTE: Final = re.compile(r"\{([^=]+)=([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; numbers are in the series' unit, of a rate per second.

    Args:
        metric, hw_id, attributes: patterns of the series it looks at.
        number: the bound; with `factor` not 0, the least rate that counts.
        factor: of a rate, times its own running mean.
    """

    text: str
    metric: str
    test: Test
    number: float
    factor: float = 0.0
    hw_id: str = "*"
    attributes: Mapping[str, str] = field(default_factory=dict)

    def matches(self, metric: str, hw_id: str, attributes: Mapping[str, str]) -> bool:
        """Whether it looks at a series."""
        return (
            fnmatchcase(metric, self.metric)
            and fnmatchcase(hw_id, self.hw_id)
            and all(
                fnmatchcase(attributes.get(name, ""), pattern)
                for name, pattern in self.attributes.items()
            )
        )


def parse_rule(text: str) -> Rule:
    """A rule from its text.

    Raises:
        ValueError: it has not the form of RULE_FORM.
    """
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not {RULE_FORM}")
    if found["times"] and found["test"] != "rate":
        raise ValueError(f"{text!r}: a factor belongs to a rate")
    number, factor = float(found["number"]), 0.0
    if found["times"]:
        number, factor = float(found["least"]), number
    if not math.isfinite(number) or not math.isfinite(factor):
        raise ValueError(f"{text!r}: a number too large")
    test: Test = "above" if found["test"] == "above" else "below"
    return Rule(
        text=text.strip(),
        metric=found["metric"],
        test="rate" if found["test"] == "rate" else test,
        number=number,
        factor=factor,
        hw_id=found["hw_id"] or "*",
        attributes=dict(_ATTRIBUTE.findall(found["attributes"])),
    )
