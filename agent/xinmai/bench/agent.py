"""`xinmai bench agent`: CPU and memory of the whole agent at its default configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from xinmai.bench.figures import Figure
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.up.run import Options, Up, place

SETTLE_S = 10.0
CPU_BUDGET = 0.01
PSS_BUDGET_BYTES = 75 * 2**20


@dataclass(slots=True)
class _Meter:
    """Watches the agent's process tree between two moments of a run."""

    until_s: float
    started_s: float = 0.0
    ended_s: float = 0.0
    cpu_before: dict[int, float] = field(default_factory=dict)
    cpu_s: float = 0.0
    pss_bytes: int = 0
    processes: list[tuple[str, float, int]] = field(default_factory=list)

    def tick(self, seconds: float, agent_pid: int) -> None:
        """Called a few times a second."""
        if not self.started_s and seconds >= SETTLE_S:
            self.started_s = seconds
            self.cpu_before = {one.pid: _cpu_s(one) for one in _tree(agent_pid)}
        if not self.ended_s and seconds >= self.until_s:
            self.ended_s = seconds
            self._finish(agent_pid)

    def _finish(self, agent_pid: int) -> None:
        for one in _tree(agent_pid):
            used_s = _cpu_s(one) - self.cpu_before.get(one.pid, 0.0)
            pss = int(one.memory_full_info().pss)
            self.cpu_s += used_s
            self.pss_bytes += pss
            self.processes.append((one.name(), used_s, pss))

    @property
    def share(self) -> float:
        """CPU seconds per second of wall time."""
        return self.cpu_s / (self.ended_s - self.started_s)


def run(config: Config, seconds: float, tell: Callable[[str], None]) -> list[Figure]:
    """Run broker, collector and agent in a temporary place and measure the agent alone."""
    meter = _Meter(seconds)
    options = Options(for_ns=int((seconds + 1) * SECOND_NS), temp=True)
    with place(config, options) as placed:
        up = Up(placed, options, [])
        summary = up.run(tell, lambda gone_s: meter.tick(gone_s, up.agent_pid))
    for name, used_s, pss in meter.processes:
        per_s = used_s * 1000 / (meter.ended_s - meter.started_s)
        tell(f"{name}: {per_s:.2f} ms/s, {pss / 2**20:.1f} MiB")
    series = summary["series"]
    return [
        Figure(
            "agent_default_cpu",
            meter.share,
            "of one core",
            f"budget, {series} series",
            CPU_BUDGET,
            meter.share / CPU_BUDGET,
        ),
        Figure(
            "agent_default_pss",
            meter.pss_bytes / 2**20,
            "MiB",
            f"budget, {len(meter.processes)} processes",
            PSS_BUDGET_BYTES / 2**20,
            meter.pss_bytes / PSS_BUDGET_BYTES,
        ),
    ]


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
