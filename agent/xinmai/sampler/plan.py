"""What a host will read: a plugin's devices and readings arranged into ring lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xinmai.api import Cost, Device, Field, FileProbe, Plugin, PluginError, Poll, Reading, Series
from xinmai.clock import SECOND_NS
from xinmai.layout import EVENT_LANE, LaneLayout, Layout
from xinmai.sampler.selfmetrics import self_series
from xinmai_native import LANE_COLUMNS, LANE_RECORDS

SPAN_NS = 30 * SECOND_NS
RING_BYTES = 8 * 2**20
EVENT_BYTES = 2048
EVENT_SLOTS = 256
_SLOT_HEADER_BYTES = 40
_MIN_SLOTS = 16

ProbeField = tuple[int, bytes | None, int, int, Sequence[int], int, int]


@dataclass(slots=True)
class ProbeLane:
    """File probes of one cost class: one C thread reads them all."""

    name: str
    cost: str
    devices: int
    probes: list[FileProbe] = field(default_factory=list)

    @property
    def series(self) -> list[Series]:
        """In column order."""
        return [entry.series for probe in self.probes for entry in probe.fields]

    @property
    def calls(self) -> list[str]:
        """As the ring's header counts them."""
        return [str(probe.path) for probe in self.probes]

    def native(self) -> list[tuple[bytes, list[ProbeField]]]:
        """As the extension takes them."""
        column = 0
        out: list[tuple[bytes, list[ProbeField]]] = []
        for probe in self.probes:
            fields = []
            for entry in probe.fields:
                fields.append(_native_field(column, entry))
                column += 1
            out.append((bytes(probe.path), fields))
        return out


@dataclass(slots=True)
class PollLane:
    """Readings that Python takes one after another, one row for all of a cost class."""

    name: str
    cost: str
    polls: list[Poll] = field(default_factory=list)

    @property
    def series(self) -> list[Series]:
        """In column order."""
        return [series for poll in self.polls for series in poll.series]

    @property
    def calls(self) -> list[str]:
        """As the ring's header counts them."""
        return [poll.name for poll in self.polls]


@dataclass(frozen=True, slots=True)
class Plan:
    """Lanes in ring order: probes, then polls, then the event lane."""

    devices: Sequence[Device]
    probes: Sequence[ProbeLane]
    polls: Sequence[PollLane]

    @property
    def lanes(self) -> list[ProbeLane | PollLane]:
        """Those that carry columns, in ring order."""
        return [*self.probes, *self.polls]

    def lane_names(self) -> list[str]:
        """Names of the lanes that carry columns, in ring order."""
        return [lane.name for lane in self.lanes]

    def ring_lanes(self, period_ns: Callable[[str], int]) -> list[tuple[int, int, int, int, int]]:
        """Arguments of `Ring`; the byte budget is shared, so a fast host keeps less time."""
        wanted = [(len(lane.series), period_ns(lane.cost), lane) for lane in self.lanes]
        sizes = [slot_bytes(columns) * _span_slots(period) for columns, period, _ in wanted]
        shrink = min(1.0, RING_BYTES / max(1, sum(sizes)))
        lanes = [
            (LANE_COLUMNS, columns, 0, max(_MIN_SLOTS, int(_span_slots(period) * shrink)), period)
            for columns, period, _ in wanted
        ]
        return [*lanes, (LANE_RECORDS, 0, EVENT_BYTES, EVENT_SLOTS, SECOND_NS)]

    def layout(
        self, plugin: str, generation: int, ring_id: str, period_ns: Callable[[str], int]
    ) -> Layout:
        """What the shipper needs to read the ring."""
        series: list[Series] = []
        lanes: list[LaneLayout] = []
        for lane in self.lanes:
            lanes.append(
                LaneLayout(
                    name=lane.name,
                    period_ns=period_ns(lane.cost),
                    first=len(series),
                    count=len(lane.series),
                    calls=lane.calls,
                    cost=lane.cost,
                )
            )
            series.extend(lane.series)
        lanes.append(LaneLayout(EVENT_LANE, SECOND_NS, len(series), 0))
        return Layout(
            plugin=plugin,
            generation=generation,
            ring_id=ring_id,
            stand_in=False,
            devices=tuple(self.devices),
            series=tuple(series),
            lanes=tuple(lanes),
        )


