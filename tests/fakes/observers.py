"""What tests ask of a Transport."""

from __future__ import annotations

import asyncio
from pathlib import Path

from xinmai.transport import Message, Transport


async def first(transport: Transport, count: int = 1, under: str = "") -> list[Message]:
    """The next so many messages.

    Args:
        under: what their topics begin with. amqtt 0.12 gives every new client the retained
            messages of all that anybody subscribed to; the others are passed over.
    """
    taken: list[Message] = []
    async for message in transport.messages():
        if message.topic.startswith(under):
            taken.append(message)
        if len(taken) == count:
            break
    return taken


def open_descriptors() -> int:
    """Of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def other_tasks() -> list[str]:
    """Names of all tasks but the asking one."""
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
