"""Who may be inside a vendor's library: one at a time, where it promises nothing about threads.

The lanes of a host share a gate with whatever else the plugin is asked. A call that hangs keeps
the gate, so whoever waits for it waits for a bounded time only, and says why it went without.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai_native import Gate

PATIENCE_NS = 2 * SECOND_NS
"""How long the host's own thread waits for lanes in one round of work, over all it asks."""


class Busy(TimeoutError):
    """Another call has been inside the library for too long."""

    def __init__(self) -> None:
        super().__init__(errno.ETIMEDOUT, "waited for another call, which is still in the library")


class Turns:
    """Turns in the library; a plugin with `threading = "free"` needs none."""

    def __init__(self, threading: str) -> None:
        self.gate = Gate() if threading == "serial" else None
        self._until_ns = 0
        self.begin()

    def begin(self) -> None:
        """Begin a round, with new patience."""
        self._until_ns = clock.mono_ns() + PATIENCE_NS

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one inside.

        Raises:
            Busy: the patience of this round is used up.
        """
        if self.gate is None:
            yield
            return
        if not self.gate.enter(max(0, self._until_ns - clock.mono_ns())):
            raise Busy
        try:
            yield
        finally:
            self.gate.leave()
