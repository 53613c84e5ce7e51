from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from xinmai.api import (
    CallProbe,
    Cost,
    Device,
    Field,
    FileProbe,
    Function,
    Kind,
    Missing,
    Plugin,
    PluginError,
    Poll,
    Probe,
    Reading,
    Reason,
    Result,
    Series,
)
from xinmai.catalog import lookup, refusal
from xinmai.config import CadenceConfig, PluginConfig
from xinmai.layout import Layout
from xinmai.sampler.plan import (
    EVENT_CALLS,
    MAX_GROUPS,
    MAX_PROBE_LANES,
    RING_BYTES,
    Plan,
    make_plan,
    slot_bytes,
)
from xinmai.sampler.settings import LONGEST_PERIOD_NS, HostSettings
from xinmai.sampler.survey import Survey, make_survey
from xinmai_native import LANE_RECORDS, Ring, RingReader
from xinmai_native.calls import Call

SECOND = 1_000_000_000
SETTINGS = HostSettings(Path("/"), CadenceConfig(), PluginConfig())

Declared = tuple[Device, Probe | Poll]


def series(name: str, device: str = "", refresh_ns: int | None = None) -> Series:
    return Series(device, name, "W", Kind.GAUGE, {}, refresh_ns=refresh_ns)


def probe(device: Device, name: str, cost: Cost = Cost.FAST, *, refresh_ns: int = 0) -> Declared:
    one = series(name, device.hw_id, refresh_ns or None)
    return device, FileProbe(Path(f"/sys/{device.hw_id}/{name}"), [Field(one)], cost)


def poll(device: Device, name: str, cost: Cost = Cost.SLOW, *, refresh_ns: int = 0) -> Declared:
    one = series(name, device.hw_id, refresh_ns or None)
    return device, Poll(f"{name} of {device.hw_id}", [one], lambda: [1], cost)


def survey(*readings: Declared) -> Survey:
    devices = {device.hw_id: device for device, _ in readings}
    return Survey(list(devices.values()), readings)


def plan(
    *readings: Declared,
    threading: str = "serial",
    settings: HostSettings = SETTINGS,
    slowed: Mapping[str, int] | None = None,
) -> Plan:
    return make_plan(
        survey(*readings),
        plugin="tiny",
        threading=threading,
        period_of=settings.period_ns,
        own_readings=lambda lanes: [1] * (2 + 4 * len(lanes)),
        slowed=slowed,
    )


