"""What a collector may ask of this node: a capture, where the node allows it (WIRE-60, WIRE-62)."""

from __future__ import annotations

import ipaddress
import logging
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.config import Config
from xinmai.errors import Refused
from xinmai.shipper.identity import Identity
from xinmai.transport import Message
from xinmai.wire.codec import decode_command, encode_reply
from xinmai.wire.limits import MAX_CAUSE_CHARACTERS
from xinmai.wire.messages import Command, Reply

OLDEST_NS: Final = 60 * SECOND_NS
KNOWN_IDS: Final = 1024

log = logging.getLogger("xinmai.shipper")


def commands_allowed(config: Config) -> bool:
    """Whether `cmd` is subscribed to."""
    if config.shipper.commands == "auto":
        return _is_loopback(urlsplit(config.broker.url).hostname or "")
    return config.shipper.commands == "capture"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Commands:
    """Takes each command once, and only while it is young.

    Args:
        capture: begins a capture of (before_ns, after_ns); returns its id, or raises ValueError.
    """

    def __init__(self, identity: Identity, capture: Callable[[int, int], str]) -> None:
        self._identity, self._capture = identity, capture
        self._ids: deque[str] = deque(maxlen=KNOWN_IDS)

    def take(self, message: Message) -> bytes | None:
        """The reply to a command; None where there is none to give: not ours, old, or a repeat.

        Raises:
            Refused: it is no command of this node's.
        """
        command = decode_command(message.payload)
        if (command.edge, command.node) != (self._identity.edge, self._identity.node):
            raise Refused("origin", "node", "not this node's")
        age_ns = clock.wall_ns() - command.time_ns
        if message.retain or abs(age_ns) > OLDEST_NS or command.id in self._ids:
            log.info("command ignored: id=%s age=%.1f s", command.id, age_ns / SECOND_NS)
            return None
        self._ids.append(command.id)
        return encode_reply(self._answer(command))

    def _answer(self, command: Command) -> Reply:
        capture = error = ""
        try:
            capture = self._capture(command.before_ns, command.after_ns)
        except ValueError as refusal:
            error = str(refusal)[:MAX_CAUSE_CHARACTERS]
        return Reply(
            node=self._identity.node,
            edge=self._identity.edge,
            id=command.id,
            ok=not error,
            capture=capture,
            error=error,
            time_ns=clock.wall_ns(),
        )
