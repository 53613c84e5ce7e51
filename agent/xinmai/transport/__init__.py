"""MQTT behind one door: `transport.link` is the only module that imports aiomqtt or paho.

A Transport is one connection. It reads every reason code, checks sizes before publishing, and ends
with TransportError when the connection does; who reconnects, and when, is the caller's business
(`Backoff`).
"""

from __future__ import annotations

from xinmai.transport.address import BrokerAddress, Learned, Message, Protocol, Will
from xinmai.transport.backoff import Backoff
from xinmai.transport.connection import Transport
from xinmai.transport.reasons import Disconnected

__all__ = [
    "Backoff",
    "BrokerAddress",
    "Disconnected",
    "Learned",
    "Message",
    "Protocol",
    "Transport",
    "Will",
]
