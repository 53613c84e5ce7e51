"""A stand-in of the collector's HTTP surface (docs/specs/004-http.md) with a canned fleet.

It runs in a thread of its own, so that a synchronous test can drive a browser against it. Values
are functions of time: history, newest and live rows of a series agree.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from fakes import fakecaptures
from xinmai.collector.assets import asset, headers

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOST_BY_REASON = {"spool_budget": 120, "ring_overrun": 3}
GAP_S = (60, 90)
"""How long before the start every series has a gap, begin and end."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Series:
    """What `/api/series` lists, and how its values come about."""

    id: str
    hw_id: str
    metric: str
    unit: str
    kind: str
    value: Callable[[float], float]
    attributes: dict[str, str] = field(default_factory=dict)
    reason: str | None = None
    native: str = "nvmlDeviceGetFieldValues(186)"
    period_ns: int = 100_000_000
    age_s: float = 0.0

    def row(self, at_ms: int) -> Json:
        value = None if self.reason else self.value(at_ms / 1000)
        spread = abs(value or 0) * 0.04 if self.kind == "gauge" else 0
        return {
            "id": self.id,
            "time_ms": at_ms,
            "value": value,
            "min": None if value is None else value - spread,
            "max": None if value is None else value + spread,
            "count": 10,
            "reason": self.reason,
        }

    def listed(self) -> Json:
        newest = self.row(now_ms() - int(self.age_s * 1000))
        return {
            "id": self.id,
            "hw_id": self.hw_id,
            "metric": self.metric,
            "attributes": self.attributes,
            "unit": self.unit,
            "kind": self.kind,
            "plugin": "example",
            "native": self.native,
            "refresh_ns": 100_000_000,
            "window_ns": None,
            "period_ns": self.period_ns,
            "newest": {key: newest[key] for key in ("time_ms", "value", "reason")},
        }


@dataclass(slots=True)
class Node:
    edge: str
    node: str
    online: bool = True
    stand_in: bool = False
    age_s: float = 0.6
    rate_hz: float = 1480.0
    lost: int = 0
    missed: int = 0
    devices: list[Json] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    def listed(self) -> Json:
        return {
            "edge": self.edge,
            "node": self.node,
            "online": self.online,
            "agent": "0.1.0",
            "boot": "6d1f0c2e9a7b45d38e21c0a4f7b6e913",
            "stand_in": self.stand_in,
            "last_seen_ms": now_ms() - int(self.age_s * 1000),
            "newest_age_s": self.age_s,
            "devices": self.devices,
            "quality": {
                "taken": 5_400_000,
                "stored": 5_400_000 - self.lost,
                "lost": self.lost,
                "missed": self.missed,
                "lost_by_reason": LOST_BY_REASON if self.lost else {},
                "gaps": 2 if self.lost else 0,
                "rate_hz": self.rate_hz,
                "expected_hz": 1500.0,
                "spool_bytes": 41_943_040 if self.lost else 0,
                "late_ms": 850.0,
            },
        }


def device(hw_id: str, vendor: str, model: str, index: int | None = 0, **more: Any) -> Json:
    made = {
        "hw_id": hw_id,
        "vendor": vendor,
        "model": model,
        "parent": "",
        "index": index,
        "plugin": "example",
        "stand_in": False,
        "present": True,
        "newest_age_s": 0.6,
        "series": 9,
    }
    return made | more


def _wave(middle: float, size: float, period_s: float) -> Callable[[float], float]:
    return lambda t: middle + size * math.sin(2 * math.pi * t / period_s) + size / 9 * math.sin(t)


def _growth(per_second: float) -> Callable[[float], float]:
    return lambda t: math.floor((t % 1e6 + 4 * math.sin(t / 20)) * per_second)


