"""Reason codes, and how a connection ends."""

from __future__ import annotations

from dataclasses import dataclass

from xinmai.errors import BrokerRefused, TransportError

UNSUPPORTED_VERSION = 132
TOO_LARGE = 149
_FAILURE = 128

_HINTS = {
    134: "check broker.username and the password file",
    135: "check the broker's ACL and the client's credentials",
    142: "another client has connected with the same id: is a second agent running for this node?",
    149: "a packet was larger than the broker takes",
}
# Codes by which paho says why it closed the connection itself.
LOCAL_ENDS = {
    # mosquitto 2.0.11 gives no reason when it hands the session to another connection.
    128: "closed by the broker or the network (or by a second client of the same id)",
    130: "what came over it is not MQTT",
    141: "no answer within the keepalive",
}


class Disconnected(TransportError):
    """The connection ended.

    Args:
        code: the reason code of the broker's DISCONNECT, None where it sent none.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class NoAnswer(TransportError):
    """The connection stands, but no CONNACK came on it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason code and its name in the specification."""

    code: int
    text: str

    @property
    def refuses(self) -> bool:
        """Whether it means no."""
        return self.code >= _FAILURE

    def refusal(self, topic: str) -> BrokerRefused:
        """As an exception."""
        return BrokerRefused(self.code, topic, self.explained())

    def explained(self) -> str:
        """The name, with what to do where that is known."""
        hint = _HINTS.get(self.code)
        return f"{self.text} ({hint})" if hint else self.text
