"""The HTTP surface of spec 004."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from agent.collector.node import Node, series
from agent.collector.rig import Rig, running
from agent.collector.test_views import COLUMNS
from xinmai.clock import SECOND_NS
from xinmai.collector import server as module
from xinmai.collector.broker import BrokerState
from xinmai.collector.server import Server


@asynccontextmanager
async def serving(store: Path, **options: Any) -> AsyncIterator[tuple[Rig, TestClient[Any, Any]]]:
    async with running(store, **options) as rig:
        server = Server(rig.core, BrokerState("mqtt://127.0.0.1:1", {"local": "5"}), lambda: 5)
        async with TestClient(TestServer(server.application())) as client:
            yield rig, client
        server.close()


async def fill(rig: Rig) -> Node:
    node = Node(columns=[series("hw.power"), series("xinmai.spool.bytes", "", scale=(1, 1))])
    await rig.take(node.status(), node.announce(), node.second(1), node.event())
    await rig.seal()
    await rig.take(node.second(2, overrun=3, missed=5))
    at_ns = [SECOND_NS, SECOND_NS + 10**6]
    await rig.take(node.capture(1, at_ns, [[1000, 2000], [5, 6]], last=True))
    return node


async def answer(client: TestClient[Any, Any], path: str, status: int = 200) -> Any:
    response = await client.get(path)
    assert response.status == status, await response.text()
    assert response.headers["Content-Type"].startswith("application/json")
    return await response.json()


def keys(value: Any) -> Any:
    """The keys of an answer, at every level; of a list its first entry."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [keys(value[0])]
    return None


LEAF = None
CAPTURE_KEYS: dict[str, Any] = dict.fromkeys(name for name, _ in COLUMNS["captures"])
KEYS: dict[str, Any] = {
    "/api/health": {
        "ok": LEAF,
        "collector": LEAF,
        "session": LEAF,
        "version": LEAF,
        "edges": LEAF,
        "broker": {"connected": LEAF, "url": LEAF, "protocol": LEAF},
        "log_bytes": LEAF,
        "sealed_segments": LEAF,
    },
    "/api/fleet": {
        "now_ms": LEAF,
        "nodes": [
            {
                "edge": LEAF,
                "node": LEAF,
                "online": LEAF,
                "agent": LEAF,
                "boot": LEAF,
                "stand_in": LEAF,
                "last_seen_ms": LEAF,
                "newest_age_s": LEAF,
                "devices": [
                    {
                        "hw_id": LEAF,
                        "vendor": LEAF,
                        "model": LEAF,
                        "parent": LEAF,
                        "index": LEAF,
                        "plugin": LEAF,
                        "stand_in": LEAF,
                        "present": LEAF,
                        "newest_age_s": LEAF,
                        "series": LEAF,
                    }
                ],
                "quality": {
                    "taken": LEAF,
                    "stored": LEAF,
                    "lost": LEAF,
                    "missed": LEAF,
                    "lost_by_reason": {"ring_overrun": LEAF},
                    "gaps": LEAF,
                    "rate_hz": LEAF,
                    "expected_hz": LEAF,
                    "spool_bytes": LEAF,
                    "late_ms": LEAF,
                },
            }
        ],
    },
    "/api/series?edge=local&node=n1": {
        "series": [
            {
                "id": LEAF,
                "hw_id": LEAF,
                "metric": LEAF,
                "attributes": {},
                "unit": LEAF,
                "kind": LEAF,
                "plugin": LEAF,
                "native": LEAF,
                "refresh_ns": LEAF,
                "window_ns": LEAF,
                "period_ns": LEAF,
                "newest": {"time_ms": LEAF, "value": LEAF, "reason": LEAF},
            }
        ]
    },
    "/api/samples?id={id}": {
        "id": LEAF,
        "unit": LEAF,
        "kind": LEAF,
        "t_ms": LEAF,
        "value": LEAF,
        "min": LEAF,
        "max": LEAF,
        "count": LEAF,
    },
    "/api/events": {
        "events": [
            {
                "time": LEAF,
                "time_ns": LEAF,
                "edge": LEAF,
                "node": LEAF,
                "hw_id": LEAF,
                "code": LEAF,
                "class": LEAF,
                "severity": LEAF,
                "action": LEAF,
                "message": LEAF,
                "attributes": {"slot": LEAF},
            }
        ]
    },
    "/api/captures": {"captures": [CAPTURE_KEYS], "local": LEAF},
    "/api/captures/c0ffee00c0ffee00": {
        "capture": CAPTURE_KEYS,
        "series": [
            {
                "id": LEAF,
                "hw_id": LEAF,
                "metric": LEAF,
                "attributes": {},
                "unit": LEAF,
                "kind": LEAF,
                "readings": LEAF,
                "values": LEAF,
                "min": LEAF,
                "max": LEAF,
                "mean": LEAF,
                "rate_hz": LEAF,
            }
        ],
    },
    "/api/captures/c0ffee00c0ffee00/samples?series={id}": {
        "at_ns": LEAF,
        "series": [
            {"id": LEAF, "unit": LEAF, "kind": LEAF, "t_ns": LEAF, "value": LEAF, "missing": LEAF}
        ],
    },
    "/api/account": {
        "rows": [
            {
                "edge": LEAF,
                "node": LEAF,
                "minute": LEAF,
                "taken": LEAF,
                "stored": LEAF,
                "lost": LEAF,
                "missed": LEAF,
                "lost_by_reason": {"ring_overrun": LEAF},
            }
        ]
    },
}


