"""What hosts print goes on to the log, at a rate that a broken library cannot turn into a flood.

A library's prints and a plugin's log share one pipe per host. It is always read, so that nobody
waits for the log; what is over the rate is counted and told instead (B5).
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field

from xinmai import clock
from xinmai.clock import SECOND_NS

LINES_PER_S = 20
BURST_LINES = 100
LINE_BYTES = 4096
"""Longer lines are cut."""
_CHUNK_BYTES = 65536

log = logging.getLogger("xinmai.sampler")


@dataclass(slots=True)
class Allowance:
    """Lines that may pass: BURST_LINES at once, LINES_PER_S in the long run."""

    lines: float = float(BURST_LINES)
    at_ns: int = field(default_factory=lambda: clock.mono_ns())
    dropped: int = 0

    def take(self, wanted: int) -> int:
        """How many of so many lines may pass now; the rest is counted as dropped."""
        now_ns = clock.mono_ns()
        earned = (now_ns - self.at_ns) * LINES_PER_S / SECOND_NS
        self.lines, self.at_ns = min(BURST_LINES, self.lines + earned), now_ns
        taken = min(wanted, int(self.lines))
        self.lines -= taken
        self.dropped += wanted - taken
        return taken


@dataclass(slots=True, eq=False)
class _Stream:
    plugin: str
    fd: int
    begun: bytes = b""
    """Of a line whose end has not come."""


class Outputs:
    """One pipe per host; the allowance is a plugin's, so that restarts earn no more of it."""

    def __init__(self) -> None:
        self._streams: list[_Stream] = []
        self._allowances: dict[str, Allowance] = {}

    def open(self, plugin: str) -> int:
        """The end that a host writes to; its caller closes it after the fork.

        Raises:
            OSError: no descriptors are to be had.
        """
        theirs_fd, ours_fd = os.pipe2(os.O_CLOEXEC)[::-1]
        os.set_blocking(ours_fd, False)
        stream = _Stream(plugin, ours_fd)
        self._streams.append(stream)
        asyncio.get_running_loop().add_reader(ours_fd, self._read, stream)
        return theirs_fd

    def tend(self) -> None:
        """Each turn: tell what was dropped since the last."""
        for plugin, allowance in self._allowances.items():
            if allowance.dropped:
                log.warning("output dropped: plugin=%s lines=%d", plugin, allowance.dropped)
                allowance.dropped = 0

    def close(self) -> None:
        """Pass on what is there and let go."""
        for stream in list(self._streams):
            self._read(stream)
            if stream in self._streams:
                self._end(stream)
        self.tend()

    def _read(self, stream: _Stream) -> None:
        try:
            data = os.read(stream.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if data:
            self._take(stream, data)
        else:
            self._end(stream)

    def _take(self, stream: _Stream, data: bytes) -> None:
        *lines, begun = (stream.begun + data).split(b"\n")
        stream.begun = begun[:LINE_BYTES]
        allowance = self._allowances.setdefault(stream.plugin, Allowance())
        passed = lines[: allowance.take(len(lines))]
        with suppress(OSError):
            os.write(2, b"".join(line[:LINE_BYTES] + b"\n" for line in passed))

    def _end(self, stream: _Stream) -> None:
        if stream.begun:
            self._take(stream, b"\n")
        asyncio.get_running_loop().remove_reader(stream.fd)
        os.close(stream.fd)
        self._streams.remove(stream)
