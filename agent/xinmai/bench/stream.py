"""`agent_stream_1khz`: the whole agent streams every reading of 96 sensors at 1 kHz, stored and counted.

The agent and the plain C loop read the same changing files in one run, in turns. Broker, collector
and what makes the files change are not the agent.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from xinmai import clock
from xinmai.bench.figures import Figure, spread
from xinmai.bench.livefiles import RATE_HZ, SENSORS, make_chip, writing
from xinmai.bench.processes import cpu_by_name
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.manifest import find_plugins
from xinmai.up.run import Options, Up, place
from xinmai_native import reference_loop

SETTLE_S = 10.0
WINDOW_S = 10.0
PERIOD_NS = SECOND_NS // RATE_HZ
PLUGIN = "hwmon"
REFERENCE = "plain C loop: pread and parse of the same kept-open files at the same rate"
_SHM = Path("/dev/shm")

_STORED = """
SELECT stream, coalesce(sum(count), 0) AS readings, count(*) AS rows FROM samples GROUP BY stream
"""


@dataclass(slots=True)
class _Turns:
    """Takes turns with the plain C loop while the agent runs."""

    files: Sequence[Path]
    pairs: int
    settle_s: float
    window_s: float
    agent_ns: list[float] = field(default_factory=list)
    """CPU per tick of the grid, by turn."""
    reference_ns: list[float] = field(default_factory=list)
    processes: Counter[str] = field(default_factory=Counter)
    _before: Counter[str] = field(default_factory=Counter)
    _began_ns: int = 0

    def tick(self, gone_s: float, agent_pid: int) -> None:
        """Called a few times a second."""
        if gone_s < self.settle_s or len(self.reference_ns) == self.pairs:
            return
        if not self._began_ns:
            self._begin(agent_pid)
        if clock.mono_ns() - self._began_ns >= self.window_s * SECOND_NS:
            self._end(agent_pid)
            self.reference_ns.append(self._reference())
            self._began_ns = 0

    def _begin(self, agent_pid: int) -> None:
        self._before, self._began_ns = cpu_by_name(agent_pid), clock.mono_ns()

    def _end(self, agent_pid: int) -> None:
        used, ticks = cpu_by_name(agent_pid), (clock.mono_ns() - self._began_ns) / PERIOD_NS
        used.subtract(self._before)
        self.agent_ns.append(used.total() / ticks)
        for name, cpu_ns in used.items():
            self.processes[name] += cpu_ns / ticks

    def _reference(self) -> float:
        ticks = int(self.window_s * SECOND_NS / PERIOD_NS)
        cpu_ns, missed, _, _ = reference_loop([bytes(file) for file in self.files], PERIOD_NS, ticks)
        return cpu_ns / (ticks + missed)


def run(config: Config, pairs: int, seconds: float, tell: Callable[[str], None]) -> list[Figure]:
    """Stream for so long, then count what the store holds.

    Raises:
        XinmaiError: a daemon did not come up.
    """
    settle_s = min(SETTLE_S, seconds / 4)
    window_s = min(WINDOW_S, (seconds - settle_s) / (2 * pairs))
    base = _SHM if _SHM.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="xinmai-bench-", dir=base) as root:
        files = make_chip(Path(root))
        turns = _Turns(files, pairs, settle_s, window_s)
        options = Options(for_ns=int(seconds * SECOND_NS), temp=True)
        settings = _settings(Path(root))
        with writing(files), place(config, options) as placed:
            up = _CountingUp(placed, options, settings)
            tell(f"agent_stream_1khz: {SENSORS} sensors for {seconds:g} s, {up.broker.name}")
            summary = up.run(tell, lambda gone_s: turns.tick(gone_s, up.agent_pid))
    for name, cpu_ns in turns.processes.items():
        tell(f"{name}: {cpu_ns / len(turns.agent_ns) / 1000:.2f} µs per tick")
    return [_cpu_figure(turns, up.broker.name), _delivered_figure(summary, up.stored)]


class _CountingUp(Up):
    """Counts what is stored before the collector ends."""

    stored: Sequence[dict[str, Any]] = ()

    def _end(self, tell: Callable[[str], None]) -> dict[str, Any]:
        summary = super()._end(tell)
        self.stored = self.api.query(_STORED)
        return summary


def _settings(root: Path) -> list[str]:
    others = [name for name in find_plugins() if name not in (PLUGIN, "self")]
    pairs = {
        "node.root": root,
        f"plugins.{PLUGIN}.period.fast": "1ms",
        "shipper.raw": f"{PLUGIN}/fast*",
        **{f"plugins.{name}.enabled": "false" for name in others},
    }
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


def _cpu_figure(turns: _Turns, broker: str) -> Figure:
    ratios = [
        ours / theirs for ours, theirs in zip(turns.agent_ns, turns.reference_ns, strict=True)
    ]
    per_sample = 1000 * SENSORS
    return Figure(
        name="agent_stream_1khz",
        value=median(turns.agent_ns) / per_sample,
        unit=f"µs of CPU per sample, through {broker} to the store",
        reference=REFERENCE,
        reference_value=median(turns.reference_ns) / per_sample,
        ratio=median(ratios),
        spread=spread(ratios),
    )


def _delivered_figure(summary: dict[str, Any], stored: Sequence[dict[str, Any]]) -> Figure:
    """Readings counted in the store against readings taken, of all series."""
    readings = sum(int(row["readings"]) for row in stored)
    taken = summary["samples_taken"]
    return Figure(
        name="agent_stream_delivered",
        value=readings,
        unit="readings counted in the store",
        reference=(
            f"readings taken; {summary['samples_lost']} lost, {summary['gaps']} gaps, "
            f"{summary['samples_missed']} missed"
        ),
        reference_value=taken,
        ratio=readings / taken,
    )
