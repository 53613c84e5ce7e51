"""The kernel's sensor chips, each file under /sys/class/hwmon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from xinmai.api import (
    Cost,
    Device,
    Field,
    FileProbe,
    Missing,
    Plugin,
    Poll,
    Reading,
    Reason,
    Series,
    Unavailable,
)
from xinmai_plugins.hwmon.chip import Sensor, chip_id, is_slow, pci_bdf, sensors, sleep_files

HWMON = "/sys/class/hwmon"
LIMITS = ("temperature_limit", "power_limit")


class Hwmon(Plugin):
    """One device per chip. A chip that can sleep is asked by Python, and only while it is awake."""

    def open(self) -> None:
        """Say once where there is no chip at all."""
        self._bases: dict[str, str] = {}
        self._found: list[str] = []
        if not self._chips():
            raise Unavailable(
                "read hardware sensors",
                HWMON,
                "load the sensors' drivers, such as coretemp, k10temp or ipmi_si",
            )

    def discover(self) -> Iterable[Device]:
        """Every chip that has a sensor."""
        self._found = self._chips()
        self._bases = {}
        for base in self._found:
            name = self.context.text(f"{base}/name")
            if any(True for _ in sensors(self.context, base)):
                device = self._device(base, name)
                self._bases[device.hw_id] = base
                yield device

    def changed(self) -> bool:
        """Whether chips came or went."""
        return self._chips() != self._found

    def _chips(self) -> list[str]:
        patterns: Sequence[str] = self.context.config["chips_exclude"]
        bases = [f"{HWMON}/{entry}" for entry in self.context.names(HWMON)]
        return [
            base
            for base in bases
            if not any(
                fnmatchcase(self.context.text(f"{base}/name"), pattern) for pattern in patterns
            )
        ]

    def _device(self, base: str, name: str) -> Device:
        hw_id = chip_id(self.context, base, name)
        if hw_id in self._bases:
            hw_id = f"{hw_id}-{base.rpartition('/')[2]}"
        return Device(
            hw_id=hw_id,
            model=self.context.text(f"{base}/device/model") or name,
            pci_bdf=pci_bdf(self.context, base),
            attributes={"hw.name": name},
        )

    def readings(self, device: Device) -> Iterable[FileProbe | Poll]:
        """A probe per sensor, or a poll per sensor where the chip can sleep."""
        base = self._bases[device.hw_id]
        asleep = sleep_files(self.context, base)
        slow = is_slow(self.context, base, device.attributes["hw.name"])
        for sensor in sensors(self.context, base):
            if sensor.metric in LIMITS and not self.context.config["limits"]:
                continue
            yield self._reading(device, base, sensor, asleep, slow)

    def _reading(
        self, device: Device, base: str, sensor: Sensor, asleep: list[str], slow: bool
    ) -> FileProbe | Poll:
        file = f"{base}/{sensor.file}"
        cost = self.context.metrics[sensor.metric].cost
        if cost is Cost.FAST and (slow or asleep):
            cost = Cost.SLOW
        series = self._series(device, base, sensor)
        if asleep:
            return Poll(file, [series], self._wakeless(file, asleep), cost)
        return FileProbe(self.context.path(file), [Field(series)], cost)

    def _series(self, device: Device, base: str, sensor: Sensor) -> Series:
        metric = self.context.metrics[sensor.metric]
        series = metric.of(device, sensor.attributes, native=f"{base}/{sensor.file}")
        interval_ms = self.context.text(f"{base}/{sensor.channel}_average_interval")
        if sensor.metric == "power_average" and interval_ms.isdigit():
            return replace(series, window_ns=int(interval_ms) * 1_000_000)
        return series

    def _wakeless(self, file: str, asleep: list[str]) -> Callable[[], Sequence[Reading]]:
        context = self.context

        def read() -> Sequence[Reading]:
            if any(context.text(state) == "suspended" for state in asleep):
                return [Missing(Reason.ASLEEP)]
            return [int(context.path(file).read_text("ascii"))]

        return read