def _accelerator_series(hw_id: str, first: int) -> list[Series]:
    def one(at: int, metric: str, unit: str, kind: str, value: Any, **more: Any) -> Series:
        return Series(str(first + at), hw_id, metric, unit, kind, value, **more)

    core = {"hw.sensor_location": "core"}
    hbm = {"hw.sensor_location": "hbm"}
    mib = 2**20
    return [
        one(
            0, "hw.power", "W", "gauge", _wave(412.0 + first % 7, 90, 47), attributes={"w": "board"}
        ),
        one(1, "hw.temperature", "Cel", "gauge", _wave(63, 4, 120), attributes=core),
        one(
            2,
            "hw.temperature",
            "Cel",
            "gauge",
            _wave(0, 0, 9),
            attributes=hbm,
            reason="unsupported",
        ),
        one(3, "hw.gpu.utilization", "1", "gauge", _wave(0.81, 0.15, 33)),
        one(4, "hw.gpu.memory.usage", "By", "gauge", lambda t: 61_865_984_000.0),
        one(5, "hw.gpu.io", "By", "counter", _growth(734.2 * mib), attributes={"d": "receive"}),
        one(6, "hw.energy", "J", "counter", _growth(412)),
        one(7, "accel.clock.frequency", "Hz", "gauge", _wave(1.755e9, 3e7, 15)),
        one(8, "accel.throttle.active", "1", "bitmask", lambda t: 4.0),
    ]


def _host_series(hw_id: str, first: int) -> list[Series]:
    cpus = [
        Series(
            str(first + at),
            hw_id,
            "system.cpu.utilization",
            "1",
            "gauge",
            _wave(0.4, 0.2, 20 + at),
            attributes={"cpu.logical_number": str(at)},
            native="/proc/stat",
            period_ns=1_000_000_000,
        )
        for at in range(8)
    ]
    rare = Series(
        str(first + 20),
        hw_id,
        "system.uptime",
        "s",
        "gauge",
        lambda t: t % 1e7,
        native="/proc/uptime",
        period_ns=60_000_000_000,
        age_s=31,
    )
    stale = Series(
        str(first + 21),
        hw_id,
        "system.cpu.load_average.1m",
        "1",
        "gauge",
        _wave(3.2, 1, 300),
        native="/proc/loadavg",
        period_ns=1_000_000_000,
        age_s=48,
    )
    denied = Series(
        str(first + 22),
        hw_id,
        "accel.host.power",
        "W",
        "gauge",
        _wave(1, 0, 1),
        reason="no_permission",
        native="/sys/class/powercap/intel-rapl:0/energy_uj",
    )
    return [*cpus, rare, stale, denied]


def fleet() -> list[Node]:
    """Four nodes: well, well with losses, a stand-in with a silent card, offline."""
    first = Node("row-a", "gpu-a01")
    for at in range(4):
        card = f"GPU-5f2c{at}a11-0c7e"
        first.devices.append(device(card, "NVIDIA", "H100 80GB HBM3", at))
        first.series += _accelerator_series(card, 100 + 10 * at)
    first.devices.append(device("host-a01", "host", "Linux host", None, series=11))
    first.series += _host_series("host-a01", 500)
    first.series.append(Series("600", "", "xinmai.publish.bytes", "By", "counter", _growth(2700)))
    second = Node("row-a", "npu-a02", lost=123, missed=4096, rate_hz=1393.0)
    second.devices = [
        device(f"NPU-910b-{at}", "Huawei Ascend", "Ascend 910B", at, newest_age_s=0.9 + 2 * at)
        for at in range(8)
    ]
    second.series = _accelerator_series("NPU-910b-0", 900)
    third = Node("row-a", "mx-a03", stand_in=True, age_s=1.4)
    third.devices = [
        device(f"MX-{at}", "MetaX", "C500", at, stand_in=True, newest_age_s=1.4) for at in range(6)
    ]
    third.devices[2]["newest_age_s"] = 34.0
    third.devices[3] |= {"newest_age_s": 754.0}
    third.devices[5] |= {"present": False, "newest_age_s": None}
    third.series = _accelerator_series("MX-0", 1200)
    fourth = Node("row-b", "gpu-b01", online=False, age_s=5400, rate_hz=0.0)
    fourth.devices = [
        device(f"GPU-b{at}", "NVIDIA", "A100-SXM4-80GB", at, newest_age_s=5400.0) for at in range(8)
    ]
    return [first, second, third, fourth]


