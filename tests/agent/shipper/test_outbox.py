"""What is sent next and what again, by the test's clock and without a broker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.shipper.rig import MIB
from xinmai.config import ShipperConfig
from xinmai.shipper import outbox as outbox_module
from xinmai.shipper.outbox import BACKLOG_BYTES_PER_S, RESEND_AFTER_S, Item, Outbox
from xinmai.shipper.sendstate import SendState
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import Ranges, Stored, Stream


class Desk:
    """An outbox, its spools, and a collector that says what it is told to."""

    def __init__(self, directory: Path, **config: object) -> None:
        self.now_s = 100.0
        self.spools = SpoolSet(directory, floor_bytes=0)
        self.state = SendState()
        self.config = ShipperConfig(**config)  # type: ignore[arg-type]
        self.outbox = self.made()

    def made(self) -> Outbox:
        return Outbox(self.spools, self.config, self.state, lambda: self.now_s)

    def put(self, count: int = 1, stream: Stream = "rollup", size: int = 10) -> None:
        for _ in range(count):
            self.spools[stream].append(bytes(size), schema="")

    def send(self, most: int = 10_000) -> list[tuple[Stream, int]]:
        """Hand over what may go; (stream, seq) in order."""
        sent: list[tuple[Stream, int]] = []
        while len(sent) < most and (item := self.outbox.next()) is not None:
            self.outbox.sending(item)
            sent.append((item.stream, item.seq))
        return sent

    def seqs(self, most: int = 10_000) -> list[int]:
        return [seq for _, seq in self.send(most)]

    def ack(self, *seqs: int, stream: Stream = "rollup") -> None:
        queue, _ = self.spools[stream].next_identity()
        for seq in seqs:
            self.outbox.acked(Item(stream, queue, seq, 10))

    def send_and_ack(self) -> list[int]:
        seqs = self.seqs()
        self.ack(*seqs)
        return seqs

    def stored(self, *ranges: tuple[int, int], stream: Stream = "rollup", session: int = 1) -> None:
        queue, _ = self.spools[stream].next_identity()
        held: dict[Stream, dict[str, Ranges]] = {stream: {queue: ranges}} if ranges else {}
        self.outbox.stored(Stored("n1", "local", "c", session, held))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    one = Desk(tmp_path)
    one.stored()
    yield one
    one.spools.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Desk]:
    """A window of a thousand bytes."""
    one = Desk(tmp_path, unstored_bytes=1000)
    one.stored()
    yield one
    one.spools.close()


def test_records_go_in_order_and_streams_by_priority(desk: Desk) -> None:
    desk.put(2, "raw")
    desk.put(2, "rollup")
    desk.put(1, "event")
    assert desk.send() == [
        ("event", 1),
        ("rollup", 1),
        ("rollup", 2),
        ("raw", 1),
        ("raw", 2),
    ]
    assert desk.send() == []


def test_the_unstored_window_is_bounded_in_bytes(small: Desk) -> None:
    small.put(20, size=100)
    assert small.seqs() == list(range(1, 11))
    assert small.state.unstored_bytes == 1000
    small.ack(*range(1, 11))
    # The broker's word opens nothing.
    assert small.seqs() == []
    small.stored((1, 4))
    assert small.seqs() == [11, 12, 13, 14]


def test_one_record_larger_than_the_window_is_sent_alone(small: Desk) -> None:
    small.put(1, size=5000)
    small.put(1, size=10)
    assert small.seqs() == [1]
    small.ack(1)
    small.stored((1, 1))
    assert small.seqs() == [2]


def test_the_number_of_records_on_their_way_is_bounded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "UNSTORED_RECORDS", 50)
    desk.put(60, size=1)
    assert len(desk.seqs()) == 50
    desk.ack(*range(1, 51))
    desk.stored((1, 50))
    assert len(desk.seqs()) == 10


@pytest.mark.fault("D1")
def test_exactly_the_gap_is_sent_again(desk: Desk) -> None:
    desk.put(10)
    desk.send_and_ack()
    desk.stored((1, 3), (6, 8))
    # 9 and 10 were sent behind what is stored: they may be on their way to the collector.
    assert desk.seqs() == [4, 5]
    assert desk.state.resent == 2


@pytest.mark.fault("D1")
def test_a_gap_is_not_sent_again_with_each_word_of_the_collector(desk: Desk) -> None:
    desk.put(10)
    desk.send_and_ack()
    desk.stored((1, 3), (5, 5))
    assert desk.send_and_ack() == [4]
    for newest in range(6, 11):
        desk.stored((1, 3), (5, newest))
        assert desk.seqs() == []
    desk.put(5)
    desk.send_and_ack()
    # Something sent after the repetition is stored, and still it is not: slowly, again.
    desk.stored((1, 3), (5, 11))
    assert desk.seqs() == []
    desk.now_s += RESEND_AFTER_S
    desk.stored((1, 3), (5, 12))
    assert desk.send_and_ack() == [4]


def test_what_the_broker_has_not_acknowledged_is_no_gap(desk: Desk) -> None:
    desk.put(3)
    desk.seqs()
    desk.ack(1, 3)
    desk.stored((1, 1), (3, 3))
    assert desk.seqs() == []
    desk.ack(2)
    desk.stored((1, 3))
    assert desk.outbox.delivered


def test_live_records_stored_first_make_no_gap_of_the_backlog(desk: Desk) -> None:
    desk.put(20, size=1000)
    desk.outbox.start()
    desk.put(1)
    assert desk.seqs(3) == [21, 1, 2]
    desk.ack(21, 1, 2)
    desk.stored((21, 21))
    assert desk.state.resent == 0
    desk.put(1)
    assert desk.seqs(1) == [22]
    desk.ack(22)
    desk.stored((1, 1), (21, 22))
    # 2 was sent before 22, which is stored.
    assert desk.seqs(1) == [2]


@pytest.mark.statement("WIRE-51")
@pytest.mark.fault("D1")
def test_without_progress_everything_is_sent_again_ever_more_slowly(desk: Desk) -> None:
    desk.put(3)
    desk.send_and_ack()
    delays = []
    for _ in range(6):
        began_s = desk.now_s
        assert desk.outbox.wait_s() is not None
        desk.now_s += desk.outbox.wait_s() or 0
        desk.outbox.resend_if_due()
        assert desk.send_and_ack() == [1, 2, 3]
        delays.append(desk.now_s - began_s)
    assert delays == [5, 10, 20, 40, 60, 60]
    desk.stored((1, 1))
    assert desk.outbox.wait_s() == pytest.approx(RESEND_AFTER_S)


def test_a_resend_is_not_due_before_its_time(desk: Desk) -> None:
    desk.put(3)
    desk.send_and_ack()
    desk.now_s += RESEND_AFTER_S - 0.1
    desk.outbox.resend_if_due()
    assert desk.seqs() == []


def test_what_is_still_in_flight_is_not_sent_again(desk: Desk) -> None:
    desk.put(3)
    desk.seqs()
    desk.ack(1)
    desk.now_s += RESEND_AFTER_S
    desk.outbox.resend_if_due()
    assert desk.seqs() == [1]


@pytest.mark.statement("WIRE-51")
def test_another_session_of_the_collector_is_sent_what_is_not_stored(desk: Desk) -> None:
    desk.put(6)
    desk.send_and_ack()
    desk.stored((1, 2))
    desk.now_s += 60
    desk.put(1)
    desk.seqs()
    desk.stored((1, 2), session=2)
    # The seventh is on its way still.
    assert desk.seqs() == [3, 4, 5, 6]
    assert desk.state.resent == 4


def test_two_collectors_that_take_turns_cause_no_storm(desk: Desk) -> None:
    desk.put(5)
    desk.send_and_ack()
    for turn in range(100):
        desk.now_s += 0.1
        desk.stored((1, 1), session=2 + turn % 2)
        desk.send_and_ack()
    assert desk.state.resent <= 3 * 4


def test_a_new_connection_sends_everything_that_is_not_stored(desk: Desk) -> None:
    desk.put(5)
    desk.send_and_ack()
    desk.stored((1, 2))
    desk.outbox.start()
    assert desk.state.unstored_bytes == 0
    assert desk.seqs() == [3, 4, 5]


def test_live_records_pass_a_backlog(desk: Desk) -> None:
    desk.put(5, "event")
    desk.put(5, "rollup")
    desk.outbox.start()
    desk.put(2, "raw")
    desk.put(1, "rollup")
    assert desk.send() == [
        ("rollup", 6),
        ("raw", 1),
        ("raw", 2),
        *(("event", seq) for seq in range(1, 6)),
        *(("rollup", seq) for seq in range(1, 6)),
    ]


def test_a_backlog_is_drained_at_a_bounded_rate(desk: Desk) -> None:
    size = 64 * 1024
    desk.put(200, size=size)
    desk.outbox.start()
    sent, live, began_s = 0, 200, desk.now_s
    while sent < 200:
        seqs = desk.seqs()
        assert len(seqs) * size <= BACKLOG_BYTES_PER_S / 2
        desk.ack(*seqs)
        if seqs:
            desk.stored((1, seqs[-1]))
        sent += len(seqs)
        desk.put(1)
        live += 1
        assert desk.send_and_ack() == [live]
        desk.stored((1, sent), (201, live))
        desk.now_s += desk.outbox.wait_s() or 0.1
    assert 200 * size / (desk.now_s - began_s) == pytest.approx(BACKLOG_BYTES_PER_S, rel=0.1)


def test_a_process_that_leaves_does_not_hold_its_backlog_back(desk: Desk) -> None:
    desk.put(50, size=100_000)
    desk.outbox.start()
    desk.outbox.hurry()
    assert desk.seqs() == list(range(1, 51))


def test_a_backlog_of_an_older_queue_goes_before_the_younger(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "a")
    desk.put(3)
    (segment,) = (tmp_path / "a" / "rollup").glob("*.seg")
    # The end is cut off: the next run begins a queue of its own.
    desk.spools.close()
    with segment.open("r+b") as file:
        file.truncate(file.seek(0, 2) - 1)
    desk = Desk(tmp_path / "a")
    desk.put(2)
    desk.outbox.start()
    desk.put(1)
    items = []
    while (item := desk.outbox.next()) is not None:
        desk.outbox.sending(item)
        items.append(item)
    queue, _ = desk.spools["rollup"].next_identity()
    assert [(item.queue == queue, item.seq) for item in items] == [
        (True, 3),
        (False, 1),
        (False, 2),
        (False, 3),
        (True, 1),
        (True, 2),
    ]
    desk.spools.close()


def test_a_refused_record_stays_and_its_stream_pauses(desk: Desk) -> None:
    desk.put(2)
    desk.put(1, "event")
    item = desk.outbox.next()
    while item is not None and item.stream != "rollup":
        desk.outbox.sending(item)
        item = desk.outbox.next()
    assert item is not None
    desk.outbox.sending(item)
    desk.outbox.refused(item)
    assert desk.send() == []
    desk.put(1, "event")
    assert desk.send() == [("event", 2)]
    assert desk.outbox.wait_s() == pytest.approx(outbox_module.PAUSE_S)
    desk.now_s += outbox_module.PAUSE_S
    assert desk.seqs() == [1, 2]


def test_pauses_grow_until_something_is_taken(desk: Desk) -> None:
    desk.put(1)
    lengths = []
    for _ in range(6):
        item = desk.outbox.next()
        assert item is not None
        desk.outbox.sending(item)
        desk.outbox.refused(item)
        # Others in flight are refused as well: that makes it no longer.
        desk.outbox.refused(item)
        lengths.append(desk.outbox.wait_s())
        desk.now_s += lengths[-1] or 0
    assert lengths == pytest.approx([5, 10, 20, 40, 60, 60])
    desk.send_and_ack()
    desk.put(1)
    item = desk.outbox.next()
    assert item is not None
    desk.outbox.sending(item)
    desk.outbox.refused(item)
    assert desk.outbox.wait_s() == pytest.approx(5)


def test_a_record_given_up_is_not_sent(desk: Desk) -> None:
    desk.put(3)
    item = desk.outbox.next()
    assert item is not None
    desk.spools["rollup"].discard(item.queue, item.seq, item.seq, "refused")
    desk.outbox.forget(item)
    assert desk.seqs() == [2, 3]


def test_a_record_given_up_while_it_waits_to_be_repeated_is_not_sent(desk: Desk) -> None:
    desk.put(2)
    item = desk.outbox.next()
    assert item is not None
    desk.outbox.sending(item)
    desk.outbox.refused(item)
    desk.spools["rollup"].discard(item.queue, item.seq, item.seq, "refused")
    desk.outbox.forget(item)
    desk.now_s += outbox_module.PAUSE_S
    assert desk.seqs() == [2]


def test_the_delay_grows_only_while_something_is_acknowledged_and_not_stored(desk: Desk) -> None:
    desk.put(1)
    desk.send_and_ack()
    desk.stored((1, 1))
    desk.put(1)
    assert desk.seqs() == [2]
    for _ in range(5):
        desk.now_s += RESEND_AFTER_S
        desk.outbox.resend_if_due()
    desk.ack(2)
    desk.now_s += RESEND_AFTER_S
    desk.outbox.resend_if_due()
    assert desk.seqs() == [2]


def test_what_is_stored_before_the_acknowledgement_comes_is_done(desk: Desk) -> None:
    desk.put(2)
    desk.seqs()
    desk.stored((1, 2))
    desk.ack(1, 2)
    assert (desk.state.unstored_bytes, desk.outbox.wait_s()) == (0, None)
    assert desk.outbox.delivered


def test_puback_frees_the_spool_where_the_operator_chose_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, confirm="puback")
    desk.put(3)
    desk.send_and_ack()
    assert desk.outbox.delivered
    assert desk.state.unstored_bytes == 0
    assert desk.spools["rollup"].state().records == 0
    desk.spools.close()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_broker_drops_everything_arrives(desk: Desk, seed: int) -> None:
    """Each message is lost with one chance in three, collectors and connections change."""
    source = random.Random(seed)
    held: set[int] = set()
    session, total = 1, 0
    for _ in range(600):
        if source.random() < 0.5 and total < 200:
            desk.put(1)
            total += 1
        if source.random() < 0.02:
            desk.outbox.start()
        if source.random() < 0.02:
            session += 1
        for item in iter(desk.outbox.next, None):
            desk.outbox.sending(item)
            desk.outbox.acked(item)
            if source.random() < 0.67:
                held.add(item.seq)
        desk.stored(*ranges_of(held), session=session)
        desk.now_s += 1
        desk.outbox.resend_if_due()
    assert held == set(range(1, total + 1))
    assert desk.outbox.delivered
    assert desk.state.resent < 6 * total


def ranges_of(seqs: set[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def test_a_day_of_backlog_costs_no_more_per_record_than_a_minute(desk: Desk) -> None:
    """86,400 records: every step must be independent of what is held."""

    def cost_s(records: int) -> float:
        desk.put(records, size=MIB // 1024)
        desk.outbox.start()
        desk.outbox.hurry()
        began = time.perf_counter()
        for _ in range(50):
            seqs = desk.seqs(40)
            desk.ack(*seqs)
            desk.stored((1, seqs[-1]))
            desk.now_s += 1
            desk.outbox.resend_if_due()
        return time.perf_counter() - began

    few = cost_s(2000)
    desk.stored((1, 2000))
    many = cost_s(20_000)
    assert many < 5 * few + 0.05
