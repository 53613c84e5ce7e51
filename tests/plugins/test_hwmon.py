from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fakes.fakesys import Machine, Snapshot, build, read_poll, read_probes, recorded, snapshot
from xinmai.api import Cost, FileProbe, Missing, Poll, Reading, Reason, Unavailable

CARD = "/sys/devices/pci0000:20/0000:20:01.1/0000:21:00.0"
SUPER_IO = "hwmon-nct6779-nct6775.656"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return recorded(tmp_path, "epyc_ib")


@pytest.fixture
def row(machine: Machine) -> Snapshot:
    return snapshot(machine.plugin("hwmon"))


def test_chips_are_known_by_name_and_place(row: Snapshot) -> None:
    assert [device.hw_id for device in row.devices] == [
        "hwmon-k10temp-0000:00:18.3",
        "hwmon-nvme-0000:41:00.0",
        "hwmon-power_meter-ACPI000D:00",
        "hwmon-amdgpu-0000:21:00.0",
        SUPER_IO,
    ]


def test_identity_survives_a_new_number(machine: Machine) -> None:
    before = {device.hw_id for device in machine.plugin("hwmon").discover()}
    machine.path("/sys/class/hwmon/hwmon0").rename(machine.path("/sys/class/hwmon/hwmon9"))
    assert {device.hw_id for device in machine.plugin("hwmon").discover()} == before


def test_readings_in_base_units(row: Snapshot) -> None:
    assert row.one("hw.temperature", "hwmon-k10temp-0000:00:18.3", location="Tctl") == 54.25
    assert row.one("hw.voltage", SUPER_IO) == 1.032
    assert row.one("accel.current", SUPER_IO) == 12.5
    assert row.one("hw.power", SUPER_IO, mode="instant") == 65
    assert row.one("hw.energy", SUPER_IO) == 123.456789
    assert row.one("hw.fan.speed_ratio", SUPER_IO) == 128 / 255


def test_limits_are_rare_and_can_be_turned_off(machine: Machine) -> None:
    row = snapshot(machine.plugin("hwmon"))
    assert row.one("hw.temperature.limit", limit_type="critical") == 84.85
    assert row.one("hw.temperature.limit", limit_type="max") == 69.85
    assert row.one("accel.power.limit", kind="enforced") == 3200
    row = snapshot(machine.plugin("hwmon", limits=False))
    assert not row.of("hw.temperature.limit")
    assert not row.of("accel.power.limit")


def test_labels_that_repeat_get_their_channel(row: Snapshot) -> None:
    assert row.one("hw.fan.speed", SUPER_IO, location="FAN fan1") == 3210
    assert row.one("hw.fan.speed", SUPER_IO, location="FAN fan2") == 0


@pytest.mark.fault("A17")
def test_impossible_readings_are_no_numbers(row: Snapshot) -> None:
    assert row.one("hw.temperature", SUPER_IO) == Missing(Reason.IMPLAUSIBLE)
    assert row.one("hw.power", "hwmon-power_meter-ACPI000D:00") == 4294.967295


def test_megawatts_are_implausible(machine: Machine) -> None:
    machine.write("/sys/class/hwmon/hwmon2/power1_average", "4290000000000")
    row = snapshot(machine.plugin("hwmon"))
    reads = row.one("hw.power", "hwmon-power_meter-ACPI000D:00")
    assert reads == Missing(Reason.IMPLAUSIBLE)


def test_average_says_over_what_time(row: Snapshot) -> None:
    [(series, _)] = row.of("hw.power", "hwmon-power_meter-ACPI000D:00")
    assert series.window_ns == 1_000_000_000


@pytest.mark.fault("A21")
def test_power_of_slow_chips_is_not_fast(row: Snapshot) -> None:
    costs = {reading.path.parent.name: reading.cost for reading in _power(row)}
    assert costs == {"hwmon2": Cost.SLOW, "hwmon4": Cost.FAST}


def _power(row: Snapshot) -> list[FileProbe]:
    probes = [reading for reading in row.readings if isinstance(reading, FileProbe)]
    return [probe for probe in probes if probe.fields[0].series.metric == "hw.power"]


def _card(row: Snapshot) -> Sequence[Reading]:
    polls = [reading for reading in row.readings if isinstance(reading, Poll)]
    assert len(polls) == 2
    return [value for poll in polls for value in read_poll(poll)]


@pytest.mark.fault("A18")
def test_sleeping_card_is_not_looked_at(machine: Machine) -> None:
    row = snapshot(machine.plugin("hwmon"))
    for name in ("temp1_input", "power1_average"):
        machine.path(f"/sys/class/hwmon/hwmon3/{name}").unlink()
    assert _card(row) == [Missing(Reason.ASLEEP)] * 2


@pytest.mark.fault("A18")
def test_card_that_woke_up_is_read(machine: Machine) -> None:
    row = snapshot(machine.plugin("hwmon"))
    machine.write(f"{CARD}/power/runtime_status", "active")
    assert _card(row) == [9_000_000, 41_000]


@pytest.mark.fault("A18")
def test_chip_below_a_card_that_sleeps_is_not_looked_at(machine: Machine) -> None:
    parent = "/sys/devices/pci0000:40/0000:40:03.1/0000:41:00.0/nvme/power"
    machine.write(f"{parent}/control", "auto")
    machine.write(f"{parent}/runtime_status", "suspended")
    row = snapshot(machine.plugin("hwmon"))
    assert row.one("hw.temperature", "hwmon-nvme-0000:41:00.0") == Missing(Reason.ASLEEP)


def test_machine_without_sensors_says_so_once_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="load the sensors' drivers") as raised:
        build(tmp_path, "/sys/class/hwmon/").plugin("hwmon")
    assert raised.value.on == "/sys/class/hwmon"


def test_excluded_chips(machine: Machine) -> None:
    plugin = machine.plugin("hwmon", chips_exclude=["amdgpu", "n*"])
    names = [device.attributes["hw.name"] for device in plugin.discover()]
    assert names == ["k10temp", "power_meter"]


def test_new_chip_is_a_change(machine: Machine) -> None:
    plugin = machine.plugin("hwmon")
    list(plugin.discover())
    assert not plugin.changed()
    machine.write("/sys/class/hwmon/hwmon7/name", "coretemp")
    assert plugin.changed()


def test_two_chips_of_one_kind_without_a_place_stay_two(machine: Machine) -> None:
    for number in (7, 8):
        machine.write(f"/sys/class/hwmon/hwmon{number}/name", "acpitz")
        machine.write(f"/sys/class/hwmon/hwmon{number}/temp1_input", "30000")
    ids = [device.hw_id for device in machine.plugin("hwmon").discover()]
    assert ids[-2:] == ["hwmon-acpitz-virtual", "hwmon-acpitz-virtual-hwmon8"]


@pytest.mark.fault("A11")
def test_chip_that_vanishes_hides_no_other(machine: Machine) -> None:
    plugin = machine.plugin("hwmon")
    devices = [list(plugin.readings(device)) for device in plugin.discover()]
    machine.path("/sys/class/hwmon/hwmon0/temp1_input").unlink()
    first = [each[0] for each in devices[:2]]
    reads = [value for _, value in read_probes([r for r in first if isinstance(r, FileProbe)])]
    assert reads == [Missing(Reason.DEVICE_LOST), 84850]
