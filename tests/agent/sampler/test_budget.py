from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.sampler.rig import HostRun
from fakes.tinyplugin import tiny
from xinmai.api import Event, FileProbe
from xinmai.config import CadenceConfig, PluginConfig
from xinmai.sampler.budget import CallBudget
from xinmai.sampler.plan import Plan, PollLane, ProbeLane
from xinmai_native import LANE_COLUMNS, Ring, RingReader

MS = 1_000_000
SECOND = 1000 * MS


class Rig:
    """A lane whose rows take as long as the test says, looked at once a second."""

    def __init__(
        self,
        *,
        period_ns: int = SECOND,
        owners: tuple[str, ...] = ("one",),
        cost: str = "slow",
        explicit: bool = False,
        share: float = 0.01,
    ) -> None:
        lane = PollLane("poll:slow", cost, period_ns, [], list(owners))
        self.plan = Plan("tiny", [], [], [lane])
        self.ring = Ring([(LANE_COLUMNS, 1, 0, 64, period_ns)])
        self.reader = RingReader(self.ring.fd)
        self.slowed: dict[str, int] = {}
        self._budget = CallBudget(share, lambda _: explicit, self.slowed)
        self._period_ns = period_ns
        self._now_ns = 0

    def run(self, seconds: int, took_ns: Callable[[int], int]) -> list[Event]:
        """Rows for so long; `took_ns` tells how long the n-th takes."""
        events: list[Event] = []
        for _ in range(seconds):
            self._rows(took_ns)
            self._now_ns += SECOND
            events += self._budget.check(self.plan, self.reader, self._now_ns)
        return events

    def _rows(self, took_ns: Callable[[int], int]) -> None:
        first = self._now_ns + -self._now_ns % self._period_ns
        for at_ns in range(first, self._now_ns + SECOND, self._period_ns):
            number = at_ns // self._period_ns
            self.ring.commit(0, at_ns, at_ns, took_ns(number), 0, array("q", [0]), b"\0")


Make = Callable[..., Rig]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Rig] = []

    def rig(**more: object) -> Rig:
        made.append(Rig(**more))  # type: ignore[arg-type]
        return made[-1]

    yield rig
    for one in made:
        one.reader.close()
        one.ring.close()


def test_lane_within_its_share_keeps_its_rate(make: Make) -> None:
    rig = make()
    assert rig.run(60, lambda _: 9 * MS) == []
    assert rig.slowed == {}


@pytest.mark.fault("G7")
def test_lane_over_its_share_halves_its_rate_and_says_so(make: Make) -> None:
    rig = make()
    [event] = rig.run(7, lambda _: 30 * MS)
    assert rig.slowed == {"poll:slow": 2}
    assert (event.code, event.severity) == ("lane_slowed", "warning")
    assert event.message == (
        "plugin tiny, lane poll:slow: calls took 3.0% of a device's time, 1.0% is allowed; "
        "period is now 2000 ms"
    )
    assert "plugins.tiny.period" in event.action
    assert event.attributes == {"xinmai.plugin": "tiny", "xinmai.lane": "poll:slow"}


def test_share_is_per_device(make: Make) -> None:
    devices = tuple(f"card{number}" for number in range(8))
    assert make(owners=devices * 2).run(60, lambda _: 70 * MS) == []
    assert make(owners=devices * 2).run(60, lambda _: 90 * MS)


def test_period_that_a_person_set_is_obeyed(make: Make) -> None:
    assert make(explicit=True).run(60, lambda _: 500 * MS) == []


def test_own_lane_of_the_host_is_not_the_vendors(make: Make) -> None:
    assert make(cost="").run(60, lambda _: 500 * MS) == []


@pytest.mark.parametrize("often", [2, 7])
def test_slow_reading_now_and_then_is_no_pattern(make: Make, often: int) -> None:
    assert make().run(120, lambda number: 800 * MS if number % often == 0 else MS) == []


def test_fast_and_rare_lanes_are_judged_over_enough_rows(make: Make) -> None:
    fast = make(period_ns=10 * MS)
    assert len(fast.run(6, lambda _: MS)) == 1
    rare = make(period_ns=10 * SECOND)
    assert rare.run(40, lambda _: 200 * MS) == []
    assert len(rare.run(15, lambda _: 200 * MS)) == 1


def test_probes_count_as_polls_do(make: Make) -> None:
    rig = make()
    lane = ProbeLane("fast:one", "fast", SECOND, [FileProbe(Path("/x"), [])], ["one"])
    rig.plan = Plan("tiny", [], [lane], [])
    assert [event.code for event in rig.run(7, lambda _: 30 * MS)] == ["lane_slowed"]


SLEEPS = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        yield Poll(f"power of {device.hw_id}", [power], self._power)

    def _power(self):
        time.sleep(0.05)
        return [1]
"""


@pytest.mark.fault("G7")
def test_host_goes_on_at_half_the_rate_unless_a_person_set_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The period of the new ring is the truth, and its layout says it."""
    monkeypatch.setattr("xinmai.sampler.budget.WINDOW_NS", SECOND)
    monkeypatch.setattr("xinmai.sampler.host.TURN_NS", SECOND // 10)
    source, period_ns = tiny(tmp_path / "p", SLEEPS), SECOND // 4
    free = HostRun(source, root=tmp_path, cadence=CadenceConfig(slow_ns=period_ns))
    bound = HostRun(source, root=tmp_path, plugin=PluginConfig(period_ns={"slow": period_ns}))
    with bound, free:
        bound.until_running()
        free.until_running(rings=2)
        old, new = free.rings
        assert old.lane("poll:slow")[1].period_ns == period_ns
        assert new.lane("poll:slow")[1].period_ns == 2 * period_ns
        assert new.layout.devices == old.layout.devices
        event = free.until_event("lane_slowed")
        assert "period is now 500 ms" in event["message"]
        assert free.until_read("hw.power", "one", 2) == 1
        bound.until_read("hw.power", "one", 10)
        assert len(bound.rings) == 1
