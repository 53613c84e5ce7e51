"""What begins a capture, and what does not."""

from __future__ import annotations

import pytest

from agent.shipper.rig import TICK_NS, Clock, Host, LaneSpec, Rig
from xinmai.api import Reason
from xinmai.catalog import Kind
from xinmai.clock import SECOND_NS
from xinmai.config import CaptureConfig
from xinmai.rules import parse_rule
from xinmai.shipper.events import unreadable
from xinmai.shipper.recorder import Recorder
from xinmai.shipper.rings import Ring
from xinmai.shipper.triggers import MEAN_AFTER, Cause, EventTrigger, LaneTriggers

GAUGE = LaneSpec("fast", TICK_NS, 2, slots=4096)
COUNTER = LaneSpec("links", TICK_NS, 1, Kind.COUNTER, slots=4096)
START_NS = 500 * SECOND_NS


class Lane:
    """A lane whose seconds are looked at one after another, as a drain would."""

    def __init__(self, rig: Rig, spec: LaneSpec, *rules: str) -> None:
        self.host = Host(lanes=(spec,))
        rig.add(self.host)
        self._rules = [parse_rule(rule) for rule in rules]
        self._lost: dict[tuple[str, str, str], bool] = {}
        self._position, self._second = 0, 0
        self.use(next(iter(rig.rings)))

    def use(self, ring: Ring) -> None:
        self._ring, self._position = ring, 0
        self.triggers = LaneTriggers(ring, 0, self._rules, self._lost)

    def second(self, *values: int, reasons: bytes = b"") -> list[Cause]:
        """Causes in one more second with these values at its begin."""
        start_ns = START_NS + self._second * SECOND_NS
        self._second += 1
        for at, value in enumerate(values):
            self.host.row(start_ns + at * TICK_NS, value, reasons=reasons)
        windows = self._ring.reader.windows(
            0, self._position, SECOND_NS, START_NS * 9, 64, self._ring.kinds[0]
        )
        self._position = windows.next_position
        return list(self.triggers.look(windows))

    def rows(self) -> list[Cause]:
        """Causes in all rows at full rate."""
        return list(self.triggers.look(self._ring.reader.rows(0, 0, 4096)))


