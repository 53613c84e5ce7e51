from __future__ import annotations

from pathlib import Path

import pytest

from fakes.fakesys import Machine, build, read_poll, read_probes, snapshot
from xinmai.api import FileProbe, Missing, Poll, Reason, Unavailable

DEVICES = """
/opt/example/left/serial: L1
/opt/example/left/power_mw: 65250
/opt/example/left/temperature_mc: 41500
/opt/example/left/health: degraded
/opt/example/left/jobs: 12
/opt/example/right/power_mw: -1
/opt/example/right/temperature_mc: 999999
/opt/example/right/health: who knows
/opt/example/right/jobs: 0
/opt/example/notes.txt: not a device
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return build(tmp_path, DEVICES)


def test_devices_are_known_by_serial(machine: Machine) -> None:
    devices = machine.plugin("example", directory="/opt/example").discover()
    assert [device.hw_id for device in devices] == ["example-L1", "example-right"]


def test_values_in_base_units(machine: Machine) -> None:
    row = snapshot(machine.plugin("example", directory="/opt/example"))
    assert row.one("hw.power", "example-L1") == 65.25
    assert row.one("hw.temperature", "example-L1") == 41.5
    assert row.one("accel.native.example.jobs", "example-L1") == 12
    states = [row.one("hw.status", "example-L1", state=s) for s in ("ok", "degraded", "failed")]
    assert states == [0, 1, 0]


def test_no_value_is_a_reason(machine: Machine) -> None:
    row = snapshot(machine.plugin("example", directory="/opt/example"))
    assert row.one("hw.power", "example-right") == Missing(Reason.UNSUPPORTED)
    assert row.one("hw.temperature", "example-right") == Missing(Reason.IMPLAUSIBLE)
    assert row.one("hw.status", "example-right", state="ok") == Missing(Reason.UNSUPPORTED)


def test_lost_device_is_a_reason(machine: Machine) -> None:
    plugin = machine.plugin("example", directory="/opt/example")
    device = next(iter(plugin.discover()))
    [poll] = [reading for reading in plugin.readings(device) if isinstance(reading, Poll)]
    machine.path("/opt/example/left/health").unlink()
    assert read_poll(poll) == [Missing(Reason.DEVICE_LOST)] * 3


@pytest.mark.parametrize("directory", ["", "/opt/nothing"])
def test_without_a_directory_it_says_what_to_do(machine: Machine, directory: str) -> None:
    with pytest.raises(Unavailable, match=r"set plugins\.example\.directory"):
        machine.plugin("example", directory=directory)


def test_new_device_is_a_change(machine: Machine) -> None:
    plugin = machine.plugin("example", directory="/opt/example")
    list(plugin.discover())
    assert not plugin.changed()
    machine.write("/opt/example/third/power_mw", "1")
    assert plugin.changed()


@pytest.mark.fault("A11")
def test_lost_device_hides_no_other(machine: Machine) -> None:
    plugin = machine.plugin("example", directory="/opt/example")
    devices = [list(plugin.readings(device)) for device in plugin.discover()]
    machine.path("/opt/example/left/jobs").unlink()
    probes = [reading for each in devices for reading in each if isinstance(reading, FileProbe)]
    jobs = [probe for probe in probes if probe.path.name == "jobs"]
    assert [value for _, value in read_probes(jobs)] == [Missing(Reason.DEVICE_LOST), 0]
