"""The few questions `xinmai up` asks its collector over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 30.0


class CollectorApi:
    """Raises OSError when the collector does not answer."""

    def __init__(self, url: str) -> None:
        self.url = url

    def health(self) -> dict[str, Any]:
        """`/api/health`."""
        answer: dict[str, Any] = self._get("/api/health", timeout_s=2.0)
        return answer

    def fleet(self) -> dict[str, Any]:
        """`/api/fleet`."""
        answer: dict[str, Any] = self._get("/api/fleet")
        return answer

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of one SELECT."""
        request = urllib.request.Request(
            f"{self.url}/api/query",
            data=json.dumps({"sql": sql}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            rows: list[dict[str, Any]] = json.load(response)
        return rows

    def _get(self, path: str, timeout_s: float = TIMEOUT_S) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=timeout_s) as response:
            return json.load(response)
