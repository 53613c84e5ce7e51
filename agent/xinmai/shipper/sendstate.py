"""What `status` and the shipper's own series tell of sending."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SendState:
    """Counters since the shipper's start; `error` is what keeps it from sending now."""

    connected: bool = False
    protocol: str = ""
    url: str = ""
    connects: int = 0
    messages: int = 0
    bytes: int = 0
    resent: int = 0
    refused: int = 0
    unstored_bytes: int = 0
    collector: str = ""
    error: str = ""
