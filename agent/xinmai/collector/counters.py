"""What the collector counts of itself, and what it says once instead of each time."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

log = logging.getLogger(__name__)

MAX_SENDERS: Final = 4096
_OTHERS: Final = ("", "")


class Counters:
    """Refusals by sender and reason, and the rest by name; bounded whatever senders do."""

    def __init__(self) -> None:
        self.refused: Counter[tuple[str, str, str]] = Counter()
        self.totals: Counter[str] = Counter()
        self._senders: set[tuple[str, str]] = set()
        self._said: set[tuple[str, str, str]] = set()

    def refuse(self, edge: str, node: str, reason: str, detail: str) -> None:
        """Count a refused message; the first of each sender and reason is logged."""
        sender = self._sender(edge, node)
        self.refused[(*sender, reason)] += 1
        self.once(*sender, f"refused {reason}", detail)

    def once(self, edge: str, node: str, what: str, detail: str) -> None:
        """Log something the first time it happens to a sender."""
        key = (*self._sender(edge, node), what)
        if key not in self._said:
            self._said.add(key)
            log.warning("%s: edge=%s node=%s detail=%s", what, edge, node, detail[:200])

    def _sender(self, edge: str, node: str) -> tuple[str, str]:
        sender = (edge, node)
        if sender not in self._senders:
            if len(self._senders) >= MAX_SENDERS:
                return _OTHERS
            self._senders.add(sender)
        return sender
