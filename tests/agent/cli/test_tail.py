from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from xinmai.cli import tail
from xinmai.cli.main import main
from xinmai.clock import Anchor
from xinmai.transport import BrokerAddress, Message
from xinmai.wire import codec
from xinmai.wire.messages import (
    Batch,
    Capture,
    Command,
    EventEntry,
    Loss,
    Presence,
    Reply,
    Status,
    Stored,
)

BOOT = "0123456789abcdef" * 2
QUEUE = "00000000000000aa"
SCHEMA = "00000000000000bb"
ONLINE = Status("n1", "e1", True, BOOT, 3, 5, "0.1.0")
EVENTS = Batch(
    "n1",
    "e1",
    BOOT,
    "event",
    QUEUE,
    7,
    SCHEMA,
    Anchor(1, 2, 3, 4),
    events=(EventEntry(9, "card-1", "xid", "", "error", "", "fell off", {"a": "b"}),),
    losses=(Loss("raw", QUEUE, 1, 4, "spool_budget", ((30, 12),)),),
)
CAPTURED = Batch(
    "n1",
    "e1",
    BOOT,
    "capture",
    QUEUE,
    8,
    SCHEMA,
    Anchor(1, 2, 3, 4),
    capture=Capture(QUEUE, "lost", "gone", "card-1", "", 5, 4, 6, 2, last=True, merged=0),
)
COMMAND = Command("n1", "e1", QUEUE, "capture", 5, 5_000_000_000, 7_000_000_000)
REPLY = Reply("n1", "e1", QUEUE, False, "", "no lane", 6)
STORED = Stored("n1", "e1", "c1", 2, {"rollup": {QUEUE: ((1, 7), (9, 9))}})
PRESENCE = Presence("e1", "c1", 2, True, 5)


def message(leaf: str, payload: bytes, *, retain: bool = False) -> Message:
    return Message(f"xinmai/1/e1/n1/{leaf}", payload, retain)


MESSAGES = [
    message("status", codec.encode_status(ONLINE), retain=True),
    message("event", codec.encode_batch(EVENTS)),
    message("stored", codec.encode_stored(STORED)),
    Message("xinmai/1/e1/_collector", codec.encode_presence(PRESENCE), True),
]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (MESSAGES[0], ["e1/n1/status", "(retained)", "online", "session 3", "agent 0.1.0"]),
        (MESSAGES[1], ["event 00000000#7", "error xid: fell off", "lost raw 00000000#1-4"]),
        (MESSAGES[2], ["by c1 session 2", "rollup 00000000#1-7,9-9"]),
        (MESSAGES[3], ["e1/_collector", "collector c1 online"]),
        (
            message("capture", codec.encode_batch(CAPTURED)),
            ["part 2, the last", "lost: gone"],
        ),
        (message("cmd", codec.encode_command(COMMAND)), ["e1/n1/cmd", "5 s before and 7 s after"]),
        (message("reply", codec.encode_reply(REPLY)), [f"to {QUEUE}: no lane"]),
        (message("cmd", b"x"), ["e1/n1/cmd", "refused: "]),
        (message("status", b"\xc1"), ["refused: "]),
        (Message("xinmai/1/e1/n1/odd", b"", False), ["refused: topic"]),
    ],
)
def test_one_line_says_what_came(one: Message, words: list[str]) -> None:
    text = tail.line(one, 1_700_000_000_000_000_000)

    assert text.startswith("2023-11-14T22:13:20.000000Z ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_document_holds_the_decoded_message() -> None:
    found = tail.document(MESSAGES[1])

    assert set(found) == {"topic", "retain", "bytes", "leaf", "message", "refused"}
    assert (found["leaf"], found["refused"]) == ("event", None)
    assert found["message"]["events"][0]["message"] == "fell off"
    assert found["message"]["seq"] == 7


def test_document_of_a_foreign_message_says_why_it_is_refused() -> None:
    found = tail.document(message("status", b"\xc1"))

    assert found["message"] is None
    assert found["refused"]


class FakeTransport:
    """A connection that delivers MESSAGES and then stays silent."""

    made: FakeTransport

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        self.address, self.client_id, self.topics = address, client_id, [""]
        self.protocol = "5"
        FakeTransport.made = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def subscribe(self, topics: Sequence[str]) -> None:
        self.topics = list(topics)

    async def messages(self) -> AsyncIterator[Message]:
        for one in MESSAGES:
            yield one


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "Transport", FakeTransport)


def test_count_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", "--count", "2", "--set", "broker.url=mqtt://b:1"]) == 0

    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "listening at mqtt://b:1" in captured.err


def test_json_is_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tail", "--json", "--count", "4", "--set", "broker.url=mqtt://b:1"]) == 0

    documents: list[dict[str, Any]] = [
        json.loads(text) for text in capsys.readouterr().out.splitlines()
    ]
    assert [one["leaf"] for one in documents] == ["status", "event", "stored", "_collector"]


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        ([], "xinmai/1/+/#"),
        (["--edge", "e1"], "xinmai/1/e1/#"),
        (["--edge", "e1", "--node", "n1"], "xinmai/1/e1/n1/#"),
    ],
)
def test_edge_and_node_narrow_it(words: list[str], pattern: str) -> None:
    assert main(["tail", "--count", "1", *words]) == 0
    assert FakeTransport.made.topics == [pattern]


def test_running_agents_broker_is_taken_where_none_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tail, "ask", lambda path: {"transport": {"url": "mqtt://other:7"}})

    assert main(["tail", "--count", "1"]) == 0

    assert FakeTransport.made.address.url == "mqtt://other:7"
