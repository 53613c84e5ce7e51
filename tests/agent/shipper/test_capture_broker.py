"""A capture through a real broker, decoded as a collector would."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.shipper.bench import TOPICS, WAIT_S
from agent.shipper.capturerig import at, in_ring, rows_of
from agent.shipper.conftest import MakeRig
from agent.shipper.rig import IDENTITY, TICK_NS, Host, LaneSpec
from brokers import mosquitto
from xinmai.clock import SECOND_NS
from xinmai.config import CaptureConfig, ShipperConfig
from xinmai.shipper.sender import Sender
from xinmai.transport import BrokerAddress, Transport
from xinmai.wire.codec import decode_batch
from xinmai.wire.messages import Batch

pytestmark = pytest.mark.broker

KILOHERTZ = LaneSpec("fast", TICK_NS // 100, 12, slots=16_384)


@pytest.mark.statement("CAP-10")
@pytest.mark.statement("WIRE-49")
async def test_a_capture_arrives_complete_with_every_row_once(
    tmp_path: Path, make_rig: MakeRig
) -> None:
    rig = make_rig(
        ShipperConfig(batch_bytes=4096),
        captures=CaptureConfig(before_ns=3 * SECOND_NS, after_ns=2 * SECOND_NS),
    )
    hosts = [Host("acme", (KILOHERTZ,)), Host("other", (LaneSpec("fast", TICK_NS, 2),))]
    rig.add(*hosts)
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as broker:
        sender = Sender(
            IDENTITY,
            BrokerAddress(broker.url),
            rig.config,
            rig.spools,
            lambda: 1,
            now_s=lambda: rig.clock.now_s,
        )
        async with Transport(BrokerAddress(broker.url), "collector") as collector:
            await collector.subscribe([TOPICS.capture])
            sending = asyncio.create_task(sender.run(), name="sender")
            try:
                for second in range(8):
                    for host in hosts:
                        ticks = SECOND_NS // host.lanes[0].period_ns
                        host.rows(at(second), ticks, value=second * ticks)
                    if second == 4:
                        hosts[1].event("xid")
                    rig.run(at(second + 1))
                    sender.wake()
                batches = await asyncio.wait_for(_until_the_last(collector), WAIT_S)
                sender.leave()
                await asyncio.wait_for(sending, WAIT_S)
            finally:
                sending.cancel()
    found = [batch.capture for batch in batches if batch.capture is not None]
    assert [one.part for one in found] == list(range(1, len(found) + 1))
    assert len(found) > 4
    rows = [row for batch in batches for row in rows_of(rig, batch)]
    expected = in_ring(hosts, at(2), at(7))
    assert len(expected) == 5050
    assert sorted(rows) == sorted(expected)


async def _until_the_last(collector: Transport) -> list[Batch]:
    out: list[Batch] = []
    async for message in collector.messages():
        out.append(decode_batch(message.payload))
        if (capture := out[-1].capture) is not None and capture.last:
            break
    return out
