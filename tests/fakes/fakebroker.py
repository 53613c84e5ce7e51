"""A broker that misbehaves on request: no PUBACK, late, with a reason code, silence, closing.

It speaks MQTT 3.1.1 and 5, routes between its clients, keeps retained messages and sends wills.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from fakes import packets
from fakes.packets import Connect, Publish

Version5 = Literal["accept", "refuse", "close", "silent", "confused", "late"]


@dataclass(slots=True)
class Manners:
    """What the broker does; may be changed while it runs.

    Args:
        version5: how it answers a CONNECT 5; `confused` refuses a bare one and never answers one
            with properties or a will, as amqtt 0.12 does; `late` answers when `FakeBroker.go`
            is set.
        connack_code: of the version in use.
        connack_properties: raw, for version 5.
        ack: whether a PUBLISH is acknowledged at once or by `FakeBroker.ack`.
        ack_codes, suback_codes: reason code by topic and by filter, where not 0 and 1.
        close_over_bytes: a larger PUBLISH ends the connection with code 149.
        pings: whether PINGREQ is answered.
    """

    version5: Version5 = "accept"
    connack: bool = True
    connack_code: int = 0
    connack_properties: bytes = b""
    ack: bool = True
    ack_codes: dict[str, int] = field(default_factory=dict)
    suback_codes: dict[str, int] = field(default_factory=dict)
    close_over_bytes: int = 2**28
    pings: bool = True


class Client:
    """One connection, seen from the broker."""

    def __init__(self, login: Connect, writer: asyncio.StreamWriter) -> None:
        self.login, self.writer = login, writer
        self.filters: list[str] = []
        self.owed: list[int] = []

    @property
    def version(self) -> int:
        return self.login.version

    def disconnect(self, code: int) -> None:
        """End it, with a reason where the version has one."""
        if self.version == 5:
            self.writer.write(packets.packet(packets.DISCONNECT, bytes([code])))
        self.writer.close()


class FakeBroker:
    """An async context manager; `published` holds every PUBLISH in order of arrival."""

    def __init__(self, manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self.port = 0
        self.logins: list[Connect] = []
        self.published: list[Publish] = []
        self.clients: dict[str, Client] = {}
        self.retained: dict[str, bytes] = {}
        self.pings = 0
        self.go = asyncio.Event()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def seen(self, count: int) -> list[Publish]:
        """Wait until so many messages have arrived; all of them."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.published) >= count)
        return self.published

    async def connected(self, logins: int) -> None:
        """Wait until so many CONNECTs have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.logins) >= logins)

    async def pinged(self, count: int) -> None:
        """Wait until so many PINGREQs have arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.pings >= count)

    def ack(self, client_id: str, count: int = 1, code: int = 0) -> None:
        """Acknowledge the oldest messages that are still owed one."""
        client = self.clients[client_id]
        for mid in client.owed[:count]:
            client.writer.write(packets.puback(client.version, mid, code))
        del client.owed[:count]

    def drop(self, client_id: str) -> None:
        """Break the connection without a word."""
        self.clients[client_id].writer.transport.abort()

    def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send to all who subscribed."""
        for client in self.clients.values():
            if any(matches(name, topic) for name in client.filters):
                client.writer.write(packets.publish(client.version, topic.encode(), payload))
        if retain:
            self.retained[topic] = payload

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled at the end of a test, which Python 3.11 reports unless it ends here.
        with suppress(EOFError, OSError, asyncio.CancelledError):
            try:
                await self._talk(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, body = await packets.read_packet(reader)
        assert first >> 4 == packets.CONNECT
        login = packets.read_connect(body)
        self.logins.append(login)
        await self._tell()
        if not await self._welcome(login, reader, writer):
            return
        client = self._take(login, writer)
        clean = False
        try:
            while not clean:
                first, body = await packets.read_packet(reader)
                clean = first >> 4 == packets.DISCONNECT
                await self._handle(client, first, body)
        finally:
            if self.clients.get(login.client_id) is client:
                del self.clients[login.client_id]
            if login.will_topic and not clean:
                self.deliver(login.will_topic, login.will_payload, retain=login.will_retain)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _welcome(
        self, login: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        how = self.manners.version5 if login.version == 5 else "accept"
        bare = not login.properties and not login.will_topic
        if how == "refuse" or (how == "confused" and bare):
            writer.write(packets.packet(packets.CONNACK, b"\x00\x01"))
            return False
        if how == "close":
            return False
        if how == "late" and not bare:
            await self.go.wait()
        elif how not in ("accept", "late") or not self.manners.connack:
            await reader.read()
            return False
        code = self.manners.connack_code
        properties = b"" if code else self.manners.connack_properties
        writer.write(packets.connack(login.version, code, properties))
        return code == 0

    def _take(self, login: Connect, writer: asyncio.StreamWriter) -> Client:
        if former := self.clients.get(login.client_id):
            former.disconnect(142)
        self.clients[login.client_id] = client = Client(login, writer)
        return client

    async def _handle(self, client: Client, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == packets.PUBLISH:
            await self._on_publish(client, packets.read_publish(first, body, client.version))
        elif kind == packets.SUBSCRIBE:
            self._on_subscribe(client, body)
        elif kind == packets.PINGREQ:
            self.pings += 1
            await self._tell()
            if self.manners.pings:
                client.writer.write(packets.packet(packets.PINGRESP, b""))

    async def _on_publish(self, client: Client, message: Publish) -> None:
        self.published.append(message)
        await self._tell()
        if len(message.payload) > self.manners.close_over_bytes:
            client.disconnect(149)
            return
        code = self.manners.ack_codes.get(message.topic, 0)
        client.owed.append(message.mid)
        if self.manners.ack:
            self.ack(client.login.client_id, 1, code)
        if code < 128:
            self.deliver(message.topic, message.payload, retain=message.retain)

    def _on_subscribe(self, client: Client, body: bytes) -> None:
        wish = packets.read_subscribe(body, client.version)
        codes = [self.manners.suback_codes.get(name, 1) for name in wish.filters]
        client.writer.write(packets.suback(client.version, wish.mid, codes))
        client.filters += wish.filters
        for topic, payload in self.retained.items():
            if any(matches(name, topic) for name in wish.filters):
                raw = packets.publish(client.version, topic.encode(), payload, retain=True)
                client.writer.write(raw)


def matches(name: str, topic: str) -> bool:
    """Whether a topic filter takes a topic."""
    wanted, levels = name.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
