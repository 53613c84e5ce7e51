"""The shipper's end of the sampler's socket (spec 005): rings come in, `drained` goes out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai.layout import Layout
from xinmai.shipper.rings import RingSet

RECONNECT_S = 0.25
LEAVING_NS = 5 * SECOND_NS
"""A host whose sampler is gone may commit for so long."""

ENDED = frozenset({"crashed", "stuck"})
"""States of a plugin whose host ran and does not any more."""

log = logging.getLogger("xinmai.shipper")


class SamplerLink:
    """Connects, and again whenever the sampler is a new one.

    Args:
        path: of the socket.
        rings: filled by what the sampler sends.
        own: id of the ring that does not come from it.
        on_stopped: called when sampling has ended and the sampler waits for what is left.
        on_host_ended: told (plugin, state, reason) when a host has died or hangs.
    """

    def __init__(
        self,
        path: Path,
        rings: RingSet,
        own: str,
        on_stopped: Callable[[], None],
        on_host_ended: Callable[[str, str, str], None] = lambda *_: None,
    ) -> None:
        self._path, self._rings, self._own, self._on_stopped = path, rings, own, on_stopped
        self._on_host_ended = on_host_ended
        self._channel: Channel | None = None
        self._greeted: set[str] | None = None
        self.plugins: Sequence[Mapping[str, Any]] = ()

    @property
    def connected(self) -> bool:
        """Whether a sampler is there."""
        return self._channel is not None

    async def follow(self) -> None:
        """For ever."""
        while True:
            with suppress(OSError):
                await self._stay(Channel.connect(self._path))
            # Also where it hangs up at once: no storm.
            await asyncio.sleep(RECONNECT_S)

    async def _stay(self, channel: Channel) -> None:
        """Until the sampler leaves."""
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        self._channel, self._greeted = channel, set()
        try:
            channel.send("hello", {"pid": os.getpid()})
            loop.add_reader(channel, self._hear, channel, gone)
            await gone.wait()
            self._rings.mark_others_gone(self._own, clock.mono_ns() + LEAVING_NS)
        finally:
            loop.remove_reader(channel)
            channel.close()
            self._channel = None

    def _hear(self, channel: Channel, gone: asyncio.Event) -> None:
        try:
            message = channel.receive()
        except (EOFError, ProtocolError) as error:
            log.info("sampler left: %s", error)
            gone.set()
            return
        if message is not None:
            try:
                self._take(message)
            finally:
                for fd in message.fds:
                    os.close(fd)

    def _take(self, message: Received) -> None:
        if message.kind == "ring" and message.fds:
            self._take_ring(message)
        elif message.kind == "gone":
            self._rings.mark_gone(str(message.body.get("ring_id", "")))
        elif message.kind == "plugins":
            before, self.plugins = self.plugins, list(message.body.get("plugins") or ())
            self._look_for_ended(before)
            self._end_greeting()
        elif message.kind == "stopped":
            self._rings.mark_others_gone(self._own)
            self._on_stopped()

    def _look_for_ended(self, before: Sequence[Mapping[str, Any]]) -> None:
        ran = {one.get("name") for one in before if one.get("state") == "running"}
        for one in self.plugins:
            if one.get("state") in ENDED and one.get("name") in ran:
                self._on_host_ended(*(str(one.get(key, "")) for key in ("name", "state", "reason")))

    def _take_ring(self, message: Received) -> None:
        if self._greeted is not None:
            self._greeted.add(str(message.body.get("ring_id", "")))
        try:
            self._rings.add(Layout.from_map(message.body), message.fds[0])
        except ProtocolError as error:
            log.warning("ring refused: %s", error)

    def _end_greeting(self) -> None:
        """The sampler has sent every ring that it holds: no other can come again."""
        if self._greeted is not None:
            self._rings.keep_known(self._greeted)
            self._greeted = None

    def tell_drained(self, ring_id: str) -> None:
        """May fail: a sampler that is gone has let go of its rings already."""
        if self._channel is not None:
            with suppress(OSError):
                self._channel.send("drained", {"ring_id": ring_id})