@pytest.mark.statement("HTTP-1")
async def test_every_answer_has_its_keys_and_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        listed = await answer(client, "/api/series?edge=local&node=n1")
        series_id = listed["series"][1]["id"]
        assert isinstance(series_id, str)
        for path, expected in KEYS.items():
            assert keys(await answer(client, path.format(id=series_id))) == expected, path


async def test_health_and_fleet_tell_how_things_are(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        node = await fill(rig)
        health = await answer(client, "/api/health")
        assert health["ok"] is True
        assert health["broker"] == {"connected": True, "url": "mqtt://127.0.0.1:1", "protocol": "5"}
        assert health["sealed_segments"] == 1
        (entry,) = (await answer(client, "/api/fleet"))["nodes"]
        assert (entry["node"], entry["online"], entry["boot"]) == ("n1", True, node.boot)
        assert entry["newest_age_s"] == 98.0
        quality = entry["quality"]
        assert (quality["taken"], quality["stored"], quality["lost"]) == (43, 40, 3)
        assert quality["expected_hz"] == 20.0
        assert quality["spool_bytes"] == 1001
        assert entry["devices"][0]["series"] == 1


async def test_lateness_of_a_node_is_its_lanes_mean_and_not_their_worst_row(tmp_path: Path) -> None:
    late = series("xinmai.lane.late", "", unit="s")
    columns = [
        replace(late, attributes={"xinmai.statistic": statistic}) for statistic in ("mean", "max")
    ]
    async with serving(tmp_path) as (rig, client):
        node = Node(columns=columns)
        await rig.take(node.status(), node.announce(), node.second(1))
        (entry,) = (await answer(client, "/api/fleet"))["nodes"]
        found = (await answer(client, "/api/series?edge=local&node=n1"))["series"]
        newest = {one["attributes"]["xinmai.statistic"]: one["newest"]["value"] for one in found}
        assert newest["max"] != newest["mean"]
        assert entry["quality"]["late_ms"] == 1000 * newest["mean"]


async def test_quality_survives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        before = (await answer(client, "/api/fleet"))["nodes"][0]["quality"]
    async with serving(tmp_path) as (rig, client):
        after = (await answer(client, "/api/fleet"))["nodes"][0]["quality"]
    for key in ("taken", "stored", "lost", "missed", "lost_by_reason", "gaps"):
        assert after[key] == before[key], key


async def test_a_silent_node_has_an_age_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, _):
        await fill(rig)
        await rig.seal()
    async with serving(tmp_path) as (rig, client):
        (node,) = (await answer(client, "/api/fleet"))["nodes"]
        assert node["newest_age_s"] == 98.0
        assert node["devices"][0]["newest_age_s"] == 98.0


async def samples(client: TestClient[Any, Any], rig: Rig, query: str) -> dict[str, Any]:
    (meta,) = [one for one in rig.core.state.series.of_node("local", "n1") if one.hw_id]
    found: dict[str, Any] = await answer(client, f"/api/samples?id={meta.series_id}&{query}")
    return found


