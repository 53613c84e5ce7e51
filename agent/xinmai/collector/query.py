"""SQL over a store, whether a collector runs on it or not."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from xinmai.collector.engine import TIMEOUT_S, QueryError, Snapshot, engine, select
from xinmai.collector.sets import list_sets
from xinmai.collector.state import State, replay
from xinmai.collector.store import Layout
from xinmai.errors import Usage

__all__ = ["QueryError", "query", "query_store", "read_snapshot", "running_url"]

_ATTEMPTS: Final = 5


def query(store_dir: Path, sql: str) -> list[dict[str, Any]]:
    """Run one SELECT: by the collector that runs on the store, else on its files and its log.

    Raises:
        QueryError: the engine says no, in its own words.
        Usage: not one SELECT, or there is no store.
    """
    url = running_url(store_dir)
    if url is not None:
        answer = _ask(url, sql)
        if answer is not None:
            return answer
    return query_store(store_dir, sql)


def query_store(store_dir: Path, sql: str) -> list[dict[str, Any]]:
    """Run one SELECT on the files and the log of a store; writes nothing.

    Raises:
        QueryError: the engine says no, in its own words.
        Usage: not one SELECT, or there is no store.
    """
    if not store_dir.is_dir():
        raise Usage(f"there is no store at {store_dir}: set collector.store_dir")
    with engine(read_snapshot(store_dir)) as connection:
        return select(connection, sql)


def read_snapshot(store_dir: Path) -> Snapshot:
    """What a store holds now, also while a collector writes it.

    A segment sealed while the log is read is seen by its new set; then all is read again.
    """
    layout = Layout(store_dir)
    for _ in range(_ATTEMPTS):
        before, _, _ = list_sets(layout.data)
        state = State(layout)
        replay(layout, before, state)
        after, _, _ = list_sets(layout.data)
        if [one.path for one in before] == [one.path for one in after]:
            break
    return state.snapshot(before)


def running_url(store_dir: Path) -> str | None:
    """Address of the collector that runs on a store, if its process is alive."""
    try:
        said = json.loads(Layout(store_dir).address.read_text("utf-8"))
        url, pid = str(said["url"]), int(said["pid"])
        os.kill(pid, 0)
    except PermissionError:
        return url
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return url


def _ask(url: str, sql: str) -> list[dict[str, Any]] | None:
    """The collector's answer; None when it does not answer."""
    body = json.dumps({"sql": sql}).encode()
    request = urllib.request.Request(
        f"{url}/api/query", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S + 5) as response:
            rows: list[dict[str, Any]] = json.load(response)
            return rows
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 400:
                raise QueryError(_words(error.read())) from None
        return None
    except OSError:
        return None


def _words(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "the collector refused the query"
