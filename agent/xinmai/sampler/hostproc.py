"""One plugin's host process as its supervisor sees it: spawn, state, stall, end."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.manifest import PluginSource
from xinmai.sampler.host import HostSettings, host_main
from xinmai_native import RingReader

FIRST_DELAY_S = 0.25
LAST_DELAY_S = 60.0
STABLE_NS = 60 * SECOND_NS
_KEEP_FD = 3

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


class HostProcess:
    """Everything the supervisor holds of one plugin; one object, one close (B7)."""

    def __init__(self, source: PluginSource, settings: HostSettings) -> None:
        self.source, self.settings = source, settings
        self.state = State.WAITING
        self.reason = ""
        self.since_ns = clock.mono_ns()
        self.due_ns = 0
        self.pid = 0
        self.layout: Layout | None = None
        self.reader: RingReader | None = None
        self.channel: Channel | None = None
        self._delay_s = FIRST_DELAY_S
        self._ending: tuple[State, str] | None = None

    @property
    def ring_id(self) -> str:
        """Of the newest ring, "" before the first."""
        return self.layout.ring_id if self.layout else ""

    def summary(self) -> dict[str, object]:
        """As the shipper is told."""
        return {
            "name": self.source.name,
            "state": self.state.value,
            "reason": self.reason,
            "since_ns": self.since_ns,
        }

    def is_due(self, now_ns: int) -> bool:
        """Whether a start should be tried now."""
        return not self.pid and self.due_ns >= 0 and self.due_ns <= now_ns

    def note(self, state: State, reason: str) -> None:
        """Change the state; `since_ns` moves only when the state does."""
        if state is not self.state:
            self.since_ns = clock.mono_ns()
        self.state, self.reason = state, reason

    def rest(self, state: State, reason: str, again_s: float = -1.0) -> None:
        """Do not run; look again after a while, or never."""
        if state is not self.state:
            log.info("plugin rests: plugin=%s state=%s %s", self.source.name, state, reason)
        self.note(state, reason)
        self.due_ns = clock.mono_ns() + int(again_s * SECOND_NS) if again_s >= 0 else -1

    def spawn(self) -> Channel:
        """Fork the host; returns the supervisor's end of its control socket."""
        ours, theirs = Channel.pair()
        self._ending = None
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            _be_host(self.source, self.settings, theirs)
        theirs.close()
        self.pid, self.channel = pid, ours
        self.note(State.STARTING, "")
        return ours

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

    def running(self, layout: Layout, reader: RingReader) -> None:
        """The host has handed over a ring."""
        if self.reader is not None:
            self.reader.close()
        self.layout, self.reader = layout, reader
        self.note(State.RUNNING, "")

    def stall(self, now_ns: int, after_ns: int) -> str:
        """Which call hangs since when, in the operator's words; "" for none."""
        assert self.reader is not None
        assert self.layout is not None
        for index, lane in enumerate(self.layout.lanes):
            state = self.reader.state(index)
            if state.call >= 0 and state.since_ns and now_ns - state.since_ns > after_ns:
                call = lane.calls[state.call] if state.call < len(lane.calls) else "?"
                seconds = (now_ns - state.since_ns) // SECOND_NS
                return f"stuck in {call}, lane {lane.name}, {seconds} s, {_kernel_state(self.pid)}"
        return ""

    def wait(self) -> int | None:
        """The exit code if the process has ended, negative for a signal; never blocks."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def last_words(self) -> Iterator[Received]:
        """Messages that still wait in the socket of an ended process."""
        with suppress(EOFError, OSError, ProtocolError):
            while self.channel is not None and (message := self.channel.receive()) is not None:
                yield message

    def ended(self, exit_code: int) -> None:
        """The process is gone: say so and plan the next start."""
        ran_ns = clock.mono_ns() - self.since_ns
        was_running = self.state is State.RUNNING
        self.pid = 0
        if self._ending and self._ending[0] is State.UNAVAILABLE:
            self.rest(*self._ending, again_s=LAST_DELAY_S)
            return
        state, reason = self._ending or (State.CRASHED, _how(exit_code))
        if was_running and ran_ns > STABLE_NS:
            self._delay_s = FIRST_DELAY_S
        if state is not State.STOPPED:
            log.warning(
                "host ended: plugin=%s %s restart_in_s=%.2f",
                self.source.name,
                reason,
                self._delay_s,
            )
        self.note(state, reason)
        self.due_ns = clock.mono_ns() + int(self._delay_s * SECOND_NS)
        self._delay_s = min(LAST_DELAY_S, 2 * self._delay_s)

    def ask_to_stop(self) -> None:
        """SIGTERM only: killing a process inside a driver can take the card with it (A7)."""
        self.due_ns = -1
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def _how(exit_code: int) -> str:
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code} without a word"


def _kernel_state(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return "process gone"
    return f"kernel state {text.rpartition(')')[2].split()[0]}"


def _be_host(source: PluginSource, settings: HostSettings, channel: Channel) -> None:
    """The child's side of the fork; never returns."""
    code = 1
    try:
        # Copies of other hosts' sockets would hide the supervisor's end from them (CTL-3, CTL-4).
        fd = os.dup2(channel.fileno(), _KEEP_FD, inheritable=False)
        os.closerange(_KEEP_FD + 1, os.sysconf("SC_OPEN_MAX"))
        os.dup2(2, 1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        code = host_main(source, settings, Channel.adopt(fd))
    finally:
        os._exit(code)
