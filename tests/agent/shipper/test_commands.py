"""Commands: which are taken, which are ignored, and that each is answered once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.shipper.bench import CLIENT, TOPICS, Bench, eventually
from agent.shipper.rig import IDENTITY, WALL_NS, Clock
from fakes.fakebroker import FakeBroker
from xinmai.clock import SECOND_NS
from xinmai.config import BrokerConfig, Config, NodeConfig, ShipperConfig
from xinmai.errors import Refused
from xinmai.shipper.commands import Commands, commands_allowed
from xinmai.transport import Message
from xinmai.wire.codec import decode_reply, encode_command
from xinmai.wire.messages import Command, Reply

ID, MADE = "0123456789abcdef", "fedcba9876543210"
NOW_NS = WALL_NS + 1000 * SECOND_NS


def message(number: int = 0, *, node: str = "n1", age_ns: int = 0, retain: bool = False) -> Message:
    command = Command(
        node, "local", f"{number:016x}", "capture", NOW_NS - age_ns, 3 * SECOND_NS, 4 * SECOND_NS
    )
    return Message(TOPICS.cmd, encode_command(command), retain)


class Desk:
    """Commands, and the captures that they asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.refuse = ""
        self.commands = Commands(IDENTITY, self.capture)

    def capture(self, before_ns: int, after_ns: int) -> str:
        self.asked.append((before_ns, after_ns))
        if self.refuse:
            raise ValueError(self.refuse)
        return MADE

    def take(self, message: Message) -> Reply | None:
        reply = self.commands.take(message)
        return decode_reply(reply) if reply is not None else None


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk()


@pytest.mark.statement("WIRE-62")
def test_a_command_is_answered_with_the_id_of_its_capture(desk: Desk) -> None:
    reply = desk.take(message(7))
    assert reply == Reply("n1", "local", f"{7:016x}", True, MADE, "", NOW_NS)
    assert desk.asked == [(3 * SECOND_NS, 4 * SECOND_NS)]


@pytest.mark.statement("WIRE-62")
def test_a_command_that_cannot_be_followed_is_answered_with_the_reason(desk: Desk) -> None:
    desk.refuse = "a" * 400
    reply = desk.take(message(7))
    assert reply is not None
    assert (reply.ok, reply.capture, reply.error) == (False, "", "a" * 300)


@pytest.mark.statement("CAP-5")
@pytest.mark.parametrize("age_s", [61, -61])
def test_an_old_command_or_one_of_another_time_is_ignored(desk: Desk, age_s: int) -> None:
    assert desk.take(message(age_ns=age_s * SECOND_NS)) is None
    assert desk.take(message(age_ns=(age_s - (1 if age_s > 0 else -1)) * SECOND_NS)) is not None
    assert len(desk.asked) == 1


@pytest.mark.statement("CAP-5")
def test_a_repeat_and_a_retained_command_are_ignored(desk: Desk) -> None:
    assert desk.take(message(1)) is not None
    assert desk.take(message(1)) is None
    assert desk.take(message(2, retain=True)) is None
    assert len(desk.asked) == 1


@pytest.mark.statement("WIRE-3")
def test_a_command_of_another_node_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="node"):
        desk.take(message(node="n2"))
    with pytest.raises(Refused):
        desk.take(Message(TOPICS.cmd, b"junk", False))
    assert desk.asked == []


@pytest.mark.statement("WIRE-60")
@pytest.mark.parametrize(
    ("commands", "url", "allowed"),
    [
        ("auto", "mqtt://127.0.0.1:1883", True),
        ("auto", "mqtt://localhost", True),
        ("auto", "mqtts://[::1]:8883", True),
        ("auto", "mqtt://10.0.0.1", False),
        ("auto", "mqtt://localhost.example", False),
        ("capture", "mqtt://10.0.0.1", True),
        ("off", "mqtt://127.0.0.1", False),
    ],
)
def test_commands_are_taken_from_loopback_or_where_they_are_allowed(
    commands: str, url: str, *, allowed: bool
) -> None:
    shipper = ShipperConfig(commands=commands)  # type: ignore[arg-type]
    config = Config(NodeConfig("n1"), broker=BrokerConfig(url=url), shipper=shipper)
    assert commands_allowed(config) is allowed


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as one:
        yield one


@pytest.mark.statement("WIRE-60")
@pytest.mark.statement("WIRE-62")
async def test_the_sender_subscribes_and_publishes_the_reply(
    broker: FakeBroker, tmp_path: Path, clock: Clock
) -> None:
    desk = Desk()
    async with Bench(tmp_path / "commanded", broker.url, commands=desk.commands) as bench:
        await bench.connected()
        await eventually(lambda: TOPICS.cmd in broker.clients[CLIENT].filters, "cmd")
        for one in (Message(TOPICS.cmd, b"junk", False), message(5), message(5)):
            broker.deliver(one.topic, one.payload)
        await eventually(
            lambda: [one.topic for one in broker.published].count(TOPICS.reply) == 1, "a reply"
        )
    assert desk.asked == [(3 * SECOND_NS, 4 * SECOND_NS)]
