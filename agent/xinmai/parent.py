"""The agent's tiny parent: owns no data, starts sampler and shipper, brings either back.

Single-threaded and idle: it sleeps in sigtimedwait. Both children are forked from it while it has
loaded the framework and nothing else, so they share its pages.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.errors import Usage
from xinmai.manifest import PluginSource
from xinmai.sampler.supervisor import sampler_main
from xinmai.shipper.daemon import shipper_main

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 30.0
STABLE_NS = 60 * SECOND_NS
SAMPLER_GRACE_S = 20.0
SHIPPER_GRACE_S = 15.0
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}

log = logging.getLogger("xinmai.agent")


@dataclass(slots=True)
class _Child:
    name: str
    body: Callable[[], None]
    pid: int = 0
    started_ns: int = 0
    due_ns: int = 0
    delay_s: float = field(default=FIRST_DELAY_S)


class Parent:
    """Runs until SIGTERM or SIGINT; the sampler ends first, the shipper delivers what is left."""

    def __init__(self, config: Config, sources: Mapping[str, PluginSource]) -> None:
        self._config = config
        # Children see the end of this pipe when the parent is gone, however it went (B3).
        self._alive_read, self._alive_write = os.pipe2(os.O_CLOEXEC)
        self._sampler = _Child("sampler", lambda: sampler_main(config, sources, self._alive_read))
        self._shipper = _Child("shipper", lambda: shipper_main(config, self._alive_read))
        self._lock_fd = -1

    def run(self) -> int:
        """The parent's life; returns the exit code."""
        self._lock()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        children = (self._sampler, self._shipper)
        while True:
            for child in children:
                if not child.pid and child.due_ns <= clock.mono_ns():
                    self._start(child)
            received = self._wait(children)
            if received in (signal.SIGTERM, signal.SIGINT):
                break
            self._reap(children)
        self._stop(self._sampler, SAMPLER_GRACE_S)
        self._stop(self._shipper, SHIPPER_GRACE_S)
        return 0

    def _lock(self) -> None:
        """One agent per state directory."""
        state_dir = self._config.node.state_dir
        state_dir.mkdir(parents=True, exist_ok=True)
        self._config.node.run_dir.mkdir(parents=True, exist_ok=True)
        path = state_dir / "agent.lock"
        self._lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Usage(
                f"another agent runs on {state_dir} (lock {path}): stop it, or give this one "
                "another node.state_dir"
            ) from error

    def _start(self, child: _Child) -> None:
        gc.collect()
        gc.freeze()
        child.started_ns = clock.mono_ns()
        try:
            pid = os.fork()
        except OSError as error:
            log.warning("child not started: name=%s error=%s", child.name, error)
            self._delay(child)
            return
        if pid == 0:
            self._be(child)
        child.pid = pid

    def _be(self, child: _Child) -> None:
        """The child's side; never returns."""
        code = 1
        try:
            # Ctrl-C in a terminal reaches the parent alone, which ends its children in order.
            os.setpgid(0, 0)
            os.close(self._alive_write)
            os.close(self._lock_fd)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            child.body()
            code = 0
        except Usage as error:
            log.error("%s cannot run: %s", child.name, error)
            code = 2
        except Exception:
            log.exception("%s failed", child.name)
        finally:
            with suppress(OSError):
                logging.shutdown()
            os._exit(code)

    def _wait(self, children: tuple[_Child, ...]) -> int:
        """Sleep until a signal, or until a child is due again; returns the signal or 0."""
        due = [child.due_ns for child in children if not child.pid]
        if not due:
            return signal.sigwaitinfo(_SIGNALS).si_signo
        timeout_s = max(0, min(due) - clock.mono_ns()) / SECOND_NS
        received = signal.sigtimedwait(_SIGNALS, timeout_s)
        return received.si_signo if received else 0

    def _reap(self, children: tuple[_Child, ...]) -> None:
        """Whoever has ended: as a container's first process it inherits strangers as well."""
        by_pid = {child.pid: child for child in children if child.pid}
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] in by_pid:
                    self._ended(by_pid[ended[0]], os.waitstatus_to_exitcode(ended[1]))

    def _ended(self, child: _Child, exit_code: int) -> None:
        ran_ns = clock.mono_ns() - child.started_ns
        if ran_ns > STABLE_NS:
            child.delay_s = FIRST_DELAY_S
        log.warning(
            "child ended: name=%s exit_code=%d ran_s=%.1f restart_in_s=%.2f",
            child.name,
            exit_code,
            ran_ns / SECOND_NS,
            child.delay_s,
        )
        child.pid = 0
        self._delay(child)

    def _delay(self, child: _Child) -> None:
        child.due_ns = clock.mono_ns() + int(child.delay_s * SECOND_NS)
        child.delay_s = min(LAST_DELAY_S, 2 * child.delay_s)

    def _stop(self, child: _Child, grace_s: float) -> None:
        """SIGTERM, wait; a child that does not end in time is named and left to end alone."""
        if not child.pid:
            return
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        deadline_ns = clock.mono_ns() + int(grace_s * SECOND_NS)
        while (left_ns := deadline_ns - clock.mono_ns()) > 0:
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                return
            signal.sigtimedwait({signal.SIGCHLD}, min(left_ns / SECOND_NS, 0.5))
        log.warning("child left behind: name=%s pid=%d", child.name, child.pid)


def run_agent(config: Config, sources: Mapping[str, PluginSource]) -> int:
    """Run the agent until told to stop.

    Raises:
        Usage: another agent owns the state directory.
    """
    Path("/proc/self/comm").write_text("xm-agent", "ascii")
    return Parent(config, sources).run()