def large_fleet(nodes: int = 500) -> list[Node]:
    """Many nodes of nine devices each."""
    made = []
    for at in range(nodes):
        node = Node(f"row-{at // 50:02}", f"node-{at:03}")
        node.devices = [
            device(f"GPU-{at}-{card}", "NVIDIA" if at % 3 else "MetaX", "accelerator", card)
            for card in range(8)
        ]
        node.devices.append(device(f"host-{at}", "host", "Linux host", None))
        made.append(node)
    return made


def events() -> list[Json]:
    def one(at: int, severity: str, code: str, message: str, action: str) -> Json:
        time_ns = (now_ms() - at * 61_000) * 1_000_000
        return {
            "time": "",
            "time_ns": str(time_ns),
            "edge": "row-a",
            "node": "npu-a02",
            "hw_id": "NPU-910b-3",
            "code": code,
            "class": "memory",
            "severity": severity,
            "action": action,
            "message": message,
            "attributes": {"bank": "7"},
        }

    return [
        one(
            0, "critical", "0x80E01801", "HBM multi-bit ECC error", "Drain the node, replace card."
        ),
        one(1, "error", "XID 79", "GPU has fallen off the bus", "Reset the device."),
        one(2, "warning", "link.crc", "CRC errors on HCCS link 2 are growing", "Check the cable."),
        one(9, "info", "agent.start", "Agent started", ""),
    ]


