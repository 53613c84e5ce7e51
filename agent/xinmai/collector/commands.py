"""Commands to nodes and what they answer: one capture asked for, one reply awaited."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import Final

from xinmai.errors import XinmaiError
from xinmai.wire.messages import Command, Reply

REPLY_S: Final = 5.0
"""How long a node may take to answer."""
MAX_WAITING: Final = 64


class CommandFailed(XinmaiError):
    """A command that was not carried out; the words are for people."""


class CommandRefused(CommandFailed):
    """The node answered, and said no."""


class Commands:
    """Commands on their way, by edge, and who waits for their replies."""

    def __init__(self, edges: Iterable[str]) -> None:
        self._ready: dict[str, asyncio.Queue[Command]] = {edge: asyncio.Queue() for edge in edges}
        self._waiting: dict[str, tuple[Command, asyncio.Future[Reply]]] = {}

    async def capture(
        self, edge: str, node: str, before_ns: int, after_ns: int, now_ns: int
    ) -> str:
        """Have a node capture around now.

        Args:
            now_ns: wall time; a node does not follow old commands.

        Returns:
            The id of the capture that was begun, or of the one it fell into.

        Raises:
            CommandFailed: it could not be sent, or nobody answered within REPLY_S.
            CommandRefused: the node said no.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise CommandFailed(f"{MAX_WAITING} commands wait for their nodes already: try later")
        number = secrets.token_hex(8)
        command = Command(node, edge, number, "capture", now_ns, before_ns, after_ns)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (command, future)
        self._ready[edge].put_nowait(command)
        try:
            reply = await asyncio.wait_for(future, REPLY_S)
        except TimeoutError:
            raise CommandFailed(
                f"{node} did not answer within {REPLY_S:g} s: is its agent running, and does its "
                "shipper.commands allow capture? (auto: only while its broker is on loopback)"
            ) from None
        finally:
            del self._waiting[number]
        if not reply.ok:
            raise CommandRefused(f"{node} refused: {reply.error or 'it did not say why'}")
        return reply.capture

    async def next(self, edge: str) -> Command:
        """The next command of an edge that somebody still waits for."""
        while True:
            command = await self._ready[edge].get()
            if command.id in self._waiting:
                return command

    def failed(self, command: Command, words: str) -> None:
        """A command could not be sent."""
        _, future = self._waiting.get(command.id, (None, None))
        if future is not None and not future.done():
            future.set_exception(CommandFailed(words))

    def answered(self, reply: Reply) -> None:
        """A node's reply; one that nobody waits for, or of another node, is nothing."""
        command, future = self._waiting.get(reply.id, (None, None))
        if command is None or future is None or future.done():
            return
        if (command.edge, command.node) == (reply.edge, reply.node):
            future.set_result(reply)
