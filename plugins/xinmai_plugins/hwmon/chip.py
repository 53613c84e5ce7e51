"""Sensor chips: who they are, what they hold, and whether looking would wake them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from xinmai.api import Context

_FILE = re.compile(
    r"(?P<channel>(?P<kind>temp|in|curr|power|energy|fan|pwm)\d+)(?:_(?P<item>[a-z]+))?"
)
_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

_READINGS: Final = {
    ("temp", "input"): "temperature",
    ("temp", "crit"): "temperature_limit",
    ("temp", "max"): "temperature_limit",
    ("in", "input"): "voltage",
    ("curr", "input"): "current",
    ("power", "input"): "power",
    ("power", "average"): "power_average",
    ("power", "cap"): "power_limit",
    ("energy", "input"): "energy",
    ("fan", "input"): "fan",
    ("pwm", None): "fan_ratio",
}
_LIMIT_TYPES: Final = {"crit": "critical", "max": "max"}

# Drivers that ask firmware or a slow bus for each reading.
_SLOW_CHIPS: Final = ("power_meter", "ibmpowernv", "drivetemp")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One file of a chip; `metric` is a key of metrics.toml.

    Args:
        location: the chip's label of the channel, else the channel's name.
    """

    file: str
    channel: str
    metric: str
    location: str
    limit_type: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """By catalogue name."""
        pairs = {"hw.sensor_location": self.location, "hw.limit_type": self.limit_type}
        return {name: value for name, value in pairs.items() if value}


def chip_id(context: Context, base: str, name: str) -> str:
    """Name and place: the number behind `hwmon` changes from boot to boot."""
    device = context.path(f"{base}/device")
    if not device.exists():
        return f"hwmon-{name}-virtual"
    return f"hwmon-{name}-{pci_bdf(context, base) or os.path.basename(os.path.realpath(device))}"  # noqa: PTH119


def pci_bdf(context: Context, base: str) -> str:
    """PCI address of the device behind a chip, "" where there is none."""
    found = _PCI.findall(os.path.realpath(context.path(f"{base}/device")))
    return found[-1] if found else ""


def is_slow(context: Context, base: str, name: str) -> bool:
    """Whether a reading may take milliseconds: then nothing of the chip is fast."""
    return name in _SLOW_CHIPS or "/i2c-" in os.path.realpath(context.path(f"{base}/device"))


def sleep_files(context: Context, base: str) -> list[str]:
    """Files that say `suspended` while a reading would wake the chip's device or its parent.

    Empty where neither ever sleeps. Reading these files wakes nothing.
    """
    found = []
    for level in ("device", "device/.."):
        power = f"{base}/{level}/power"
        if context.text(f"{power}/control") == "auto" and context.text(
            f"{power}/runtime_status"
        ) in ("active", "suspended", "suspending", "resuming"):
            found.append(f"{power}/runtime_status")
    return found


def sensors(context: Context, base: str) -> Iterator[Sensor]:
    """Every reading of a chip, by channel; labels that repeat get the channel's name too."""
    found = [_sensor(context, base, file) for file in context.names(base)]
    known = [sensor for sensor in found if sensor is not None]
    keys = [(sensor.metric, sensor.location, sensor.limit_type) for sensor in known]
    for sensor, key in zip(known, keys, strict=True):
        location = sensor.location
        if keys.count(key) > 1:
            location = f"{location} {sensor.channel}"
        yield Sensor(sensor.file, sensor.channel, sensor.metric, location, sensor.limit_type)


def _sensor(context: Context, base: str, file: str) -> Sensor | None:
    match = _FILE.fullmatch(file)
    metric = _READINGS.get((match["kind"], match["item"])) if match else None
    if match is None or metric is None:
        return None
    channel = match["channel"]
    label = context.text(f"{base}/{channel}_label")
    return Sensor(
        file, channel, metric, label or channel, _LIMIT_TYPES.get(match["item"] or "", "")
    )
