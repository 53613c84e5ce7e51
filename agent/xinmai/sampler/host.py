"""A plugin host: one process, one plugin, one ring.

Runs in a process forked from the clean supervisor. Waits on nothing but its control socket and its
own clock; a hung vendor call hangs this process alone, and the ring's header says where.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from xinmai import clock
from xinmai.api import Context, Event, Plugin, Reading, Unavailable
from xinmai.channel import Channel
from xinmai.clock import SECOND_NS
from xinmai.config import CadenceConfig, PluginConfig
from xinmai.manifest import PluginSource, check_config
from xinmai.sampler.budget import CallBudget
from xinmai.sampler.plan import EVENT_BYTES, Plan, make_plan
from xinmai.sampler.pollers import Poller
from xinmai.sampler.selfmetrics import SelfMeter
from xinmai_native import Lane, Ring, RingReader

STOP_DEADLINE_NS = 2 * SECOND_NS


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What a host needs to know besides its plugin."""

    root: Path
    cadence: CadenceConfig
    plugin: PluginConfig

    def period_ns(self, cost: str) -> int:
        """Period of a cost class; "" (the host's own series) is slow."""
        if cost in self.plugin.period_ns:
            return self.plugin.period_ns[cost]
        by_cost = {"fast": self.cadence.fast_ns, "rare": self.cadence.rare_ns}
        return by_cost.get(cost, self.cadence.slow_ns)

    def is_explicit(self, cost: str) -> bool:
        """Whether a person set this period: then it is obeyed whatever the calls cost."""
        return cost in self.plugin.period_ns or cost in self.cadence.explicit


