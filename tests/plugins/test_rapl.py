from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.fakesys import Machine, build, read_poll, recorded, snapshot
from xinmai.api import Missing, Poll, Reason, Unavailable
from xinmai.manifest import find_plugins, needs_met
from xinmai_plugins.rapl.meter import GAP, Meter

SECOND_NS = 1_000_000_000
RANGE = 262_143_328_850
NOBODY = 65534


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return recorded(tmp_path, "xeon_rapl")


@pytest.mark.fault("A16")
@pytest.mark.parametrize(
    ("name", "range_uj", "steps", "totals"),
    [
        ("grows", RANGE, [(0, 100), (1, 300), (2, 350)], [100, 300, 350]),
        ("stands", RANGE, [(0, 100), (1, 100)], [100, 100]),
        ("wraps", RANGE, [(0, RANGE - 50), (1, 70)], [RANGE - 50, RANGE + 70]),
        ("reset", RANGE, [(0, RANGE // 2), (1, 10), (2, 30)], [RANGE // 2, GAP, RANGE // 2 + 20]),
        ("drop, range unknown", None, [(0, 500), (1, 100), (2, 140)], [500, GAP, 540]),
        (
            "drop and recover",
            RANGE,
            [(0, 10**11), (1, 10), (2, 10**11 + 700)],
            [10**11, GAP, 10**11 + 700],
        ),
        (
            "drop and recover, range unknown",
            None,
            [(0, 10**9), (1, 10), (2, 10**9 + 700), (3, 10**9 + 900)],
            [10**9, GAP, 10**9 + 700, 10**9 + 900],
        ),
        ("leap", RANGE, [(0, 0), (1, 10**11), (2, 10**11 + 5)], [0, GAP, 5]),
        ("too long to be sure", RANGE, [(0, 0), (70, 500), (71, 600)], [0, GAP, 100]),
        ("drop after too long", RANGE, [(0, 700), (70, 500), (71, 750)], [700, GAP, 950]),
    ],
)
def test_meter(
    name: str, range_uj: int | None, steps: list[tuple[int, int]], totals: list[object]
) -> None:
    meter = Meter(range_uj, 4000)
    assert [meter.take(raw, second * SECOND_NS) for second, raw in steps] == totals, name


@pytest.mark.fault("A16")
def test_several_wraps_lose_nothing() -> None:
    meter, joules_uj = Meter(RANGE, 4000), 3_000_000_000
    totals = [meter.take(n * joules_uj % RANGE, n * SECOND_NS) for n in range(300)]
    assert totals == [n * joules_uj for n in range(300)]


@pytest.mark.fault("A16")
def test_value_before_a_drop_is_forgotten_in_time() -> None:
    meter = Meter(None, 4000)
    meter.take(1_000_000, 0)
    assert meter.take(0, SECOND_NS) == GAP
    for n in range(2, 12):
        meter.take(n, n * SECOND_NS)
    assert meter.take(1_000_050, 12 * SECOND_NS) == 1_000_000 + 1_000_050


def test_packages_and_their_parts(machine: Machine) -> None:
    row = snapshot(machine.plugin("rapl"))
    assert [device.hw_id for device in row.devices] == ["rapl-package-0", "rapl-package-1"]
    assert row.devices[0].model == "Intel(R) Xeon(R) Platinum 8480+"
    assert row.one("hw.energy", "rapl-package-0", location="package-0") == 201
    assert row.one("hw.energy", "rapl-package-0", location="package-0/dram") == 31
    assert row.one("hw.energy", "rapl-package-1", location="package-1/dram") == 32


def test_mmio_counts_only_where_msr_does_not(machine: Machine) -> None:
    for zone in ("0", "0:0", "1", "1:0"):
        old = machine.path(f"/sys/class/powercap/intel-rapl:{zone}")
        old.rename(machine.path(f"/sys/class/powercap/gone:{zone}"))
    row = snapshot(machine.plugin("rapl"))
    assert row.one("hw.energy") == 201.000001


def test_zones_can_be_left_out(machine: Machine) -> None:
    row = snapshot(machine.plugin("rapl", zones_exclude=["dram"]))
    assert len(row.values) == 2


@contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.fault("F8")
def test_counter_that_only_root_may_read(machine: Machine) -> None:
    plugin = machine.plugin("rapl")
    readings = [poll for device in plugin.discover() for poll in plugin.readings(device)]
    for file in machine.root.glob("sys/class/powercap/*/energy_uj"):
        file.chmod(0)
    with unprivileged():
        reads = [value for poll in readings if isinstance(poll, Poll) for value in read_poll(poll)]
    assert reads == [Missing(Reason.NO_PERMISSION)] * 4


@pytest.mark.fault("F8")
def test_missing_right_is_told_with_the_fix(machine: Machine) -> None:
    machine.write("/proc/self/status", "CapEff:\t0000000000000000")
    manifest = find_plugins()["rapl"].manifest
    assert needs_met(manifest, machine.root) == []
    [need] = needs_met(manifest, machine.root, optional=True)
    assert need.on == "CAP_DAC_READ_SEARCH"
    assert "CVE-2020-8694" in need.fix


def test_counter_that_vanishes_reads_as_lost(machine: Machine) -> None:
    plugin = machine.plugin("rapl")
    device = next(iter(plugin.discover()))
    poll = next(iter(plugin.readings(device)))
    machine.path("/sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert isinstance(poll, Poll)
    assert read_poll(poll) == [Missing(Reason.DEVICE_LOST)]


def test_machine_without_counters_says_so_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="modprobe intel_rapl_msr"):
        build(tmp_path, "/sys/class/powercap/").plugin("rapl")


def test_new_zone_is_a_change(machine: Machine) -> None:
    plugin = machine.plugin("rapl")
    list(plugin.discover())
    assert not plugin.changed()
    machine.write("/sys/class/powercap/intel-rapl:2/name", "psys")
    assert plugin.changed()


@pytest.mark.fault("A11")
def test_counter_that_vanishes_hides_no_other(machine: Machine) -> None:
    plugin = machine.plugin("rapl")
    polls = [poll for device in plugin.discover() for poll in plugin.readings(device)]
    machine.path("/sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    reads = [value for poll in polls if isinstance(poll, Poll) for value in read_poll(poll)]
    assert reads == [Missing(Reason.DEVICE_LOST), 31_000_000, 202_000_000, 32_000_000]
