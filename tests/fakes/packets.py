"""The few MQTT packets that the fake broker reads and writes."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14


@dataclass(frozen=True, slots=True)
class Connect:
    """A client's login."""

    version: int
    clean: bool
    keepalive_s: int
    properties: bytes
    client_id: str
    will_topic: str
    will_payload: bytes
    will_qos: int
    will_retain: bool
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Publish:
    """A client's message."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A client's wish."""

    mid: int
    filters: tuple[str, ...]


class Cursor:
    """Takes a packet's body apart."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, size: int) -> bytes:
        self._at += size
        return self._body[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        return self.binary().decode()

    def properties(self, version: int) -> bytes:
        """Raw; the tests' properties are shorter than 128 bytes."""
        return self.take(self.number(1)) if version == 5 else b""

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """First byte and body.

    Raises:
        EOFError: the client is gone.
    """
    (first,) = await reader.readexactly(1)
    size, shift = 0, 0
    while True:
        (byte,) = await reader.readexactly(1)
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first, await reader.readexactly(size)


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    size, length = len(body), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([kind << 4 | flags, *length, size]) + body


def read_connect(body: bytes) -> Connect:
    cursor = Cursor(body)
    assert cursor.text() == "MQTT"
    version, flags, keepalive_s = cursor.number(1), cursor.number(1), cursor.number(2)
    properties, client_id = cursor.properties(version), cursor.text()
    will_topic, will_payload = "", b""
    if flags & 4:
        cursor.properties(version)
        will_topic, will_payload = cursor.text(), cursor.binary()
    return Connect(
        version,
        bool(flags & 2),
        keepalive_s,
        properties,
        client_id,
        will_topic,
        will_payload,
        flags >> 3 & 3,
        bool(flags & 32),
        cursor.text() if flags & 128 else "",
        cursor.text() if flags & 64 else "",
    )


def read_publish(first: int, body: bytes, version: int) -> Publish:
    cursor = Cursor(body)
    topic, qos = cursor.text(), first >> 1 & 3
    mid = cursor.number(2) if qos else 0
    cursor.properties(version)
    return Publish(topic, cursor.rest(), qos, bool(first & 1), bool(first & 8), mid)


def read_subscribe(body: bytes, version: int) -> Subscribe:
    cursor = Cursor(body)
    mid, filters = cursor.number(2), []
    cursor.properties(version)
    while name := cursor.text():
        filters.append(name)
        cursor.number(1)
    return Subscribe(mid, tuple(filters))


def connack(version: int, code: int, properties: bytes) -> bytes:
    extra = bytes([len(properties)]) + properties if version == 5 else b""
    return packet(CONNACK, bytes([0, code]) + extra)


def puback(version: int, mid: int, code: int) -> bytes:
    reason = bytes([code]) if version == 5 and code else b""
    return packet(PUBACK, struct.pack("!H", mid) + reason)


def suback(version: int, mid: int, codes: list[int]) -> bytes:
    return packet(SUBACK, struct.pack("!H", mid) + (b"\0" if version == 5 else b"") + bytes(codes))


def publish(version: int, topic: bytes, payload: bytes, *, retain: bool = False) -> bytes:
    """At QoS 0: the fake broker keeps no acknowledgements of its own."""
    body = struct.pack("!H", len(topic)) + topic + (b"\0" if version == 5 else b"") + payload
    return packet(PUBLISH, body, int(retain))


def receive_maximum(count: int) -> bytes:
    return struct.pack("!BH", 0x21, count)


def maximum_packet_size(size: int) -> bytes:
    return struct.pack("!BI", 0x27, size)
