"""Who listens on `sampler.sock`: each shipper at its own pace, none at the expense of the hosts."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from xinmai import clock
from xinmai.channel import Channel, Received, listen
from xinmai.clock import SECOND_NS
from xinmai.errors import ProtocolError
from xinmai.sampler.heldrings import HeldRing

MAX_QUEUED = 1024
CUT_OFF_NS = 10 * SECOND_NS

log = logging.getLogger("xinmai.sampler")


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell; with a ring goes its descriptor, unless it is let go meanwhile."""

    kind: str
    body: Mapping[str, object]
    ring: HeldRing | None = None


@dataclass(slots=True)
class _Client:
    channel: Channel
    queue: deque[Message] = field(default_factory=deque)
    moved_ns: int = 0

    @property
    def is_open(self) -> bool:
        return self.channel.fileno() >= 0


class Clients:
    """The listening socket and everyone on it.

    Args:
        greet: what a new client is told.
        hear: takes a client's message.
    """

    def __init__(
        self, greet: Callable[[], Iterable[Message]], hear: Callable[[Received], None]
    ) -> None:
        self._greet, self._hear = greet, hear
        self._clients: list[_Client] = []
        self._server: socket.socket | None = None

    def open(self, path: Path) -> None:
        """Listen."""
        self._server = listen(path)
        asyncio.get_running_loop().add_reader(self._server, self._accept)

    def close(self) -> None:
        """Cut everyone off and stop listening."""
        for client in list(self._clients):
            self._forget(client)
        if self._server is not None:
            asyncio.get_running_loop().remove_reader(self._server)
            self._server.close()

    def tell(self, message: Message) -> None:
        """Tell everyone; what a client cannot take at once waits for it."""
        for client in list(self._clients):
            self._put(client, message)

    def tend(self) -> None:
        """Once a second: cut off who does not read; when it comes again it is told everything."""
        now_ns = clock.mono_ns()
        for client in list(self._clients):
            if client.queue and now_ns - client.moved_ns > CUT_OFF_NS:
                self._cut_off(client, "it does not read")

    def _accept(self) -> None:
        assert self._server is not None
        with suppress(OSError):
            channel = Channel(self._server.accept()[0])
            if channel.peer_uid() not in (0, os.geteuid()):
                log.warning("shipper refused: uid=%d", channel.peer_uid())
                channel.close()
                return
            client = _Client(channel)
            self._clients.append(client)
            asyncio.get_running_loop().add_reader(channel, self._receive, client)
            for message in self._greet():
                self._put(client, message)

    def _receive(self, client: _Client) -> None:
        try:
            message = client.channel.receive()
        except (EOFError, ProtocolError) as error:
            log.info("shipper left: %s", error)
            self._forget(client)
            return
        if message is not None:
            for fd in message.fds:
                os.close(fd)
            self._hear(message)

    def _put(self, client: _Client, message: Message) -> None:
        if not client.is_open:
            return
        if not client.queue:
            client.moved_ns = clock.mono_ns()
        elif message.kind == "plugins":
            # Only the newest state is worth telling.
            client.queue = deque(one for one in client.queue if one.kind != "plugins")
        client.queue.append(message)
        if len(client.queue) > MAX_QUEUED:
            self._cut_off(client, "it does not read")
        else:
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        loop = asyncio.get_running_loop()
        try:
            while client.queue:
                _send(client.channel, client.queue[0])
                client.queue.popleft()
                client.moved_ns = clock.mono_ns()
            loop.remove_writer(client.channel)
        except BlockingIOError:
            loop.add_writer(client.channel, self._flush, client)
        except OSError as error:
            self._cut_off(client, str(error))

    def _cut_off(self, client: _Client, why: str) -> None:
        log.warning("shipper cut off: %s", why)
        self._forget(client)

    def _forget(self, client: _Client) -> None:
        if client in self._clients:
            loop = asyncio.get_running_loop()
            loop.remove_reader(client.channel)
            loop.remove_writer(client.channel)
            self._clients.remove(client)
            client.channel.close()


def _send(channel: Channel, message: Message) -> None:
    if message.ring is None:
        channel.send(message.kind, message.body)
    elif message.ring.fd >= 0:
        channel.send(message.kind, message.body, [message.ring.fd])
