"""Events as hosts put them into the ring, and the shipper's own.

A host runs vendor code, so nothing that it sends is taken on trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

from xinmai import clock
from xinmai.wire.limits import INT64_MAX, INT64_MIN
from xinmai.wire.messages import EventEntry

PAYLOAD_BYTES = 16 * 2**10
"""No event is longer: a batch of one always fits."""
TEXT_CHARS = 4096
_SEVERITIES = {"info", "warning", "error", "critical"}


def read_event(plugin: str, payload: bytes) -> EventEntry:
    """One record of an event lane; what cannot be read becomes an event that says so."""
    if len(payload) > PAYLOAD_BYTES:
        return unreadable(plugin, f"{len(payload)} bytes, at most {PAYLOAD_BYTES}")
    try:
        return _entry(msgpack.unpackb(payload, strict_map_key=True))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        msgpack.exceptions.UnpackException,
    ) as error:
        # Without its text, which may quote what could not be read.
        return unreadable(plugin, type(error).__name__)


def _entry(body: Mapping[str, Any]) -> EventEntry:
    severity, time_ns = str(body["severity"]), int(body["time_ns"])
    if severity not in _SEVERITIES:
        raise ValueError(f"severity {severity!r}")
    if not INT64_MIN <= time_ns <= INT64_MAX:
        raise OverflowError(f"time {time_ns}")
    return EventEntry(
        time_ns=time_ns,
        hw_id=_text(body["hw_id"]),
        code=_text(body["code"]),
        event_class=_text(body["class"]),
        severity=severity,
        action=_text(body["action"]),
        message=_text(body["message"]),
        attributes={_text(k): _text(v) for k, v in body["attributes"].items()},
    )


def _text(value: object) -> str:
    return str(value)[:TEXT_CHARS]


def unreadable(plugin: str, why: str) -> EventEntry:
    """A record that is no event."""
    return _own(
        plugin,
        "event_unreadable",
        "warning",
        f"plugin {plugin} sent an event that cannot be read: {why}",
        "report this to the plugin's owner",
    )


def events_lost(plugin: str, count: int) -> EventEntry:
    """Events that were overwritten before they were read."""
    return _own(
        plugin,
        "events_lost",
        "warning",
        f"plugin {plugin}: {count} events were overwritten before they were read",
        "",
    )


def ring_dropped(plugin: str, why: str) -> EventEntry:
    """A ring that cannot be read any more."""
    return _own(
        plugin,
        "ring_damaged",
        "error",
        f"plugin {plugin}: its ring is damaged and was dropped: {why}",
        "report this to the plugin's owner",
    )


def captures_suppressed(counts: Mapping[str, int], per_hour: int) -> EventEntry:
    """Triggers that began no capture, by kind."""
    kinds = ", ".join(f"{count} {trigger}" for trigger, count in sorted(counts.items()))
    return _own(
        "",
        "captures_suppressed",
        "warning",
        f"triggers that began no capture: {kinds}; {per_hour} captures an hour are allowed",
        "look at what triggers; capture.per_hour allows more",
    )


def _own(plugin: str, code: str, severity: str, message: str, action: str) -> EventEntry:
    return EventEntry(
        time_ns=clock.wall_ns(),
        hw_id="",
        code=code,
        event_class="agent",
        severity=severity,
        action=action,
        message=message,
        attributes={"xinmai.plugin": plugin} if plugin else {},
    )
