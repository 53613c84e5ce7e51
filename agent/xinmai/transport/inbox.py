"""What arrived and nobody has read yet."""

from __future__ import annotations

import asyncio
from collections import deque

from xinmai.transport.address import Message

INBOX_MESSAGES = 4096
INBOX_BYTES = 64 * 2**20


class Inbox:
    """Received messages, bounded in number and bytes; what does not fit is dropped and counted."""

    def __init__(self, messages: int = INBOX_MESSAGES, size_bytes: int = INBOX_BYTES) -> None:
        self.dropped = 0
        self._messages: deque[Message] = deque()
        self._limit, self._room_bytes = messages, size_bytes
        self._changed = asyncio.Event()

    def put(self, message: Message) -> None:
        """Take one, or count it as dropped."""
        if len(self._messages) >= self._limit or len(message.payload) > self._room_bytes:
            self.dropped += 1
            return
        self._room_bytes -= len(message.payload)
        self._messages.append(message)
        self.wake()

    def take(self) -> Message | None:
        """The oldest, None when empty."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self._room_bytes += len(message.payload)
        return message

    def wake(self) -> None:
        """Let `changed` return."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait for a message or the end."""
        await self._changed.wait()
        self._changed.clear()
