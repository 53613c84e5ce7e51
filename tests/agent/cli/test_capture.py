from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from agent.collector.node import CAPTURE_ID, Message, Node, series
from agent.collector.rig import Rig, running
from agent.collector.test_server import serving
from xinmai.cli import capture as command
from xinmai.cli.main import main
from xinmai.clock import SECOND_NS
from xinmai.wire.codec import encode_reply
from xinmai.wire.messages import Command, Reply

AT_NS = [SECOND_NS + at * 10**6 for at in range(4)]


def simulated(name: str = "n1") -> Node:
    return Node(name=name, columns=[series("hw.power", chip="0"), series("hw.temperature")])


def part(node: Node, number: int = 1, *, last: bool = True) -> Message:
    return node.capture(number, AT_NS, [[1000, 2000, 3000, 4000], [5, 6, 7, 8]], last=last)


@asynccontextmanager
async def collecting(store: Path, *nodes: Node) -> AsyncIterator[Rig]:
    """A collector that commands find by its store."""
    async with serving(store) as (rig, client):
        said = {"url": str(client.make_url("/")).rstrip("/"), "pid": os.getpid()}
        (store / "collector.json").write_text(json.dumps(said), "utf-8")
        for node in nodes:
            await rig.take(node.status(), node.announce())
        yield rig


async def call(store: Path, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["capture", "--store", str(store), *arguments])


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


async def following(rig: Rig, work: Callable[[Command], list[Message]], error: str = "") -> Command:
    """A node that answers a command and then sends."""
    asked = await rig.core.commands.next("local")
    capture_id = "" if error else CAPTURE_ID
    reply = Reply(asked.node, asked.edge, asked.id, not error, capture_id, error, 1)
    topic = f"xinmai/1/{asked.edge}/{asked.node}/reply"
    await rig.take((topic, encode_reply(reply)), *work(asked))
    return asked


async def test_a_capture_is_asked_for_awaited_and_summarised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = simulated()
    async with collecting(tmp_path, node) as rig:
        task = asyncio.create_task(following(rig, lambda _: [part(node)]))
        assert await call(tmp_path, "--before", "2s", "--after", "0") == 0
        asked = await task
        assert (asked.node, asked.before_ns, asked.after_ns) == ("n1", 2 * SECOND_NS, 0)
    captured = capsys.readouterr()
    power = next(line for line in captured.out.splitlines() if "hw.power" in line)
    assert power.split() == ["gpu-0", "hw.power", "chip=0", "4", "1", "4", "2.5", "W", "1000"]
    assert f"{CAPTURE_ID}  n1" in captured.out
    assert "8 readings" in captured.err


@pytest.mark.parametrize("kind", ["parquet", "csv"])
async def test_a_capture_is_written_to_a_file(tmp_path: Path, kind: str) -> None:
    node, out = simulated(), tmp_path / f"trace.{kind}"
    async with collecting(tmp_path / "store", node) as rig:
        task = asyncio.create_task(following(rig, lambda _: [part(node)]))
        assert await call(tmp_path / "store", "n1", "--out", str(out)) == 0
        await task
    table = pq.read_table(out) if kind == "parquet" else pyarrow.csv.read_csv(out)
    assert table["raw"].to_pylist() == [1000, 2000, 3000, 4000, 5, 6, 7, 8]
    assert names(tmp_path) == ["store", out.name]


async def test_what_never_becomes_complete_is_shown_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PATIENCE_NS", 0)
    node = simulated()
    async with collecting(tmp_path, node) as rig:
        task = asyncio.create_task(following(rig, lambda _: [part(node, last=False)]))
        assert await call(tmp_path, "--after", "300ms", "--json") == 1
        await task
    captured = capsys.readouterr()
    assert json.loads(captured.out)["capture"]["complete"] is False
    assert "not complete" in captured.err


async def test_a_refusal_is_told_in_the_nodes_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with collecting(tmp_path, simulated()) as rig:
        task = asyncio.create_task(following(rig, lambda _: [], "12 captures an hour"))
        assert await call(tmp_path, "n1") == 1
        await task
    assert capsys.readouterr().err == "xinmai: n1 refused: 12 captures an hour\n"


async def test_captures_are_listed_with_and_without_a_collector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = simulated()
    async with collecting(tmp_path, node) as rig:
        await rig.take(part(node))
        assert await call(tmp_path, "--list") == 0
        with_collector = capsys.readouterr().out
        assert CAPTURE_ID in with_collector
        assert await call(tmp_path, "--list", "--json", "n2") == 0
        assert json.loads(capsys.readouterr().out) == []
    (tmp_path / "collector.json").unlink()
    assert await call(tmp_path, "--list") == 0
    assert capsys.readouterr().out == with_collector


async def test_one_that_is_there_is_shown_again_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node, out = simulated(), tmp_path / "trace.csv"
    async with running(tmp_path / "store") as rig:
        await rig.take(node.announce(), part(node))
    assert await call(tmp_path / "store", "--id", CAPTURE_ID, "--out", str(out), "--json") == 0
    detail: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [one["mean"] for one in detail["series"]] == [2.5, 0.0065]
    assert len(out.read_text("utf-8").splitlines()) == 9
    assert await call(tmp_path / "store", "--id", "0" * 16) == 1
    assert "no capture 0000000000000000" in capsys.readouterr().err


async def test_a_node_must_be_named_where_several_are_online(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with collecting(tmp_path, simulated(), simulated("n2")) as rig:
        assert await call(tmp_path) == 2
        assert "n1 on local, n2 on local" in capsys.readouterr().err
        assert await call(tmp_path, "n3") == 2
        assert "knows no node n3" in capsys.readouterr().err
        await rig.take(simulated().status(online=False), simulated("n2").status(online=False))
        assert await call(tmp_path) == 2
        assert "no node is online" in capsys.readouterr().err


async def test_without_a_collector_nobody_can_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call(tmp_path, "n1") == 1
    assert "start xinmai up or xinmai collector" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--out", "trace.txt"], ["--before", "soon"], ["--list", "--id", "0" * 16]],
    ids=["format", "time", "both"],
)
async def test_wrong_use_is_told(tmp_path: Path, arguments: list[str]) -> None:
    assert await call(tmp_path, *arguments) == 2