@pytest.mark.statement("CAP-2")
@pytest.mark.statement("CAP-6")
def test_a_single_reading_beyond_a_bound_triggers_once_until_it_is_back(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power above 700")
    assert lane.second(100, 100, 699) == []
    (first, second) = lane.second(100, 701, 100)
    assert (first.trigger, first.at_ns, first.metric) == (
        "threshold",
        START_NS + SECOND_NS,
        "hw.power",
    )
    assert first.text == "hw.power of card was 701 W, above 700"
    # The second column has value + 1.
    assert "702 W" in second.text
    assert lane.second(900, 900) == []
    assert lane.second(100, 100) == []
    assert len(lane.second(701)) == 2


@pytest.mark.statement("CAP-2")
def test_below_looks_at_the_lowest_reading(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power below 50")
    assert lane.second(100, 50) == []
    assert [cause.text for cause in lane.second(100, 49, 100)] == [
        "hw.power of card was 49 W, below 50"
    ]


def test_a_cell_without_a_value_is_no_reading_below_a_bound(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power below 50")
    assert lane.second(100, reasons=bytes([Reason.NOT_YET] * 2)) == []
    lane.use(next(iter(rig.rings)))
    assert lane.rows() == []


def test_rows_at_full_rate_are_looked_at_as_well(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power above 700")
    for at, value in enumerate((100, 701, 100)):
        lane.host.row(START_NS + at * TICK_NS, value)
    assert [cause.text for cause in lane.rows()][0] == "hw.power of card was 701 W, above 700"
    assert lane.rows() == []


@pytest.mark.statement("CAP-3")
def test_a_counter_that_grows_faster_than_the_bound_triggers(rig: Rig) -> None:
    lane = Lane(rig, COUNTER, "hw.power rate 10")
    assert [lane.second(value) for value in (1000, 1010, 1020)] == [[], [], []]
    (cause,) = lane.second(1031)
    assert (cause.trigger, cause.text) == ("rate", "hw.power of card rose by 11 W/s, above 10")
    assert lane.second(1100) == []


@pytest.mark.fault("A16")
@pytest.mark.statement("CAP-3")
def test_a_counter_that_is_reset_has_no_rate(rig: Rig) -> None:
    lane = Lane(rig, COUNTER, "hw.power rate 10")
    assert [lane.second(value) for value in (1000, 5, 6)] == [[], [], []]
    assert len(lane.second(60)) == 1


@pytest.mark.statement("CAP-3")
def test_a_step_against_a_counters_own_mean_triggers_and_becomes_the_mean(rig: Rig) -> None:
    lane = Lane(rig, COUNTER, "hw.power rate 4x 50")
    total = 0

    def add(growth: int) -> list[Cause]:
        nonlocal total
        total += growth
        return lane.second(total)

    assert [add(100) for _ in range(MEAN_AFTER + 2)] == [[]] * (MEAN_AFTER + 2)
    assert add(390) == []
    (cause,) = add(1000)
    assert "rose by 1000 W/s, above" in cause.text
    assert [add(1000) for _ in range(60)] == [[]] * 60
    assert add(1500) == []
    assert len(add(5000)) == 1


@pytest.mark.statement("CAP-3")
def test_below_the_least_rate_no_step_counts(rig: Rig) -> None:
    lane = Lane(rig, COUNTER, "hw.power rate 4x 50")
    for second in range(20):
        assert lane.second(second) == []
    assert lane.second(20 + 40) == []
    assert len(lane.second(20 + 40 + 60)) == 1


def test_a_rate_rule_is_for_counters(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power rate 1")
    assert [lane.second(value) for value in (0, 1000, 9000)] == [[], [], []]


LOST = bytes([0, Reason.DEVICE_LOST])


@pytest.mark.statement("CAP-4")
@pytest.mark.statement("CAP-6")
@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.DEVICE_LOST, Reason.DRIVER_LOST])
def test_a_device_that_had_values_and_is_lost_triggers_once(rig: Rig, reason: Reason) -> None:
    lane = Lane(rig, GAUGE)
    lost = bytes([reason, reason])
    assert lane.second(1) == []
    (cause,) = lane.second(1, reasons=lost)
    assert (cause.trigger, cause.hw_id, cause.plugin) == ("lost", "card", "acme")
    assert cause.text == f"card: {reason.text} in lane fast"
    assert lane.second(1, reasons=lost) == []
    assert lane.second(1) == []
    assert len(lane.second(1, reasons=lost)) == 1


@pytest.mark.statement("CAP-4")
def test_a_device_that_was_never_there_does_not_trigger(rig: Rig) -> None:
    lane = Lane(rig, GAUGE)
    assert lane.second(1, reasons=LOST) == []
    assert lane.second(1, reasons=LOST) == []


@pytest.mark.statement("CAP-4")
def test_a_device_that_the_next_host_does_not_find_is_lost(rig: Rig) -> None:
    lane = Lane(rig, GAUGE)
    assert lane.second(1) == []
    lane.host = Host(lanes=(GAUGE,))
    rig.add(lane.host)
    lane.use(list(rig.rings)[-1])
    assert len(lane.second(1, reasons=LOST)) == 1


def test_other_reasons_are_no_loss(rig: Rig) -> None:
    lane = Lane(rig, GAUGE)
    assert lane.second(1) == []
    assert lane.second(1, reasons=bytes([Reason.ASLEEP, Reason.RELEASED])) == []


def test_what_is_read_again_after_a_failed_write_says_nothing_twice(rig: Rig) -> None:
    lane = Lane(rig, GAUGE, "hw.power above 700")
    lane.second(1)
    assert len(lane.second(701)) == 2
    windows = lane._ring.reader.windows(0, 0, SECOND_NS, START_NS * 9, 64, lane._ring.kinds[0])
    assert list(lane.triggers.look(windows)) == []


@pytest.mark.statement("CAP-1")
@pytest.mark.parametrize(
    ("severity", "codes", "triggers"),
    [
        ("error", (), False),
        ("warning", (), True),
        ("never", (), False),
        ("never", ("event_*",), True),
        ("critical", ("xid",), False),
    ],
)
def test_an_event_triggers_by_severity_or_code(
    severity: str, codes: tuple[str, ...], triggers: bool
) -> None:
    config = CaptureConfig(severity=severity, codes=codes)  # type: ignore[arg-type]
    event = unreadable("acme", "why")
    cause = EventTrigger(config).look("acme", event, 7)
    assert (cause is not None) is triggers
    if cause is not None:
        assert (cause.trigger, cause.at_ns, cause.plugin) == ("event", 7, "acme")
        assert cause.text.startswith("warning event_unreadable: plugin acme")


def test_with_no_captures_allowed_nothing_is_looked_at(rig: Rig, clock: Clock) -> None:
    host = Host(lanes=(GAUGE,))
    rig.add(host)
    config = CaptureConfig(per_hour=0)
    recorder = Recorder(config, SECOND_NS, rig.drain._writer, lambda event: None)
    (ring,) = rig.rings
    host.row(START_NS)
    recorder.look_at_cells(ring, 0, ring.reader.rows(0, 0, 1))
    assert not recorder._lanes
