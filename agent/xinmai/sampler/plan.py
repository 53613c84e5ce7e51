"""What a host will read: a plugin's devices and readings arranged into ring lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xinmai.api import (
    CallProbe,
    Device,
    Field,
    FileProbe,
    PluginError,
    Poll,
    Probe,
    Reading,
    Series,
)
from xinmai.calls.compile import moved
from xinmai.clock import SECOND_NS
from xinmai.layout import EVENT_LANE, SELF_LANE, LaneLayout, Layout
from xinmai.sampler.selfmetrics import LaneShape, bucket_series, self_series
from xinmai.sampler.settings import MOST_LANES
from xinmai.sampler.survey import Survey, refresh_of
from xinmai_native import LANE_COLUMNS, LANE_RECORDS
from xinmai_native.calls import Call

SPAN_NS = 30 * SECOND_NS
RING_BYTES = 8 * 2**20
EVENT_BYTES = 2048
EVENT_SLOTS = 256
MAX_GROUPS = 64
"""Of one lane, each with a histogram of its own in the extension."""
FILES = "files"
"""Name of the group of all file probes."""
OTHERS = "others"
"""Name of the group of those functions for which no group is left."""
EVENT_CALLS = ("events", "changed", "discover")
"""What else a plugin is asked, as the event lane's header shows it."""
_SLOT_HEADER_BYTES = 40
_MIN_SLOTS = 16

ProbeField = tuple[int, bytes | None, int, int, Sequence[int], int, int]
NativeProbe = tuple[bytes, list[ProbeField]] | Call
PeriodOf = Callable[[str, int], int]
"""Period by cost class and refresh, as `HostSettings.period_ns`."""
OwnReadings = Callable[[], Sequence[Reading]]


@dataclass(frozen=True, slots=True)
class Own:
    """What reads the host's own series, for the lanes of `Plan.shapes`.

    Args:
        readings: as `self_series` orders them.
        buckets: as `bucket_series` does.
    """

    readings: OwnReadings
    buckets: OwnReadings


@dataclass(slots=True)
class ProbeLane:
    """File and call probes of one period: one C thread executes them all."""

    name: str
    cost: str
    period_ns: int
    probes: list[Probe] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    """hw_id by probe."""
    kind: str = ""
    """Its name without what keeps devices apart."""

    @property
    def series(self) -> list[Series]:
        """In column order."""
        return [series for probe in self.probes for series in probe.series]

    @property
    def calls(self) -> list[str]:
        """As the ring's header counts them."""
        return [probe.name for probe in self.probes]

    @property
    def shape(self) -> LaneShape:
        """As its own series name it."""
        return LaneShape(self.name, timed=True, groups=self.group_names, kind=self.kind)

    def native(self) -> list[NativeProbe]:
        """As the extension takes them."""
        column = 0
        out: list[NativeProbe] = []
        for probe in self.probes:
            if isinstance(probe, CallProbe):
                out.append(moved(probe.native, column))
            else:
                fields = [_native_field(column + at, one) for at, one in enumerate(probe.fields)]
                out.append((bytes(probe.path), fields))
            column += len(probe.series)
        return out

    @property
    def group_names(self) -> list[str]:
        """Functions in order of appearance, files as one; beyond the limit they share the last."""
        names = list(dict.fromkeys(_group_name(probe) for probe in self.probes))
        return names if len(names) <= MAX_GROUPS else [*names[: MAX_GROUPS - 1], OTHERS]

    def groups(self) -> list[int]:
        """Index into `group_names` by probe."""
        index = {name: at for at, name in enumerate(self.group_names)}
        return [index.get(_group_name(probe), MAX_GROUPS - 1) for probe in self.probes]


@dataclass(slots=True)
class PollLane:
    """Readings that Python takes one after another, one row for all of a period."""

    name: str
    cost: str
    period_ns: int
    polls: list[Poll] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    """hw_id by poll."""

    @property
    def series(self) -> list[Series]:
        """In column order."""
        return [series for poll in self.polls for series in poll.series]

    @property
    def calls(self) -> list[str]:
        """As the ring's header counts them."""
        return [poll.name for poll in self.polls]

    @property
    def shape(self) -> LaneShape:
        """As its own series name it."""
        return LaneShape(self.name)


