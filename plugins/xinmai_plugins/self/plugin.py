"""The clock lane: proof that sampling goes on, whatever vendor libraries do."""

from __future__ import annotations

from collections.abc import Iterable

from xinmai.api import Device, Field, FileProbe, Plugin


class Self(Plugin):
    """One probe. The supervisor feeds the watchdog only while its rows are fresh."""

    def discover(self) -> Iterable[Device]:
        """The agent; its reading is the node's own."""
        yield Device(hw_id="agent", vendor="xinmai", model="xinmai agent")

    def readings(self, device: Device) -> Iterable[FileProbe]:
        """Uptime, to a hundredth of a second."""
        metric = self.context.metrics["uptime"]
        field = Field(metric.of(None), decimals=2)
        yield FileProbe(self.context.path("/proc/uptime"), [field], metric.cost)
