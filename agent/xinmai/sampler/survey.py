"""What a plugin says there is: asked once per generation, arranged by `plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xinmai.api import (
    Cost,
    Device,
    Missing,
    Plugin,
    PluginError,
    Poll,
    Probe,
    Reason,
    Series,
)


@dataclass(frozen=True, slots=True)
class Survey:
    """Devices with their readings.

    Args:
        problems: (hw_id, error) of devices whose readings could not be declared, or not all.
    """

    devices: Sequence[Device]
    readings: Sequence[tuple[Device, Probe | Poll]]
    problems: Sequence[tuple[str, Exception]] = ()
    stand_in: bool = False


def make_survey(plugin: Plugin, without: Mapping[str, Sequence[Series]]) -> Survey:
    """Ask a plugin, device by device: one that fails costs the others nothing (A11).

    Args:
        plugin: opened.
        without: devices and calls not to touch, see `HostSettings`.

    Raises:
        PluginError: a reading breaks the contract.
        Exception: discovery failed, or every device did: then the first one's error.
    """
    devices = list(plugin.discover())
    readings: list[tuple[Device, Probe | Poll]] = []
    problems: list[tuple[str, Exception]] = []
    for device in devices:
        if device.hw_id in without:
            continue
        try:
            for reading in plugin.readings(device):
                readings += _allowed(device, reading, without)
        except PluginError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other devices are well
            problems.append((device.hw_id, error))
    if problems and not readings:
        raise problems[0][1]
    readings += _absent(devices, readings, without)
    return Survey(devices, readings, problems, plugin.stand_in)


def _absent(
    devices: Sequence[Device],
    readings: Sequence[tuple[Device, Probe | Poll]],
    without: Mapping[str, Sequence[Series]],
) -> Iterator[tuple[Device, Poll]]:
    """Devices left out, with those of their series that nobody else reads."""
    claimed = {_key(series) for _, reading in readings for series in reading.series}
    for device in devices:
        left = [one for one in without.get(device.hw_id, ()) if _key(one) not in claimed]
        if left:
            yield device, _left_out(device.hw_id, left)


def _key(series: Series) -> tuple[str, str, frozenset[tuple[str, str]]]:
    return series.hw_id, series.metric, frozenset(series.attributes.items())


def _allowed(
    device: Device, reading: Probe | Poll, without: Mapping[str, Sequence[Series]]
) -> Iterator[tuple[Device, Probe | Poll]]:
    if not isinstance(reading, Probe | Poll):
        raise PluginError(f"device {device.hw_id}: {reading!r} is no FileProbe, CallProbe or Poll")
    if isinstance(reading, Poll) and reading.cost is Cost.FAST:
        raise PluginError(
            f"poll {reading.name}: cost fast needs a probe, Python polls are slow or rare"
        )
    if not reading.series:
        return
    name = reading.name
    yield device, _left_out(name, reading.series) if name in without else reading


def _left_out(name: str, series: Sequence[Series]) -> Poll:
    """Stands for what is not touched: a hung device is a reason, not silence."""
    missing = [Missing(Reason.TIMEOUT)] * len(series)
    return Poll(f"left out: {name}", series, lambda: missing)


def refresh_of(reading: Probe | Poll) -> int:
    """After how long one of its values can be new, 0 where that is not known of all."""
    return min(series.refresh_ns or 0 for series in reading.series)
