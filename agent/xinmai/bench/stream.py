"""`agent_stream_1khz`: the whole agent streams each reading of 96 sensors at 1 kHz, all counted.

The agent and the plain C loop read files that change alike in one run, in turns. Broker, collector
and what makes the files change are not the agent.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xinmai import clock
from xinmai.bench.figures import Bar, Figure, figure_of
from xinmai.bench.lanes import run_reference
from xinmai.bench.livefiles import RATE_HZ, SENSORS, make_chip, writing
from xinmai.bench.processes import cpu_by_name
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.manifest import find_plugins
from xinmai.up.collectorapi import CollectorApi
from xinmai.up.run import Options, Up, place

SETTLE_S = 10.0
WINDOW_S = 10.0
PERIOD_NS = SECOND_NS // RATE_HZ
PLUGIN = "hwmon"
REFERENCE = "plain C loop: pread and parse of as many kept-open files at the same rate"
NAMES = ("agent_stream_1khz", "agent_stream_delivered")
_SHM = Path("/dev/shm")

_READINGS = "SELECT coalesce(sum(count), 0) AS readings FROM samples"
_DURING = f"{_READINGS} WHERE stream = 'raw' AND time_ns >= {{begin_ns}} AND time_ns < {{end_ns}}"


class Window(NamedTuple):
    """The agent between two moments of CLOCK_REALTIME."""

    begin_ns: int
    end_ns: int
    cpu_ns: Counter[str]
    """By name of process."""


@dataclass(slots=True)
class _Turns:
    """Takes turns with the plain C loop while the agent runs."""

    files: Sequence[Path]
    pairs: int
    settle_s: float
    window_s: float
    windows: list[Window] = field(default_factory=list)
    reference_us: list[float] = field(default_factory=list)
    """CPU per sample."""
    _before: Counter[str] = field(default_factory=Counter)
    _begin_ns: int = 0

    def tick(self, gone_s: float, agent_pid: int) -> None:
        """Called a few times a second."""
        if gone_s < self.settle_s or len(self.reference_us) == self.pairs:
            return
        if not self._begin_ns:
            self._before, self._begin_ns = cpu_by_name(agent_pid), clock.wall_ns()
        elif clock.wall_ns() - self._begin_ns >= self.window_s * SECOND_NS:
            used, end_ns = cpu_by_name(agent_pid), clock.wall_ns()
            used.subtract(self._before)
            self.windows.append(Window(self._begin_ns, end_ns, used))
            ran = run_reference(self.files, PERIOD_NS, self.window_s)
            self.reference_us.append(ran.cpu_ns / 1000 / (ran.rows * len(self.files)))
            self._begin_ns = 0


class _CountingUp(Up):
    """Asks for what is stored before the collector ends."""

    windows: Sequence[Window] = ()
    counts: Sequence[int] = ()
    """Readings stored of the stream, by window."""
    readings = 0
    """Readings stored of all series."""

    def _end(self, tell: Callable[[str], None]) -> dict[str, Any]:
        summary = super()._end(tell)
        self.readings = _readings(self.api, _READINGS)
        self.counts = [
            _readings(self.api, _DURING.format(begin_ns=one.begin_ns, end_ns=one.end_ns))
            for one in self.windows
        ]
        return summary


def run(config: Config, pairs: int, seconds: float, tell: Callable[[str], None]) -> list[Figure]:
    """Stream for so long, then count what the store holds.

    Raises:
        XinmaiError: a daemon did not come up.
    """
    settle_s = min(SETTLE_S, seconds / 4)
    window_s = min(WINDOW_S, (seconds - settle_s) / (2 * pairs + 1))
    base = _SHM if _SHM.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="xinmai-bench-", dir=base) as root:
        agents, references = make_chip(Path(root) / "agent"), make_chip(Path(root) / "reference")
        turns = _Turns(references, pairs, settle_s, window_s)
        options = Options(for_ns=int(seconds * SECOND_NS), temp=True)
        with writing([*agents, *references]), place(config, options) as placed:
            up = _CountingUp(placed, options, _settings(Path(root) / "agent"))
            up.windows = turns.windows
            tell(f"agent_stream_1khz: {SENSORS} sensors at {RATE_HZ} Hz for {seconds:g} s")
            summary = up.run(tell, lambda gone_s: turns.tick(gone_s, up.agent_pid))
    for name, us in _us_by_process(turns.windows, up.counts).items():
        tell(f"{name}: {us:.3f} µs per sample")
    return [
        _cpu_figure(turns, up.counts, up.broker.name),
        _delivered_figure(summary, up.readings),
    ]


def _readings(api: CollectorApi, sql: str) -> int:
    return int(api.query(sql)[0]["readings"])


def _settings(root: Path) -> list[str]:
    """One chip on one lane, everything it says shipped raw, and nothing else."""
    others = [name for name in find_plugins() if name not in (PLUGIN, "self")]
    pairs = {
        "node.root": root,
        f"plugins.{PLUGIN}.period.fast": "1ms",
        "shipper.raw": f"{PLUGIN}/fast*",
        **{f"plugins.{name}.enabled": "false" for name in others},
    }
    return [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]


def _us_by_process(windows: Sequence[Window], counts: Sequence[int]) -> Mapping[str, float]:
    used: Counter[str] = Counter()
    for window in windows:
        used.update(window.cpu_ns)
    return {name: cpu_ns / 1000 / max(1, sum(counts)) for name, cpu_ns in used.items()}


def _cpu_figure(turns: _Turns, counts: Sequence[int], broker: str) -> Figure:
    return figure_of(
        "agent_stream_1khz",
        f"µs of CPU per sample, through {broker} to the store",
        REFERENCE,
        [
            one.cpu_ns.total() / 1000 / max(1, count)
            for one, count in zip(turns.windows, counts, strict=True)
        ],
        turns.reference_us,
        bar=Bar("ratio", True, 1.5),
    )


def _delivered_figure(summary: Mapping[str, Any], readings: int) -> Figure:
    """Readings counted in the store against those taken, of all series."""
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
        ratio=readings / max(1, taken),
    )
