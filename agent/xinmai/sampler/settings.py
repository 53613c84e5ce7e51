"""What a host needs to know besides its plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinmai.api import Series
from xinmai.config import CadenceConfig, PluginConfig

LONGEST_PERIOD_NS = 86_400 * 10**9
LEAST_LANES = 8
"""Threads of a host that are always allowed: devices that hang should not hang others."""
MOST_LANES = 64
LANES_PER_CPU = 8


def lanes_for(cpus: int) -> int:
    """Threads that one host may have where the agent may use so many CPUs."""
    return min(MOST_LANES, max(LEAST_LANES, LANES_PER_CPU * cpus))


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Handed over by the fork.

    Args:
        without: what hung an earlier host, by hw_id, or by call where no device is concerned; it
            is not touched, and its series read as timeout.
        max_lanes: threads it may have; beyond, devices share them.
    """

    root: Path
    cadence: CadenceConfig
    plugin: PluginConfig
    without: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    max_lanes: int = MOST_LANES

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
