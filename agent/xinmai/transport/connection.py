"""One connection to a broker, as the rest of the project sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from xinmai.errors import BrokerRefused, TransportError
from xinmai.transport.address import BrokerAddress, Message, Protocol, Will
from xinmai.transport.dial import dial, lacks_version_5
from xinmai.transport.link import Link
from xinmai.transport.reasons import TOO_LARGE, UNSUPPORTED_VERSION, NoAnswer

PATIENCE_S = 1.0
"""How long a CONNECT 5 may stay unanswered before the broker is asked what it speaks."""
SIZE_MARGIN_BYTES = 1024
# Fixed header, topic length, packet id, empty properties.
_OVERHEAD_BYTES = 5 + 2 + 2 + 1


class Transport:
    """One connection, as an async context manager; enter it once.

    Raises:
        TransportError: cannot connect, or the connection ended (`Disconnected`, with the broker's
            reason code where it sent one).
        BrokerRefused: CONNACK, SUBACK or PUBACK with a reason code of 128 and above.
    """

    def __init__(self, address: BrokerAddress, client_id: str, *, will: Will | None = None) -> None:
        self._address, self._client_id, self._will = address, client_id, will
        self._link: Link | None = None

    async def __aenter__(self) -> Self:
        if self._link is not None:
            raise TransportError(f"{self._address.url}: a Transport connects once; make a new one")
        self._link = await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open_link().close()

    @property
    def protocol(self) -> Protocol:
        """What was agreed."""
        return self._open_link().protocol

    @property
    def receive_maximum(self) -> int:
        """Publishes the broker takes in flight; more wait here for their turn."""
        return self._open_link().receive_maximum

    @property
    def maximum_packet_bytes(self) -> int:
        """Largest packet the broker takes (CONNACK, else our own limit)."""
        return self._open_link().maximum_packet_bytes

    @property
    def dropped(self) -> int:
        """Received messages that did not fit the queue."""
        return self._open_link().inbox.dropped

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the PUBACK; no timeout: ends by ack or disconnect.

        Raises:
            BrokerRefused: the PUBACK said no; code 149 without sending when the packet is too big.
            TransportError: the connection ended first; the message may or may not have arrived.
        """
        link = self._open_link()
        size_bytes = len(topic.encode()) + len(payload) + _OVERHEAD_BYTES + SIZE_MARGIN_BYTES
        if size_bytes > link.maximum_packet_bytes:
            raise BrokerRefused(
                TOO_LARGE,
                topic,
                f"not sent: {len(payload)} bytes of payload with margin make {size_bytes},"
                f" the broker takes {link.maximum_packet_bytes}",
            )
        await link.send(topic, payload, retain=retain)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1 and wait for the SUBACK."""
        if topics:
            await self._open_link().ask(list(topics))

    async def messages(self) -> AsyncIterator[Message]:
        """Received messages, for one reader, until the connection ends (TransportError).

        The queue is bounded; what does not fit is dropped and counted in `dropped`: senders keep
        what is not stored.
        """
        link = self._open_link()
        while True:
            while message := link.inbox.take():
                yield message
            if link.gone.done():
                raise link.lost()
            await link.inbox.changed()

    def _open_link(self) -> Link:
        if self._link is None:
            raise TransportError(f"{self._address.url}: not connected yet (use `async with`)")
        return self._link

    async def _connect(self) -> Link:
        wanted, learned = self._address.protocol, self._address.learned
        if wanted != "auto":
            return await self._open(wanted)
        try:
            link = await (self._open(learned.protocol) if learned.protocol else self._negotiate())
        except (BrokerRefused, NoAnswer):
            # Perhaps another broker stands there now: the next attempt asks anew.
            learned.protocol = None
            raise
        learned.protocol = link.protocol
        return link

    async def _negotiate(self) -> Link:
        """MQTT 5, unless the broker says in so many words that it has none."""
        attempt = asyncio.create_task(self._open("5"), name="mqtt-connect-5")
        try:
            await asyncio.wait({attempt}, timeout=PATIENCE_S)
            if not await self._lacks_5(attempt):
                return await attempt
            await _discard(attempt)
            return await self._open("3.1.1")
        except BaseException:
            await _discard(attempt)
            raise

    async def _lacks_5(self, attempt: asyncio.Task[Link]) -> bool:
        if attempt.done():
            error = attempt.exception()
            if isinstance(error, BrokerRefused):
                return error.code == UNSUPPORTED_VERSION
            if not isinstance(error, NoAnswer):
                return False
        return await lacks_version_5(self._address)

    async def _open(self, protocol: Protocol) -> Link:
        sock = await dial(self._address)
        try:
            link = Link(self._address, self._client_id, protocol, self._will)
        except BaseException:
            sock.close()
            raise
        await link.open(sock)
        return link


async def _discard(attempt: asyncio.Task[Link]) -> None:
    attempt.cancel()
    await asyncio.wait({attempt})
    if not attempt.cancelled() and attempt.exception() is None:
        await attempt.result().close()
