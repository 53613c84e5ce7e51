from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from fakes.fakesys import Machine, Snapshot, build, read_probes, recorded, snapshot
from xinmai.api import FileProbe, Missing, Poll, Reason, Unavailable


@pytest.fixture(autouse=True)
def _psutil_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return recorded(tmp_path, "epyc_ib")


@pytest.fixture
def row(machine: Machine) -> Snapshot:
    return snapshot(machine.plugin("host"))


def test_cpu_time_is_in_seconds_by_mode(row: Snapshot) -> None:
    assert row.one("system.cpu.time", "host", mode="user") == 1845.12
    assert row.one("system.cpu.time", "host", mode="steal") == 0.77
    assert len(row.of("system.cpu.time")) == 8


def test_per_cpu_adds_eight_series_a_cpu(machine: Machine) -> None:
    row = snapshot(machine.plugin("host", per_cpu=True))
    assert len(row.of("system.cpu.time")) == 8 * 3
    assert row.one("system.cpu.time", "host", mode="nice", logical_number="1") == 6.03


def test_kernel_counts(row: Snapshot) -> None:
    assert row.one("accel.host.interrupts") == 1228443221
    assert row.one("accel.host.context_switches") == 3912254411
    assert row.one("system.process.created") == 188231
    assert row.one("system.process.count", state="running") == 71
    assert row.one("system.process.count", state="blocked") == 2


def test_memory_is_in_bytes(row: Snapshot) -> None:
    assert row.one("system.memory.limit") == 527951024 * 1024
    assert row.one("system.memory.usage", memory_state="anonymous") == 58231124 * 1024
    assert row.one("system.memory.linux.slab.usage", state="unreclaimable") == 3114008 * 1024
    assert row.one("system.memory.linux.hugepages.usage", state="free") == 500
    assert row.one("system.paging.usage", state="free") == 8388604 * 1024


def test_active_is_not_taken_for_active_anon(row: Snapshot) -> None:
    assert row.one("system.memory.usage", memory_state="active") == 98110412 * 1024


def test_paging_counts(row: Snapshot) -> None:
    faults = [series for series, _ in row.of("system.paging.faults")]
    assert [dict(series.attributes) for series in faults] == [
        {},
        {"system.paging.fault.type": "major"},
    ]
    assert row.one("system.paging.operations", direction="out") == 844
    assert row.one("accel.host.oom_kills") == 3


def test_load_and_uptime_keep_their_decimals(row: Snapshot) -> None:
    assert row.one("system.cpu.load_average.1m") == 63.12
    assert row.one("system.cpu.load_average.15m") == 58.91
    assert row.one("system.uptime") == 184312.47


def test_pressure_ratio_runs_from_0_to_1(row: Snapshot) -> None:
    assert row.one("accel.host.pressure.ratio", resource="cpu", scope="some") == 0.125
    assert row.one("accel.host.pressure.time", resource="io", scope="full") == 278.336203
    [(series, _)] = row.of("accel.host.pressure.ratio", resource="io", scope="some")
    assert series.window_ns == 10_000_000_000


def test_kernel_without_pressure_has_no_such_series(machine: Machine) -> None:
    for name in ("cpu", "memory", "io"):
        machine.path(f"/proc/pressure/{name}").unlink()
    assert not snapshot(machine.plugin("host")).of("accel.host.pressure.time")


def test_key_that_the_kernel_lacks_is_no_series(machine: Machine) -> None:
    machine.write("/proc/vmstat", "pgfault 1")
    row = snapshot(machine.plugin("host"))
    assert row.one("system.paging.faults") == 1
    assert not row.of("accel.host.oom_kills")


def test_disks_are_known_by_world_wide_id(row: Snapshot) -> None:
    disks = {device.hw_id: device for device in row.devices if device.hw_id != "host"}
    assert set(disks) == {
        "disk-eui.01000000000000005cd2e4a1b2c30001",
        "disk-t10.ATA_ST8000NM0055-1RM112_ZA100000",
        "disk-t10.ATA_ST8000NM0055-1RM112_ZA100000-sdb",
    }
    nvme = disks["disk-eui.01000000000000005cd2e4a1b2c30001"]
    assert (nvme.model, nvme.serial_number) == ("INTEL SSDPE2KX040T8", "PHLJ000000000000")
    assert nvme.attributes == {"hw.name": "nvme0n1", "hw.firmware_version": "VDV10184"}


