"""Gaps, losses and what `stored` may say."""

from __future__ import annotations

import json

import pytest

from agent.collector.node import START_NS
from xinmai.clock import Anchor
from xinmai.collector import ledger as module
from xinmai.collector.ledger import Ledger, NodeLedger
from xinmai.wire.codec import decode_stored, encode_stored
from xinmai.wire.messages import AccountEntry, Batch, Loss, Stored, Stream

QUEUE = "00000000000000aa"
MINUTE = 100


def batch(
    seq: int,
    *,
    stream: Stream = "rollup",
    queue: str = QUEUE,
    taken: int = 10,
    losses: tuple[Loss, ...] = (),
) -> Batch:
    clock = Anchor(0, 0, START_NS, 0)
    account = [AccountEntry(MINUTE, taken, 0, 0)]
    return Batch(
        "n1", "local", "ab" * 16, stream, queue, seq, "0" * 16, clock, (), (), losses, account
    )


def loss(first: int, last: int, n: int) -> tuple[Loss, ...]:
    return (Loss("rollup", QUEUE, first, last, "spool_budget", [(MINUTE, n)]),)


def declare(node: NodeLedger, first: int, last: int, n: int) -> list[tuple[str, int, int]]:
    return node.store(batch(1, stream="event", losses=loss(first, last, n)))


@pytest.mark.statement("WIRE-45")
def test_a_loss_closes_its_range_like_a_stored_batch() -> None:
    node = NodeLedger("local", "n1")
    node.store(batch(1))
    assert declare(node, 2, 5, 40) == [("spool_budget", MINUTE, 40)]
    node.store(batch(6))
    assert node.stored()["rollup"] == {QUEUE: [(1, 6)]}
    assert node.holds("rollup", QUEUE, 3)
    assert node.gaps() == 0


def test_a_loss_of_what_is_stored_is_none() -> None:
    node = NodeLedger("local", "n1")
    for seq in (1, 2, 3):
        node.store(batch(seq))
    assert declare(node, 1, 3, 30) == []


def test_of_a_loss_only_what_is_not_stored_is_lost() -> None:
    node = NodeLedger("local", "n1")
    node.store(batch(1, taken=7))
    node.store(batch(2, taken=11))
    assert declare(node, 1, 4, 7 + 11 + 13 + 17) == [("spool_budget", MINUTE, 30)]


def test_after_a_restart_an_overlap_is_shared_out() -> None:
    before = Ledger()
    node = before.node("local", "n1")
    node.store(batch(1))
    node.store(batch(2))
    again = Ledger.from_map(json.loads(json.dumps(before.to_map()))).node("local", "n1")
    assert declare(again, 1, 4, 40) == [("spool_budget", MINUTE, 20)]


@pytest.mark.statement("WIRE-50")
def test_stored_is_bounded_and_can_be_read_by_nodes() -> None:
    node = NodeLedger("local", "n1")
    for number in range(12):
        for seq in range(1, 2 * 300, 2):
            node.touch("raw", f"{number:016x}").closed.add(seq, seq)
    streams = node.stored()
    assert list(streams["raw"]) == [f"{number:016x}" for number in range(4, 12)]
    ranges = streams["raw"][f"{11:016x}"]
    assert ranges == [(seq, seq) for seq in range(1, 2 * 256, 2)]
    stored = Stored("n1", "local", "c0" * 8, 5, streams)
    decoded = decode_stored(encode_stored(stored)).streams["raw"]
    assert list(decoded[f"{11:016x}"]) == ranges


def test_a_queue_that_is_drained_again_is_named_again() -> None:
    node = NodeLedger("local", "n1")
    for number in range(12):
        node.store(batch(1, queue=f"{number:016x}"))
    node.store(batch(2, queue=f"{0:016x}"))
    assert list(node.stored()["rollup"])[-1] == f"{0:016x}"


def test_memory_per_node_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_READINGS", 50)
    node = NodeLedger("local", "n1")
    for number in range(200):
        node.store(batch(1, queue=f"{number:016x}"))
    for seq in range(1, 200):
        node.store(batch(seq, queue="f" * 16))
    assert len(node.streams["rollup"]) == module.KEPT_QUEUES
    assert len(node.streams["rollup"]["f" * 16].readings) == 50


def test_state_survives_as_json() -> None:
    ledger = Ledger()
    node = ledger.node("local", "n1")
    for seq in (1, 2, 5):
        node.store(batch(seq))
    node.store(batch(1, stream="event"))
    again = Ledger.from_map(json.loads(json.dumps(ledger.to_map())))
    found = again.find("local", "n1")
    assert found is not None
    assert found.stored() == node.stored()
    with pytest.raises(ValueError, match="version"):
        Ledger.from_map({"v": 2, "nodes": []})
