from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from agent.sampler.samplerrun import Client
from xinmai import clock
from xinmai.channel import Channel, Received
from xinmai.layout import Layout
from xinmai.sampler import clients
from xinmai.sampler.clients import Clients, Message
from xinmai.sampler.heldrings import HELD_RINGS, HeldRing, HeldRings
from xinmai_native import LANE_COLUMNS, Ring


def held() -> HeldRing:
    """A real ring, as a client takes it."""
    ring = Ring([(LANE_COLUMNS, 1, 0, 16, 10**9)])
    ring_id = ring.id.hex()
    body = Layout("tiny", 1, ring_id, False, (), ()).to_map()
    one = HeldRing("tiny", ring_id, body, os.dup(ring.fd))
    ring.close()
    return one


def memory(ring_id: str, plugin: str = "tiny") -> HeldRing:
    return HeldRing(plugin, ring_id, {}, os.memfd_create("ring"))


class Rig:
    """`Clients` on a socket, and who connects to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[Received] = []
        self.greeting: list[Message] = [Message("hello", {"pid": 1})]
        self.clients = Clients(self._greet, self.heard.append)
        self.joined: list[Client] = []

    def _greet(self) -> Iterable[Message]:
        return self.greeting

    async def join(self) -> Client:
        """Connect and be accepted."""
        client = Client(Channel.connect(self.path))
        self.joined.append(client)
        # One turn of the loop sees the listening socket, the next has served it.
        for _ in range(2):
            await asyncio.sleep(0)
        return client

    async def until(self, is_so: Callable[[], object]) -> None:
        """Let the loop turn until something is so; a bounded number of turns."""
        for _ in range(1000):
            if is_so():
                return
            await asyncio.sleep(0)
        raise AssertionError("a thousand turns of the loop did not bring it")

    async def settle(self, client: Client, kinds: int) -> Client:
        """Let a client read until it has so many messages."""
        for _ in range(1000):
            if len(client.pump().kinds) >= kinds or client.ended:
                break
            await asyncio.sleep(0)
        return client


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    one = Rig(tmp_path / "sock")
    one.clients.open(one.path)
    yield one
    one.clients.close()
    for client in one.joined:
        client.close()


@pytest.mark.statement("CTL-2")
async def test_long_greeting_waits_for_its_reader(rig: Rig) -> None:
    """More than a socket takes at once: many rings, each with a long layout."""
    rig.greeting += [Message("filler", {"text": "x" * 60_000}) for _ in range(50)]
    client = await rig.join()
    rig.clients.tell(Message("last", {}))
    await rig.settle(client, 52)
    assert client.kinds == ["hello", *["filler"] * 50, "last"]


@pytest.mark.statement("CTL-2")
async def test_client_that_does_not_read_is_cut_off_and_holds_up_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deaf, good = await rig.join(), await rig.join()
    for number in range(50):
        rig.clients.tell(Message("filler", {"text": "x" * 60_000}))
        await rig.settle(good, 2 + number)
    assert len(good.kinds) == 51
    rig.clients.tend()
    now_ns = clock.mono_ns()
    monkeypatch.setattr(clock, "mono_ns", lambda: now_ns + clients.CUT_OFF_NS + 1)
    rig.clients.tend()
    assert "shipper cut off: it does not read" in caplog.text
    rig.clients.tell(Message("last", {}))
    await rig.settle(good, 52)
    await rig.settle(deaf, 100)
    assert (good.kinds[-1], good.ended) == ("last", False)
    assert deaf.ended
    assert "last" not in deaf.kinds


@pytest.mark.statement("CTL-2")
async def test_queue_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_QUEUED", 20)
    deaf = await rig.join()
    for _ in range(60):
        rig.clients.tell(Message("filler", {"text": "x" * 60_000}))
    await rig.settle(deaf, 100)
    assert deaf.ended


async def test_only_the_newest_state_of_the_plugins_waits(rig: Rig) -> None:
    client = await rig.join()
    for _ in range(10):
        rig.clients.tell(Message("filler", {"text": "x" * 60_000}))
    for number in range(500):
        state = {"name": str(number), "state": "", "reason": ""}
        rig.clients.tell(Message("plugins", {"plugins": [state]}))
    await rig.settle(client, 12)
    assert client.kinds[-1] == "plugins"
    assert client.kinds.count("plugins") < 400
    assert "499" in client.plugins


async def test_ring_let_go_while_it_waits_is_passed_over(rig: Rig) -> None:
    client = await rig.join()
    for _ in range(10):
        rig.clients.tell(Message("filler", {"text": "x" * 60_000}))
    first, second = held(), held()
    for ring in (first, second):
        rig.clients.tell(Message("ring", ring.body, ring))
    first.close()
    rig.clients.tell(Message("last", {}))
    await rig.settle(client, 13)
    assert list(client.rings) == [second.ring_id]
    assert client.kinds[-2:] == ["ring", "last"]
    second.close()


async def test_client_is_heard_and_its_descriptors_are_closed(rig: Rig) -> None:
    client = await rig.join()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number is wanted
    client.channel.send("drained", {"ring_id": "0a"}, [0, 0])
    await rig.until(lambda: rig.heard)
    assert [(one.kind, one.body) for one in rig.heard] == [("drained", {"ring_id": "0a"})]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.statement("CTL-21")
@pytest.mark.parametrize(("uid", "served"), [(0, True), (os.geteuid(), True), (12_345, False)])
async def test_only_its_own_user_and_root_are_served(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, uid: int, served: bool
) -> None:
    monkeypatch.setattr(Channel, "peer_uid", lambda _: uid)
    client = await rig.join()
    await rig.settle(client, 1)
    assert (client.kinds, client.ended) == ((["hello"], False) if served else ([], True))


async def test_client_that_leaves_in_the_middle_is_forgotten(rig: Rig) -> None:
    client = await rig.join()
    for _ in range(10):
        rig.clients.tell(Message("filler", {"text": "x" * 60_000}))
    client.channel.close()
    rig.clients.tell(Message("last", {}))
    other = await rig.join()
    await rig.settle(other, 1)
    assert other.kinds == ["hello"]


@pytest.mark.statement("CTL-20")
def test_the_oldest_rings_of_a_plugin_go_first() -> None:
    rings = HeldRings()
    ids = [f"{number:02}" for number in range(HELD_RINGS + 3)]
    other = rings.add(memory("ff", "other"))
    fds = [rings.add(memory(ring_id)) for ring_id in ids]
    assert [ring.ring_id for ring in rings] == ["ff", *ids[3:]]
    assert [ring.fd for ring in fds[:3]] == [-1, -1, -1]
    assert other.fd >= 0
    rings.close()
    assert len(rings) == 0
    assert {ring.fd for ring in fds} == {-1}


@pytest.mark.statement("CTL-20")
def test_only_a_gone_ring_is_drained_and_once() -> None:
    rings = HeldRings()
    ring = rings.add(memory("0a"))
    assert not rings.drained("0a")
    assert rings.mark_gone("0a") is ring
    assert rings.mark_gone("0a") is None
    assert rings.mark_gone("0b") is None
    assert rings.drained("0a")
    assert not rings.drained("0a")
    assert (ring.fd, len(rings)) == (-1, 0)
