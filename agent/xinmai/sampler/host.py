"""A plugin host: one process, one plugin, one ring.

Runs in a process forked from the clean supervisor. Waits on nothing but its control socket and its
own clock; a hung vendor call hangs this process alone, and the ring's header says where.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from xinmai import clock
from xinmai.api import Context, Event, Plugin, Unavailable
from xinmai.channel import Channel
from xinmai.clock import SECOND_NS
from xinmai.manifest import PluginSource, check_config
from xinmai.sampler.budget import CallBudget
from xinmai.sampler.generation import Generation
from xinmai.sampler.leaving import GivenUp, Leaving
from xinmai.sampler.plan import OwnReadings, Plan, make_plan
from xinmai.sampler.serial import Busy, Turns
from xinmai.sampler.settings import HostSettings
from xinmai.sampler.survey import Survey, make_survey

TURN_NS = SECOND_NS
"""How often a plugin is asked for events and changes."""
LANES_STOP_NS = 800_000_000
STALLED_NS = 2 * SECOND_NS
GIVEN_UP = "left in the middle of a call that did not end"
CALM_NS = 60 * SECOND_NS
LONGEST_WAIT_NS = 60 * SECOND_NS


class Host:
    """The life of one plugin in its process."""

    def __init__(
        self, source: PluginSource, settings: HostSettings, channel: Channel, leaving: Leaving
    ) -> None:
        self.source, self.settings = source, settings
        self._channel, self._leaving = channel, leaving
        self._log = logging.getLogger(f"xinmai.host.{source.name}")
        self._plugin: Plugin = source.load()(self._context())
        self._survey = Survey((), ())
        self._current: Generation | None = None
        self._number = 0
        self._next_turn_ns = 0
        self._slowed: dict[str, int] = {}
        self._failing: set[str] = set()
        self._changes = Changes()
        self._turns = Turns(source.manifest.threading)
        self._still_inside: list[Plan] = []
        """Whose memory a call may yet write into that has not come back."""

    def _context(self) -> Context:
        manifest = self.source.manifest
        return Context(
            name=self.source.name,
            root=self.settings.root,
            config=check_config(manifest, self.settings.plugin.keys),
            metrics=manifest.metrics,
            log=logging.getLogger(f"xinmai.plugin.{self.source.name}"),
        )

    def run(self) -> str:
        """Open, discover, read until told to leave; returns why it left."""
        self._plugin.open()
        try:
            if not self._leaving.asked:
                self._discover()
            while not self._leaving.asked:
                self._wait()
                self._run_due()
        except GivenUp:
            return self._stop(GIVEN_UP)
        except BaseException:
            self._stop()
            raise
        return self._stop(self._leaving.reason)

    @property
    def _generation(self) -> Generation:
        assert self._current is not None
        return self._current

    def _discover(self) -> None:
        told = {hw_id for hw_id, _ in self._survey.problems}
        with self._turns.turn(), self._saying("discover"):
            self._survey = make_survey(self._plugin, self.settings.without)
        self._renew()
        for hw_id, error in self._survey.problems:
            if hw_id not in told:
                self._log.warning("device cannot be read: hw_id=%s error=%r", hw_id, error)
                self._generation.emit(_unreadable(self.source.name, hw_id, error))

    def _renew(self) -> None:
        """Begin a ring for what there is now; the one before is complete when it is told of."""
        self._number += 1
        generation = Generation(self._plan, self._number, self._log, self._turns)
        if self._current is not None:
            if self._current.stop(LANES_STOP_NS):
                self._still_inside.append(self._current.plan)
            self._current.close()
        self._current = generation
        self._budget = CallBudget(
            self.settings.cadence.budget, self.settings.is_explicit, self._slowed
        )
        generation.start()
        self._tell_layout()
        self._next_turn_ns = (clock.mono_ns() // TURN_NS + 1) * TURN_NS

    def _plan(self, own_readings: OwnReadings) -> Plan:
        return make_plan(
            self._survey,
            plugin=self.source.name,
            threading=self.source.manifest.threading,
            period_of=self.settings.period_ns,
            own_readings=own_readings,
            slowed=self._slowed,
        )

    def _tell_layout(self) -> None:
        """Tried again each second while the supervisor does not read (CTL-2)."""
        generation = self._generation
        layout = generation.layout.to_map()
        generation.told = say(self._channel, "layout", layout, generation.ring.fd)

    def _wait(self) -> None:
        pollers = self._generation.pollers
        due_ns = min([self._next_turn_ns, *(poller.due_ns for poller in pollers)])
        self._leaving.wait(max(0, due_ns - clock.mono_ns()) / SECOND_NS)

    def _run_due(self) -> None:
        self._turns.begin()
        for poller in self._generation.pollers:
            now_ns = clock.mono_ns()
            if poller.due_ns <= now_ns and not self._leaving.asked:
                poller.run(now_ns)
        if self._next_turn_ns <= clock.mono_ns() and not self._leaving.asked:
            self._every_turn()

    def _every_turn(self) -> None:
        now_ns = clock.mono_ns()
        self._next_turn_ns = (now_ns // TURN_NS + 1) * TURN_NS
        if not self._generation.told:
            self._tell_layout()
        self._ask("events", self._take_events)
        for beyond in self._generation.trampled():
            self._log.error("%s", beyond.message)
            self._generation.emit(beyond)
        self._keep_budget(now_ns)
        if self._changes.may_ask(now_ns) and self._ask("changed", self._plugin.changed):
            self._follow_change(now_ns)

    def _take_events(self) -> bool:
        for event in self._plugin.events():
            self._generation.emit(event)
        return True

    def _ask(self, call: str, ask: Callable[[], bool]) -> bool:
        """A plugin that fails here goes on reading; told once, and once when it works again."""
        answer = False
        try:
            with self._turns.turn(), self._saying(call):
                answer = ask()
        except Exception as error:
            if call not in self._failing:
                code = not isinstance(error, Busy)
                self._log.error("plugin failed: call=%s error=%r", call, error, exc_info=code)
            self._failing.add(call)
        else:
            if call in self._failing:
                self._log.info("plugin works again: call=%s", call)
            self._failing.discard(call)
        return answer

    def _saying(self, call: str) -> AbstractContextManager[None]:
        return self._current.asking(call) if self._current else nullcontext()

    def _keep_budget(self, now_ns: int) -> None:
        generation = self._generation
        slower = list(self._budget.check(generation.plan, generation.reader, now_ns))
        if slower and not generation.stalled(STALLED_NS):
            self._renew()
        for event in slower:
            self._log.warning("%s", event.message)
            self._generation.emit(event)

    def _follow_change(self, now_ns: int) -> None:
        stuck = self._generation.stalled(STALLED_NS)
        if stuck:
            # A second thread on the same device would hang as well (A22).
            self._leaving.ask(f"devices changed while lanes are stuck: {', '.join(stuck)}")
            return
        self._log.info("devices changed")
        self._changes.note(now_ns)
        try:
            self._discover()
        except Busy as busy:
            self._log.warning("devices changed and cannot be looked at: %s", busy)

    def _stop(self, reason: str = "") -> str:
        self._leaving.closing()
        stuck = self._current.stop(LANES_STOP_NS) if self._current else []
        if stuck:
            # Shutting a library down under a thread that is inside it crashes (A5).
            return f"left with lanes stuck: {', '.join(stuck)}"
        self._turns.begin()
        try:
            with self._turns.turn():
                self._plugin.close()
        except Busy:
            return "left with a call still in the library"
        except Exception:
            self._log.exception("plugin failed: call=close")
        return reason or "stopped"


class Changes:
    """When to ask for changes: ever later while they are quick, for the sake of what is steady."""

    def __init__(self) -> None:
        self._newest_ns = self._due_ns = -CALM_NS
        self._wait_ns = SECOND_NS

    def may_ask(self, now_ns: int) -> bool:
        """Whether it is time."""
        return now_ns >= self._due_ns

    def note(self, now_ns: int) -> None:
        """There was one."""
        quick = now_ns - self._newest_ns < CALM_NS
        self._wait_ns = min(LONGEST_WAIT_NS, 2 * self._wait_ns) if quick else SECOND_NS
        self._newest_ns, self._due_ns = now_ns, now_ns + self._wait_ns


def _unreadable(plugin: str, hw_id: str, error: Exception) -> Event:
    return Event(
        code="device_unreadable",
        event_class="agent",
        severity="error",
        message=f"plugin {plugin}: readings of {hw_id} cannot be declared: {error!r}",
        action="see the log of the agent; the other devices are read",
        hw_id=hw_id,
        attributes={"xinmai.plugin": plugin},
    )


def say(channel: Channel, kind: str, body: Mapping[str, object], *fds: int) -> bool:
    """Send to the supervisor; False when it does not read or is gone: no fault of the plugin."""
    try:
        channel.send(kind, body, fds)
    except (BlockingIOError, ConnectionError):
        return False
    return True


def host_main(
    source: PluginSource, settings: HostSettings, channel: Channel, *, verbose: bool = True
) -> int:
    """Run a host to its end and say how it ended; returns the process's exit code.

    Args:
        verbose: log a failure with its traceback; False when the same was just tried.
    """
    name = source.name
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"xm-host-{name}"[:15], "ascii")
    say(channel, "hello", {"plugin": name, "pid": os.getpid()})
    leaving = Leaving(channel)
    leaving.arm()
    try:
        reason = Host(source, settings, channel, leaving).run()
    except GivenUp:
        reason = GIVEN_UP
    except Unavailable as gone:
        say(channel, "unavailable", {"what": gone.what, "on": gone.on, "fix": gone.fix})
        return 0
    except BaseException as error:  # SystemExit as well; the supervisor tells the operator
        if verbose:
            logging.getLogger(f"xinmai.host.{name}").exception("host failed")
        say(channel, "failed", {"error": f"{type(error).__name__}: {error}"[:2000]})
        return 1
    say(channel, "bye", {"reason": reason})
    return 0
