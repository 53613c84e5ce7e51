from __future__ import annotations

import re
from collections import Counter

import pytest

from xinmai.catalog import (
    ATTRIBUTES,
    CATALOG,
    COMMON_ATTRIBUTES,
    NATIVE_PREFIX,
    UNITS,
    Definition,
    Kind,
    lookup,
    refusal,
)
from xinmai.catalog_attributes import ATTRIBUTE_TABLE
from xinmai.catalog_table import TABLE
from xinmai.errors import PluginError

NAMESPACES = ("accel.", "hw.", "system.", "xinmai.")
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
COUNTED = re.compile(r"\{[a-z_]+\}")

SCHEMA = (
    "accel.device.present",
    "accel.devices.expected",
    "hw.gpu.utilization",
    "accel.engine.activity",
    "hw.gpu.memory.limit",
    "hw.gpu.memory.usage",
    "hw.gpu.memory.utilization",
    "accel.memory.bandwidth.utilization",
    "hw.power",
    "accel.power.limit",
    "hw.energy",
    "hw.temperature",
    "hw.temperature.limit",
    "accel.clock.frequency",
    "accel.throttle.time",
    "accel.throttle.active",
    "hw.voltage",
    "accel.current",
    "hw.fan.speed",
    "hw.fan.speed_ratio",
    "hw.errors",
    "accel.memory.retired",
    "hw.status",
    "accel.events",
    "hw.gpu.io",
    "accel.pcie.throughput",
    "accel.pcie.generation",
    "accel.pcie.width",
    "accel.pcie.replays",
    "hw.network.io",
    "hw.network.up",
    "hw.network.bandwidth.limit",
    "accel.link.transitions",
    "accel.optical.power",
    "accel.process.memory.usage",
    "accel.allocation",
    "accel.device.time",
    "hw.host.power",
    "hw.host.energy",
    "accel.coolant.temperature",
    "accel.coolant.flow",
    "accel.coolant.pressure",
    "accel.leak.detected",
    "xinmai.lane.rate",
    "xinmai.lane.late",
    "xinmai.lane.missed",
    "xinmai.sensor.refresh",
    "xinmai.call.duration",
    "xinmai.spool.bytes",
    "xinmai.spool.dropped",
    "xinmai.process.cpu.time",
    "xinmai.process.memory.rss",
)
each = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)


def test_names_are_unique() -> None:
    assert [name for name, n in Counter(entry.name for entry in TABLE).items() if n > 1] == []
    assert [name for name, n in Counter(a.name for a in ATTRIBUTE_TABLE).items() if n > 1] == []


@pytest.mark.parametrize("name", SCHEMA)
def test_every_quantity_of_the_vocabulary_is_there(name: str) -> None:
    assert name in CATALOG


@each
def test_name_is_well_formed(entry: Definition) -> None:
    assert NAME.fullmatch(entry.name)
    assert entry.name.startswith(NAMESPACES)
    assert not entry.name.startswith(NATIVE_PREFIX)


@each
def test_unit_is_a_base_unit_or_a_counted_thing(entry: Definition) -> None:
    assert entry.unit in UNITS or COUNTED.fullmatch(entry.unit)


@each
def test_range_is_sane(entry: Definition) -> None:
    if entry.low is not None and entry.high is not None:
        assert entry.low < entry.high
    if entry.kind is Kind.COUNTER:
        assert entry.low == 0
    if entry.kind is Kind.GAUGE:
        assert entry.low is not None
        assert entry.high is not None
    if entry.name.endswith(("utilization", "activity")):
        assert (entry.low, entry.high) == (0, 1)


@each
def test_text_is_one_short_line(entry: Definition) -> None:
    assert entry.text
    assert "\n" not in entry.text
    assert len(entry.text) <= 80
    assert not entry.text.endswith(".")


@each
def test_attributes_are_known(entry: Definition) -> None:
    assert set(entry.attributes) <= set(ATTRIBUTES)
    assert len(set(entry.attributes)) == len(entry.attributes)
    assert not COMMON_ATTRIBUTES & set(entry.attributes)


@pytest.mark.parametrize(
    ("value", "metric"),
    [
        (2112, "hw.temperature"),
        (9.22e18, "hw.temperature"),
        (4.29e6, "hw.power"),
        (3.69e12, "hw.power"),
    ],
)
@pytest.mark.fault("A17")
def test_famous_nonsense_is_out_of_range(value: float, metric: str) -> None:
    high = lookup(metric).high
    assert high is not None
    assert value > high


def test_unknown_name_is_told_with_its_neighbours() -> None:
    with pytest.raises(PluginError, match=r"hw\.temprature.*close to it: hw\.temperature"):
        lookup("hw.temprature")
    with pytest.raises(PluginError, match=r"goes under accel\.native\.<plugin>\."):
        lookup("xyz")


def test_attributes_are_held_against_the_entry() -> None:
    power = lookup("hw.power")
    assert refusal(power, {"accel.power.scope": "board", "hw.name": "x"}) == ""
    assert "no attribute 'cpu.mode'" in refusal(power, {"cpu.mode": "user"})
    assert "'moon' is none of chip, board" in refusal(power, {"accel.power.scope": "moon"})


def test_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOG["hw.power"] = lookup("hw.energy")  # type: ignore[index]
