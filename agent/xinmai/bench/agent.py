"""`xinmai bench agent`: CPU and memory of the whole agent at its default configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from xinmai.bench.figures import Bar, Figure
from xinmai.bench.processes import cpu_by_name, pss_by_name
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.up.run import Options, Up, place

SETTLE_S = 10.0
CPU_BUDGET = 0.01
PSS_BUDGET_BYTES = 75 * 2**20
NAMES = ("agent_default_cpu", "agent_default_pss")
_BAR = Bar("ratio", True, 1.0)


@dataclass(slots=True)
class _Meter:
    """Watches the agent's process tree between two moments of a run."""

    settle_s: float
    until_s: float
    started_s: float = 0.0
    ended_s: float = 0.0
    cpu_ns: Counter[str] = field(default_factory=Counter)
    """At the start below nought, at the end what was used between."""
    pss_bytes: Counter[str] = field(default_factory=Counter)

    def tick(self, seconds: float, agent_pid: int) -> None:
        """Called a few times a second."""
        if not self.started_s and seconds >= self.settle_s:
            self.started_s = seconds
            self.cpu_ns.subtract(cpu_by_name(agent_pid))
        elif not self.ended_s and seconds >= self.until_s:
            self.ended_s = seconds
            self.cpu_ns.update(cpu_by_name(agent_pid))
            self.pss_bytes = pss_by_name(agent_pid)

    @property
    def share(self) -> float:
        """CPU seconds per second of wall time."""
        return self.cpu_ns.total() / SECOND_NS / (self.ended_s - self.started_s)


def run(config: Config, seconds: float, tell: Callable[[str], None]) -> list[Figure]:
    """Run broker, collector and agent in a temporary place and measure the agent alone."""
    meter = _Meter(min(SETTLE_S, seconds / 2), seconds)
    options = Options(for_ns=int((seconds + 1) * SECOND_NS), temp=True)
    with place(config, options) as placed:
        up = Up(placed, options, [])
        summary = up.run(tell, lambda gone_s: meter.tick(gone_s, up.agent_pid))
    for name, pss_bytes in meter.pss_bytes.items():
        per_s = meter.cpu_ns[name] / 1e6 / (meter.ended_s - meter.started_s)
        tell(f"{name}: {per_s:.2f} ms/s, {pss_bytes / 2**20:.1f} MiB")
    pss_bytes = meter.pss_bytes.total()
    cpu = Figure(
        "agent_default_cpu",
        meter.share,
        "of one core",
        f"budget, {summary['series']} series",
        CPU_BUDGET,
        meter.share / CPU_BUDGET,
        bar=_BAR,
    )
    pss = Figure(
        "agent_default_pss",
        pss_bytes / 2**20,
        "MiB",
        f"budget, {len(meter.pss_bytes)} processes",
        PSS_BUDGET_BYTES / 2**20,
        pss_bytes / PSS_BUDGET_BYTES,
        bar=_BAR,
    )
    return [cpu, pss]
