"""One ring with its lanes: what a host runs from one change of devices to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgpack

from xinmai import clock
from xinmai.api import Event, Reading
from xinmai.clock import SECOND_NS
from xinmai.sampler.plan import EVENT_BYTES, EVENT_CALLS, OwnReadings, Plan
from xinmai.sampler.pollers import Poller
from xinmai.sampler.selfmetrics import SelfMeter
from xinmai.sampler.serial import Turns
from xinmai_native import Lane, Ring, RingReader


class Generation:
    """Lanes over a ring.

    Args:
        make: arranges the plan, given what reads the host's own series.
        number: grows within a host.
        turns: of whatever goes into the plugin's library.
    """

    def __init__(
        self,
        make: Callable[[OwnReadings], Plan],
        number: int,
        log: logging.Logger,
        turns: Turns,
    ) -> None:
        self._meter = SelfMeter()
        self.plan = make(self._own)
        self.ring = Ring(self.plan.ring_lanes())
        self.reader = RingReader(self.ring.fd)
        self.layout = self.plan.layout(number, self.ring.id.hex())
        self.told = False
        self._trampled: set[tuple[int, int]] = set()
        self._event_lane = len(self.layout.lanes) - 1
        self._probes = [
            Lane(self.ring, index, lane.period_ns, lane.native(), gate=turns.gate)
            for index, lane in enumerate(self.plan.probes)
        ]
        first = len(self.plan.probes)
        own = Turns("free")
        self.pollers = [
            Poller(lane, self.ring, first + at, log, turns if lane.cost else own)
            for at, lane in enumerate(self.plan.polls)
        ]

    def start(self) -> None:
        """Start the C lanes on the period's grid, rare ones with the next second."""
        next_second_ns = (clock.mono_ns() // SECOND_NS + 1) * SECOND_NS
        for lane, native in zip(self.plan.probes, self._probes, strict=True):
            native.start(next_second_ns if lane.period_ns > SECOND_NS else 0)

    def stalled(self, after_ns: int) -> list[str]:
        """Names of the C lanes that are inside one row for longer than this."""
        now_ns = clock.mono_ns()
        states = [(lane.name, self.reader.state(at)) for at, lane in enumerate(self.plan.probes)]
        return [
            name for name, state in states if state.call >= 0 and now_ns - state.since_ns > after_ns
        ]

    def stop(self, timeout_ns: int) -> list[str]:
        """Stop the C lanes, all at once; names of those that are stuck inside a read."""
        deadline_ns = clock.mono_ns() + timeout_ns
        for native in self._probes:
            native.stop(0)
        return [
            lane.name
            for lane, native in zip(self.plan.probes, self._probes, strict=True)
            if not native.stop(max(0, deadline_ns - clock.mono_ns()))
        ]

    def trampled(self) -> Iterator[Event]:
        """Calls that have written beyond their memory (A6), each told once."""
        for at, (lane, native) in enumerate(zip(self.plan.probes, self._probes, strict=True)):
            for call in native.trampled():
                if (at, call) not in self._trampled:
                    self._trampled.add((at, call))
                    yield _beyond(self.plan.plugin, lane.owners[call], lane.calls[call])

    def close(self) -> None:
        """Let go of the ring; the supervisor keeps it until it is drained."""
        self._probes.clear()
        self.reader.close()
        self.ring.close()

    def _own(self, lanes: Sequence[str]) -> Sequence[Reading]:
        states = {name: self.reader.state(index) for index, name in enumerate(lanes)}
        return self._meter.readings(states, clock.mono_ns())

    @contextmanager
    def asking(self, call: str) -> Iterator[None]:
        """Say in the event lane's header what the plugin is asked, in case it never answers."""
        self.ring.enter(self._event_lane, EVENT_CALLS.index(call), clock.mono_ns())
        try:
            yield
        finally:
            self.ring.enter(self._event_lane, -1, 0)

    def emit(self, event: Event) -> None:
        """Put an event into the ring, cut to what a record holds."""
        packed = msgpack.packb(_event_map(event, event.attributes))
        if len(packed) > EVENT_BYTES:
            packed = msgpack.packb(_event_map(event, {}))
        self.ring.append(self._event_lane, clock.mono_ns(), packed)


def _beyond(plugin: str, hw_id: str, call: str) -> Event:
    return Event(
        code="call_beyond_memory",
        event_class="agent",
        severity="error",
        message=f"plugin {plugin}: {call} wrote beyond its memory and is not called any more",
        action="compare the plugin's declaration of the struct with this version of the library",
        hw_id=hw_id,
        attributes={"xinmai.plugin": plugin},
    )


def _event_map(event: Event, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Texts are cut so that the map without attributes always fits a record."""
    return {
        "time_ns": event.time_ns or clock.wall_ns(),
        "hw_id": _cut(event.hw_id, 128),
        "code": _cut(event.code, 128),
        "class": _cut(event.event_class, 64),
        "severity": _cut(event.severity, 16),
        "action": _cut(event.action, 400),
        "message": _cut(event.message, 800),
        "attributes": dict(attributes),
    }


def _cut(text: str, size: int) -> str:
    """The text's head within so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
