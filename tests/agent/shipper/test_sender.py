"""The sender against a broker that misbehaves on request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.shipper.bench import (
    CLIENT,
    SCHEMA,
    TOPICS,
    Bench,
    arrived,
    data,
    eventually,
    names,
)
from agent.shipper.rig import IDENTITY
from fakes import packets
from fakes.fakebroker import FakeBroker, Manners
from fakes.observers import open_descriptors, other_tasks
from xinmai.config import ShipperConfig
from xinmai.shipper import outbox
from xinmai.shipper import sender as sender_module
from xinmai.shipper.outbox import PAUSE_S, RESEND_AFTER_S
from xinmai.transport import Transport
from xinmai.wire.codec import decode_status, encode_stored
from xinmai.wire.messages import Loss, Stored

OTHER = "00000000000000bb"


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker() as one:
        yield one


@pytest.fixture
async def bench(broker: FakeBroker, tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(broker, Bench(tmp_path / "spool", broker.url)) as one:
        yield one


@asynccontextmanager
async def running(broker: FakeBroker, bench: Bench) -> AsyncIterator[Bench]:
    """Connected, with a collector that has nothing yet."""
    tell(broker, bench)
    async with bench:
        await eventually(lambda: bench.sender.state.collector == "c1", "the collector's word")
        yield bench


def tell(broker: FakeBroker, bench: Bench, *ranges: tuple[int, int], session: int = 1) -> None:
    broker.deliver(TOPICS.stored, bench.stored(*ranges, session=session), retain=True)


def said(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [
        record.message
        for record in caplog.records
        if record.levelno >= level and record.name == "xinmai.shipper"
    ]


@pytest.mark.statement("WIRE-20")
async def test_a_node_is_online_with_its_session_and_leaves_a_will(
    broker: FakeBroker, bench: Bench
) -> None:
    await broker.seen(1)
    status = decode_status(broker.retained[TOPICS.status])
    will = decode_status(broker.logins[0].will_payload)
    assert status.online
    assert not will.online
    assert (broker.logins[0].will_topic, broker.logins[0].will_retain) == (TOPICS.status, True)
    assert status.session == will.session == 1
    assert status.boot == will.boot == IDENTITY.boot
    broker.drop(CLIENT)
    await broker.connected(2)
    await eventually(lambda: bench.sender.state.connects == 2, "another connection")
    await broker.seen(2)
    assert decode_status(broker.retained[TOPICS.status]).session == 2
    assert decode_status(broker.logins[1].will_payload).session == 2


@pytest.mark.statement("WIRE-20")
@pytest.mark.statement("WIRE-21")
async def test_a_node_that_ends_says_goodbye_itself(broker: FakeBroker, bench: Bench) -> None:
    await broker.seen(1)
    await bench.leave()
    goodbye = decode_status(broker.published[-1].payload)
    assert broker.published[-1].topic == TOPICS.status
    assert broker.published[-1].retain
    assert (goodbye.online, goodbye.session) == (False, 1)
    # Its will was not needed: what is retained is its own word.
    assert broker.retained[TOPICS.status] == broker.published[-1].payload


@pytest.mark.statement("WIRE-60")
async def test_only_the_collectors_word_is_subscribed_to(broker: FakeBroker, bench: Bench) -> None:
    bench.put(1)
    await arrived(broker, 1)
    assert broker.clients[CLIENT].filters == [TOPICS.stored]


@pytest.mark.statement("WIRE-31")
async def test_an_inventory_goes_before_the_first_batch_that_names_it(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(2)
    bench.spools["rollup"].put_inventory(OTHER, b"another inventory")
    bench.put(1, schema=OTHER)
    bench.put(1)
    await arrived(broker, 4)
    order = [one.payload.rstrip(b".").decode() for one in broker.published[1:]]
    assert order[0] == "the inventory"
    assert order.index("another inventory") < order.index("rollup 3")
    assert broker.retained[TOPICS.inventory(OTHER)] == b"another inventory"


@pytest.mark.statement("WIRE-31")
async def test_inventories_are_announced_anew_on_each_connection(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(1)
    await arrived(broker, 1)
    await bench.acked(1)
    broker.retained.clear()
    broker.drop(CLIENT)
    await arrived(broker, 2)
    topics = [one.topic for one in broker.published]
    assert topics.count(TOPICS.inventory(SCHEMA)) == 2
    assert topics[-2:] == [TOPICS.inventory(SCHEMA), TOPICS.batch]


async def test_an_inventory_that_nothing_names_any_more_is_cleared(
    broker: FakeBroker, tmp_path: Path
) -> None:
    made = Bench(tmp_path / "spool", broker.url, schemas=lambda: {OTHER})
    async with running(broker, made) as bench:
        bench.put(1)
        for spool in bench.spools:
            spool.put_inventory(OTHER, b"another inventory")
        bench.put(1, schema=OTHER)
        await arrived(broker, 2)
        assert broker.retained[TOPICS.inventory(SCHEMA)] == b"the inventory"
        tell(broker, bench, (1, 1))
        await eventually(lambda: broker.retained[TOPICS.inventory(SCHEMA)] == b"", "a clearing")
        assert broker.retained[TOPICS.inventory(OTHER)] == b"another inventory"
        # It comes back when something names it again.
        for spool in bench.spools:
            spool.put_inventory(SCHEMA, b"the inventory")
        bench.put(1)
        await arrived(broker, 3)
        assert broker.retained[TOPICS.inventory(SCHEMA)] == b"the inventory"


async def test_an_inventory_of_an_earlier_run_is_cleared_as_well(
    broker: FakeBroker, tmp_path: Path
) -> None:
    """Each boot makes a new one: none may be left behind on the broker."""
    note = tmp_path / "inventories"
    made = Bench(tmp_path / "a", broker.url, retained=note)
    async with running(broker, made) as bench:
        bench.put(1)
        await arrived(broker, 1)
    made = Bench(tmp_path / "b", broker.url, schemas=lambda: {OTHER}, retained=note)
    async with running(broker, made) as bench:
        for spool in bench.spools:
            spool.put_inventory(OTHER, b"another inventory")
        bench.put(1, schema=OTHER)
        await eventually(lambda: broker.retained[TOPICS.inventory(SCHEMA)] == b"", "a clearing")
        assert broker.retained[TOPICS.inventory(OTHER)] == b"another inventory"
    assert note.read_text() == f"{OTHER}\n"


async def test_no_inventory_is_cleared_while_a_record_names_it(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(2)
    for spool in bench.spools:
        spool.put_inventory(OTHER, b"another inventory")
    bench.put(1, schema=OTHER)
    await arrived(broker, 3)
    tell(broker, bench, (1, 1), (3, 3))
    bench.put(1, schema=OTHER)
    await arrived(broker, 4)
    tell(broker, bench, (1, 1), (3, 4))
    bench.put(1, schema=OTHER)
    await arrived(broker, 5)
    assert broker.retained[TOPICS.inventory(SCHEMA)] == b"the inventory"


@pytest.mark.fault("D1")
async def test_an_acknowledgement_is_not_delivery(broker: FakeBroker, bench: Bench) -> None:
    bench.put(5)
    await bench.acked(5)
    assert not bench.sender.outbox.delivered
    assert bench.sender.state.unstored_bytes == 5 * 40
    tell(broker, bench, (1, 2), (4, 5))
    assert await arrived(broker, 6) == names(1, 2, 3, 4, 5, 3)
    tell(broker, bench, (1, 5))
    await bench.delivered()
    assert (bench.sender.state.resent, bench.sender.state.unstored_bytes) == (1, 0)


@pytest.mark.fault("D1")
@pytest.mark.statement("WIRE-51")
async def test_what_is_never_stored_is_sent_again(broker: FakeBroker, bench: Bench) -> None:
    bench.put(2)
    await bench.acked(2)
    bench.advance(RESEND_AFTER_S)
    await bench.acked(4)
    bench.advance(2 * RESEND_AFTER_S)
    assert await arrived(broker, 6) == names(1, 2) * 3


@pytest.mark.statement("WIRE-51")
async def test_a_new_session_of_the_collector_is_sent_the_rest(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(4)
    await bench.acked(4)
    bench.advance(RESEND_AFTER_S - 0.1)
    tell(broker, bench, (1, 2))
    await eventually(lambda: bench.spools["rollup"].state().records == 2, "progress")
    bench.advance(RESEND_AFTER_S - 0.1)
    bench.put(1)
    await bench.acked(5)
    tell(broker, bench, (1, 2), session=2)
    assert (await arrived(broker, 8))[5:] == names(3, 4, 5)


@pytest.mark.fault("D4")
@pytest.mark.fault("D6")
@pytest.mark.fault("D10")
@pytest.mark.parametrize(("ours", "brokers"), [(3, 100), (100, 3)])
async def test_the_window_in_flight_is_the_smaller_of_two(
    tmp_path: Path, ours: int, brokers: int
) -> None:
    manners = Manners(connack_properties=packets.receive_maximum(brokers))
    config = ShipperConfig(in_flight=ours)
    async with (
        FakeBroker(manners) as broker,
        Bench(tmp_path / "spool", broker.url, config) as bench,
    ):
        bench.put(1)
        await bench.acked(1)
        manners.ack = False
        bench.put(10)
        for seen in range(4, 12):
            assert await arrived(broker, seen) == names(*range(1, seen + 1))
            assert len(broker.clients[CLIENT].owed) == 3
            broker.ack(CLIENT)
        broker.ack(CLIENT, 3)
        manners.ack = True


async def test_the_unstored_window_stops_the_sender(broker: FakeBroker, tmp_path: Path) -> None:
    made = Bench(tmp_path / "spool", broker.url, ShipperConfig(unstored_bytes=1000))
    async with running(broker, made) as bench:
        bench.put(30, size=100)
        await bench.acked(10)
        assert bench.sender.state.unstored_bytes == 1000
        tell(broker, bench, (1, 5))
        assert len(await arrived(broker, 15)) == 15
        assert bench.sender.state.unstored_bytes == 1000


async def test_a_connection_that_breaks_costs_nothing(broker: FakeBroker, bench: Bench) -> None:
    bench.put(1)
    await bench.acked(1)
    broker.manners.ack = False
    bench.put(4)
    await arrived(broker, 5)
    broker.drop(CLIENT)
    broker.manners.ack = True
    assert (await arrived(broker, 10))[5:] == names(1, 2, 3, 4, 5)
    tell(broker, bench, (1, 5))
    await bench.delivered()


async def test_live_data_passes_the_backlog_of_an_outage(
    tmp_path: Path, broker: FakeBroker
) -> None:
    broker.manners.ack = False
    bench = Bench(tmp_path / "spool", broker.url, ShipperConfig(in_flight=1))
    bench.put(5)
    async with bench:
        # Status and inventory.
        for count in (1, 2):
            await broker.seen(count)
            broker.ack(CLIENT)
        await broker.seen(3)
        bench.put(1, "raw")
        bench.put(1)
        for count in range(4, 10):
            broker.ack(CLIENT)
            await broker.seen(count)
        assert data(broker.published) == [
            "rollup 1",
            "rollup 6",
            "raw 1",
            *names(2, 3, 4, 5),
        ]
        broker.ack(CLIENT)
        broker.manners.ack = True


async def test_a_broker_absent_at_the_start_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker()
    async with broker:
        pass
    caplog.set_level(logging.INFO)
    async with Bench(tmp_path / "spool", broker.url) as bench:
        bench.put(3)
        await eventually(lambda: bench.session > 5, "several attempts")
        assert len(said(caplog)) == 1
        assert "Connection refused" in bench.sender.state.error
        async with broker:
            assert await arrived(broker, 3) == names(1, 2, 3)
            tell(broker, bench, (1, 3))
            await bench.delivered()
            assert bench.sender.state.error == ""
            await bench.leave()
    assert [line.split(":")[0] for line in said(caplog, logging.INFO)] == [
        "broker away",
        "broker connected",
    ]


@pytest.mark.fault("D13")
async def test_a_second_client_of_the_same_id_is_told_once(
    broker: FakeBroker, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        connects = bench.sender.state.connects
        async with Transport(bench.sender._address, CLIENT):
            await eventually(lambda: "142" in bench.sender.state.error, "the take-over in status")
            await eventually(
                lambda before=connects: bench.sender.state.connects > before,  # type: ignore[misc]
                "its return",
            )
    lines = said(caplog)
    assert len(lines) == 1
    assert "142" in lines[0]
    assert "second agent" in lines[0]
    # It says so still: being connected just now is no sign of health.
    assert "142" in bench.sender.state.error


@pytest.mark.fault("D13")
async def test_a_long_peace_ends_the_alarm(
    broker: FakeBroker, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with Transport(bench.sender._address, CLIENT):
        await eventually(lambda: "142" in bench.sender.state.error, "the take-over in status")
    await eventually(lambda: bench.sender.state.connects == 2, "its return")
    bench.now_s += sender_module.STABLE_S + 1
    broker.drop(CLIENT)
    await eventually(lambda: bench.sender.state.connects == 3, "its return")
    assert bench.sender.state.error == ""
    assert len(said(caplog)) == 2


async def test_a_denied_topic_is_kept_told_once_and_tried_again(
    broker: FakeBroker, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    broker.manners.ack_codes[TOPICS.batch] = 135
    bench.put(3)
    await eventually(lambda: bench.sender.state.refused == 3, "refusals")
    assert "135" in bench.sender.state.error
    bench.put(2, "event")
    await bench.acked(2)
    # Events are allowed, which makes nothing right with the batches.
    assert "135" in bench.sender.state.error
    bench.advance(PAUSE_S)
    await eventually(lambda: bench.sender.state.refused == 6, "refusals")
    assert len(said(caplog)) == 1
    del broker.manners.ack_codes[TOPICS.batch]
    bench.advance(2 * PAUSE_S)
    await bench.acked(5)
    assert bench.sender.state.error == ""
    assert bench.sender.state.connects == 1
    assert bench.spools["rollup"].state().records == 3


async def test_the_end_of_a_pause_is_not_slept_through(
    broker: FakeBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PAUSE_S", 0.02)
    monkeypatch.setattr(outbox, "RESEND_AFTER_S", 3600.0)
    broker.manners.ack_codes[TOPICS.batch] = 135
    bench = Bench(tmp_path / "spool", broker.url)
    bench.sender.outbox._now_s = time.monotonic
    async with bench:
        bench.put(1)
        await eventually(lambda: bench.sender.state.refused == 1, "a refusal")
        del broker.manners.ack_codes[TOPICS.batch]
        await bench.acked(1)


async def test_an_inventory_that_is_denied_holds_back_what_names_it(
    broker: FakeBroker, bench: Bench
) -> None:
    broker.manners.ack_codes[TOPICS.inventory(SCHEMA)] = 135
    bench.put(1)
    await eventually(lambda: "135" in bench.sender.state.error, "the refusal in status")
    assert data(broker.published) == []
    del broker.manners.ack_codes[TOPICS.inventory(SCHEMA)]
    bench.advance(PAUSE_S)
    assert await arrived(broker, 1) == names(1)
    assert (bench.sender.state.error, bench.sender.state.connects) == ("", 1)


@pytest.mark.fault("D5")
async def test_what_is_too_large_is_declared_lost_and_the_next_one_sent(tmp_path: Path) -> None:
    manners = Manners(connack_properties=packets.maximum_packet_size(3000))
    async with FakeBroker(manners) as broker, Bench(tmp_path / "spool", broker.url) as bench:
        bench.put(1, size=5000)
        bench.put(1, size=100)
        assert await arrived(broker, 1) == names(2)
        assert bench.spools.take_losses() == [
            Loss("rollup", bench.queue(), 1, 1, "refused", ()),
        ]
        assert bench.sender.packet_bytes == 3000
        assert bench.sender.state.connects == 1
        tell(broker, bench, (2, 2))
        await bench.delivered()


@pytest.mark.fault("D5")
async def test_a_limit_that_the_broker_kept_to_itself_is_learnt(
    broker: FakeBroker, bench: Bench
) -> None:
    broker.manners.close_over_bytes = 1000
    bench.put(2, size=100)
    bench.put(1, size=5000)
    bench.put(2, size=100)
    await eventually(lambda: bench.sender.state.refused == 1, "the end of the large one")
    await eventually(lambda: {"rollup 4", "rollup 5"} <= set(data(broker.published)), "the rest")
    assert bench.sender.state.connects == 2
    assert [loss.first for loss in bench.spools.take_losses()] == [3]
    assert bench.sender.packet_bytes == 4999


@pytest.mark.parametrize("code", [0x97, 0x80, 0x83])
async def test_other_refusals_of_a_batch_lose_nothing(
    broker: FakeBroker, bench: Bench, code: int
) -> None:
    broker.manners.ack_codes[TOPICS.batch] = code
    bench.put(1)
    await eventually(lambda: bench.sender.state.refused == 1, "a refusal")
    assert bench.spools.take_losses() == []
    assert not bench.sender.outbox.delivered


async def test_hostile_words_in_the_collectors_name_are_ignored_and_told_once(
    broker: FakeBroker, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.put(3)
    await bench.acked(3)
    queue = bench.queue()
    good = Stored(IDENTITY.node, IDENTITY.edge, "c1", 1, {"rollup": {queue: [(1, 3)]}})
    for payload in (
        b"",
        b"\xc1",
        b"\x93" * 1000,
        bench.stored((1, 3))[:-3],
        encode_stored(replace(good, node="another")),
        encode_stored(replace(good, edge="another")),
        encode_stored(replace(good, streams={"rollup": {queue: [(1, 2**63 - 1)]}})),
        encode_stored(replace(good, streams={"rollup": {queue: [(3, 1)]}})),
    ):
        broker.deliver(TOPICS.stored, payload)
    tell(broker, bench, (1, 1))
    await eventually(lambda: bench.spools["rollup"].state().records == 2, "the good word")
    assert len(said(caplog)) == 1
    assert bench.spools["rollup"].next_identity()[1] == 4


async def test_a_broker_of_the_older_version_works_and_is_named(
    broker: FakeBroker, tmp_path: Path
) -> None:
    broker.manners.version5 = "refuse"
    async with Bench(tmp_path / "spool", broker.url, protocol=None) as bench:
        bench.put(2)
        assert await arrived(broker, 2) == names(1, 2)
        assert bench.sender.state.protocol == "3.1.1"
        tell(broker, bench, (1, 2))
        await bench.delivered()


async def test_puback_frees_the_spool_where_that_was_chosen(
    broker: FakeBroker, tmp_path: Path
) -> None:
    async with Bench(tmp_path / "spool", broker.url, ShipperConfig(confirm="puback")) as bench:
        bench.put(5)
        await bench.delivered()
        assert data(broker.published) == names(1, 2, 3, 4, 5)


async def test_waiting_for_delivery_ends_with_the_last_word(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(2)
    waiting = asyncio.create_task(bench.sender.until_delivered(10))
    await bench.acked(2)
    assert not waiting.done()
    tell(broker, bench, (1, 2))
    assert await waiting


async def test_waiting_for_delivery_ends_with_the_time(bench: Bench) -> None:
    bench.put(1)
    assert not await bench.sender.until_delivered(0.05)


async def test_nothing_left_is_delivered_whether_or_not_there_is_a_broker(tmp_path: Path) -> None:
    async with Bench(tmp_path / "spool", "mqtt://127.0.0.1:1") as bench:
        assert await asyncio.wait_for(bench.sender.until_delivered(60), 1)


async def test_leaving_does_not_wait_for_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "spool", "mqtt://127.0.0.1:1")
    monkeypatch.setattr(bench.sender._backoff, "delay_s", lambda: 3600.0)
    async with bench:
        await eventually(lambda: bench.sender.state.error != "", "a failed attempt")
        await asyncio.wait_for(bench.leave(), 1)


async def test_delivery_before_leaving_tries_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    async with broker:
        pass
    bench = Bench(tmp_path / "spool", broker.url, ShipperConfig(confirm="puback"))
    monkeypatch.setattr(bench.sender._backoff, "delay_s", lambda: 3600.0)
    async with bench:
        bench.put(1)
        await eventually(lambda: bench.sender.state.error != "", "a failed attempt")
        async with broker:
            assert await bench.sender.until_delivered(5)
            await bench.leave()


async def test_no_task_and_no_descriptor_outlives_a_run(broker: FakeBroker, tmp_path: Path) -> None:
    tasks, descriptors = len(other_tasks()), open_descriptors()
    for number in range(3):
        async with Bench(tmp_path / str(number), broker.url) as bench:
            bench.put(3)
            await bench.acked(3)
            broker.drop(CLIENT)
            await bench.acked(6)
    await eventually(lambda: len(other_tasks()) <= tasks, f"the end of {other_tasks()}")
    await eventually(lambda: open_descriptors() <= descriptors, "closed descriptors")


async def test_a_fault_in_a_publish_ends_the_run_and_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("not foreseen")

    monkeypatch.setattr(bench.sender.outbox, "acked", fail)
    bench.put(1)
    assert bench.task is not None
    with pytest.raises(ZeroDivisionError, match="not foreseen"):
        await asyncio.wait_for(asyncio.shield(bench.task), 5)
    bench.task = asyncio.create_task(asyncio.sleep(0))


async def test_a_record_that_cannot_be_read_is_passed_over(
    broker: FakeBroker, bench: Bench
) -> None:
    bench.put(1)
    await bench.acked(1)
    broker.manners.ack = False
    bench.put(9)
    await arrived(broker, 9)
    # Eight are in flight, the tenth waits for its turn.
    (segment,) = bench.spools["rollup"]._store.directory.glob("*.seg")
    with segment.open("r+b") as file:
        file.seek(-20, 2)
        file.write(b"damage")
    bench.put(1)
    broker.manners.ack = True
    broker.ack(CLIENT, 8)
    assert await arrived(broker, 10) == names(*range(1, 10), 11)
    assert [(loss.first, loss.reason) for loss in bench.spools.take_losses()] == [
        (10, "spool_damage")
    ]