def lanes(made: Plan) -> dict[str, tuple[int, list[str]]]:
    """Period in milliseconds and calls by lane, the host's own left out."""
    return {
        lane.name: (lane.period_ns // 1_000_000, lane.calls)
        for lane in made.lanes
        if lane.name != "self"
    }


ONE, TWO = Device("one"), Device("two")


def test_costs_have_lanes_of_their_own() -> None:
    made = plan(
        probe(ONE, "a"),
        probe(ONE, "b", Cost.SLOW),
        poll(ONE, "c"),
        poll(ONE, "d", Cost.RARE),
        probe(ONE, "e", Cost.RARE),
    )
    assert lanes(made) == {
        "fast": (100, ["/sys/one/a"]),
        "slow": (1000, ["/sys/one/b"]),
        "rare": (60_000, ["/sys/one/e"]),
        "poll:slow": (1000, ["c of one"]),
        "poll:rare": (60_000, ["d of one"]),
    }


@pytest.mark.fault("A12")
def test_serial_devices_share_lanes_and_free_ones_do_not() -> None:
    readings = [probe(ONE, "a"), probe(TWO, "a"), poll(ONE, "b"), poll(TWO, "b")]
    assert lanes(plan(*readings)) == {
        "fast": (100, ["/sys/one/a", "/sys/two/a"]),
        "poll:slow": (1000, ["b of one", "b of two"]),
    }
    assert lanes(plan(*readings, threading="free")) == {
        "fast:one": (100, ["/sys/one/a"]),
        "fast:two": (100, ["/sys/two/a"]),
        "poll:slow": (1000, ["b of one", "b of two"]),
    }


def test_free_devices_that_name_a_lane_share_it() -> None:
    ports = [Device(name, lane="net") for name in ("eth0", "eth1")]
    made = plan(*(probe(port, "a") for port in [*ports, ONE]), threading="free")
    assert lanes(made) == {
        "fast:net": (100, ["/sys/eth0/a", "/sys/eth1/a"]),
        "fast:one": (100, ["/sys/one/a"]),
    }
    assert made.probes[0].owners == ["eth0", "eth1"]


def call(device: Device, name: str, cost: Cost = Cost.FAST) -> Declared:
    function = Function.from_ctypes(ctypes.CDLL(None).getpid, ctypes.c_int, [], name=name)
    results = [Result(series(f"{name} {at}", device.hw_id)) for at in range(2)]
    return device, CallProbe(function, [], results, cost=cost)


def test_files_and_calls_share_a_lane_and_its_columns() -> None:
    made = plan(call(ONE, "getA"), probe(ONE, "a"), call(ONE, "getB"), call(ONE, "getC", Cost.SLOW))
    assert lanes(made) == {
        "fast": (100, ["getA of one", "/sys/one/a", "getB of one"]),
        "slow": (1000, ["getC of one"]),
    }
    lane = made.probes[0]
    assert [one.metric for one in lane.series] == ["getA 0", "getA 1", "a", "getB 0", "getB 1"]
    [first, file, last] = lane.native()
    assert isinstance(first, Call)
    assert isinstance(last, Call)
    assert [result.column for result in first.results] == [0, 1]
    assert [field[0] for field in file[1]] == [2]
    assert [result.column for result in last.results] == [3, 4]
    assert lane.groups() == [0, 1, 2]
    assert lane.group_names == ["getA", "files", "getB"]


def test_functions_are_groups_and_the_last_group_takes_the_rest() -> None:
    names = [f"get{number}" for number in range(MAX_GROUPS + 1)]
    readings = [call(device, name) for name in names for device in (ONE, TWO)]
    lane = plan(*readings[:-2]).probes[0]
    assert lane.group_names == names[:-1]
    assert lane.groups() == [at // 2 for at in range(2 * MAX_GROUPS)]
    lane = plan(*readings).probes[0]
    assert lane.group_names == [*names[:-2], "others"]
    assert lane.groups() == [min(at // 2, MAX_GROUPS - 1) for at in range(2 * MAX_GROUPS + 2)]


def test_threads_of_a_host_are_bounded() -> None:
    devices = [Device(f"d{number}") for number in range(MAX_PROBE_LANES + 1)]
    assert len(plan(*(probe(one, "a") for one in devices[1:]), threading="free").probes) == 64
    assert list(lanes(plan(*(probe(one, "a") for one in devices), threading="free"))) == ["fast"]


def test_no_reading_is_taken_faster_than_its_sensor_renews_it() -> None:
    made = plan(
        probe(ONE, "quick", refresh_ns=SECOND // 100),
        probe(ONE, "sedate", refresh_ns=SECOND // 4),
        probe(ONE, "unknown"),
        poll(ONE, "slow", refresh_ns=5 * SECOND),
        poll(ONE, "usual"),
    )
    assert lanes(made) == {
        "fast": (100, ["/sys/one/quick", "/sys/one/unknown"]),
        "fast@0.25s": (250, ["/sys/one/sedate"]),
        "poll:slow@5s": (5000, ["slow of one"]),
        "poll:slow": (1000, ["usual of one"]),
    }


def test_file_with_several_values_follows_the_quickest() -> None:
    fields = [Field(series("a", refresh_ns=SECOND)), Field(series("b", refresh_ns=3 * SECOND))]
    made = plan((ONE, FileProbe(Path("/sys/one/table"), fields)))
    assert lanes(made) == {"fast@1s": (1000, ["/sys/one/table"])}


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, plugin=PluginConfig(period_ns={"fast": SECOND // 1000})),
        replace(
            SETTINGS,
            cadence=CadenceConfig(fast_ns=SECOND // 1000, explicit=frozenset({"fast"})),
        ),
    ],
)
def test_period_that_a_person_set_is_obeyed(settings: HostSettings) -> None:
    made = plan(probe(ONE, "a", refresh_ns=SECOND), settings=settings)
    assert lanes(made) == {"fast": (1, ["/sys/one/a"])}


def test_period_of_a_plugin_goes_before_the_general_one() -> None:
    settings = replace(SETTINGS, plugin=PluginConfig(period_ns={"slow": 3 * SECOND}))
    assert settings.period_ns("slow") == 3 * SECOND
    assert settings.period_ns("fast") == SECOND // 10
    assert settings.period_ns("") == SECOND
    assert settings.period_ns("fast", 10**20) == LONGEST_PERIOD_NS


def test_slowed_lane_keeps_its_name() -> None:
    made = plan(probe(ONE, "a"), poll(ONE, "b"), slowed={"fast": 4, "poll:slow": 2})
    assert lanes(made) == {
        "fast": (400, ["/sys/one/a"]),
        "poll:slow": (2000, ["b of one"]),
    }


def test_ring_of_a_hundred_series_at_a_kilohertz_fits() -> None:
    settings = replace(SETTINGS, plugin=PluginConfig(period_ns={"fast": SECOND // 1000}))
    made = plan(*(probe(ONE, f"a{number}") for number in range(100)), settings=settings)
    specs = made.ring_lanes()
    slots = specs[0][3]
    assert slots > 8000
    assert sum(spec[3] * slot_bytes(spec[1]) for spec in specs[:-1]) <= RING_BYTES
    ring = Ring(specs)
    reader = RingReader(ring.fd)
    assert [columns for _, columns, _, _ in reader.lanes] == [100, 2 + 4, 0]
    reader.close()
    ring.close()


def test_half_a_minute_fits_where_there_is_room() -> None:
    specs = plan(probe(ONE, "a"), probe(ONE, "b", Cost.RARE)).ring_lanes()
    assert [spec[3] for spec in specs[:2]] == [300, 16]
    assert specs[-1][0] == LANE_RECORDS


def test_layout_says_what_the_ring_holds() -> None:
    made = plan(probe(ONE, "a"), probe(TWO, "a"), poll(ONE, "b"))
    layout = made.layout(3, "00ff")
    assert (layout.plugin, layout.generation, layout.ring_id) == ("tiny", 3, "00ff")
    names = [lane.name for lane in layout.lanes]
    assert names == ["fast", "poll:slow", "self", "events"]
    columns = [
        [one.metric for one in layout.series[lane.first : lane.first + lane.count]]
        for lane in layout.lanes[:2]
    ]
    assert columns == [["a", "a"], ["b"]]
    assert layout.lanes[0].owners == ["one", "two"]
    assert layout.lanes[-1].calls == EVENT_CALLS
    assert (layout.lanes[-1].first, layout.lanes[-1].count) == (len(layout.series), 0)
    assert Layout.from_map(layout.to_map()).to_map() == layout.to_map()


def test_own_series_are_complete_and_in_the_catalogue() -> None:
    made = plan(probe(ONE, "a"), poll(ONE, "b"))
    own = made.polls[-1].series
    for one in own:
        definition = lookup(one.metric)
        assert (one.unit, one.kind) == (definition.unit, definition.kind)
        assert refusal(definition, one.attributes) == ""
        assert one.attributes["xinmai.plugin"] == "tiny"
    per_lane = {
        (one.metric.removeprefix("xinmai.lane."), one.attributes["xinmai.lane"]) for one in own[2:]
    }
    assert per_lane == {
        (metric, lane)
        for metric in ("rate", "missed", "late", "busy")
        for lane in ("fast", "poll:slow")
    }
    assert len(made.polls[-1].polls[0].read()) == len(own)


def test_one_series_twice_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match="plugin tiny: two readings claim power of one"):
        plan(probe(ONE, "power"), poll(ONE, "power"))


class Declares(Plugin):
    """Yields what it is given, by device; an exception among them is raised."""

    def __init__(self, given: Mapping[str, Sequence[object]]) -> None:
        self.given = given

    def discover(self) -> Iterable[Device]:
        return [Device(hw_id) for hw_id in self.given]

    def readings(self, device: Device) -> Iterable[Probe | Poll]:
        for reading in self.given[device.hw_id]:
            if isinstance(reading, Exception):
                raise reading
            yield reading  # type: ignore[misc]


def read(survey: Survey, name: str) -> Sequence[Reading]:
    [found] = [one for _, one in survey.readings if isinstance(one, Poll) and one.name == name]
    return found.read()


def test_fast_poll_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match="poll b of one: cost fast needs a probe"):
        make_survey(Declares({"one": [poll(ONE, "b", Cost.FAST)[1]]}), {})


def test_reading_without_series_is_none() -> None:
    nothing = [FileProbe(Path("/x"), []), Poll("nothing", [], list)]
    assert make_survey(Declares({"one": nothing}), {}).readings == []


@pytest.mark.fault("A11")
def test_device_that_fails_keeps_what_it_declared_before() -> None:
    error = OSError("bad card")
    given: dict[str, list[object]] = {
        "one": [poll(ONE, "a")[1], error, poll(ONE, "b")[1]],
        "two": [poll(TWO, "a")[1]],
    }
    found = make_survey(Declares(given), {})
    assert [device.hw_id for device, _ in found.readings] == ["one", "two"]
    assert found.problems == [("one", error)]


def test_when_every_device_fails_so_does_the_plugin() -> None:
    with pytest.raises(OSError, match="bad card"):
        make_survey(Declares({"one": [OSError("bad card")], "two": [OSError("as bad")]}), {})


def test_device_left_out_is_not_touched_and_reads_as_timeout() -> None:
    given: dict[str, list[object]] = {
        "one": [RuntimeError("touched")],
        "two": [poll(TWO, "a")[1]],
    }
    found = make_survey(Declares(given), {"one": [series("a", "one"), series("b", "one")]})
    assert found.problems == []
    assert read(found, "left out: one") == [Missing(Reason.TIMEOUT)] * 2
    assert read(found, "a of two") == [1]


def test_series_that_another_device_supplies_is_not_doubled() -> None:
    given = {"one": [], "two": [poll(ONE, "a")[1]]}
    found = make_survey(Declares(given), {"one": [series("a", "one"), series("b", "one")]})
    assert read(found, "left out: one") == [Missing(Reason.TIMEOUT)]


def test_call_left_out_is_not_made_and_its_siblings_are() -> None:
    def touched() -> Sequence[Reading]:
        raise AssertionError("touched")

    hung = Poll("statvfs /mnt", [series("a"), series("b")], touched)
    found = make_survey(Declares({"one": [hung, poll(ONE, "c")[1]]}), {"statvfs /mnt": ()})
    assert read(found, "left out: statvfs /mnt") == [Missing(Reason.TIMEOUT)] * 2
    assert read(found, "c of one") == [1]
