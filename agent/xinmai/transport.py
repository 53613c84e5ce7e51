"""MQTT behind one door: the only module that imports aiomqtt or paho.

A Transport is one connection. It reads every reason code, checks sizes before publishing, and ends
with TransportError when the connection does; who reconnects, and when, is the caller's business
(`Backoff`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where and how to connect.

    Args:
        url: `mqtt://host:1883` or `mqtts://host:8883`.
        protocol: `auto` tries MQTT 5 once and falls back to 3.1.1 where the broker has no 5.
        ca, cert, key: PEM files for mqtts.
        password: never logged, never printed.
    """

    url: str
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    username: str = ""
    password: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive_s: int = 30


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One received message."""

    topic: str
    payload: bytes
    retain: bool


class Transport:
    """One connection, as an async context manager.

    Raises:
        TransportError: cannot connect, or the connection ended.
        BrokerRefused: CONNACK, SUBACK or PUBACK with a reason code of 128 and above.
    """

    def __init__(self, address: BrokerAddress, client_id: str, *, will: Will | None = None) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """What was agreed."""
        raise NotImplementedError

    @property
    def receive_maximum(self) -> int:
        """Publishes the broker takes in flight; ours must not be more."""
        raise NotImplementedError

    @property
    def maximum_packet_bytes(self) -> int:
        """Largest packet the broker takes (CONNACK, else our own limit)."""
        raise NotImplementedError

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the PUBACK; no timeout: ends by ack or disconnect.

        Raises:
            BrokerRefused: the PUBACK said no; code 149 without sending when the packet is too big.
            TransportError: the connection ended first; the message may or may not have arrived.
        """
        raise NotImplementedError

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1 and wait for the SUBACK."""
        raise NotImplementedError

    def messages(self) -> AsyncIterator[Message]:
        """Received messages until the connection ends (TransportError).

        The queue is bounded; what does not fit is dropped and counted in `dropped`: senders keep
        what is not stored.
        """
        raise NotImplementedError

    @property
    def dropped(self) -> int:
        """Received messages that did not fit the queue."""
        raise NotImplementedError


class Backoff:
    """Full jitter from the first attempt on (D9).

    Args:
        base_s, cap_s: the n-th delay is uniform in [0, min(cap, base × 2^n)].
        spread_s: window of the very first delay, so that a fleet does not return at once.
    """

    def __init__(self, base_s: float = 1.0, cap_s: float = 60.0, spread_s: float = 1.0) -> None:
        raise NotImplementedError

    def delay_s(self) -> float:
        """The next delay."""
        raise NotImplementedError

    def stable(self) -> None:
        """The connection has held for a while: start over."""
        raise NotImplementedError