@dataclass(frozen=True, slots=True)
class Plan:
    """Lanes in ring order: probes, then polls, then the event lane."""

    plugin: str
    devices: Sequence[Device]
    probes: Sequence[ProbeLane]
    polls: Sequence[PollLane]
    stand_in: bool = False

    @property
    def lanes(self) -> list[ProbeLane | PollLane]:
        """Those that carry columns, in ring order."""
        return [*self.probes, *self.polls]

    @property
    def shapes(self) -> list[LaneShape]:
        """The plugin's lanes, in ring order: the host's own are behind them."""
        return [lane.shape for lane in self.lanes if lane.cost]

    def ring_lanes(self) -> list[tuple[int, int, int, int, int]]:
        """Arguments of `Ring`; the byte budget is shared, so a fast host keeps less time."""
        wanted = [(len(lane.series), lane.period_ns) for lane in self.lanes]
        least = sum(slot_bytes(columns) * _MIN_SLOTS for columns, _ in wanted)
        more = sum(slot_bytes(columns) * _more_slots(period) for columns, period in wanted)
        share = min(1.0, max(0, RING_BYTES - least) / max(1, more))
        lanes = [
            (LANE_COLUMNS, columns, 0, _MIN_SLOTS + int(_more_slots(period) * share), period)
            for columns, period in wanted
        ]
        return [*lanes, (LANE_RECORDS, 0, EVENT_BYTES, EVENT_SLOTS, SECOND_NS)]

    def layout(self, generation: int, ring_id: str) -> Layout:
        """What the shipper needs to read the ring."""
        series: list[Series] = []
        lanes: list[LaneLayout] = []
        for lane in self.lanes:
            lanes.append(
                LaneLayout(
                    name=lane.name,
                    period_ns=lane.period_ns,
                    first=len(series),
                    count=len(lane.series),
                    calls=lane.calls,
                    cost=lane.cost,
                    owners=lane.owners,
                )
            )
            series.extend(lane.series)
        lanes.append(LaneLayout(EVENT_LANE, SECOND_NS, len(series), 0, EVENT_CALLS))
        return Layout(
            plugin=self.plugin,
            generation=generation,
            ring_id=ring_id,
            stand_in=self.stand_in,
            devices=tuple(self.devices),
            series=tuple(series),
            lanes=tuple(lanes),
        )


@dataclass(slots=True)
class _Builder:
    threading: str
    period_of: PeriodOf
    slowed: Mapping[str, int]
    shares: Mapping[str, int] = field(default_factory=dict)
    """Which share a device belongs to, by what keeps its lanes apart; empty: its own."""
    kinds: set[str] = field(default_factory=set)
    """Lanes with probes that one device alone would have."""
    probes: dict[str, ProbeLane] = field(default_factory=dict)
    polls: dict[str, PollLane] = field(default_factory=dict)

    def add(self, device: Device, reading: Probe | Poll) -> None:
        cost, refresh_ns = reading.cost.value, refresh_of(reading)
        period_ns = self.period_of(cost, refresh_ns)
        name = cost
        if period_ns != self.period_of(cost, 0):
            name += f"@{period_ns / SECOND_NS:g}s"
        if isinstance(reading, Probe):
            kind = name
            self.kinds.add(kind)
            name += self._suffix(device)
            period_ns *= self.slowed.get(name, 1)
            probes = self.probes.setdefault(name, ProbeLane(name, cost, period_ns, kind=kind))
            probes.probes.append(reading)
            probes.owners.append(device.hw_id)
        else:
            name = f"poll:{name}"
            period_ns *= self.slowed.get(name, 1)
            polls = self.polls.setdefault(name, PollLane(name, cost, period_ns))
            polls.polls.append(reading)
            polls.owners.append(device.hw_id)

    def _suffix(self, device: Device) -> str:
        """What keeps a device's lanes apart from those of others."""
        if self.threading != "free":
            return ""
        return f":share{self.shares[_apart(device)]}" if self.shares else f":{_apart(device)}"


