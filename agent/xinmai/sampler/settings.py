"""What a host needs to know besides its plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinmai.api import Series
from xinmai.config import CadenceConfig, PluginConfig

LONGEST_PERIOD_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Handed over by the fork.

    Args:
        without: what hung an earlier host, by hw_id, or by call where no device is concerned; it
            is not touched, and its series read as timeout.
    """

    root: Path
    cadence: CadenceConfig
    plugin: PluginConfig
    without: Mapping[str, Sequence[Series]] = field(default_factory=dict)

    def period_ns(self, cost: str, refresh_ns: int = 0) -> int:
        """Period of a reading: its cost class's, or its sensor's own refresh where that is longer.

        Args:
            cost: "" for the host's own series.
            refresh_ns: how often the sensor has something new to say, 0 where nobody knows.
        """
        if cost in self.plugin.period_ns:
            return self.plugin.period_ns[cost]
        by_cost = {"fast": self.cadence.fast_ns, "rare": self.cadence.rare_ns}
        period_ns = by_cost.get(cost, self.cadence.slow_ns)
        if self.is_explicit(cost):
            return period_ns
        return min(LONGEST_PERIOD_NS, max(period_ns, refresh_ns))

    def is_explicit(self, cost: str) -> bool:
        """Whether a person set this period: then it is obeyed whatever the calls cost."""
        return cost in self.plugin.period_ns or cost in self.cadence.explicit
