"""A day of every host in a few minutes: what a host takes at its start is what it takes for good.

Usage: memory.py SECONDS. Periods, turns and the ring's span are a hundredth of the defaults, so 864
seconds read as many rows, take as many polls and ask as often for events as a day does. Ends with
1 where a host's proportional set size has changed by more than a mebibyte since it settled, or
where a host has ended.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xinmai.bench.livefiles import make_chip
from xinmai.channel import Channel
from xinmai.config import CadenceConfig, PluginConfig
from xinmai.manifest import PluginSource, check_config, find_plugins, needs_met
from xinmai.sampler import host, plan
from xinmai.sampler.child import fork_host
from xinmai.sampler.settings import HostSettings
from xinmai_native import RingReader

FASTER = 100
SETTLE_S = 12.0
"""A ring is filled once in 0.3 s; this is for the interpreter's own caches."""
MOST_BYTES = 2**20
CADENCE = CadenceConfig(
    fast_ns=100_000_000 // FASTER,
    slow_ns=1_000_000_000 // FASTER,
    rare_ns=60_000_000_000 // FASTER,
    explicit=frozenset(("fast", "slow", "rare")),
)
DEVICE = {
    "serial": "1",
    "power_mw": "300000",
    "temperature_mc": "50000",
    "health": "ok",
    "jobs": "7",
}
"""Files of one device of the template plugin."""


@dataclass
class Watched:
    """One host and the newest ring it handed over."""

    name: str
    pid: int
    channel: Channel
    reader: RingReader | None = None
    rows_before: int = 0
    """Of rings that are gone."""

    def listen(self) -> None:
        """Take what the host has to say.

        Raises:
            EOFError: it has ended.
        """
        while (message := self.channel.receive()) is not None:
            if message.kind == "layout":
                self.rows_before = self.rows()
                self.reader = RingReader(message.fds[0])
            for fd in message.fds:
                os.close(fd)

    def rows(self) -> int:
        """Committed so far."""
        if self.reader is None:
            return self.rows_before
        lanes = range(len(self.reader.lanes))
        return self.rows_before + sum(self.reader.state(lane).committed for lane in lanes)

    def pss_bytes(self) -> int:
        """Proportional set size."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text("ascii")
        (line,) = [line for line in text.splitlines() if line.startswith("Pss:")]
        return int(line.split()[1]) * 1024

    def end(self) -> None:
        """Ask it to leave, and wait."""
        self.channel.close()
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def hosts(base: Path) -> list[Watched]:
    """A host of every plugin that this machine or a made-up device has something for."""
    make_chip(base)
    device = base / "devices" / "device0"
    device.mkdir(parents=True)
    for name, text in DEVICE.items():
        (device / name).write_text(f"{text}\n", "ascii")
    elsewhere = {"hwmon": base}
    keys = {"example": {"directory": str(device.parent)}}
    found = []
    for name, source in find_plugins().items():
        root = elsewhere.get(name, Path("/"))
        settings = HostSettings(root, CADENCE, PluginConfig(keys=keys.get(name, {})))
        if not needs_met(source.manifest, root, _config(source, settings)):
            found.append(Watched(name, *fork_host(source, settings)))
    return found


def _config(source: PluginSource, settings: HostSettings) -> dict[str, object]:
    return check_config(source.manifest, settings.plugin.keys)


def watch(watched: list[Watched], seconds: float) -> None:
    """Listen to all of them for so long."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for one in watched:
            one.listen()
        time.sleep(0.05)


def measured(watched: list[Watched], of: Callable[[Watched], int]) -> list[int]:
    """One number per host."""
    return [of(one) for one in watched]


def main(argv: list[str]) -> int:
    """Run for so long; print each host's growth."""
    seconds = float(argv[0])
    host.TURN_NS //= FASTER
    host.CALM_NS //= FASTER
    plan.SPAN_NS //= FASTER
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="xinmai-memory-") as base:
        watched = hosts(Path(base))
        try:
            watch(watched, SETTLE_S)
            before, rows = measured(watched, Watched.pss_bytes), measured(watched, Watched.rows)
            watch(watched, seconds)
            after, end = measured(watched, Watched.pss_bytes), measured(watched, Watched.rows)
        finally:
            for one in watched:
                one.end()
    grown = [now - then for then, now in zip(before, after, strict=True)]
    for one, then, growth, first, last in zip(watched, before, grown, rows, end, strict=True):
        print(
            f"{one.name}: {then / 2**20:.2f} MiB, {growth / 1024:+.0f} KiB over {last - first} rows"
        )
    hours = seconds * FASTER / 3600
    print(f"{hours:.1f} h of default readings in {seconds:g} s, {len(watched)} hosts")
    bad = [one.name for one, growth in zip(watched, grown, strict=True) if abs(growth) > MOST_BYTES]
    if bad:
        print(f"memory: more than {MOST_BYTES} bytes: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad or not watched else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
