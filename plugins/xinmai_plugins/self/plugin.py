"""The clock lane: proof that sampling goes on, whatever vendor libraries do."""

from __future__ import annotations

from collections.abc import Iterable

from xinmai.api import Device, Field, FileProbe, Plugin


class Self(Plugin):
    """One probe. The supervisor feeds the watchdog only while its rows are fresh."""

    def discover(self) -> Iterable[Device]:
        """The agent itself, so that it is seen to be alive like any other device."""
        yield Device(hw_id="agent", vendor="xinmai", model="xinmai agent")

    def readings(self, device: Device) -> Iterable[FileProbe]:
        """Uptime, to a hundredth of a second."""
        metric = self.context.metrics["uptime"]
        field = Field(metric.of(device), decimals=2)
        yield FileProbe(self.context.path("/proc/uptime"), [field], metric.cost)
