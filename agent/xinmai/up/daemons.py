"""The daemons of `xinmai up`: the same programs that units start, watched and brought back."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.errors import XinmaiError

FIRST_DELAY_S = 0.2
LAST_DELAY_S = 10.0
MAX_EARLY_ENDS = 5
EARLY_NS = 2 * SECOND_NS
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Daemon:
    """One child process; its output goes to `log`.

    Args:
        on_ended: told in words when it ends without being asked to.
    """

    name: str
    argv: Sequence[str]
    log: Path
    on_ended: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _stopped: bool = False
    _started_ns: int = 0
    _due_ns: int = 0
    _delay_s: float = FIRST_DELAY_S
    _early_ends: int = 0

    def start(self) -> None:
        """Start it; the child gets SIGTERM when this process dies, however it dies."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                preexec_fn=_die_with_parent,
            )
        self._started_ns = clock.mono_ns()

    def watch(self) -> None:
        """Bring it back when it has ended.

        Raises:
            XinmaiError: it ends at once, again and again.
        """
        if self._stopped:
            return
        if self.process is None:
            if clock.mono_ns() >= self._due_ns:
                self.start()
            return
        code = self.process.poll()
        if code is None:
            return
        early = clock.mono_ns() - self._started_ns < EARLY_NS
        self._early_ends = self._early_ends + 1 if early else 0
        self._delay_s = min(LAST_DELAY_S, 2 * self._delay_s) if early else FIRST_DELAY_S
        if self._early_ends >= MAX_EARLY_ENDS:
            raise XinmaiError(f"{self.name} does not stay up: {how(code)}\n{self.last_lines()}")
        self.on_ended(f"{self.name} ended ({how(code)}); starting it again")
        self.process = None
        self._due_ns = clock.mono_ns() + int(self._delay_s * SECOND_NS)

    def last_lines(self, lines: int = 5) -> str:
        """The end of its log, with the log's path."""
        with suppress(OSError):
            tail = self.log.read_text("utf-8", errors="replace").splitlines()[-lines:]
            return "\n".join([*tail, f"(whole log: {self.log})"])
        return f"(no log at {self.log})"

    def stop(self, grace_s: float) -> bool:
        """SIGTERM and wait; SIGKILL after the grace. True if it ended by itself."""
        self._stopped = True
        if self.process is None or self.process.poll() is not None:
            return True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True


def how(code: int) -> str:
    """An exit code in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
