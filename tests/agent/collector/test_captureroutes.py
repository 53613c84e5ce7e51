"""Captures over HTTP, and the command that asks a node for one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiohttp.test_utils import TestClient

from agent.collector.node import CAPTURE_ID, START_NS, Node, series
from agent.collector.rig import Rig
from agent.collector.test_server import answer, fill, serving
from xinmai.clock import SECOND_NS
from xinmai.collector import commands
from xinmai.wire.codec import encode_reply
from xinmai.wire.messages import Command, Reply

MS_NS = 10**6
BODY: dict[str, Any] = {"edge": "local", "node": "n1", "before_s": 2, "after_s": 0.5}


async def test_a_capture_is_listed_and_read_at_full_rate(tmp_path: Path) -> None:
    node = Node(columns=[series("hw.power"), series("hw.temperature", unit="Cel")])
    at_ns = [SECOND_NS + at * MS_NS for at in range(-3, 4)]
    power = [1000 * at for at in range(7)]
    message = node.capture(1, at_ns, [power, [40] * 7], last=True, reasons=[(1, 2, 4, 0)])
    async with serving(tmp_path) as (rig, client):
        await rig.take(node.status(), node.announce(), message)
        listed = await answer(client, "/api/captures?edge=local&node=n1")
        assert listed["local"] is True
        assert [one["id"] for one in listed["captures"]] == [CAPTURE_ID]
        assert (await answer(client, "/api/captures?node=n2"))["captures"] == []
        detail = await answer(client, f"/api/captures/{CAPTURE_ID}?edge=local&node=n1")
        assert detail["capture"] == listed["captures"][0]
        assert detail["capture"]["at_ns"] == str(START_NS + SECOND_NS)
        first, second = detail["series"]
        assert (first["metric"], first["readings"], first["rate_hz"]) == ("hw.power", 7, 1000.0)
        assert (first["min"], first["max"], first["mean"]) == (0.0, 6.0, 3.0)
        assert (second["readings"], second["values"]) == (7, 6)
        ids = f"{first['id']},{second['id']}"
        drawn = await answer(client, f"/api/captures/{CAPTURE_ID}/samples?series={ids}")
        by_id = {one["id"]: one for one in drawn["series"]}
        assert by_id[first["id"]]["t_ns"] == [at * MS_NS for at in range(-3, 4)]
        assert by_id[first["id"]]["value"] == [float(at) for at in range(7)]
        assert by_id[second["id"]]["value"] == [0.04, 0.04, None, *[0.04] * 4]
        assert by_id[second["id"]]["missing"] == [[2, "timeout"]]


async def test_a_capture_is_fetched_as_a_file(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        response = await client.get(f"/api/captures/{CAPTURE_ID}/file")
        assert response.headers["Content-Disposition"] == (
            f'attachment; filename="capture-n1-{CAPTURE_ID}.parquet"'
        )
        table = pq.read_table(io.BytesIO(await response.read()))
        assert sorted(table["raw"].to_pylist()) == [5, 6, 1000, 2000]
        response = await client.get(f"/api/captures/{CAPTURE_ID}/file?format=csv")
        assert response.headers["Content-Type"] == "text/csv"
        assert len((await response.text()).splitlines()) == 5


@pytest.mark.statement("HTTP-4")
async def test_a_captured_reading_is_no_second_one_over_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        node = await fill(rig)
        power, _ = rig.core.state.series.of_node("local", "n1")
        span = f"id={power.series_id}&from_ms={START_NS // MS_NS}&to_ms={START_NS // MS_NS + 9000}"
        paths = [
            f"/api/samples?{span}",
            "/api/fleet",
            "/api/account",
            "/api/series?edge=local&node=n1",
        ]
        before = [await answer(client, path) for path in paths]
        text = await (await client.get("/metrics")).text()
        assert 'xinmai_node_stored{edge="local",node="n1"} 40' in text
        async with client.get(f"/api/live?ids={power.series_id}") as response:
            await response.content.readline()
            at_ns = [8 * SECOND_NS, 8 * SECOND_NS + MS_NS]
            other = node.capture(1, at_ns, [[1, 2], [5, 6]], last=True, capture_id="0" * 16)
            await rig.take(other, node.second(3))
            while not (line := await response.content.readline()).startswith(b"data"):
                pass
            assert str((START_NS + 3 * SECOND_NS) // MS_NS).encode() in line
        await rig.seal()
        assert (await answer(client, "/api/fleet"))["nodes"][0]["quality"]["stored"] == 60
        samples = await answer(client, paths[0])
        assert samples["t_ms"] == [*before[0]["t_ms"], (START_NS + 3 * SECOND_NS) // MS_NS]
        assert [row["stored"] for row in (await answer(client, paths[2]))["rows"]] == [60]


async def asking(
    client: TestClient[Any, Any], body: Any, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    response = await client.post("/api/capture", json=body, headers=headers)
    return response.status, await response.json()


async def replying(rig: Rig, reply: Callable[[Command], Reply]) -> Command:
    """What an edge's link and a node do: take the next command, send the reply."""
    command = await rig.core.commands.next("local")
    message = reply(command)
    topic = f"xinmai/1/{message.edge}/{message.node}/reply"
    await rig.ingest.take(topic, encode_reply(message))
    return command


