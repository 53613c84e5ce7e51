"""aiomqtt's client with every answer of the broker read; nothing else imports aiomqtt or paho.

aiomqtt 2.5 brings paho onto the event loop. It does not end a waiting publish when the connection
ends (D4), ignores the reason code of PUBACK, keeps the socket of a refused CONNECT open, and takes
the closing of an unanswered one for silence. The overrides below are those four.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from xinmai.errors import TransportError
from xinmai.transport.address import BrokerAddress, Message, Protocol, Will
from xinmai.transport.inbox import Inbox
from xinmai.transport.reasons import LOCAL_ENDS, Disconnected, NoAnswer, Reason

CONNACK_S = 10.0
CLOSE_S = 1.0
WINDOW = 20
"""Our publishes in flight where the broker names no receive maximum."""
PACKET_BYTES = 2**20 + 4096
"""Our largest packet where the broker names none: 1 MiB of payload with topic and margin."""
INCOMING_PACKET_BYTES = 2 * 2**20

_VERSIONS = {"5": aiomqtt.ProtocolVersion.V5, "3.1.1": aiomqtt.ProtocolVersion.V311}
# What paho would log arrives as an exception as well; whoever debugs it lowers the level.
_LOG = logging.getLogger("xinmai.mqtt")
_LOG.setLevel(logging.CRITICAL)

_T = TypeVar("_T")


class Link(aiomqtt.Client):
    """One connection, never opened twice: what it left unacknowledged is forgotten, not resent.

    `gone` holds why the connection ended, once it has.
    """

    def __init__(
        self, address: BrokerAddress, client_id: str, protocol: Protocol, will: Will | None
    ) -> None:
        super().__init__(
            address.host,
            address.port,
            username=address.username or None,
            password=address.password or None,
            logger=_LOG,
            identifier=client_id,
            protocol=_VERSIONS[protocol],
            clean_session=None if protocol == "5" else True,
            will=aiomqtt.Will(will.topic, will.payload, 1, True) if will else None,
            keepalive=address.keepalive_s,
            # The window is kept here, so that paho never holds a message back in a queue (D6).
            max_inflight_messages=0,
        )
        self.protocol: Protocol = protocol
        self.inbox = Inbox()
        self.receive_maximum = WINDOW
        self.maximum_packet_bytes = PACKET_BYTES
        self.gone: asyncio.Future[Disconnected] = self._loop.create_future()
        self._url, self._id, self._leaving = address.url, client_id, False
        self._connack: asyncio.Future[Reason] = self._loop.create_future()
        self._acks: dict[int, asyncio.Future[list[Reason] | None]] = {}
        self._window = asyncio.Semaphore(WINDOW)
        self._disconnected.add_done_callback(self._on_broken_callback)

    async def open(self, sock: socket.socket) -> None:
        """Take over a connected socket and log in on it.

        Raises:
            BrokerRefused: the CONNACK said no.
            NoAnswer: none came.
        """
        # paho has no public way to be given a socket.
        self._client._create_socket = lambda: sock  # type: ignore[method-assign]
        try:
            self._send_connect()
            await asyncio.wait(
                (self._connack, self.gone),
                timeout=CONNACK_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._check_connack()
        except BaseException:
            await self._shut()
            raise

    def _send_connect(self) -> None:
        properties, clean_start = None, paho.MQTT_CLEAN_START_FIRST_ONLY
        if self.protocol == "5":
            clean_start = True
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
            properties.MaximumPacketSize = INCOMING_PACKET_BYTES
        self._client.connect(
            self._hostname,
            self._port,
            self._keepalive,
            clean_start=clean_start,
            properties=properties,
        )

    def _check_connack(self) -> None:
        if not self._connack.done():
            how = "the broker closed the connection" if self.gone.done() else "silence"
            raise NoAnswer(
                f"no answer to the login at {self._url}: {how} (is it an MQTT broker, does it want"
                " a client certificate? for one without MQTT 5 set broker.protocol to 3.1.1)"
            )
        reason = self._connack.result()
        if reason.refuses:
            raise reason.refusal(self._url)

    async def send(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish at QoS 1 as soon as the window allows, and wait for the PUBACK."""
        await self._window.acquire()
        # Acknowledgement frees the slot, not this caller: its message is in flight even when the
        # caller is cancelled.
        try:
            mid = self._hand_over(lambda: self._client.publish(topic, payload, 1, retain), topic)
        except TransportError:
            self._window.release()
            raise
        for reason in await self._acknowledged(mid):
            raise reason.refusal(topic)

    async def ask(self, topics: list[str]) -> None:
        """Subscribe at QoS 1 and wait for the SUBACK."""
        wishes = [(topic, 1) for topic in topics]
        mid = self._hand_over(lambda: self._client.subscribe(wishes), ", ".join(topics))
        reasons = await self._acknowledged(mid)
        if len(reasons) != len(topics):
            raise TransportError(f"{self._url} answered {len(reasons)} of {len(topics)} wishes")
        for topic, reason in zip(topics, reasons, strict=True):
            if reason.refuses:
                raise reason.refusal(topic)

    def _hand_over(
        self, call: Callable[[], Iterable[MQTTErrorCode | int | None]], topic: str
    ) -> int:
        if self.gone.done():
            # paho would keep the message (D3).
            raise self.lost()
        try:
            result, mid = call()
        except ValueError as error:
            raise TransportError(f"{topic!r} cannot be used with {self._url}: {error}") from error
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise TransportError(f"{topic!r} not sent to {self._url}: error {result} of paho")
        return mid

    async def _acknowledged(self, mid: int) -> list[Reason]:
        answer: asyncio.Future[list[Reason] | None] = self._loop.create_future()
        self._acks[mid] = answer
        # Sent at once rather than on the loop's next turn: half the cost of a publish.
        self._client.loop_write()
        reasons = await answer
        if reasons is None:
            raise self.lost()
        return reasons

    def lost(self) -> Disconnected:
        """Why the connection ended, as a fresh exception."""
        end = self.gone.result()
        return Disconnected(str(end), end.code)

    async def close(self) -> None:
        """Say goodbye where there is still someone to say it to, then close the socket."""
        self._leaving = True
        try:
            if not self.gone.done():
                self._client.disconnect()
                self._client.loop_write()
                await asyncio.wait((self.gone,), timeout=CLOSE_S)
        finally:
            await self._shut()

    async def _shut(self) -> None:
        self._abort()
        # aiomqtt starts and stops its keepalive task one turn of the loop late.
        await asyncio.sleep(0)
        if self._misc_task is not None:
            await asyncio.wait((self._misc_task,))

    def _abort(self) -> None:
        """Close the socket at once and forget what was not acknowledged (D3)."""
        self._end(f"connection to {self._url} was closed here")
        # The one public call of paho that closes a socket without a word.
        self._client.reinitialise()

    def _end(self, message: str, code: int | None = None) -> None:
        if self.gone.done():
            return
        self.gone.set_result(Disconnected(message, code))
        self.inbox.wake()
        for answer in self._acks.values():
            _settle(answer, None)
            self._window.release()
        self._acks.clear()

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.receive_maximum = max(1, getattr(properties, "ReceiveMaximum", WINDOW))
        self.maximum_packet_bytes = getattr(properties, "MaximumPacketSize", PACKET_BYTES)
        self._window = asyncio.Semaphore(self.receive_maximum)
        _settle(self._connack, _reason(reason_code))

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        reason = _reason(reason_code)
        if self._leaving:
            self._end(f"connection to {self._url} was closed here")
        elif flags.is_disconnect_packet_from_server:
            self._end(
                f"{self._url} ended the connection of {self._id}:"
                f" reason code {reason.code} {reason.explained()}",
                reason.code,
            )
        else:
            why = LOCAL_ENDS.get(reason.code, reason.text)
            self._end(f"connection of {self._id} to {self._url} lost: {why}")

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        reason = _reason(reason_code)
        if self._on_ack(mid, [reason] if reason.refuses else []):
            self._window.release()

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_codes: list[ReasonCode],
        properties: Properties | None = None,
    ) -> None:
        self._on_ack(mid, [_reason(code) for code in reason_codes])

    def _on_ack(self, mid: int, reasons: list[Reason]) -> bool:
        answer = self._acks.pop(mid, None)
        if answer is None:
            return False
        _settle(answer, reasons)
        return True

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            received = Message(message.topic, bytes(message.payload), message.retain)
        except UnicodeDecodeError:
            self.inbox.dropped += 1
            return
        self.inbox.put(received)

    def _on_socket_register_write(
        self, client: paho.Client, userdata: Any, sock: socket.socket
    ) -> None:
        # aiomqtt defers this by one turn of the loop; the socket may be closed by then and its
        # number belong to another.
        self._loop.add_writer(sock.fileno(), client.loop_write)

    async def _misc_loop(self) -> None:
        # aiomqtt looks every second; a sixth of the keepalive is as safe and lets a node sleep.
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:  # noqa: ASYNC110
            await asyncio.sleep(max(1.0, self._client.keepalive / 6))

    def _on_broken_callback(self, broken: asyncio.Future[None]) -> None:
        """What aiomqtt reports when paho fell over bytes it could not read."""
        if not broken.cancelled() and (error := broken.exception()):
            self._end(f"connection to {self._url} cannot be read: {error!r}")
            self._abort()


def _reason(code: ReasonCode) -> Reason:
    return Reason(int(code.value), str(code))


def _settle(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
