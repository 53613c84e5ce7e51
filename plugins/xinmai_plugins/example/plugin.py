"""The template: copy this folder, and change what it reads.

A device is a sub-directory: `serial`, `power_mw`, `temperature_mc`, `health` and `jobs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

# xinmai.api is all of xinmai that a plugin imports; a vendor library is loaded in binding.py only.
from xinmai.api import (
    Device,
    Field,
    FileProbe,
    Missing,
    Plugin,
    Poll,
    Reading,
    Reason,
    Unavailable,
)

STATES = ("ok", "degraded", "failed")


class Example(Plugin):
    """Runs in a process of its own: it may block or crash, and hurts no other plugin."""

    def open(self) -> None:
        """Load the library, check the files; what is missing is said once, with its fix."""
        # Every path goes through the context: tests and containers put a prefix before it.
        self._directory: str = self.context.config["directory"]
        if not self._directory or not self.context.path(self._directory).is_dir():
            raise Unavailable(
                "read example devices",
                self._directory or "no directory",
                "set plugins.example.directory to a directory with one sub-directory per device",
            )

    def discover(self) -> Iterable[Device]:
        """Every device that is here now. An index or a name is no identity: a serial is."""
        self._found = self._names()
        for name in self._found:
            serial = self.context.text(f"{self._directory}/{name}/serial")
            yield Device(
                hw_id=f"example-{serial or name}",
                vendor="Example",
                serial_number=serial,
                attributes={"hw.name": name},
            )

    def changed(self) -> bool:
        """Asked once a second: it must be cheap. True makes the framework discover again."""
        return self._names() != self._found

    def readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        """Declare what to read; the framework does the reading."""
        folder = self.context.path(f"{self._directory}/{device.attributes['hw.name']}")
        # A file with a number is declared, not read: no Python runs per reading.
        for key in ("power", "temperature", "jobs"):
            metric = self.context.metrics[key]
            path = folder / metric.native
            yield FileProbe(path, [Field(metric.of(device))], metric.cost)
        yield self._health(device, folder / "health")

    def _health(self, device: Device, path: Path) -> Poll:
        """What needs thought is a poll: Python takes it, once a second or more rarely."""
        metric = self.context.metrics["health"]
        series = [metric.of(device, {"hw.state": state}) for state in STATES]

        def read() -> Sequence[Reading]:
            # OSError may pass: the framework makes a reason of its errno and logs loss and return.
            health = path.read_text("utf-8").strip()
            if health not in STATES:
                # No value is a reason, never a number that stands for "unknown".
                return [Missing(Reason.UNSUPPORTED)] * len(STATES)
            return [int(health == state) for state in STATES]

        return Poll(f"health of {device.attributes['hw.name']}", series, read, metric.cost)

    def _names(self) -> list[str]:
        folder = self.context.path(self._directory)
        return [name for name in self.context.names(self._directory) if (folder / name).is_dir()]
