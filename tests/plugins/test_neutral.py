"""The neutral plugin against its stand-in: what it reads, and what faults make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.fakesys import Machine, snapshot
from fakes.standins import hours_ago, own_copy, variables
from running import eventually
from xinmai.api import Event, Missing, Plugin, Reason, Unavailable

STEADY = """
devices 3
device * power 100W
device 1 power 101.5W
device * power.limit 350W
device * way.power[*] none
device * way.power[0..2] 50001mW
device * energy counts 0 start 1000000
device * temp.core 61.5C
device * temp.board -3C
device * temp.memory 70.125C
device * temp.hotspot 72.25C
device * util.core 97%
device * util.memory 41%
device * util.encoder 5%
device * util.decoder 0
device * throttle 5
device * memory.total 64Gi
device * memory.used 3Gi
device * clock.core 1755MHz
device * clock.memory 2619MHz
device * ecc.corrected counts 0 start 12
device * ecc.uncorrected counts 0 start 1
device * retired.pages 2
device * pcie.rx_bytes counts 0 start 5T
device * pcie.tx_bytes counts 0 start 6T
device * pcie.replays counts 0 start 7
device * link.up[*] none
device * link.up[0..1] 1
device * link.speed[*] 25G
device * link.rx_bytes[*] counts 0 start 8T
device * link.tx_bytes[*] counts 0 start 9T
device * link.crc_errors[*] counts 0 width 32 start 4294967298
device * link.replays[*] counts 0 start 3
device * fan[0] 4200
device * process.pid[0..2] 77
device * process.memory[0..2] 1Gi
"""

Open = Callable[..., Plugin]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the plugin on a library of its own under a scenario."""
    with ExitStack() as closing:

        def make(scenario: str, **settings: str) -> Plugin:
            for name, value in variables(tmp_path, scenario, **settings).items():
                monkeypatch.setenv(name, value)
            machine = Machine(tmp_path)
            plugin = machine.plugin("neutral", library=str(own_copy(tmp_path)))
            closing.callback(plugin.close)
            return plugin

        yield make


def test_devices_are_known_by_uuid(opened: Open) -> None:
    devices = list(opened(STEADY).discover())
    assert len({device.hw_id for device in devices}) == 3
    assert all(len(device.hw_id) == 36 for device in devices)
    assert [device.serial_number for device in devices] == ["N1-0000", "N1-0001", "N1-0002"]
    assert [device.index for device in devices] == [0, 1, 2]
    assert {device.model for device in devices} == {"Neutral N1"}


def test_readings_are_what_the_library_says(opened: Open) -> None:
    taken = snapshot(opened(STEADY))
    one = taken.devices[1].hw_id
    assert taken.one("hw.power", one, accel_power_scope="chip") == 101.5
    assert taken.one("hw.power", one, accel_power_scope="board") == 150.003
    assert taken.one("accel.power.limit", one) == 350
    assert taken.one("hw.energy", one) == pytest.approx(1000, abs=0.016)
    places = ("core", "board", "hbm", "hotspot")
    found = [taken.one("hw.temperature", one, hw_sensor_location=place) for place in places]
    assert found == [61.5, -3, 70.125, 72.25]
    tasks = ("general", "encoder", "decoder")
    assert [taken.one("hw.gpu.utilization", one, hw_gpu_task=task) for task in tasks] == [
        0.97,
        0.05,
        0,
    ]
    assert taken.one("accel.memory.bandwidth.utilization", one) == 0.41
    reasons = ("power", "thermal", "hw_brake", "board")
    held = [taken.one("accel.throttle.active", one, accel_throttle_reason=why) for why in reasons]
    assert held == [1, 0, 1, 0]
    assert taken.one("hw.gpu.memory.limit", one) == 64 * 2**30
    assert taken.one("hw.gpu.memory.usage", one) == 3 * 2**30
    assert taken.one("accel.clock.frequency", one, accel_clock="core") == 1_755_000_000
    assert taken.one("hw.fan.speed", one) == 4200
    assert taken.one("accel.device.present", one) == 1
    assert taken.one("accel.process.count", one) == 3


def test_counters_are_whole_and_errors_wrap_at_32_bits(opened: Open) -> None:
    taken = snapshot(opened(STEADY))
    one = taken.devices[1].hw_id
    assert taken.one("hw.gpu.io", one, direction="receive") == 5 * 10**12
    assert taken.one("hw.gpu.io", one, direction="transmit") == 6 * 10**12
    assert taken.one("accel.pcie.replays", one) == 7
    link = {"accel_link_index": "1"}
    assert taken.one("hw.network.io", one, direction="receive", **link) == 8 * 10**12
    assert taken.one("hw.network.io", one, direction="transmit", **link) == 9 * 10**12
    assert taken.one("hw.errors", one, error_type="crc", **link) == 2
    assert taken.one("hw.errors", one, error_type="replay", **link) == 3
    assert taken.one("hw.network.up", one, **link) == 1
    assert taken.one("hw.network.bandwidth.limit", one, **link) == 25 * 10**9
    assert taken.one("hw.errors", one, error_type="corrected") == 12
    assert taken.one("hw.errors", one, error_type="uncorrected") == 1
    assert taken.one("accel.memory.retired", one) == 2
    assert len(taken.of("hw.network.up")) == 3 * 2


