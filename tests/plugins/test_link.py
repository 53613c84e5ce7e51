from __future__ import annotations

from pathlib import Path

import pytest

from fakes.fakesys import Machine, Snapshot, build, read_probes, recorded, snapshot
from xinmai.api import Cost, FileProbe, Missing, Poll, Reason

ENO1, ENO2 = "mac-3cecef00000a", "mac-3cecef00000b"
ADAPTER = "ib-b8599f0300aa0001"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return recorded(tmp_path, "epyc_ib")


@pytest.fixture
def row(machine: Machine) -> Snapshot:
    return snapshot(machine.plugin("link"))


def test_identity_is_the_permanent_address_even_in_a_bond(row: Snapshot) -> None:
    names = {device.attributes["hw.name"]: device.hw_id for device in row.devices[:6]}
    assert names == {
        "bond0": "net-bond0",
        "enp129v3": "net-0000:81:00.4-0",
        "eno1": ENO1,
        "eno2": ENO2,
        "ib0": "mac-80000028fe80000000000000b8599f0300aa0001",
        "lo": "net-lo",
    }


def test_two_interfaces_on_one_address_stay_two_devices(machine: Machine) -> None:
    machine.write("/sys/class/net/eno2/bonding_slave/perm_hwaddr", "3c:ec:ef:00:00:0a")
    ids = [device.hw_id for device in machine.plugin("link").discover()]
    assert f"{ENO1}-eno2" in ids
    assert len(set(ids)) == len(ids)


def test_interface_volume_and_errors(row: Snapshot) -> None:
    assert row.one("hw.network.io", ENO1, direction="receive") == 918273645546372819
    assert row.one("hw.network.packets", ENO1, direction="transmit") == 112233445566
    assert row.one("hw.errors", ENO1, direction="receive", error_type="crc") == 12
    assert row.one("hw.errors", ENO1, direction="receive", error_type="drop") == 5
    assert row.one("hw.errors", ENO1, direction="transmit", error_type="drop") == 1


def test_interface_speed_and_transitions(row: Snapshot) -> None:
    assert row.one("hw.network.bandwidth.limit", ENO1) == 25e9 / 8
    assert row.one("accel.link.transitions", ENO2) == 19


@pytest.mark.fault("A17")
def test_unknown_speed_is_no_number(row: Snapshot) -> None:
    assert row.one("hw.network.bandwidth.limit", ENO2) == Missing(Reason.UNSUPPORTED)


@pytest.mark.parametrize(
    ("state", "carrier", "reads"),
    [
        ("up", "1", 1),
        ("down", "", 0),
        ("lowerlayerdown", "0", 0),
        ("dormant", "1", 0),
        ("unknown", "1", 1),
        ("unknown", "0", 0),
        ("unknown", "", Missing(Reason.UNSUPPORTED)),
        ("strange", "1", Missing(Reason.UNSUPPORTED)),
    ],
)
def test_up_follows_operstate(
    machine: Machine, state: str, carrier: str, reads: int | Missing
) -> None:
    machine.write("/sys/class/net/eno1/operstate", state)
    machine.write("/sys/class/net/eno1/carrier", carrier)
    assert snapshot(machine.plugin("link")).one("hw.network.up", ENO1) == reads


def test_link_types(row: Snapshot) -> None:
    types = {
        device.attributes["hw.name"]: (
            device.attributes["accel.link.type"],
            device.attributes.get("accel.link.native", ""),
        )
        for device in row.devices
        if "network.interface.name" in device.attributes
    }
    assert types == {
        "bond0": ("other", "bond"),
        "enp129v3": ("ethernet", ""),
        "eno1": ("ethernet", ""),
        "eno2": ("ethernet", ""),
        "ib0": ("ib", ""),
        "lo": ("other", "loopback"),
    }


def test_place_and_driver(row: Snapshot) -> None:
    [eno1] = [device for device in row.devices if device.hw_id == ENO1]
    assert eno1.pci_bdf == "0000:c1:00.0"
    assert eno1.attributes["accel.driver.name"] == "ice"
    assert eno1.attributes["accel.numa.node"] == "1"


def test_interfaces_of_containers_are_left_out_unless_asked_for(machine: Machine) -> None:
    row = snapshot(machine.plugin("link", interfaces_exclude=["e*", "lo", "ib*", "bond*"]))
    assert [device.hw_id for device in row.devices][0] == "net-veth1a2b3c4"


def test_adapter_comes_before_its_ports(row: Snapshot) -> None:
    adapter, *ports = row.devices[-3:]
    assert (adapter.hw_id, adapter.model) == (ADAPTER, "MT4129")
    assert adapter.attributes["hw.firmware_version"] == "28.39.1002"
    assert [port.parent for port in ports] == [ADAPTER, ADAPTER]
    assert [port.attributes["accel.link.type"] for port in ports] == ["ib", "roce"]