def make_plan(
    survey: Survey,
    *,
    plugin: str,
    threading: str,
    period_of: PeriodOf,
    own: Own,
    slowed: Mapping[str, int] | None = None,
    max_lanes: int = MOST_LANES,
) -> Plan:
    """Arrange what a plugin has.

    Args:
        survey: what there is.
        plugin: its name.
        threading: `free` gives each device, or each `Device.lane`, lanes of its own; with `serial`
            all share them.
        max_lanes: threads there may be; beyond, devices share them in turn, so that one that hangs
            costs only those it shares with.
        period_of: decides how often a reading is taken.
        own: reads the host's own series.
        slowed: factors by which the call budget has slowed lanes down, by lane name.

    Raises:
        PluginError: two readings claim the same series.
    """
    built = _build(survey, threading, period_of, slowed or {}, max_lanes)
    plan = Plan(plugin, survey.devices, list(built.probes.values()), list(built.polls.values()))
    _refuse_doubles(plan)
    lanes = [_own_lane(SELF_LANE, period_of("", 0), self_series(plugin, plan.shapes), own.readings)]
    timed = [shape for shape in plan.shapes if shape.timed]
    if timed:
        series = bucket_series(plugin, timed)
        lanes.append(_own_lane(f"{SELF_LANE}:buckets", period_of("rare", 0), series, own.buckets))
    return Plan(plugin, plan.devices, plan.probes, [*plan.polls, *lanes], survey.stand_in)


def _own_lane(name: str, period_ns: int, series: Sequence[Series], read: OwnReadings) -> PollLane:
    return PollLane(name, "", period_ns, [Poll(name, series, read)], [""])


def _build(
    survey: Survey,
    threading: str,
    period_of: PeriodOf,
    slowed: Mapping[str, int],
    max_lanes: int,
) -> _Builder:
    built = _Builder(threading, period_of, slowed)
    for device, reading in survey.readings:
        built.add(device, reading)
    if threading != "free" or len(built.probes) <= max_lanes:
        return built
    # Slow calls keep lanes of their own even where that takes more threads than there should be.
    count = max(1, max_lanes // len(built.kinds))
    apart = dict.fromkeys(_apart(device) for device, _ in survey.readings)
    shared = _Builder(
        threading, period_of, slowed, {name: at % count for at, name in enumerate(apart)}
    )
    for device, reading in survey.readings:
        shared.add(device, reading)
    return shared


def _apart(device: Device) -> str:
    """What keeps a free device's lanes apart from those of others."""
    return device.lane or device.hw_id


def _refuse_doubles(plan: Plan) -> None:
    seen: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
    for lane in plan.lanes:
        for series in lane.series:
            key = (series.hw_id, series.metric, tuple(sorted(series.attributes.items())))
            if key in seen:
                raise PluginError(
                    f"plugin {plan.plugin}: two readings claim {series.metric} of {series.hw_id} "
                    f"with {dict(series.attributes)}; give them different attributes"
                )
            seen.add(key)


def _group_name(probe: Probe) -> str:
    return FILES if isinstance(probe, FileProbe) else probe.function.name


def _native_field(column: int, entry: Field) -> ProbeField:
    key = entry.key.encode() if entry.key is not None else None
    series = entry.series
    return (column, key, entry.index, entry.decimals, series.sentinels, series.low, series.high)


def slot_bytes(columns: int) -> int:
    """Size of one row in the ring, spec 001."""
    return (_SLOT_HEADER_BYTES + 9 * columns + 7) // 8 * 8


def _more_slots(period_ns: int) -> int:
    """Beyond the least, for the whole span."""
    return max(0, SPAN_NS // period_ns - _MIN_SLOTS)
