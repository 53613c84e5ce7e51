"""The sampler's end of the control socket (spec 005), told by the test what to say."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.shipper.rig import Host
from xinmai.channel import Channel, listen


class FakeSampler:
    """An async context manager; holds rings and sends them to whoever connects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rings: dict[str, Host] = {}
        self.gone: set[str] = set()
        self.drained: list[str] = []
        self.plugins: list[dict[str, Any]] = []
        self.connects = 0
        self.hangs_up = False
        self.shippers: list[Channel] = []
        self._server: socket.socket | None = None

    async def __aenter__(self) -> Self:
        self._server = listen(self.path)
        asyncio.get_running_loop().add_reader(self._server, self._accept)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        asyncio.get_running_loop().remove_reader(self._server)
        self._server.close()
        self.hang_up()

    def _accept(self) -> None:
        assert self._server is not None
        sock, _ = self._server.accept()
        channel = Channel(sock)
        self.connects += 1
        if self.hangs_up:
            channel.close()
            return
        self.shippers.append(channel)
        asyncio.get_running_loop().add_reader(channel, self._hear, channel)
        channel.send("hello", {"node": "n1", "pid": os.getpid()})
        for ring_id, host in self.rings.items():
            channel.send("ring", host.layout.to_map(), [host.ring.fd])
            if ring_id in self.gone:
                channel.send("gone", {"ring_id": ring_id})
        channel.send("plugins", {"plugins": self.plugins})

    def _hear(self, channel: Channel) -> None:
        try:
            message = channel.receive()
        except EOFError:
            self._forget(channel)
            return
        if message is not None and message.kind == "drained":
            ring_id = message.body["ring_id"]
            self.drained.append(ring_id)
            if ring_id in self.gone:
                self.rings.pop(ring_id, None)

    def _forget(self, channel: Channel) -> None:
        asyncio.get_running_loop().remove_reader(channel)
        self.shippers.remove(channel)
        channel.close()

    def hang_up(self) -> None:
        """End every connection."""
        for channel in list(self.shippers):
            self._forget(channel)

    def tell(self, kind: str, **body: Any) -> None:
        for channel in self.shippers:
            with suppress(OSError):
                channel.send(kind, body)

    def add(self, host: Host) -> None:
        """A host has a new ring."""
        self.rings[host.id] = host
        for channel in self.shippers:
            channel.send("ring", host.layout.to_map(), [host.ring.fd])

    def end(self, host: Host) -> None:
        """A host has ended."""
        self.gone.add(host.id)
        self.tell("gone", ring_id=host.id)

    @property
    def names(self) -> list[str]:
        """Of the plugins that it tells of."""
        return [one["name"] for one in self.plugins]

    def running(self, *plugins: str) -> None:
        """Say that these run."""
        self.plugins = [
            {"name": name, "state": "running", "reason": "", "since_ns": 1} for name in plugins
        ]
        self.tell("plugins", plugins=self.plugins)