def test_port_data_is_counted_in_four_octets(row: Snapshot) -> None:
    assert row.one("hw.network.io", f"{ADAPTER}-p1", direction="receive") == 1e12
    assert row.one("hw.network.io", f"{ADAPTER}-p1", direction="transmit") == 2e12


@pytest.mark.parametrize(
    ("port", "error", "count"),
    [
        ("p1", "symbol", 3),
        ("p1", "recovery", 1),
        ("p1", "link_downed", 2),
        ("p1", "any", 4),
        ("p1", "drop", 5),
        ("p1", "vl15_drop", 6),
        ("p1", "integrity", 7),
        ("p1", "out_of_sequence", 8),
    ],
)
def test_port_errors(row: Snapshot, port: str, error: str, count: int) -> None:
    assert row.one("hw.errors", f"{ADAPTER}-{port}", error_type=error) == count


def test_congestion_notifications_have_a_direction(row: Snapshot) -> None:
    assert row.one("hw.errors", f"{ADAPTER}-p2", error_type="cnp", direction="transmit") == 41
    assert row.one("hw.errors", f"{ADAPTER}-p2", error_type="cnp", direction="receive") == 42


def test_port_state_speed_and_width(row: Snapshot) -> None:
    first, second = f"{ADAPTER}-p1", f"{ADAPTER}-p2"
    assert (row.one("hw.network.up", first), row.one("hw.network.up", second)) == (1, 0)
    assert row.one("accel.link.state.code", second) == 1
    assert row.one("hw.network.bandwidth.limit", first) == 400e9 / 8
    assert row.one("hw.network.bandwidth.limit", second) == 2.5e9 / 8
    assert (row.one("accel.link.width", first), row.one("accel.link.width", second)) == (4, 1)


def test_files_that_the_driver_lacks_are_no_series(row: Snapshot) -> None:
    assert not row.of("hw.errors", f"{ADAPTER}-p2", error_type="symbol")


def test_interfaces_share_their_threads_and_ports_have_their_own(row: Snapshot) -> None:
    lanes = {device.attributes["hw.name"]: device.lane for device in row.devices}
    assert {lanes[name] for name in ("eno1", "eno2", "lo", "ib0")} == {"net"}
    assert lanes["mlx5_0"] == ""


def test_volume_is_fast_and_causes_are_slow(row: Snapshot) -> None:
    costs = {
        Path(reading.path).name: reading.cost
        for reading in row.readings
        if isinstance(reading, FileProbe)
    }
    assert costs["rx_bytes"] is costs["port_rcv_data"] is costs["symbol_error"] is Cost.FAST
    assert costs["rx_missed_errors"] is costs["out_of_sequence"] is Cost.SLOW


def test_port_that_vanishes_reads_as_lost(machine: Machine) -> None:
    plugin = machine.plugin("link")
    devices = list(plugin.discover())
    [eno1] = [device for device in devices if device.hw_id == ENO1]
    readings = list(plugin.readings(eno1))
    machine.path("/sys/class/net/eno1/operstate").unlink()
    poll = readings[-1]
    assert isinstance(poll, Poll)
    with pytest.raises(FileNotFoundError):
        poll.read()


def test_change_is_seen_by_name_and_by_number(machine: Machine) -> None:
    plugin = machine.plugin("link")
    list(plugin.discover())
    assert not plugin.changed()
    machine.write("/sys/class/net/veth99/ifindex", "90")
    assert not plugin.changed()
    machine.write("/sys/class/net/eno1/ifindex", "91")
    assert plugin.changed()


def test_machine_without_any_link(tmp_path: Path) -> None:
    assert snapshot(build(tmp_path, "/sys/class/net/").plugin("link")).devices == []


def test_adapter_without_guid_is_known_by_name(machine: Machine) -> None:
    machine.write("/sys/class/infiniband/mlx5_0/node_guid", "0000:0000:0000:0000")
    ids = [device.hw_id for device in machine.plugin("link").discover()]
    assert ids[-3:] == ["ib-mlx5_0", "ib-mlx5_0-p1", "ib-mlx5_0-p2"]


@pytest.mark.fault("A11")
def test_port_that_vanishes_hides_no_other(machine: Machine) -> None:
    plugin = machine.plugin("link")
    devices = {device.hw_id: list(plugin.readings(device)) for device in plugin.discover()}
    machine.path("/sys/class/net/eno1/statistics/rx_bytes").unlink()
    first = [devices[ENO1][0], devices[ENO2][0]]
    reads = [value for _, value in read_probes([r for r in first if isinstance(r, FileProbe)])]
    assert reads == [Missing(Reason.DEVICE_LOST), 0]