@pytest.mark.fault("A17")
def test_no_sentinel_passes_as_a_value(opened: Open) -> None:
    taken = snapshot(opened(STEADY + "at 0s device 1 sentinel *\n"))
    # Both count or ask what no quantity answers.
    without = ("accel.process.count", "accel.device.present")
    values = {
        value
        for series, value in taken.values
        if series.hw_id == taken.devices[1].hw_id and series.metric not in without
    }
    assert values <= {Missing(Reason.UNSUPPORTED), Missing(Reason.IMPLAUSIBLE)}


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        (3, Missing(Reason.UNSUPPORTED)),
        (4, Missing(Reason.NO_PERMISSION)),
        (10, Missing(Reason.TIMEOUT)),
        (77, Missing(Reason.VENDOR_ERROR, 77)),
    ],
)
def test_codes_of_the_library_become_reasons(opened: Open, code: int, missing: Missing) -> None:
    taken = snapshot(opened(STEADY + f"at 0s device 1 error {code} power\n"))
    found = [value for series, value in taken.of("hw.power", accel_power_scope="chip")]
    assert found == [100_000, missing, 100_000]


def test_a_field_that_fails_costs_no_other_of_the_call(opened: Open) -> None:
    taken = snapshot(opened(STEADY + "at 0s error 10 pcie.rx_bytes\n"))
    one = taken.devices[0].hw_id
    assert taken.one("hw.gpu.io", one, direction="receive") == Missing(Reason.TIMEOUT)
    assert taken.one("hw.gpu.io", one, direction="transmit") == 6 * 10**12


@pytest.mark.fault("A11")
def test_lost_device_hides_no_other(opened: Open) -> None:
    plugin = opened(STEADY + "at 1s device 1 lost\n")
    devices = list(plugin.discover())
    eventually(lambda: _is_lost(plugin, devices[1].hw_id), "the loss")
    assert not plugin.changed()
    taken = snapshot(plugin)
    assert list(taken.devices) == devices
    gone = {value for series, value in taken.values if series.hw_id == devices[1].hw_id}
    # That it is not present is a value; a returned number that is an error is no code to a lane.
    assert gone == {Missing(Reason.DEVICE_LOST), Missing(Reason.IMPLAUSIBLE), 0}
    assert taken.one("hw.fan.speed", devices[1].hw_id) == Missing(Reason.IMPLAUSIBLE)
    assert taken.one("accel.device.present", devices[1].hw_id) == 0
    others = [value for series, value in taken.values if series.hw_id != devices[1].hw_id]
    assert [value for value in others if isinstance(value, Missing)] == []


def _is_lost(plugin: Plugin, hw_id: str) -> bool:
    return snapshot(plugin).one("accel.device.present", hw_id) == 0


def test_a_device_that_is_back_is_read_again(opened: Open) -> None:
    plugin = opened(STEADY + "at 1s..1500ms device 1 lost\n")
    devices = list(plugin.discover())
    eventually(plugin.changed, "a change of devices")
    taken = snapshot(plugin)
    assert list(taken.devices) == devices
    assert taken.one("hw.power", devices[1].hw_id, accel_power_scope="chip") == 101.5
    assert not plugin.changed()


@pytest.mark.fault("A14")
def test_a_device_that_comes_later_changes_the_devices(opened: Open) -> None:
    plugin = opened(STEADY + "at 0s..1s device 2 absent\n")
    assert len(list(plugin.discover())) == 2
    eventually(plugin.changed, "a change of devices")
    assert len(list(plugin.discover())) == 3
    assert not plugin.changed()


def test_a_device_without_identity_is_left_out_once(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = opened(STEADY + "at 0s device 1 error 999 identity\n")
    assert [device.index for device in plugin.discover()] == [0, 2]
    assert not plugin.changed()
    assert len(caplog.records) == 1


def test_events_carry_device_and_code(opened: Open) -> None:
    plugin = opened(STEADY + 'at 300ms device 2 event 79 "fell off the bus"\n')
    devices = list(plugin.discover())
    found: list[Event] = []

    def seen() -> bool:
        found.extend(plugin.events())
        return bool(found)

    eventually(seen, "the event")
    event = found[0]
    assert (event.code, event.message) == ("79", "fell off the bus")
    assert event.hw_id == devices[2].hw_id
    assert list(plugin.events()) == []


@pytest.mark.fault("A6")
def test_an_overrun_stops_that_call_and_no_other(opened: Open) -> None:
    taken = snapshot(opened(STEADY + "at 0s device 1 overrun 8 power\n"))
    one = taken.devices[1].hw_id
    found = taken.one("hw.power", one, accel_power_scope="chip")
    assert isinstance(found, Missing)
    assert found.reason is Reason.VENDOR_ERROR
    assert taken.one("hw.power", one, accel_power_scope="board") == 150.003


def test_it_says_that_it_stands_in(opened: Open) -> None:
    assert opened(STEADY).stand_in


def test_it_only_reads(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "violations"
    plugin = opened(STEADY, violations=str(file))
    snapshot(plugin)
    list(plugin.events())
    plugin.changed()
    plugin.close()
    assert not file.exists()


def test_scenario_time_can_lie_in_the_past(opened: Open) -> None:
    plugin = opened(STEADY + "at 1h..3h device 0 absent\n", t0_ns=hours_ago(2))
    assert len(list(plugin.discover())) == 2


def test_a_library_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"load the neutral SDK: /no\.so"):
        Machine(tmp_path).plugin("neutral", library="/no.so")
