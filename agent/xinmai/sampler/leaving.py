"""When a host leaves: SIGTERM, `stop` and the end of its control socket alike (CTL-3)."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

from xinmai.channel import Channel
from xinmai.errors import ProtocolError

DEADLINE_S = 1.0
"""A call that Python can interrupt is given up then; one inside a library is never cut short."""
CLOSE_S = 10.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGIO, signal.SIGALRM, signal.SIGCHLD)


class GivenUp(BaseException):
    """Raised into the plugin's call that outlasts the deadline for leaving."""


class Leaving:
    """Watches for the wish to leave, also while the plugin's code runs."""

    def __init__(self, channel: Channel) -> None:
        self.asked = False
        self.reason = ""
        self._channel = channel
        self._last_chance = False
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def arm(self) -> None:
        """Take signals from now on; they were blocked over the fork."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self.ask())
        signal.signal(signal.SIGIO, lambda *_: self._hear())
        signal.signal(signal.SIGALRM, lambda *_: self._give_up())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Python runs handlers between its own steps and in its own system calls, so never while a
        # library is at work: what a deadline cuts short holds no device.
        self._channel.signal_on_input()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._hear()

    def ask(self, reason: str = "") -> None:
        """Leave soon: the plugin's current call may end, within the deadline."""
        if not self.asked:
            self.asked, self.reason = True, reason
            signal.setitimer(signal.ITIMER_REAL, DEADLINE_S)

    def closing(self) -> None:
        """The plugin is out of its calls and gives things back: that may take longer."""
        self._last_chance = True
        signal.setitimer(signal.ITIMER_REAL, CLOSE_S)

    def wait(self, timeout_s: float) -> None:
        """Sleep; returns early when there is a reason to look at `asked`."""
        if self.asked:
            return
        watched = (self._woken, self._channel.fileno())
        readable, _, _ = select.select(watched, [], [], timeout_s)
        if self._woken in readable:
            with suppress(BlockingIOError):
                os.read(self._woken, 4096)
        if readable:
            self._hear()

    def _hear(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                if message.kind == "stop":
                    self.ask()
        except (EOFError, ProtocolError):
            self.ask()

    def _give_up(self) -> None:
        if not self._last_chance:
            self.closing()
            raise GivenUp
        with suppress(OSError):
            self._channel.send("bye", {"reason": "left while it closed, which did not end"})
        os._exit(0)
