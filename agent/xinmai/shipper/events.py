"""Events as hosts put them into the ring; a host runs vendor code, so nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

from xinmai import clock
from xinmai.wire.messages import EventEntry

_SEVERITIES = {"info", "warning", "error", "critical"}


def read_event(plugin: str, payload: bytes) -> EventEntry:
    """One record of an event lane; what cannot be read becomes an event that says so."""
    try:
        body = msgpack.unpackb(payload, strict_map_key=True)
        return _entry(body)
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException) as error:
        return EventEntry(
            time_ns=clock.wall_ns(),
            hw_id="",
            code="event_unreadable",
            event_class="agent",
            severity="warning",
            action="report this to the plugin's owner",
            message=f"plugin {plugin} sent an event that cannot be read: {error!r}"[:200],
            attributes={"xinmai.plugin": plugin},
        )


def _entry(body: Mapping[str, Any]) -> EventEntry:
    severity = str(body["severity"])
    if severity not in _SEVERITIES:
        raise ValueError(f"severity {severity!r}")
    return EventEntry(
        time_ns=int(body["time_ns"]),
        hw_id=str(body["hw_id"]),
        code=str(body["code"]),
        event_class=str(body["class"]),
        severity=severity,
        action=str(body["action"]),
        message=str(body["message"]),
        attributes={str(k): str(v) for k, v in body["attributes"].items()},
    )
