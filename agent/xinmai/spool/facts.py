"""What a spool writes beside a payload: readings by minute, losses the payload carries, meta."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgpack

from xinmai.wire.messages import STREAMS, Loss

_T = TypeVar("_T")
_LIMIT = 2**63
_pack: Callable[[object], bytes] = msgpack.dumps
_unpack: Callable[..., Any] = msgpack.loads

Readings = Sequence[tuple[int, int]]
"""(wall minute, readings)."""


class Facts(NamedTuple):
    """Local facts of one batch; they are not sent."""

    readings: Readings
    carried: tuple[Loss, ...]
    meta: bytes


NOTHING = Facts((), (), b"")


def pack_facts(readings: Readings, carried: Sequence[Loss], meta: bytes) -> bytes:
    """The meta of a BATCH record."""
    return _pack([readings, [_plain(loss) for loss in carried], meta])


def unpack_facts(data: bytes) -> Facts:
    """The inverse; nothing is known where the bytes are of another shape."""
    try:
        readings, carried, meta = _unpack(data, use_list=False)
        pairs = tuple(_pair(item) for item in readings)
        return Facts(pairs, tuple(_loss(item) for item in carried), _of(bytes, meta))
    except (ValueError, TypeError):
        return NOTHING


def pack_losses(losses: Sequence[Loss]) -> bytes:
    """The payload of a LOSS record."""
    return _pack([_plain(loss) for loss in losses])


def unpack_losses(data: bytes) -> list[Loss]:
    """The inverse; nothing where the bytes are of another shape."""
    try:
        return [_loss(item) for item in _unpack(data, use_list=False)]
    except (ValueError, TypeError):
        return []


def sum_readings(parts: Sequence[Readings]) -> tuple[tuple[int, int], ...]:
    """Readings of several records by minute, ascending."""
    total: dict[int, int] = {}
    for part in parts:
        for minute, count in part:
            total[minute] = total.get(minute, 0) + count
    return tuple(sorted(total.items()))


def _plain(loss: Loss) -> list[object]:
    return [loss.stream, loss.queue, loss.first, loss.last, loss.reason, loss.readings]


def _loss(item: Any) -> Loss:
    stream, queue, first, last, reason, readings = item
    if stream not in STREAMS:
        raise ValueError(f"unknown stream {stream!r}")
    pairs = tuple(_pair(pair) for pair in readings)
    ends = _of(int, first), _of(int, last)
    if first > last:
        raise ValueError("a loss that ends before it begins")
    return Loss(stream, _of(str, queue), *ends, _of(str, reason), pairs)


def _pair(item: Any) -> tuple[int, int]:
    minute, count = item
    if not 0 <= minute < _LIMIT or not 0 <= count < _LIMIT:
        raise ValueError("readings out of range")
    return _of(int, minute), _of(int, count)


def _of(kind: type[_T], value: Any) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
