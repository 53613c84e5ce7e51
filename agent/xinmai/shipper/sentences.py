"""State changes are said once, not once per attempt."""

from __future__ import annotations

import logging


class Sentences:
    """Says each thing once until `forget`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[str] = set()

    def once(self, level: int, what: str, *arguments: object, key: str = "") -> None:
        """Log it, unless it or something else under the same key was said before."""
        key = key or what % arguments
        if key not in self._said:
            self._said.add(key)
            self._log.log(level, what, *arguments)

    def forget(self) -> None:
        """Things have been well for a while: what happens now is news."""
        self._said.clear()
