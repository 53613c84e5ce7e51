"""Captures over HTTP, spec 004: the list, one at full rate, its file, and asking a node for one."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, Any, Final

from aiohttp import web

from xinmai.clock import SECOND_NS
from xinmai.collector import captures
from xinmai.collector.answers import (
    BadRequest,
    Busy,
    NotHere,
    integers,
    is_local,
    json_answer,
    needed,
    number,
    only_local,
)
from xinmai.collector.assets import SECURITY_HEADERS
from xinmai.collector.broker import BrokerState
from xinmai.collector.captures import UnknownCapture
from xinmai.collector.commands import CommandFailed, CommandRefused
from xinmai.collector.core import Core
from xinmai.collector.engine import Snapshot
from xinmai.wire.topics import HEX16_PATTERN

MAX_S: Final = 600.0
"""Of a window before or after now; what a node can give is for it to say."""
_CONTENT_TYPES: Final = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}

Read = Callable[[Callable[[Snapshot], Any]], Awaitable[Any]]
"""Runs something that blocks on a snapshot."""


class CaptureRoutes:
    """Handlers of `/api/captures` and `/api/capture`."""

    def __init__(self, core: Core, broker: BrokerState, read: Read) -> None:
        self._core, self._broker, self._read = core, broker, read

    def add(self, router: web.UrlDispatcher) -> None:
        """Put them in place."""
        router.add_get("/api/captures", self._list)
        router.add_get("/api/captures/{id}", self._one)
        router.add_get("/api/captures/{id}/samples", self._samples)
        router.add_get("/api/captures/{id}/file", self._file)
        router.add_post("/api/capture", self._capture)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        limit = number(request, "limit", 100)
        if not 1 <= limit <= captures.MAX_CAPTURES:
            raise BadRequest(f"limit: 1 to {captures.MAX_CAPTURES}")
        edge, node = request.query.get("edge"), request.query.get("node")
        answer = await self._read(lambda held: captures.listed(held, edge, node, limit))
        return json_answer({**answer, "local": is_local(request)})

    async def _one(self, request: web.Request) -> web.StreamResponse:
        return json_answer(await self._of(request, captures.detail))

    async def _samples(self, request: web.Request) -> web.StreamResponse:
        ids = integers(needed(request, "series"), captures.MAX_SERIES, "series")
        return json_answer(
            await self._of(request, lambda held, one: captures.samples(held, one, ids))
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        kind = request.query.get("format", "parquet")
        if kind not in captures.FORMATS:
            raise BadRequest(f"format: one of {', '.join(captures.FORMATS)}")
        capture, file = await self._of(request, partial(_written, kind))
        name = f"capture-{capture['node']}-{capture['id']}.{kind}"
        # aiohttp sends the file from a thread and closes it.
        return web.Response(
            body=file,
            headers={
                "Content-Type": _CONTENT_TYPES[kind],
                "Content-Disposition": f'attachment; filename="{name}"',
                "Cache-Control": "no-store",
                **SECURITY_HEADERS,
            },
        )

    async def _of(
        self, request: web.Request, work: Callable[[Snapshot, dict[str, Any]], Any]
    ) -> Any:
        """Do something with the capture that a request names."""
        capture_id = request.match_info["id"]
        edge, node = request.query.get("edge"), request.query.get("node")
        if not re.fullmatch(HEX16_PATTERN, capture_id):
            raise NotHere("an id of a capture has 16 hex digits")
        try:
            return await self._read(
                lambda held: work(held, captures.find(held, capture_id, edge, node))
            )
        except UnknownCapture as error:
            raise NotHere(str(error)) from None

    async def _capture(self, request: web.Request) -> web.StreamResponse:
        only_local(request)
        edge, node, before_ns, after_ns = _asked(await _json_body(request))
        ledger = self._core.state.ledger.find(edge, node)
        if edge not in self._core.config.edges or ledger is None:
            raise NotHere(f"no node {node} on edge {edge}")
        if edge not in self._broker.protocols:
            raise Busy(f"no connection to the broker {self._broker.url}")
        if ledger.status is not None and not ledger.status.online:
            raise Busy(f"{node} is offline: nobody there takes a command")
        try:
            capture_id = await self._core.commands.capture(
                edge, node, before_ns, after_ns, self._core.wall_ns()
            )
        except CommandRefused as error:
            raise BadRequest(str(error)) from None
        except CommandFailed as error:
            raise Busy(str(error)) from None
        return json_answer({"capture": capture_id})


async def _json_body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequest('the body is a JSON object {"edge", "node", "before_s", "after_s"}')
    return body


def _asked(body: dict[str, Any]) -> tuple[str, str, int, int]:
    edge, node = body.get("edge"), body.get("node")
    if not isinstance(edge, str) or not isinstance(node, str):
        raise BadRequest("edge and node are strings")
    spans_ns = []
    for name in ("before_s", "after_s"):
        seconds = body.get(name, 5)
        if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_S:
            raise BadRequest(f"{name}: 0 to {MAX_S:g} seconds")
        spans_ns.append(round(seconds * SECOND_NS))
    return edge, node, spans_ns[0], spans_ns[1]


def _written(
    kind: str, snapshot: Snapshot, capture: dict[str, Any]
) -> tuple[dict[str, Any], IO[bytes]]:
    """A capture in a file that has no name and goes with its last reader."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - handed on
    try:
        captures.write(snapshot, capture, kind, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return capture, file
