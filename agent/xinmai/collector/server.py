"""The collector's HTTP face, spec 004: it reads and does nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from aiohttp import web

from xinmai import __version__
from xinmai.collector import fleet, history, metrics
from xinmai.collector.answers import (
    BadRequest,
    Busy,
    NotHere,
    answers,
    body_answer,
    dump,
    file_answer,
    integers,
    json_answer,
    needed,
    number,
    only_local,
)
from xinmai.collector.assets import SECURITY_HEADERS
from xinmai.collector.broker import BrokerState
from xinmai.collector.captureroutes import CaptureRoutes
from xinmai.collector.core import Core
from xinmai.collector.engine import Snapshot, engine, select
from xinmai.collector.live import Watcher
from xinmai.collector.plain import exact

log = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
MAX_IDS: Final = 256
MAX_WATCHERS: Final = 256
MAX_WAITING: Final = 32
QUERIES: Final = 2
"""At a time; each may take 512 MB and 30 s."""


class Server:
    """Handlers and the threads that queries run in."""

    def __init__(self, core: Core, broker: BrokerState, log_bytes: Callable[[], int]) -> None:
        self._core, self._broker, self._log_bytes = core, broker, log_bytes
        self._threads = ThreadPoolExecutor(QUERIES, thread_name_prefix="query")
        self._waiting = 0
        self._stopping = False

    def stop(self) -> None:
        """End live streams, so that the server can."""
        self._stopping = True
        self._core.state.live.wake()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[answers], client_max_size=128 * 1024)
        get = app.router.add_get
        get("/", self._page)
        get("/web/{name}", self._web)
        get("/api/health", self._health)
        get("/api/fleet", self._fleet)
        get("/api/series", self._series)
        get("/api/samples", self._samples)
        get("/api/live", self._live)
        get("/api/events", self._events)
        get("/api/account", self._account)
        app.router.add_post("/api/query", self._query)
        CaptureRoutes(self._core, self._broker, self._read).add(app.router)
        get("/metrics", self._metrics)
        return app

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return file_answer("index.html")

    async def _web(self, request: web.Request) -> web.StreamResponse:
        return file_answer(request.match_info["name"])

    async def _health(self, request: web.Request) -> web.StreamResponse:
        core = self._core
        return json_answer(
            {
                "ok": not core.trouble(),
                "collector": core.collector,
                "session": exact(core.session),
                "version": __version__,
                "edges": list(core.config.edges),
                "broker": self._broker.to_json(len(core.config.edges)),
                "log_bytes": self._log_bytes(),
                "sealed_segments": len(core.store.sets),
            }
        )

    async def _fleet(self, request: web.Request) -> web.StreamResponse:
        return json_answer(fleet.fleet(self._core))

    async def _series(self, request: web.Request) -> web.StreamResponse:
        edge, node = needed(request, "edge"), needed(request, "node")
        if self._core.state.ledger.find(edge, node) is None:
            raise NotHere(f"no node {node} on edge {edge}")
        return json_answer(fleet.series_list(self._core, edge, node, request.query.get("hw_id")))

    async def _samples(self, request: web.Request) -> web.StreamResponse:
        meta = self._core.state.series.find(number(request, "id", None))
        if meta is None:
            raise NotHere("no series of this id")
        now_ms = self._core.wall_ns() // 10**6
        to_ms = number(request, "to_ms", now_ms + 1)
        from_ms = number(request, "from_ms", to_ms - 300_000)
        points = number(request, "points", 600)
        if not 1 <= points <= history.MAX_POINTS or not -(2**42) < from_ms < to_ms < 2**42:
            raise BadRequest(f"points: 1 to {history.MAX_POINTS}; from_ms before to_ms")
        return json_answer(await self._read(partial(_samples, meta, from_ms, to_ms, points)))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        limit = number(request, "limit", 200)
        if not 1 <= limit <= history.MAX_EVENTS:
            raise BadRequest(f"limit: 1 to {history.MAX_EVENTS}")
        return json_answer(await self._read(lambda snapshot: history.events(snapshot, limit)))

    async def _account(self, request: web.Request) -> web.StreamResponse:
        minutes = number(request, "minutes", 60)
        if not 1 <= minutes <= history.MAX_MINUTES:
            raise BadRequest(f"minutes: 1 to {history.MAX_MINUTES}")
        edge, node = request.query.get("edge"), request.query.get("node")
        now_ns = self._core.wall_ns()
        return json_answer(
            await self._read(
                lambda snapshot: history.account(snapshot, edge, node, minutes, now_ns)
            )
        )

    async def _query(self, request: web.Request) -> web.StreamResponse:
        only_local(request)
        try:
            body = await request.json()
            sql = body["sql"]
        except (ValueError, KeyError, TypeError):
            raise BadRequest('the body is a JSON object {"sql": "SELECT ..."}') from None
        if not isinstance(sql, str):
            raise BadRequest("sql is a string")
        return body_answer(await self._read(partial(_select, sql)))

    async def _read(self, work: Callable[[Snapshot], Any]) -> Any:
        """Run something that blocks on a snapshot, in one of the query threads."""
        if self._waiting >= MAX_WAITING:
            raise Busy("too many queries at once")
        self._waiting += 1
        try:
            snapshot = self._core.snapshot()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, snapshot)
        finally:
            self._waiting -= 1

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        text = metrics.text(self._core, self._broker.dropped, self._log_bytes())
        return web.Response(text=text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        ids = integers(needed(request, "ids"), MAX_IDS, "ids")
        live = self._core.state.live
        if live.watchers() >= MAX_WATCHERS:
            raise Busy("too many live streams")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        response.headers.update(SECURITY_HEADERS)
        watcher = live.watch(ids)
        try:
            await response.prepare(request)
            await response.write(b": open\n\n")
            while not self._stopping:
                await response.write(await self._next(watcher))
        except (ConnectionError, asyncio.CancelledError):
            log.debug("a live stream ended")
        finally:
            live.leave(watcher)
        return response

    async def _next(self, watcher: Watcher) -> bytes:
        try:
            rows = await asyncio.wait_for(watcher.rows(), KEEP_ALIVE_S)
        except TimeoutError:
            return b": keep-alive\n\n"
        lines = (
            json.dumps({"id": str(series_id), **point.to_json()}, separators=(",", ":"))
            for series_id, point in rows
        )
        return "".join(f"data: {line}\n\n" for line in lines).encode()


def _samples(meta: Any, from_ms: int, to_ms: int, points: int, snapshot: Snapshot) -> Any:
    return history.samples(snapshot, meta, from_ms, to_ms, points)


def _select(sql: str, snapshot: Snapshot) -> bytes:
    with engine(snapshot) as connection:
        return dump(select(connection, sql))
