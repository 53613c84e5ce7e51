"""A real sampler process and a client of its socket; run as a script it is that process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from agent.sampler.rig import Ring
from running import eventually
from xinmai.channel import Channel
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.manifest import PluginSource
from xinmai_native import RingReader

MS = 1_000_000
QUICK = {
    "xinmai.sampler.supervisor:TURN_S": 0.1,
    "xinmai.sampler.supervisor:DRAIN_GRACE_S": 0.2,
    "xinmai.sampler.hostproc:FIRST_DELAY_S": 0.05,
    "xinmai.sampler.host:TURN_NS": 100 * MS,
}
DEADLINES = {"stuck_ns": 200 * MS, "start_ns": 1000 * MS, "abandon": 4, "grace_ns": 500 * MS}


@dataclass
class Client:
    """As the shipper: takes rings, says what it drained."""

    channel: Channel
    kinds: list[str] = field(default_factory=list)
    rings: dict[str, Ring] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    plugins: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    history: list[tuple[str, str, str]] = field(default_factory=list)
    """(plugin, state, reason) of every change told."""
    told: list[Mapping[str, Any]] = field(default_factory=list)
    """The same, as it was told."""
    ended: bool = False

    def pump(self) -> Client:
        """Take what is there."""
        with suppress(EOFError, ProtocolError):
            while not self.ended and (message := self.channel.receive()) is not None:
                self.kinds.append(message.kind)
                self._take(message.kind, message.body, message.fds)
            return self
        self.ended = True
        return self

    def _take(self, kind: str, body: Mapping[str, Any], fds: list[int]) -> None:
        if kind == "ring":
            layout = Layout.from_map(body)
            self.rings[layout.ring_id] = Ring(layout, RingReader(fds[0]))
            os.close(fds[0])
        elif kind == "gone":
            self.gone.append(body["ring_id"])
        elif kind == "plugins":
            for one in body["plugins"]:
                before = self.plugins.get(one["name"])
                if one != before:
                    self.history.append((one["name"], one["state"], one["reason"]))
                    self.told.append(one)
                self.plugins[one["name"]] = one

    def ring(self, plugin: str) -> Ring | None:
        """The newest ring of a plugin that still grows."""
        mine = [
            ring
            for ring_id, ring in self.rings.items()
            if ring.layout.plugin == plugin and ring_id not in self.gone
        ]
        return mine[-1] if mine else None

    def until_ring(self, plugin: str, but: str = "") -> Ring:
        """Wait for a growing ring of a plugin, of another id than `but`."""

        def found() -> Ring | None:
            ring = self.pump().ring(plugin)
            return ring if ring and ring.layout.ring_id != but else None

        return eventually(found, f"a ring of {plugin}")

    def until_state(self, plugin: str, state: str, reason: str = "") -> str:
        """Wait for a state of a plugin with this in its reason; the whole reason."""

        def there() -> str | None:
            one = self.pump().plugins.get(plugin)
            fits = one and one["state"] == state and reason in one["reason"]
            return f"{one['reason']} " if one and fits else None

        try:
            return eventually(there, f"{plugin} to be {state} {reason}").removesuffix(" ")
        except AssertionError as error:
            raise AssertionError(f"{error}; told: {self.history}") from error

    def until_rows(self, ring: Ring, metric: str, hw_id: str, more: int) -> list[Any]:
        """Wait for so many more readings of a series; all of them."""
        want = len(ring.readings(metric, hw_id)) + more

        def there() -> list[Any]:
            readings = ring.readings(metric, hw_id)
            return readings if len(readings) >= want else []

        return list(eventually(there, f"{more} readings of {metric} {hw_id}"))

    def drained(self, ring_id: str) -> None:
        """Say that a ring is read to its end."""
        self.channel.send("drained", {"ring_id": ring_id})

    def close(self) -> None:
        """Leave."""
        self.channel.close()
        for ring in self.rings.values():
            ring.reader.close()


@dataclass
class SamplerRun:
    """`sampler_main` in a process of its own, with short deadlines.

    Args:
        base: state and run directory, and the machine's root.
        flags: configuration by dotted key.
        preload: a library for LD_PRELOAD.
    """

    base: Path
    sources: list[PluginSource]
    constants: Mapping[str, Any] = field(default_factory=dict)
    deadlines: Mapping[str, int] = field(default_factory=lambda: DEADLINES)
    flags: Mapping[str, Any] = field(default_factory=dict)
    preload: Path | None = None

    def __enter__(self) -> SamplerRun:
        # A socket's path must be short, and pytest's directories are not.
        self._clients: list[Client] = []
        self.parent_alive, child_alive = os.pipe()[::-1]
        self.run_dir = self.base / "r"
        flags = {
            "node.name": "n1",
            "node.root": str(self.base),
            "node.state_dir": str(self.base),
            "node.run_dir": str(self.run_dir),
            "cadence.slow": "50ms",
            "cadence.fast": "20ms",
            **self.flags,
        }
        order = {
            "folders": {source.name: str(source.folder) for source in self.sources},
            "flags": flags,
            "constants": {**QUICK, **self.constants},
            "deadlines": self.deadlines,
            "leave_fd": child_alive,
        }
        self.log = self.base / "log"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        if self.preload:
            environment["LD_PRELOAD"] = str(self.preload)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent.sampler.samplerrun", json.dumps(order)],
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[child_alive],
            )
        os.close(child_alive)
        self._seen: set[int] = set()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self.host_pids()
        for pid in (self.process.pid, *self._seen):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        with suppress(OSError):
            os.close(self.parent_alive)
        if kind is not None:
            sys.stderr.write(self.logged())

    def connect(self) -> Client:
        """A client, greeted."""

        def attempt() -> Client | None:
            assert self.process.poll() is None, self.logged()
            with suppress(OSError):
                return Client(Channel.connect(self.run_dir / "sampler.sock"))
            return None

        client = eventually(attempt, "the sampler's socket")
        self._clients.append(client)
        eventually(lambda: "plugins" in client.pump().kinds, "the greeting")
        return client

    def host_pids(self, plugin: str = "") -> list[int]:
        """Living hosts, of one plugin or of all, oldest first."""
        pids = []
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.process.pid).children():
                self._seen.add(one.pid)
                with suppress(psutil.NoSuchProcess):
                    if one.status() != psutil.STATUS_ZOMBIE and plugin in one.name():
                        pids.append(one.pid)
        return sorted(pids)

    def terminate(self, timeout_s: float = 20.0) -> int:
        """SIGTERM and the exit code."""
        self.host_pids()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def logged(self) -> str:
        """Everything the sampler and its hosts wrote."""
        return self.log.read_text("utf-8", errors="replace")


def main() -> None:
    """The process."""
    from xinmai.config import load
    from xinmai.log import setup
    from xinmai.sampler.stall import Deadlines
    from xinmai.sampler.supervisor import sampler_main

    order = json.loads(sys.argv[1])
    setup("INFO")
    for place, value in order["constants"].items():
        module, _, name = place.partition(":")
        setattr(import_module(module), name, value)
    config = load([], environment={}, flags=order["flags"])
    sources = {
        name: PluginSource(name, Path(folder), f"xinmai_folder_{name}")
        for name, folder in order["folders"].items()
    }
    sampler_main(config, sources, order["leave_fd"], Deadlines(**order["deadlines"]))


if __name__ == "__main__":
    main()
