"""What `status` says: fresh data per plugin, never that a process lives."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.shipper.bench import eventually
from agent.shipper.rig import Clock, Host, LaneSpec
from xinmai.channel import Channel
from xinmai.clock import SECOND_NS
from xinmai.config import BrokerConfig, Config, NodeConfig
from xinmai.shipper import status
from xinmai.shipper.daemon import Shipper
from xinmai.shipper.status import SOCKET_NAME, StatusServer, snapshot

pytestmark = pytest.mark.fault("A2")

FAST = LaneSpec("fast", SECOND_NS // 10, 1)
SLOW = LaneSpec("slow", SECOND_NS, 1)
RARE = LaneSpec("rare", 60 * SECOND_NS, 1)


@pytest.fixture
def shipper(tmp_path: Path, clock: Clock) -> Iterator[Shipper]:
    """Not running; connected to a sampler that says nothing by itself."""
    config = Config(
        node=NodeConfig(name="n1", state_dir=tmp_path / "state", run_dir=tmp_path),
        broker=BrokerConfig(url="mqtt://127.0.0.1:1"),
    )
    one, (ours, theirs) = Shipper(config), Channel.pair()
    one.sampler._channel = ours
    yield one
    ours.close()
    theirs.close()
    one.spools.close()


def say(shipper: Shipper, name: str = "acme", state: str = "running", reason: str = "") -> None:
    told = {"name": name, "state": state, "reason": reason, "since_ns": 1}
    others = [one for one in shipper.sampler.plugins if one["name"] != name]
    shipper.sampler.plugins = [*others, told]


def put(shipper: Shipper, *lanes: LaneSpec, plugin: str = "acme") -> Host:
    host = Host(plugin, lanes)
    shipper.rings.add(host.layout, host.ring.fd)
    say(shipper, plugin)
    return host


def plugin(shipper: Shipper, name: str = "acme") -> dict[str, Any]:
    (found,) = [one for one in snapshot(shipper)["plugins"] if one["name"] == name]
    return dict(found)


def test_keys_are_frozen(shipper: Shipper, clock: Clock) -> None:
    put(shipper, FAST).row(clock.now_ns)
    answer = snapshot(shipper)
    assert set(answer) == {
        "healthy",
        "node",
        "edge",
        "agent",
        "sampler",
        "plugins",
        "lanes",
        "spool",
        "transport",
        "totals",
        "captures",
    }
    assert set(answer["plugins"][0]) == {"name", "state", "newest_age_s", "stuck", "reason"}
    assert set(answer["lanes"][0]) == {
        "plugin",
        "lane",
        "period_ns",
        "series",
        "committed",
        "missed",
        "late_mean_ns",
        "late_max_ns",
        "age_s",
        "span_s",
    }
    assert [one["stream"] for one in answer["spool"]] == ["event", "rollup", "capture", "raw"]
    assert set(answer["spool"][0]) >= {"stream", "bytes", "records", "dropped_readings"}
    assert set(answer["transport"]) == {
        "connected",
        "protocol",
        "url",
        "connects",
        "messages",
        "bytes",
        "resent",
        "refused",
        "unstored_bytes",
        "collector",
        "error",
    }
    assert set(answer["totals"]) == {"taken", "missed", "ring_overrun", "batches", "bytes"}
    assert answer["captures"] == {"captures": 0, "merged": 0, "suppressed": 0, "last": None}
    json.dumps(answer)


def test_fresh_rows_are_health(shipper: Shipper, clock: Clock) -> None:
    host = put(shipper, FAST)
    host.row(clock.now_ns)
    clock.advance(0.5)
    assert snapshot(shipper)["healthy"]
    assert plugin(shipper) == {
        "name": "acme",
        "state": "running",
        "newest_age_s": 0.5,
        "stuck": False,
        "reason": "",
    }


@pytest.mark.parametrize("lane", [FAST, SLOW, RARE], ids=lambda lane: lane.name)
def test_silence_is_noticed_within_two_periods_and_a_second(
    shipper: Shipper, clock: Clock, lane: LaneSpec
) -> None:
    host = put(shipper, lane)
    host.row(clock.now_ns)
    clock.advance(2 * lane.period_ns / SECOND_NS + 0.99)
    assert snapshot(shipper)["healthy"]
    clock.advance(0.02)
    assert not snapshot(shipper)["healthy"]
    assert (plugin(shipper)["state"], plugin(shipper)["stuck"]) == ("stuck", True)
    assert plugin(shipper)["reason"].startswith(f"lane {lane.name}: no row for")
    host.row(clock.now_ns)
    assert snapshot(shipper)["healthy"]


def test_one_silent_lane_is_not_hidden_by_another(shipper: Shipper, clock: Clock) -> None:
    host = put(shipper, FAST, SLOW)
    host.row(clock.now_ns)
    host.row(clock.now_ns, lane=1)
    clock.advance(3.5)
    host.row(clock.now_ns)
    assert "lane slow" in plugin(shipper)["reason"]
    assert plugin(shipper)["newest_age_s"] == 0


def test_a_lane_that_never_had_a_row_is_noticed(shipper: Shipper, clock: Clock) -> None:
    """The first call may be the one that hangs."""
    put(shipper, FAST)
    assert snapshot(shipper)["healthy"]
    clock.advance(1.3)
    assert not snapshot(shipper)["healthy"]
    assert plugin(shipper)["newest_age_s"] is None


def test_a_rare_lane_does_not_flap(shipper: Shipper, clock: Clock) -> None:
    host = put(shipper, RARE)
    for _ in range(3):
        host.row(clock.now_ns, late_ns=0)
        for _ in range(12):
            assert snapshot(shipper)["healthy"]
            clock.advance(5)


def test_rows_from_the_future_are_no_health(shipper: Shipper, clock: Clock) -> None:
    put(shipper, FAST).row(clock.now_ns + 3600 * SECOND_NS)
    assert not snapshot(shipper)["healthy"]
    assert "ahead" in plugin(shipper)["reason"]


@pytest.mark.parametrize(
    ("state", "well"),
    [
        ("running", True),
        ("unavailable", True),
        ("disabled", True),
        ("stuck", False),
        ("failed", False),
        ("crashed", False),
        ("starting", False),
        ("waiting", False),
        ("stopped", False),
    ],
)
def test_states_that_are_well(shipper: Shipper, clock: Clock, state: str, well: bool) -> None:
    put(shipper, FAST).row(clock.now_ns)
    say(shipper, state=state, reason="so it says")
    assert snapshot(shipper)["healthy"] is well
    assert plugin(shipper)["reason"] == "so it says"
    assert plugin(shipper)["stuck"] is (state == "stuck")


def test_no_sampler_or_no_plugin_is_no_health(shipper: Shipper, clock: Clock) -> None:
    assert not snapshot(shipper)["healthy"]
    put(shipper, FAST).row(clock.now_ns)
    assert snapshot(shipper)["healthy"]
    shipper.sampler._channel = None
    answer = snapshot(shipper)
    assert (answer["healthy"], answer["sampler"]) == (False, "away")


def test_one_ill_plugin_makes_the_node_ill(shipper: Shipper, clock: Clock) -> None:
    put(shipper, FAST).row(clock.now_ns)
    put(shipper, FAST, plugin="beta")
    clock.advance(1.1)
    put(shipper, FAST, plugin="gamma").row(clock.now_ns)
    clock.advance(0.15)
    answer = snapshot(shipper)
    assert [one["stuck"] for one in answer["plugins"]] == [True, True, False]


def test_a_plugin_whose_ring_was_dropped_is_not_well(shipper: Shipper, clock: Clock) -> None:
    host = put(shipper, FAST)
    host.row(clock.now_ns)
    (ring,) = [ring for ring in shipper.rings if ring.id == host.id]
    shipper.rings.drop(ring, "its position went backwards")
    assert plugin(shipper)["stuck"]
    assert "went backwards" in plugin(shipper)["reason"]


def test_a_running_plugin_without_a_ring_is_not_well(shipper: Shipper) -> None:
    say(shipper)
    assert plugin(shipper)["stuck"]
    assert not snapshot(shipper)["healthy"]


def test_the_youngest_generation_counts(shipper: Shipper, clock: Clock) -> None:
    put(shipper, FAST).row(clock.now_ns)
    clock.advance(10)
    put(shipper, FAST).row(clock.now_ns)
    assert snapshot(shipper)["healthy"]
    lanes = [one for one in snapshot(shipper)["lanes"] if one["plugin"] == "acme"]
    assert [one["committed"] for one in lanes] == [1]


def test_lanes_tell_rows_lateness_and_span(shipper: Shipper, clock: Clock) -> None:
    host = put(shipper, FAST)
    host.row(clock.now_ns, late_ns=1000)
    host.row(clock.now_ns, late_ns=3000, missed=4)
    (lane,) = [one for one in snapshot(shipper)["lanes"] if one["plugin"] == "acme"]
    assert (lane["committed"], lane["missed"]) == (2, 4)
    assert (lane["late_mean_ns"], lane["late_max_ns"]) == (2000, 3000)
    assert lane["span_s"] == pytest.approx(6.4)


async def test_the_answer_comes_over_the_socket_and_ends(shipper: Shipper, clock: Clock) -> None:
    put(shipper, FAST).row(clock.now_ns)
    server = StatusServer(shipper)
    path = shipper.config.node.run_dir / SOCKET_NAME
    path.write_text("a dead predecessor's")
    await server.start()
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        answer = json.loads(await reader.read())
        writer.close()
        assert answer == json.loads(json.dumps(snapshot(shipper)))
        assert path.stat().st_mode & 0o777 == 0o660
    finally:
        await server.close()


@pytest.mark.fault("B11")
async def test_clients_that_do_not_read_are_let_go(
    shipper: Shipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than a socket's buffers hold.
    monkeypatch.setattr(status, "snapshot", lambda _: {"filler": "x" * 2_000_000})
    monkeypatch.setattr(status, "PATIENCE_S", 0.05)
    server, loop = StatusServer(shipper), asyncio.get_running_loop()
    await server.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(20)]
        for client in clients:
            client.setblocking(False)
            await loop.sock_connect(client, str(shipper.config.node.run_dir / SOCKET_NAME))
        await eventually(lambda: answers() == 20, "twenty clients")
        await eventually(lambda: answers() == 0, "their end")
        for client in clients:
            got = 0
            while part := await loop.sock_recv(client, 2**20):
                got += len(part)
            assert got < 2_000_000
        await asyncio.wait_for(server.close(), 1)


def answers() -> int:
    """Under way."""
    return sum("_answer" in repr(task.get_coro()) for task in asyncio.all_tasks())
