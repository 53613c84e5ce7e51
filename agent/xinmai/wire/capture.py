"""Captures and clock steps within a batch; commands and their replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xinmai.clock import ClockStep
from xinmai.wire.fields import COUNT, HEX16, INT64, NAME, V, decode_body, fields_of
from xinmai.wire.limits import MAX_CAUSE_CHARACTERS, MAX_STEPS, pack_body, refused
from xinmai.wire.messages import VERSION, Capture, Command, Reply
from xinmai.wire.shape import (
    Check,
    Fields,
    flag,
    integer,
    listing,
    matching,
    one_of,
    record,
    short_text,
    text,
)
from xinmai.wire.topics import HEX16_PATTERN

_CAUSE: Final = short_text(MAX_CAUSE_CHARACTERS)
_CAPTURE: Final[Mapping[str, Check[Any]]] = {
    "id": HEX16,
    "trigger": one_of("event", "threshold", "rate", "lost", "command"),
    "cause": _CAUSE,
    "hw_id": text,
    "metric": text,
    "at_ns": INT64,
    "from_ns": INT64,
    "to_ns": INT64,
    "part": integer(1),
    "last": flag,
    "merged": COUNT,
}
_capture_record: Final = record(_CAPTURE)


def capture_map(capture: Capture) -> Fields:
    """The key `capture` of a batch."""
    return fields_of(capture, _CAPTURE)


def capture_of(value: Any) -> Capture:
    """The inverse; raises Refused."""
    fields = _capture_record(value)
    if fields["from_ns"] > fields["to_ns"]:
        raise refused("value", "to_ns", "before from_ns")
    return Capture(**fields)


_step_rows: Final = listing(
    record({"mono_ns": INT64, "real_before_ns": INT64, "boot_before_ns": INT64}), MAX_STEPS
)


def step_map(step: ClockStep) -> Fields:
    """One entry of the key `steps` of a batch."""
    return {
        "mono_ns": step.mono_ns,
        "real_before_ns": step.real_ns,
        "boot_before_ns": step.boot_ns,
    }


def steps_of(value: Any) -> tuple[ClockStep, ...]:
    """The inverse; raises Refused."""
    steps = tuple(
        ClockStep(step["mono_ns"], step["real_before_ns"], step["boot_before_ns"])
        for step in _step_rows(value)
    )
    for index, step in enumerate(steps[1:], 1):
        if step.mono_ns <= steps[index - 1].mono_ns:
            raise refused("value", f"[{index}]", "steps do not ascend")
    return steps


_COMMAND: Final[Mapping[str, Check[Any]]] = {
    "node": NAME,
    "edge": NAME,
    "id": HEX16,
    "command": one_of("capture"),
    "time_ns": INT64,
    "before_ns": COUNT,
    "after_ns": COUNT,
}
_command_record: Final = record({"v": V, **_COMMAND})


def encode_command(command: Command) -> bytes:
    """A `cmd` body."""
    return pack_body({"v": VERSION, **fields_of(command, _COMMAND)})


def decode_command(data: bytes) -> Command:
    """The inverse; raises Refused."""
    return Command(**decode_body(data, _command_record))


_REPLY: Final[Mapping[str, Check[Any]]] = {
    "node": NAME,
    "edge": NAME,
    "id": HEX16,
    "ok": flag,
    "capture": matching(f"({HEX16_PATTERN})?", "16 lower-case hex digits or empty"),
    "error": _CAUSE,
    "time_ns": INT64,
}
_reply_record: Final = record({"v": V, **_REPLY})


def encode_reply(reply: Reply) -> bytes:
    """A `reply` body."""
    return pack_body({"v": VERSION, **fields_of(reply, _REPLY)})


def decode_reply(data: bytes) -> Reply:
    """The inverse; raises Refused."""
    return Reply(**decode_body(data, _reply_record))
