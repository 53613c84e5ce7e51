"""One plugin host driven by its real `HostProcess`, as a supervisor does, without an event loop."""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import msgpack

from running import eventually
from xinmai import clock
from xinmai.api import Missing, Reading, Reason
from xinmai.channel import Received
from xinmai.config import CadenceConfig, PluginConfig
from xinmai.layout import LaneLayout, Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.hostproc import HostProcess, State
from xinmai.sampler.settings import HostSettings
from xinmai.sampler.stall import Deadlines, Stall
from xinmai.values import native_number
from xinmai_native import RingReader

QUICK = CadenceConfig(fast_ns=20_000_000, slow_ns=50_000_000, explicit=frozenset({"fast", "slow"}))
"""Periods short enough for tests; the host's own turn stays at a second."""


def threads(pid: int) -> list[str]:
    """Names of a process's threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted((task / "comm").read_text("utf-8").strip() for task in tasks)


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found[int(entry.name)] = str(entry.readlink())
    return found


def exists(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return False


@dataclass
class Ring:
    """A ring as a shipper would hold it."""

    layout: Layout
    reader: RingReader

    def lane(self, name: str) -> tuple[int, LaneLayout]:
        """Index and entry of a lane."""
        [found] = [(at, lane) for at, lane in enumerate(self.layout.lanes) if lane.name == name]
        return found

    def readings(self, metric: str, hw_id: str = "", **attributes: str) -> list[Reading]:
        """Every committed reading of the one series that fits, native, oldest first."""
        [(column, series)] = [
            (column, series)
            for column, series in enumerate(self.layout.series)
            if (series.metric, series.hw_id) == (metric, hw_id)
            and attributes.items()
            <= {name.rpartition(".")[2]: value for name, value in series.attributes.items()}.items()
        ]
        [(at, lane)] = [
            (at, lane)
            for at, lane in enumerate(self.layout.lanes)
            if lane.first <= column < lane.first + lane.count
        ]
        rows = self.reader.rows(at, 0, 10_000)
        own = column - lane.first
        reasons = {row: Missing(Reason(r), code) for c, row, r, code in rows.reasons if c == own}
        cells = array("q", rows.values)[own * rows.n : (own + 1) * rows.n]
        return [
            reasons.get(row, native_number(cell, series.type)) for row, cell in enumerate(cells)
        ]

    def events(self) -> list[Mapping[str, Any]]:
        """Every event so far."""
        _, _, records = self.reader.records(len(self.layout.lanes) - 1, 0, 1000)
        return [msgpack.unpackb(payload) for _, payload in records]


@dataclass
class HostRun:
    """The life of one host; leave the context and nothing of it is left."""

    source: PluginSource
    root: Path = Path("/")
    plugin: PluginConfig = field(default_factory=PluginConfig)
    cadence: CadenceConfig = QUICK
    deadlines: Deadlines = field(default_factory=Deadlines)
    rings: list[Ring] = field(default_factory=list)
    heard: list[Received] = field(default_factory=list)
    exit_code: int | None = None

    def __post_init__(self) -> None:
        settings = HostSettings(self.root, self.cadence, self.plugin)
        self.process = HostProcess(self.source, settings, self.deadlines)
        self.pids: list[int] = []

    def __enter__(self) -> HostRun:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.hang_up()
        for pid in {*self.pids, *self.process.left_behind()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        for ring in self.rings:
            ring.reader.close()

    def start(self) -> None:
        """Fork it."""
        self.exit_code = None
        self.process.spawn()
        self.pids.append(self.process.pid)

    @property
    def pid(self) -> int:
        """Of the newest process."""
        return self.pids[-1]

    @property
    def ring(self) -> Ring:
        """The newest ring."""
        return self.rings[-1]

    def turn(self) -> Stall | None:
        """What the supervisor does when something comes, and once a second."""
        for message in self.process.last_words():
            self._take(message)
        if self.exit_code is None and (code := self.process.wait()) is not None:
            for message in self.process.last_words():
                self._take(message)
            self.process.ended(code)
            self.exit_code = code
        return self.process.look(clock.mono_ns())

    def _take(self, message: Received) -> None:
        self.heard.append(message)
        if message.kind == "layout":
            layout = Layout.from_map(message.body)
            self.rings.append(Ring(layout, RingReader(message.fds[0])))
            self.process.running(layout, RingReader(message.fds[0]))
        else:
            self.process.hear(message)
        for fd in message.fds:
            os.close(fd)

    def kinds(self) -> list[str]:
        """Kinds of the messages heard."""
        return [message.kind for message in self.heard]

    def until_running(self, rings: int = 1) -> HostRun:
        """Wait for so many rings."""

        def there() -> bool:
            self.turn()
            assert self.exit_code is None, (self.process.state, self.process.reason)
            return len(self.rings) >= rings

        eventually(there, f"{rings} rings")
        return self

    def until_ended(self, timeout_s: float = 20.0) -> State:
        """Wait for the end of the process; the state it left."""

        def ended() -> bool:
            self.turn()
            return self.exit_code is not None

        eventually(ended, "the end of the host", timeout_s)
        return self.process.state

    def until_read(self, metric: str, hw_id: str = "", n: int = 1, **attributes: str) -> Reading:
        """Wait for so many readings of a series; the newest."""

        def there() -> list[Reading]:
            self.turn()
            readings = self.ring.readings(metric, hw_id, **attributes)
            return readings if len(readings) >= n else []

        return eventually(there, f"{n} readings of {metric} {hw_id}")[-1]

    def until_event(self, code: str) -> Mapping[str, Any]:
        """Wait for an event."""

        def there() -> Mapping[str, Any] | None:
            self.turn()
            found = [event for event in self.ring.events() if event["code"] == code]
            return found[0] if found else None

        return eventually(there, f"event {code}")

    def stop(self) -> State:
        """SIGTERM and its end."""
        self.process.ask_to_stop()
        return self.until_ended()