def make_plan(
    plugin: Plugin,
    *,
    threading: str,
    own_readings: Callable[[Sequence[str]], Sequence[Reading]],
) -> Plan:
    """Ask a plugin what there is and arrange it.

    Args:
        plugin: opened.
        threading: `free` gives each device its own lanes, `serial` one lane per cost class.
        own_readings: values of the host's own series for the named lanes, see `selfmetrics`.

    Raises:
        PluginError: two readings claim the same series.
    """
    devices = list(plugin.discover())
    probes: dict[tuple[str, str], ProbeLane] = {}
    polls: dict[str, PollLane] = {}
    for device in devices:
        for reading in plugin.readings(device):
            if isinstance(reading, FileProbe):
                _add_probe(probes, reading, device if threading == "free" else None)
            else:
                _add_poll(polls, reading)
    if threading != "free":
        for lane in probes.values():
            lane.devices = max(1, len(devices))
    plan = Plan(devices, list(probes.values()), list(polls.values()))
    _refuse_doubles(plugin.context.name, plan)
    return _with_self(plan, plugin.context.name, own_readings)


def _with_self(
    plan: Plan, plugin: str, own_readings: Callable[[Sequence[str]], Sequence[Reading]]
) -> Plan:
    names = plan.lane_names()
    own = Poll("self", self_series(plugin, names), lambda: own_readings(names))
    return Plan(plan.devices, plan.probes, [*plan.polls, PollLane("self", "", [own])])


def _add_probe(
    lanes: dict[tuple[str, str], ProbeLane], probe: FileProbe, device: Device | None
) -> None:
    owner = device.hw_id if device else ""
    key = (owner, probe.cost.value)
    if key not in lanes:
        name = f"{probe.cost.value}:{owner}" if owner else probe.cost.value
        lanes[key] = ProbeLane(name=name, cost=probe.cost.value, devices=1)
    lanes[key].probes.append(probe)


def _add_poll(lanes: dict[str, PollLane], poll: Poll) -> None:
    if poll.cost is Cost.FAST:
        raise PluginError(
            f"poll {poll.name}: cost fast needs a probe, Python polls are slow or rare"
        )
    cost = poll.cost.value
    lanes.setdefault(cost, PollLane(name=f"poll:{cost}", cost=cost)).polls.append(poll)


def _refuse_doubles(plugin: str, plan: Plan) -> None:
    seen: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
    for lane in plan.lanes:
        for series in lane.series:
            key = (series.hw_id, series.metric, tuple(sorted(series.attributes.items())))
            if key in seen:
                raise PluginError(
                    f"plugin {plugin}: two readings claim {series.metric} of {series.hw_id} "
                    f"with {dict(series.attributes)}; give them different attributes"
                )
            seen.add(key)


def _native_field(column: int, entry: Field) -> ProbeField:
    key = entry.key.encode() if entry.key is not None else None
    series = entry.series
    return (column, key, entry.index, entry.decimals, series.sentinels, series.low, series.high)


def slot_bytes(columns: int) -> int:
    """Size of one row in the ring, spec 001."""
    return (_SLOT_HEADER_BYTES + 9 * columns + 7) // 8 * 8


def _span_slots(period_ns: int) -> int:
    return max(_MIN_SLOTS, SPAN_NS // period_ns)


def probe_devices(plan: Plan) -> Mapping[str, int]:
    """How many devices share each probe lane: the call budget is per device."""
    return {lane.name: lane.devices for lane in plan.probes}
