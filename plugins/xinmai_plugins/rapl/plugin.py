"""Energy counters of CPU packages under /sys/class/powercap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from xinmai.api import Device, Plugin, Poll, Reading, Unavailable
from xinmai_plugins.rapl.meter import Meter

POWERCAP = "/sys/class/powercap"
MSR, MMIO = "intel-rapl:", "intel-rapl-mmio:"


class Rapl(Plugin):
    """One device per package; its cores, memory and graphics are series of it.

    Once a second and no faster: finer readings tell an attacker what a core computes.
    """

    def open(self) -> None:
        """Say once where there is no such counter."""
        if not self._zones():
            raise Unavailable(
                "read CPU energy",
                POWERCAP,
                "modprobe intel_rapl_msr; virtual machines have no such counter",
            )

    def discover(self) -> Iterable[Device]:
        """Packages, by the number of their socket."""
        self._found = self._zones()
        for zone in self._tops():
            name = self._name(zone)
            yield Device(
                hw_id=f"rapl-{name}", model=self._cpu_model(), attributes={"hw.name": name}
            )

    def changed(self) -> bool:
        """Whether the driver was loaded anew or a zone came."""
        return self._zones() != self._found

    def readings(self, device: Device) -> Iterable[Poll]:
        """One poll per zone of a package."""
        top = next(zone for zone in self._tops() if f"rapl-{self._name(zone)}" == device.hw_id)
        for zone in self._found:
            if zone == top or zone.startswith(f"{top}:"):
                yield self._poll(device, zone, "" if zone == top else f"/{self._name(zone)}")

    def _zones(self) -> list[str]:
        """Zones by name; the same counters by MMIO only where MSR gives none."""
        names = self.context.names(POWERCAP)
        msr = [name for name in names if name.startswith(MSR)]
        patterns: Sequence[str] = self.context.config["zones_exclude"]
        return [
            name
            for name in msr or [name for name in names if name.startswith(MMIO)]
            if not any(fnmatchcase(self._name(name), pattern) for pattern in patterns)
        ]

    def _tops(self) -> list[str]:
        return [zone for zone in self._found if zone.count(":") == 1]

    def _name(self, zone: str) -> str:
        return self.context.text(f"{POWERCAP}/{zone}/name") or zone

    def _cpu_model(self) -> str:
        for line in self.context.text("/proc/cpuinfo").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
        return ""

    def _poll(self, device: Device, zone: str, part: str) -> Poll:
        metric = self.context.metrics["energy"]
        file = f"{POWERCAP}/{zone}/energy_uj"
        location = f"{device.attributes['hw.name']}{part}"
        series = metric.of(device, {"hw.sensor_location": location}, native=file)
        return Poll(file, [series], self._reader(zone, file), metric.cost)

    def _reader(
        self, zone: str, file: str, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> Callable[[], Sequence[Reading]]:
        path = self.context.path(file)
        limit = self.context.text(f"{POWERCAP}/{zone}/max_energy_range_uj")
        range_uj = int(limit) if limit.isdigit() and int(limit) else None
        meter = Meter(range_uj, self.context.config["max_power_w"])

        def read() -> Sequence[Reading]:
            return [meter.take(int(path.read_text("ascii")), now_ns())]

        return read