def test_disk_counters(row: Snapshot) -> None:
    nvme = "disk-eui.01000000000000005cd2e4a1b2c30001"
    assert row.one("system.disk.io", nvme, direction="read") == 29571620 * 512
    assert row.one("system.disk.operations", nvme, direction="write") == 103510
    assert row.one("system.disk.operation_time", nvme, direction="read") == 73.95
    assert row.one("accel.host.disk.in_flight", nvme) == 3
    assert row.one("system.disk.io_time", nvme) == 78.08
    assert row.one("system.disk.limit", nvme) == 7501476528 * 512


def test_virtual_disks_are_left_out_unless_asked_for(machine: Machine) -> None:
    row = snapshot(machine.plugin("host", disks_exclude=["nvme*"]))
    names = [device.attributes.get("hw.name") for device in row.devices[1:]]
    assert names == ["dm-0", "loop0", "sda", "sdb"]


def test_host_says_what_it_is_but_not_its_machine_id(row: Snapshot) -> None:
    host = row.devices[0]
    assert (host.hw_id, host.vendor, host.model) == ("host", "Supermicro", "AS -4124GS-TNR")
    assert host.attributes["os.kernel_release"].startswith("5.10.0")
    assert "0123456789abcdef" not in host.attributes["host.id"]


def test_filesystems_on_devices_once_each(row: Snapshot) -> None:
    mounts = {
        series.attributes["system.filesystem.mountpoint"]
        for series, _ in row.of("system.filesystem.limit")
    }
    assert mounts == {"/", "/data"}
    used = row.one("system.filesystem.usage", mountpoint="/data", state="used")
    limit = row.one("system.filesystem.limit", mountpoint="/data")
    assert not isinstance(used, Missing)
    assert not isinstance(limit, Missing)
    assert 0 < used <= limit


@pytest.mark.fault("A22")
def test_network_filesystem_is_never_asked_for_its_space(row: Snapshot) -> None:
    names = [reading.name for reading in row.readings if isinstance(reading, Poll)]
    assert not any("/home" in name for name in names)


def test_filesystem_that_went_away_reads_as_lost(machine: Machine) -> None:
    plugin = machine.plugin("host")
    readings = [reading for device in plugin.discover() for reading in plugin.readings(device)]
    [poll] = [r for r in readings if isinstance(r, Poll) and r.name == "space of /data"]
    machine.path("/data").rmdir()
    with pytest.raises(FileNotFoundError):
        poll.read()


def test_filesystems_can_be_turned_off(machine: Machine) -> None:
    assert not snapshot(machine.plugin("host", filesystems=False)).of("system.filesystem.limit")


def test_process_and_cpu_counts(row: Snapshot) -> None:
    counts = row.of("system.process.count")
    assert [value for series, value in counts if not series.attributes] == [3]
    assert row.one("system.cpu.logical.count") == 3
    assert row.one("system.cpu.physical.count") == 2


def test_cores_nobody_tells_are_unsupported(tmp_path: Path) -> None:
    machine = build(tmp_path, "/proc/stat: cpu 1 2 3 4 5 6 7 8\n/proc/1/stat: 1 (init) S 0")
    row = snapshot(machine.plugin("host", filesystems=False))
    assert row.one("system.cpu.physical.count") == Missing(Reason.UNSUPPORTED)
    assert row.one("system.cpu.logical.count") == Missing(Reason.DEVICE_LOST)


def test_new_disk_is_a_change(machine: Machine) -> None:
    plugin = machine.plugin("host")
    list(plugin.discover())
    assert not plugin.changed()
    machine.write("/sys/block/sdc/stat", "0")
    assert plugin.changed()


def test_new_mount_is_seen_within_half_a_minute(machine: Machine) -> None:
    plugin = machine.plugin("host")
    list(plugin.discover())
    mounts = machine.path("/proc/self/mounts").read_text("utf-8")
    machine.write("/proc/self/mounts", f"{mounts}/dev/sdb /scratch xfs rw 0 0\n")
    asked = next(second for second in range(1, 100) if plugin.changed())
    assert asked == 30


def test_other_tick_rate_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _: 250)
    with pytest.raises(Unavailable, match="250 times"):
        machine.plugin("host")


@pytest.mark.fault("A11")
def test_disk_that_vanishes_hides_no_other(machine: Machine) -> None:
    plugin = machine.plugin("host")
    disks = [device for device in plugin.discover() if device.hw_id != "host"]
    probes = [[*plugin.readings(disk)] for disk in disks]
    machine.path("/sys/block/nvme0n1/stat").unlink()
    reads = [read_probes([r for r in each if isinstance(r, FileProbe)])[0][1] for each in probes]
    assert reads == [Missing(Reason.DEVICE_LOST), 100, 100]
