"""The plain data of a connection: where to, with which will, what arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from xinmai.errors import Usage

Protocol = Literal["5", "3.1.1"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(slots=True)
class Learned:
    """What a first connection found out, so that later ones need not ask again.

    Args:
        protocol: what the broker has; a caller may store it and bring it back in another process.
    """

    protocol: Protocol | None = None


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where and how to connect.

    Args:
        url: `mqtt://host:1883` or `mqtts://host:8883`.
        protocol: `auto` tries MQTT 5 once and falls back to 3.1.1 where the broker has no 5.
        ca, cert, key: PEM files for mqtts; without `ca` the system's authorities are trusted.
        password: never logged, never printed.
        learned: filled by the first connection with `auto`, shared by all that use this address.

    Raises:
        Usage: the URL is not one of these, or the keepalive is not positive.
    """

    url: str
    protocol: Literal["auto"] | Protocol = "auto"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive_s: int = 30
    learned: Learned = field(default_factory=Learned, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not 1 <= self.keepalive_s <= 65535:
            raise Usage(f"keepalive of {self.keepalive_s} s: allowed are 1 to 65535")

    @property
    def host(self) -> str:
        """Host name or literal address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """As given, else the registered port of the scheme."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Whether the URL asks for TLS."""
        return urlsplit(self.url).scheme == "mqtts"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Usage(f"broker URL {url!r}: {error}") from error
    if parts.username is not None:
        # The URL stands in logs and messages.
        raise Usage("broker URL with a user in it: put name and password into their own keys")
    if not fits or _more_than_host(parts):
        raise Usage(f"broker URL {url!r}: use mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")


def _more_than_host(parts: SplitResult) -> bool:
    return parts.path not in ("", "/") or bool(parts.query) or bool(parts.fragment)


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