class Generation:
    """One ring with its lanes, from discovery to the next change of devices."""

    def __init__(self, host: Host, number: int) -> None:
        settings = host.settings
        self._meter = SelfMeter()
        self.plan: Plan = make_plan(
            host.plugin, threading=host.source.manifest.threading, own_readings=self._own
        )
        self.ring = Ring(self.plan.ring_lanes(settings.period_ns))
        self.reader = RingReader(self.ring.fd)
        self.layout = self.plan.layout(
            host.source.name, number, self.ring.id.hex(), settings.period_ns
        )
        self.event_lane = len(self.layout.lanes) - 1
        self.probe_lanes = {
            lane.name: Lane(self.ring, index, settings.period_ns(lane.cost), lane.native())
            for index, lane in enumerate(self.plan.probes)
        }
        first = len(self.plan.probes)
        self.pollers = [
            Poller(lane, self.ring, first + at, settings.period_ns(lane.cost), host.log)
            for at, lane in enumerate(self.plan.polls)
        ]

    def start(self) -> None:
        """Start the C lanes on the period's grid, rare ones with the next second."""
        next_second_ns = (clock.mono_ns() // SECOND_NS + 1) * SECOND_NS
        for at, lane in enumerate(self.probe_lanes.values()):
            rare = self.layout.lanes[at].period_ns > SECOND_NS
            lane.start(next_second_ns if rare else 0)

    def stop(self) -> list[str]:
        """Stop the C lanes; returns the names of those that are stuck inside a read."""
        return [name for name, lane in self.probe_lanes.items() if not lane.stop(STOP_DEADLINE_NS)]

    def _own(self, lanes: Sequence[str]) -> Sequence[Reading]:
        states = {name: self.reader.state(index) for index, name in enumerate(lanes)}
        return self._meter.readings(states, clock.mono_ns())

    def emit(self, event: Event) -> None:
        """Put an event into the ring, cut to what a record holds."""
        packed = msgpack.packb(_event_map(event, event.attributes))
        if len(packed) > EVENT_BYTES:
            packed = msgpack.packb(_event_map(event, {}))
        self.ring.append(self.event_lane, clock.mono_ns(), packed)


def _event_map(event: Event, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Texts are cut so that the map without attributes always fits a record."""
    return {
        "time_ns": event.time_ns or clock.wall_ns(),
        "hw_id": event.hw_id[:64],
        "code": event.code[:64],
        "class": event.event_class[:32],
        "severity": event.severity,
        "action": event.action[:128],
        "message": event.message[:200],
        "attributes": dict(attributes),
    }


class Host:
    """The life of one plugin in its process."""

    def __init__(self, source: PluginSource, settings: HostSettings, channel: Channel) -> None:
        self.source, self.settings, self.channel = source, settings, channel
        self.log = logging.getLogger(f"xinmai.host.{source.name}")
        self.plugin: Plugin = source.load()(self._context())
        self._generation: Generation | None = None
        self._number = 0
        self._stopping = False
        self._next_second_ns = 0
        self._budget = CallBudget(settings.cadence.budget)

    def _context(self) -> Context:
        manifest = self.source.manifest
        return Context(
            name=self.source.name,
            root=self.settings.root,
            config=check_config(manifest, self.settings.plugin.keys),
            metrics=manifest.metrics,
            log=logging.getLogger(f"xinmai.plugin.{self.source.name}"),
        )

    def run(self) -> None:
        """Open, discover, read until told to stop."""
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.plugin.open()
        try:
            self._renew()
            while not self._stopping:
                self._wait()
                self._run_due()
        finally:
            self._finish()

    def _on_term(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _renew(self) -> None:
        self._number += 1
        generation = Generation(self, self._number)
        stuck = self._generation.stop() if self._generation else []
        for name in stuck:
            self.log.warning("lane stuck while devices changed: lane=%s", name)
        self._generation = generation
        generation.start()
        self.channel.send("layout", generation.layout.to_map(), [generation.ring.fd])
        self._next_second_ns = (clock.mono_ns() // SECOND_NS + 1) * SECOND_NS

    def _wait(self) -> None:
        assert self._generation is not None
        due_ns = min(
            [self._next_second_ns, *(poller.due_ns for poller in self._generation.pollers)]
        )
        timeout_s = max(0, due_ns - clock.mono_ns()) / SECOND_NS
        readable, _, _ = select.select([self.channel], [], [], timeout_s)
        if readable:
            self._handle_control()

    def _handle_control(self) -> None:
        try:
            message = self.channel.receive()
        except EOFError:
            self._stopping = True
            return
        if message is not None and message.kind == "stop":
            self._stopping = True

    def _run_due(self) -> None:
        assert self._generation is not None
        for poller in self._generation.pollers:
            now_ns = clock.mono_ns()
            if poller.due_ns <= now_ns and not self._stopping:
                poller.run(now_ns)
        if self._next_second_ns <= clock.mono_ns() and not self._stopping:
            self._every_second()

    def _every_second(self) -> None:
        assert self._generation is not None
        self._next_second_ns = (clock.mono_ns() // SECOND_NS + 1) * SECOND_NS
        for event in self.plugin.events():
            self._generation.emit(event)
        for event in self._budget.check(self._generation, self.settings):
            self.log.warning("%s", event.message)
            self._generation.emit(event)
        if self.plugin.changed():
            self.log.info("devices changed")
            self._renew()

    def _finish(self) -> None:
        stuck = self._generation.stop() if self._generation else []
        if stuck:
            # Shutting a library down under a thread that is inside it crashes (A5).
            self.channel.send("bye", {"reason": f"left with lanes stuck: {', '.join(stuck)}"})
            return
        self.plugin.close()
        self.channel.send("bye", {"reason": "stopped"})


def host_main(source: PluginSource, settings: HostSettings, channel: Channel) -> int:
    """Run a host to its end and say how it ended; returns the process's exit code."""
    name = source.name
    Path("/proc/self/comm").write_text(f"xm-host-{name}"[:15], "ascii")
    channel.send("hello", {"plugin": name, "pid": os.getpid()})
    try:
        Host(source, settings, channel).run()
    except Unavailable as gone:
        channel.send("unavailable", {"what": gone.what, "on": gone.on, "fix": gone.fix})
        return 0
    except (BrokenPipeError, ConnectionError):
        return 0
    except Exception as error:  # the supervisor tells the operator
        logging.getLogger(f"xinmai.host.{name}").exception("host failed")
        channel.send("failed", {"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0