async def test_samples_come_as_rows_or_in_buckets(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power")])
    start_ms = node.start_ns // 10**6
    async with serving(tmp_path) as (rig, client):
        await rig.take(node.announce(), *(node.second(at, value=1000 * at) for at in range(1, 7)))
        await rig.seal()
        for at in range(7, 11):
            await rig.take(node.second(at, value=1000 * at))
        await rig.take(node.second(11, reasons=[(0, 4, 0)]))
        span = f"from_ms={start_ms}&to_ms={start_ms + 12_000}"
        rows = await samples(client, rig, span)
        assert rows["t_ms"] == [start_ms + 1000 * at for at in range(1, 12)]
        assert rows["value"] == [*map(float, range(1, 11)), None]
        assert rows["count"] == [10] * 11
        assert rows["unit"] == "W"
        buckets = await samples(client, rig, f"{span}&points=3")
        assert buckets["value"] == [2.0, 5.5, 9.0]
        assert buckets["min"] == [0.995, 3.995, 7.995]
        assert buckets["max"] == [3.005, 7.005, 10.005]
        assert buckets["count"] == [30, 40, 30]


WRONG = [
    ("/api/series?edge=local", 400),
    ("/api/series?edge=local&node=nobody", 404),
    ("/api/samples", 400),
    ("/api/samples?id=abc", 400),
    ("/api/samples?id=99999999999999999999", 400),
    ("/api/samples?id=5", 404),
    ("/api/samples?id={id}&points=0", 400),
    ("/api/samples?id={id}&points=5001", 400),
    ("/api/samples?id={id}&from_ms=5&to_ms=5", 400),
    ("/api/live", 400),
    ("/api/live?ids=", 400),
    ("/api/live?ids=x", 400),
    ("/api/events?limit=0", 400),
    ("/api/events?limit=x", 400),
    ("/api/account?minutes=0", 400),
    ("/api/captures?limit=0", 400),
    ("/api/captures/nothing", 404),
    ("/api/captures/0000000000000000", 404),
    ("/api/captures/c0ffee00c0ffee00?node=n2", 404),
    ("/api/captures/c0ffee00c0ffee00/samples", 400),
    ("/api/captures/c0ffee00c0ffee00/samples?series=x", 400),
    ("/api/captures/c0ffee00c0ffee00/samples?series=1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8", 400),
    ("/api/captures/c0ffee00c0ffee00/file?format=zip", 400),
    ("/api/nothing", 404),
    ("/web/../server.py", 404),
    ("/web/%2e%2e%2fserver.py", 404),
    ("/web/none.js", 404),
]


async def test_wrong_requests_are_told_why(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        (meta,) = [one for one in rig.core.state.series.of_node("local", "n1") if one.hw_id]
        for path, status in WRONG:
            told = await answer(client, path.format(id=meta.series_id), status)
            assert list(told) == ["error"], path
            assert told["error"]
        assert (await client.post("/api/fleet")).status == 400


async def test_the_page_and_its_files_are_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        page = await client.get("/")
        assert page.status == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        assert (await client.get("/web/app.js")).headers["Content-Type"].startswith("text/java")


async def post(
    client: TestClient[Any, Any], body: Any, headers: dict[str, str] | None = None
) -> ClientResponse:
    return await client.post("/api/query", json=body, headers=headers)


@pytest.mark.statement("HTTP-2")
async def test_a_query_runs_one_select(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        response = await post(
            client,
            {"sql": "SELECT count(*) AS n, max(time) AS t FROM samples WHERE stream = 'rollup'"},
        )
        assert await response.json() == [{"n": 4, "t": "2026-09-21T14:13:02.000000Z"}]
        refused = ("DROP VIEW samples", "SELECT nothing FROM samples", "COPY samples TO '/tmp/x'")
        for sql in refused:
            response = await post(client, {"sql": sql})
            assert response.status == 400
            assert (await response.json())["error"]
        wrong: list[Any] = [{}, [], {"sql": 5}, "x"]
        for body in wrong:
            assert (await post(client, body)).status == 400
        too_long = await post(client, {"sql": "SELECT 1" + " " * 2**18})
        assert too_long.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"X-Forwarded-For": "10.0.0.1"},
    ],
)
async def test_a_query_from_elsewhere_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with serving(tmp_path) as (_, client):
        response = await post(client, {"sql": "SELECT 1"}, headers)
        assert response.status == 400
        assert "machine" in (await response.json())["error"]


async def test_too_many_queries_at_once_are_told_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    async with serving(tmp_path) as (_, client):
        await answer(client, "/api/events", 503)


async def events_of(response: ClientResponse, n: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while len(rows) < n:
        line = (await response.content.readline()).decode()
        assert line, "the stream ended"
        if line.startswith("data: "):
            rows.append(json.loads(line.removeprefix("data: ")))
    return rows


@pytest.mark.statement("HTTP-3")
async def test_new_rows_arrive_live(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power"), series("hw.temperature", unit="Cel")])
    async with serving(tmp_path) as (rig, client):
        await rig.take(node.announce(), node.second(1))
        power, other = rig.core.state.series.of_node("local", "n1")
        async with client.get(f"/api/live?ids={power.series_id}") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert await response.content.readline() == b": open\n"
            await rig.take(node.second(2, value=2000), node.second(3, reasons=[(0, 4, 0)]))
            value, reason = await asyncio.wait_for(events_of(response, 2), 2.0)
            assert value == {
                "id": str(power.series_id),
                "time_ms": (node.start_ns + 2 * SECOND_NS) / 1e6,
                "value": 2.0,
                "min": 1.995,
                "max": 2.005,
                "count": 10,
                "reason": None,
            }
            assert (reason["value"], reason["reason"]) == (None, "timeout")
        assert other.series_id != power.series_id


async def test_a_silent_stream_is_kept_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.01)
    async with serving(tmp_path) as (rig, client), client.get("/api/live?ids=1") as response:
        while b"keep-alive" not in await response.content.readline():
            pass
        response.close()
        assert rig.core.state.live.watchers() <= 1


async def test_metrics_are_prometheus_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        await rig.take((Node(name="n2").topics.batch, b"junk"))
        response = await client.get("/metrics")
        assert response.headers["Content-Type"].startswith("text/plain")
        text = await response.text()
        assert "xinmai_collector_batches_total 4\n" in text
        assert (
            'xinmai_collector_refused_total{edge="local",node="n2",reason="not_msgpack"} 1' in text
        )
        assert 'xinmai_node_stored{edge="local",node="n1"} 40' in text
        for line in text.splitlines():
            assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2
            if not line.startswith("#"):
                float(line.rsplit(" ", 1)[1])