def accepted(command: Command) -> Reply:
    return Reply(command.node, command.edge, command.id, True, CAPTURE_ID, "", 5)


@pytest.mark.statement("HTTP-6")
@pytest.mark.statement("WIRE-62")
async def test_a_node_is_asked_for_a_capture_and_its_answer_passed_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        node = asyncio.create_task(replying(rig, accepted))
        assert await asking(client, BODY) == (200, {"capture": CAPTURE_ID})
        command = await node
        assert (command.node, command.edge, command.command) == ("n1", "local", "capture")
        assert (command.before_ns, command.after_ns) == (2 * SECOND_NS, SECOND_NS // 2)
        assert command.time_ns == rig.clock.now_ns


@pytest.mark.statement("HTTP-6")
async def test_a_refusal_is_passed_on_in_the_nodes_words(tmp_path: Path) -> None:
    def refuse(command: Command) -> Reply:
        return Reply(command.node, command.edge, command.id, False, "", "12 captures an hour", 5)

    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        node = asyncio.create_task(replying(rig, refuse))
        status, told = await asking(client, BODY)
        assert (status, told) == (400, {"error": "n1 refused: 12 captures an hour"})
        await node


@pytest.mark.statement("HTTP-6")
async def test_a_node_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_node(command: Command) -> Reply:
        return Reply("n2", command.edge, command.id, True, CAPTURE_ID, "", 5)

    monkeypatch.setattr(commands, "REPLY_S", 0.2)
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        node = asyncio.create_task(replying(rig, other_node))
        status, told = await asking(client, BODY)
        assert status == 503
        assert "did not answer within 0.2 s" in told["error"]
        await node


async def test_a_command_that_nobody_waits_for_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node follows what it is told; one minute later it would be a surprise."""
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        with monkeypatch.context() as patch:
            patch.setattr(commands, "REPLY_S", 0.01)
            assert (await asking(client, BODY))[0] == 503
        node = asyncio.create_task(replying(rig, accepted))
        assert (await asking(client, {**BODY, "before_s": 9}))[0] == 200
        assert (await node).before_ns == 9 * SECOND_NS


WRONG: list[tuple[Any, int]] = [
    ([], 400),
    ({"edge": "local"}, 400),
    ({**BODY, "node": 5}, 400),
    ({**BODY, "before_s": "5"}, 400),
    ({**BODY, "after_s": -1}, 400),
    ({**BODY, "after_s": 601}, 400),
    ({**BODY, "after_s": True}, 400),
    ({**BODY, "node": "n2"}, 404),
    ({**BODY, "edge": "other"}, 404),
]


async def test_wrong_requests_for_a_capture_are_told_why(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        for body, status in WRONG:
            found, told = await asking(client, body)
            assert (found, list(told)) == (status, ["error"]), body


@pytest.mark.statement("HTTP-6")
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Forwarded": "x"}]
)
async def test_a_capture_asked_for_from_elsewhere_is_refused(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with serving(tmp_path) as (rig, client):
        await fill(rig)
        status, told = await asking(client, BODY, headers)
        assert (status, "own machine" in told["error"]) == (400, True)
        listed = await client.get("/api/captures", headers=headers)
        assert (await listed.json())["local"] is False


async def test_an_offline_node_is_not_asked(tmp_path: Path) -> None:
    async with serving(tmp_path) as (rig, client):
        node = await fill(rig)
        await rig.take(node.status(online=False))
        status, told = await asking(client, BODY)
        assert (status, told["error"]) == (503, "n1 is offline: nobody there takes a command")
