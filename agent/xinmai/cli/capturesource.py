"""Where `xinmai capture` finds captures: the collector that runs on a store, else its files."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any, Final, Protocol

from xinmai.collector import captures
from xinmai.collector.captures import UnknownCapture
from xinmai.collector.query import read_snapshot, running_url
from xinmai.errors import Usage, XinmaiError

TIMEOUT_S: Final = 40.0
FILE_TIMEOUT_S: Final = 240.0
"""A file is written before its first byte is sent: some seconds for each million readings."""
_NONE: Final = 404


class Source(Protocol):
    """Captures of one store."""

    def listed(self, edge: str | None, node: str | None) -> list[dict[str, Any]]:
        """Captures, newest first."""

    def detail(self, capture_id: str, edge: str | None, node: str | None) -> dict[str, Any] | None:
        """A capture and its series; None when it is not there."""

    def write(self, capture: dict[str, Any], kind: str, out: IO[bytes]) -> None:
        """Write a capture's readings."""


def source_of(store_dir: Path) -> Source:
    """Whoever can tell of a store's captures.

    Raises:
        Usage: there is no store.
    """
    url = running_url(store_dir)
    if url is not None:
        return Running(url)
    if not store_dir.is_dir():
        raise Usage(f"there is no store at {store_dir}: set collector.store_dir, or use --store")
    return Files(store_dir)


def running(store_dir: Path) -> Running:
    """The collector that runs on a store.

    Raises:
        XinmaiError: none does.
    """
    url = running_url(store_dir)
    if url is None:
        raise XinmaiError(
            f"no collector runs on the store {store_dir}, and only one can ask a node: "
            "start xinmai up or xinmai collector, or name its store with --store"
        )
    return Running(url)


class Files:
    """The files and the log of a store, as they are now."""

    def __init__(self, store_dir: Path) -> None:
        self._snapshot = read_snapshot(store_dir)

    def listed(self, edge: str | None, node: str | None) -> list[dict[str, Any]]:
        """Captures, newest first."""
        found = captures.listed(self._snapshot, edge, node, captures.MAX_CAPTURES)
        held: list[dict[str, Any]] = found["captures"]
        return held

    def detail(self, capture_id: str, edge: str | None, node: str | None) -> dict[str, Any] | None:
        """A capture and its series; None when it is not there."""
        try:
            found = captures.find(self._snapshot, capture_id, edge, node)
        except UnknownCapture:
            return None
        return captures.detail(self._snapshot, found)

    def write(self, capture: dict[str, Any], kind: str, out: IO[bytes]) -> None:
        """Write a capture's readings."""
        captures.write(self._snapshot, capture, kind, out)


class Running:
    """A collector over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def listed(self, edge: str | None, node: str | None) -> list[dict[str, Any]]:
        """Captures, newest first."""
        limit = captures.MAX_CAPTURES
        answer = self._json("/api/captures", edge=edge, node=node, limit=str(limit))
        held: list[dict[str, Any]] = answer["captures"]
        return held

    def detail(self, capture_id: str, edge: str | None, node: str | None) -> dict[str, Any] | None:
        """A capture and its series; None when it is not there (yet)."""
        path = f"/api/captures/{urllib.parse.quote(capture_id, safe='')}"
        found: dict[str, Any] | None = self._json(path, missing=True, edge=edge, node=node)
        return found

    def write(self, capture: dict[str, Any], kind: str, out: IO[bytes]) -> None:
        """Write a capture's readings."""
        place = {"edge": capture["edge"], "node": capture["node"], "format": kind}
        query = urllib.parse.urlencode(place)
        path = f"/api/captures/{capture['id']}/file?{query}"
        with self._open(path, timeout_s=FILE_TIMEOUT_S) as response:
            shutil.copyfileobj(response, out)

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that the collector knows."""
        found: list[dict[str, Any]] = self._json("/api/fleet")["nodes"]
        return found

    def capture(self, edge: str, node: str, before_s: float, after_s: float) -> str:
        """Have a node capture; returns the id.

        Raises:
            XinmaiError: the node or the collector said no, in their words.
        """
        body = {"edge": edge, "node": node, "before_s": before_s, "after_s": after_s}
        with self._open("/api/capture", json.dumps(body).encode()) as response:
            return str(json.load(response)["capture"])

    def _json(self, path: str, *, missing: bool = False, **parameters: str | None) -> Any:
        given = {name: value for name, value in parameters.items() if value is not None}
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        try:
            with self._open(path + query) as response:
                return json.load(response)
        except _NotThere:
            if missing:
                return None
            raise

    def _open(self, path: str, body: bytes | None = None, timeout_s: float = TIMEOUT_S) -> Any:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self._url + path, data=body, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                words = _words(error.read(), error.code)
            raise (_NotThere if error.code == _NONE else XinmaiError)(words) from None
        except OSError as error:
            raise XinmaiError(f"the collector at {self._url} does not answer: {error}") from None


class _NotThere(XinmaiError):
    """The collector has no such thing."""


def _words(body: bytes, code: int) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the collector answered {code}"
