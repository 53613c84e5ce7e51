"""One plugin's host process as its supervisor sees it: spawn, state, stall, end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.child import fork_host
from xinmai.sampler.settings import HostSettings
from xinmai.sampler.stall import Deadlines, Stall, find_stall, last_call, oldest_call_ns
from xinmai_native import RingError, RingReader

FIRST_DELAY_S = 0.25
LAST_DELAY_S = 60.0
STABLE_NS = 60 * SECOND_NS
LAST_AGAIN_S = 3600.0

log = logging.getLogger("xinmai.sampler")


class State(StrEnum):
    """What an operator is told about a plugin."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STUCK = "stuck"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    CRASHED = "crashed"
    DISABLED = "disabled"
    STOPPED = "stopped"


@dataclass(slots=True)
class Abandoned:
    """A host that does not come back from a call; `kill_ns` 0: it must not be killed (A7).

    Args:
        stalled: what it hangs in, as the shipper is told.
    """

    pid: int
    kill_ns: int
    stalled: Mapping[str, object]


class HostProcess:
    """Everything the supervisor holds of one plugin; one object, one close (B7)."""

    def __init__(
        self, source: PluginSource, settings: HostSettings, deadlines: Deadlines | None = None
    ) -> None:
        self.source, self.settings = source, settings
        self.state = State.WAITING
        self.reason = ""
        self.since_ns = clock.mono_ns()
        self.due_ns = 0
        self.pid = 0
        self.layout: Layout | None = None
        self.reader: RingReader | None = None
        self.channel: Channel | None = None
        self.abandoned: Abandoned | None = None
        self.look_ns = 0
        self.starts = 0
        self.stalls = 0
        self._stalled: Mapping[str, object] | None = None
        self._deadlines = deadlines or Deadlines()
        self._started_ns = self._leaving_ns = self._again_ns = 0
        self._delay_s, self._again_s = FIRST_DELAY_S, LAST_DELAY_S
        self._ending: tuple[State, str] | None = None
        self._said = ""

    @property
    def ring_id(self) -> str:
        """Of the newest ring, "" where there is none."""
        return self.layout.ring_id if self.layout else ""

    def summary(self) -> dict[str, object]:
        """As the shipper is told; of two hosts that hang the one that was left behind."""
        return {
            "name": self.source.name,
            "state": self.state.value,
            "reason": self.reason,
            "since_ns": self.since_ns,
            "restarts": max(0, self.starts - 1),
            "stalls": self.stalls,
            "stalled": self.abandoned.stalled if self.abandoned else self._stalled,
        }

    def is_due(self, now_ns: int) -> bool:
        """Whether a start should be tried now."""
        return not self.pid and 0 <= self.due_ns <= now_ns

    def note(self, state: State, reason: str) -> None:
        """Change the state; `since_ns` moves only when the state does."""
        if state is not self.state:
            self.since_ns = clock.mono_ns()
        self.state, self.reason = state, reason

    def rest(self, state: State, reason: str, again_s: float = -1.0) -> None:
        """Do not run; look again after a while, or never."""
        self._say_once(logging.INFO, f"{state} {reason}")
        self.note(state, reason)
        self.due_ns = clock.mono_ns() + int(again_s * SECOND_NS) if again_s >= 0 else -1

    def _say_once(self, level: int, text: str) -> None:
        """Once when it goes, once when it is back; a repeat is no news (A23)."""
        if text != self._said:
            log.log(level, "plugin does not run: plugin=%s %s", self.source.name, text)
        self._said = text

    def spawn(self, output_fd: int = 2) -> Channel:
        """Fork the host; returns the supervisor's end of its control socket.

        Args:
            output_fd: where it prints.

        Raises:
            OSError: no process or no descriptor is to be had.
        """
        verbose = self._delay_s == FIRST_DELAY_S
        self.pid, self.channel = fork_host(self.source, self.settings, output_fd, verbose=verbose)
        self._ending = None
        self.starts += 1
        self._started_ns, self._leaving_ns = clock.mono_ns(), 0
        self.note(State.STARTING, "")
        return self.channel

    def hear(self, message: Received) -> None:
        """Take a message without descriptors."""
        body = message.body
        if message.kind == "unavailable":
            reason = f"{body.get('what')}: {body.get('on')} ({body.get('fix')})"
            self._ending = (State.UNAVAILABLE, reason)
        elif message.kind == "failed":
            self._ending = (State.FAILED, str(body.get("error", "")))
        elif message.kind == "bye":
            self._ending = (State.STOPPED, str(body.get("reason", "")))
        if self._ending:
            self._leave()

    def refuse(self, reason: str) -> None:
        """What it sent cannot be used: that is why it will end."""
        self._ending = (State.FAILED, reason)
        self._leave()

    def _leave(self) -> None:
        """From now on it is to end: a thread of it that hangs in the kernel could keep it alive."""
        self._leaving_ns = self._leaving_ns or clock.mono_ns()

    def running(self, layout: Layout, reader: RingReader) -> None:
        """The host has handed over a ring."""
        if self.reader is not None:
            self.reader.close()
        self.layout, self.reader = layout, reader
        self.note(State.RUNNING, self._left_out())

    def _left_out(self) -> str:
        names = ", ".join(self.settings.without)
        return f"without {names}: did not answer" if names else ""

    def hang_up(self) -> None:
        """Close the supervisor's end: the host takes it as the wish to leave."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
            self._leave()

    def look(self, now_ns: int) -> Stall | None:
        """Each turn: what hangs, if anything does; the state follows.

        Sets `look_ns` to when a call that is under way will have taken too long, 0 for none.
        """
        self.look_ns = 0
        stall = self._stall(now_ns) if self.pid else None
        if stall is not None:
            self.stalls += self._stalled is None
            self._stalled = stall.at(now_ns)
            if self.state is not State.STUCK:
                log.warning("plugin stuck: plugin=%s %s", self.source.name, stall.text)
            self.note(State.STUCK, stall.text)
        elif self.pid and self.state is State.STUCK:
            log.info("plugin answers again: plugin=%s", self.source.name)
            self.note(State.RUNNING, self._left_out())
        elif self.state is State.RUNNING and now_ns - self._started_ns > STABLE_NS:
            self._settle()
        if stall is None:
            self._stalled = None
        return stall

    def _settle(self) -> None:
        self._delay_s = FIRST_DELAY_S
        if self._said:
            log.info("plugin runs again: plugin=%s", self.source.name)
        self._said = ""

    def _stall(self, now_ns: int) -> Stall | None:
        after_ns = self._deadlines.stuck_ns
        if self._leaving_ns:
            why = f"{self._ending[1]}; " if self._ending else ""
            since_ns, text = self._leaving_ns, f"{why}was to leave and has not ended"
        elif self.layout is None or self.reader is None:
            after_ns = self._deadlines.start_ns
            since_ns, text = self._started_ns, f"did not finish its start in {_seconds(after_ns)}"
        else:
            oldest_ns = oldest_call_ns(self.layout, self.reader)
            if not oldest_ns or now_ns - oldest_ns <= after_ns:
                self.look_ns = oldest_ns + after_ns if oldest_ns else 0
                return None
            return find_stall(
                self.source.manifest, self.layout, self.reader, self.pid, now_ns, after_ns
            )
        over_ns = now_ns - since_ns
        return Stall(text, after_ns, over_ns) if over_ns > after_ns else None

    def is_lost(self, stall: Stall, now_ns: int) -> bool:
        """Whether to go on without this host: at most one is left behind per plugin.

        The state's own age counts as well: after a pause of the machine every call looks old.
        """
        limit_ns = stall.deadline_ns * self._deadlines.abandon
        seen_ns = now_ns - self.since_ns
        return (
            not stall.alone
            and self.abandoned is None
            and stall.over_ns >= limit_ns
            and seen_ns >= limit_ns - stall.deadline_ns
        )

    def abandon(self, stall: Stall, now_ns: int) -> None:
        """Leave the host where it hangs and plan another, without what it hangs in."""
        kill_safe = self.source.manifest.kill_safe
        self._signal(signal.SIGTERM)
        self.hang_up()
        self.abandoned = Abandoned(
            self.pid, now_ns + self._deadlines.grace_ns if kill_safe else 0, stall.at(now_ns)
        )
        log.warning("host abandoned: plugin=%s pid=%d %s", self.source.name, self.pid, stall.text)
        if stall.key:
            self._leave_out(stall, now_ns)
        self._let_go()
        self._restart(State.STUCK, stall.text)

    def _leave_out(self, stall: Stall, now_ns: int) -> None:
        without = {**self.settings.without, stall.key: stall.series}
        self.settings = replace(self.settings, without=without)
        if now_ns - self._started_ns > 2 * self._again_s * SECOND_NS:
            self._again_s = LAST_DELAY_S
        self._again_ns = now_ns + int(self._again_s * SECOND_NS)
        self._again_s = min(LAST_AGAIN_S, 2 * self._again_s)

    def tend_abandoned(self, now_ns: int) -> None:
        """Each turn: bury it, kill it where that is safe, try again what was left out."""
        lost = self.abandoned
        if lost is not None:
            if 0 < lost.kill_ns <= now_ns:
                lost.kill_ns = 0
                with suppress(ProcessLookupError):
                    os.kill(lost.pid, signal.SIGKILL)
            if _reap(lost.pid) is not None:
                log.info("abandoned host has ended: plugin=%s pid=%d", self.source.name, lost.pid)
                self.abandoned = None
        elif self.settings.without and self.state is State.RUNNING and now_ns >= self._again_ns:
            log.info("trying again: plugin=%s %s", self.source.name, self._left_out())
            self.settings = replace(self.settings, without={})
            self._signal(signal.SIGTERM)

    def wait(self) -> int | None:
        """The exit code if the process has ended, negative for a signal; never blocks."""
        return _reap(self.pid) if self.pid else None

    def last_words(self) -> Iterator[Received]:
        """Messages that still wait in the socket of an ended process."""
        with suppress(EOFError, OSError, ProtocolError):
            while self.channel is not None and (message := self.channel.receive()) is not None:
                yield message

    def ended(self, exit_code: int) -> None:
        """The process is gone: say so and plan the next start."""
        state, reason = self._ending or (State.CRASHED, self._how(exit_code))
        self.hang_up()
        self._let_go()
        if state is State.UNAVAILABLE:
            self.rest(state, reason, again_s=LAST_DELAY_S)
            return
        if state is not State.STOPPED:
            self._say_once(logging.WARNING, f"{state} {reason}")
        self._restart(state, reason)

    def _let_go(self) -> None:
        """Of the process and its ring, whose memory is freed when nobody else holds it."""
        if self.reader is not None:
            self.reader.close()
        self.pid, self.layout, self.reader, self._stalled = 0, None, None, None

    def _restart(self, state: State, reason: str) -> None:
        now_ns = clock.mono_ns()
        if now_ns - self._started_ns > STABLE_NS and state is not State.STUCK:
            self._delay_s = FIRST_DELAY_S
        self.note(state, reason)
        self.due_ns = now_ns + int(self._delay_s * SECOND_NS)
        self._delay_s = min(LAST_DELAY_S, 2 * self._delay_s)

    def _how(self, exit_code: int) -> str:
        how = f"exit code {exit_code} without a word" if exit_code >= 0 else _killed_by(-exit_code)
        call = ""
        if self.layout and self.reader:
            with suppress(RingError):
                call = last_call(self.layout, self.reader)
        return f"{how} in {call}" if call else how

    def ask_to_stop(self) -> None:
        """SIGTERM only: killing a process inside a driver can take the card with it (A7)."""
        self.due_ns = -1
        self._signal(signal.SIGTERM)

    def left_behind(self) -> list[int]:
        """Processes that have not ended, the abandoned one included."""
        return [pid for pid in (self.pid, self.abandoned.pid if self.abandoned else 0) if pid]

    def kill_if_safe(self) -> None:
        """SIGKILL after the grace, where the plugin declares that it hurts no device."""
        for pid in self.left_behind():
            if self.source.manifest.kill_safe:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _reap(pid: int) -> int | None:
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    # Not reaped yet, so the number is still this group's: what the host left behind goes (B1, B4).
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _killed_by(number: int) -> str:
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"


def _seconds(time_ns: int) -> str:
    return f"{time_ns / SECOND_NS:g} s"