class FakeCollector:
    """Serves the API and the page; a context manager.

    Args:
        tick_s: time between live rows.
    """

    def __init__(self, nodes: list[Node] | None = None, *, tick_s: float = 0.2) -> None:
        self.nodes = fleet() if nodes is None else nodes
        self.tick_s = tick_s
        self.down = False
        self.silent = False
        self.broker_connected = True
        self.local = True
        self.asked: list[Json] = []
        self.refusal = ""
        self.begun_ms = now_ms()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fakecollector")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._outage])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/web/{name}", self._page),
                web.get("/api/health", self._health),
                web.get("/api/fleet", self._fleet),
                web.get("/api/series", self._series),
                web.get("/api/samples", self._samples),
                web.get("/api/live", self._live),
                web.get("/api/events", self._events),
                web.get("/api/account", self._account),
                web.get("/api/captures", self._captures),
                web.get("/api/captures/{id}", self._capture),
                web.get("/api/captures/{id}/samples", self._capture_samples),
                web.post("/api/capture", self._ask),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _outage(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.down and request.path.startswith("/api/"):
            return web.json_response({"error": "the store is closed"}, status=503)
        return await handler(request)

    def _known(self) -> dict[str, Series]:
        return {series.id: series for node in self.nodes for series in node.series}

    async def _page(self, request: web.Request) -> web.StreamResponse:
        path = asset(request.match_info.get("name", "index.html"))
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=headers(path))

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "ok": True,
                "collector": "edge-a",
                "session": 7,
                "version": "0.1.0",
                "edges": ["row-a", "row-b"],
                "broker": {
                    "connected": self.broker_connected,
                    "url": "mqtt://127.0.0.1:1883",
                    "protocol": "5",
                },
                "log_bytes": 9_437_184,
                "sealed_segments": 212,
            }
        )

    async def _fleet(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"now_ms": now_ms(), "nodes": [node.listed() for node in self.nodes]}
        )

    async def _series(self, request: web.Request) -> web.Response:
        for node in self.nodes:
            if (node.edge, node.node) == (request.query["edge"], request.query["node"]):
                return web.json_response({"series": [it.listed() for it in node.series]})
        return web.json_response({"error": "no such node"}, status=404)

    async def _samples(self, request: web.Request) -> web.Response:
        series = self._known().get(request.query["id"])
        if series is None:
            return web.json_response({"error": "no such series"}, status=404)
        begin, end = int(request.query["from_ms"]), int(request.query["to_ms"])
        return web.json_response(self._buckets(series, begin, end, int(request.query["points"])))

    def _buckets(self, series: Series, begin: int, end: int, points: int) -> Json:
        """Buckets without a row are left out; a bucket's time is that of its first row."""
        width = (end - begin) / points
        step = max(width / 4, series.period_ns / 1e6, 1000.0)
        gap = [self.begun_ms - at_s * 1000 for at_s in GAP_S]
        buckets: dict[int, Json] = {}
        for at in range(math.ceil(begin / step), math.floor(end / step) + 1):
            time_ms = int(at * step)
            if not gap[1] <= time_ms <= gap[0]:
                row = series.row(time_ms)
                first = buckets.setdefault(int((time_ms - begin) / width), row)
                first |= row | {"time_ms": first["time_ms"]}
        answer: Json = {"id": series.id, "unit": series.unit, "kind": series.kind}
        answer["t_ms"] = [row["time_ms"] for row in buckets.values()]
        for key in ("value", "min", "max", "count"):
            answer[key] = [row[key] for row in buckets.values()]
        return answer

    async def _live(self, request: web.Request) -> web.StreamResponse:
        known = self._known()
        wanted = [known[name] for name in request.query["ids"].split(",") if name in known]
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        with suppress(ConnectionError):
            while not self.down:
                for series in () if self.silent else wanted:
                    row = json.dumps(series.row(self._tick_ms()))
                    await answer.write(f"data: {row}\n\n".encode())
                if await self._stopped(self.tick_s):
                    break
        return answer

    def _tick_ms(self) -> int:
        """Rows stand on a grid, as a lane's do."""
        tick_ms = int(self.tick_s * 1000)
        return now_ms() // tick_ms * tick_ms

    async def _stopped(self, within_s: float) -> bool:
        try:
            await asyncio.wait_for(self._stop.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def _events(self, request: web.Request) -> web.Response:
        return web.json_response({"events": events()[: int(request.query["limit"])]})

    async def _captures(self, request: web.Request) -> web.Response:
        asked = [(key, request.query[key]) for key in ("edge", "node") if key in request.query]
        found = [one for one in self._held() if all(one[key] == value for key, value in asked)]
        return web.json_response({"captures": found, "local": self.local})

    def _held(self) -> list[Json]:
        """Captures of the nodes that are there."""
        names = {node.node for node in self.nodes}
        return [one for one in fakecaptures.captures() if one["node"] in names]

    async def _capture(self, request: web.Request) -> web.Response:
        (found,) = [one for one in self._held() if one["id"] == request.match_info["id"]]
        return web.json_response(fakecaptures.detail(found))

    async def _capture_samples(self, request: web.Request) -> web.Response:
        (found,) = [one for one in self._held() if one["id"] == request.match_info["id"]]
        ids = request.query["series"].split(",")
        return web.json_response(fakecaptures.samples(found, ids))

    async def _ask(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        if self.refusal:
            return web.json_response({"error": self.refusal}, status=400)
        return web.json_response({"capture": fakecaptures.ID})

    async def _account(self, request: web.Request) -> web.Response:
        rows = [self._minute(request, now_ms() // 60_000 - at) for at in range(60)]
        return web.json_response({"rows": rows})

    def _minute(self, request: web.Request, minute: int) -> Json:
        lost = 123 if minute % 17 == 0 else 0
        return {
            "edge": request.query["edge"],
            "node": request.query["node"],
            "minute": minute,
            "taken": 90_000,
            "stored": 90_000 - lost - (1500 if minute == now_ms() // 60_000 else 0),
            "lost": lost,
            "missed": 2048 if minute % 23 == 0 else 0,
            "lost_by_reason": {"spool_budget": 120, "ring_overrun": 3} if lost else {},
        }
