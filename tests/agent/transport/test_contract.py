"""What every broker must do for us: mosquitto, amqtt and the fake one that the other tests use."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter

import pytest

from fakes.observers import first
from xinmai.errors import TransportError
from xinmai.transport import BrokerAddress, Message, Transport, Will

# A node that dies: it connects with a will, says so, and waits.
_NODE = """
import asyncio, sys
from xinmai.transport import BrokerAddress, Transport, Will
async def main():
    will = Will("contract/will", b"offline")
    async with Transport(BrokerAddress(sys.argv[1]), "contract-dying", will=will):
        print("connected", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_published_messages_arrive(address: BrokerAddress) -> None:
    async with Transport(address, "one") as one, Transport(address, "two") as two:
        await two.subscribe(["contract/a/#", "contract/b"])
        await one.publish("contract/a/x", b"\x00\xff")
        await one.publish("contract/b", b"")
        await one.publish("contract/c", b"not for us")
        await one.publish("contract/b", b"last")
        assert await first(two, 3) == [
            Message("contract/a/x", b"\x00\xff", retain=False),
            Message("contract/b", b"", retain=False),
            Message("contract/b", b"last", retain=False),
        ]


async def test_a_retained_message_says_so(address: BrokerAddress) -> None:
    async with Transport(address, "one") as one:
        await one.publish("contract/kept", b"inventory", retain=True)
    async with Transport(address, "two") as two:
        await two.subscribe(["contract/kept"])
        assert await first(two, 1, "contract/kept") == [
            Message("contract/kept", b"inventory", retain=True)
        ]


async def test_a_hundred_publishes_at_once(address: BrokerAddress) -> None:
    async with Transport(address, "one") as one, Transport(address, "two") as two:
        await two.subscribe(["contract/many/+"])
        topics = [f"contract/many/{number}" for number in range(100)]
        await asyncio.gather(*(one.publish(topic, bytes(500)) for topic in topics))
        received = await first(two, 100, "contract/many/")
        assert Counter(message.topic for message in received) == Counter(topics)
        assert two.dropped == 0


async def test_a_megabyte_goes_through(address: BrokerAddress) -> None:
    payload = bytes(range(256)) * 4096
    async with Transport(address, "one") as one, Transport(address, "two") as two:
        await two.subscribe(["contract/large"])
        await one.publish("contract/large", payload)
        assert (await first(two, 1, "contract/large"))[0].payload == payload


async def test_the_will_follows_a_kill(address: BrokerAddress) -> None:
    async with Transport(address, "watcher") as watcher:
        await watcher.subscribe(["contract/will"])
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _NODE, address.url, stdout=asyncio.subprocess.PIPE
        )
        assert node.stdout
        assert await node.stdout.readline() == b"connected\n"
        node.send_signal(signal.SIGKILL)
        await node.wait()
        assert (await first(watcher, 1, "contract/will"))[0].payload == b"offline"
    async with Transport(address, "late") as late:
        await late.subscribe(["contract/will"])
        assert await first(late, 1, "contract/will") == [
            Message("contract/will", b"offline", retain=True)
        ]


# amqtt 0.12 sends the will after all when DISCONNECT and the end of the stream arrive together.
@pytest.mark.parametrize(
    "address", ["fake", pytest.param("mosquitto", marks=pytest.mark.broker)], indirect=True
)
async def test_a_clean_leave_sends_no_will(address: BrokerAddress) -> None:
    async with Transport(address, "watcher") as watcher:
        await watcher.subscribe(["contract/leave/#"])
        async with Transport(address, "node", will=Will("contract/leave/will", b"offline")):
            pass
        await watcher.publish("contract/leave/after", b"")
        assert (await first(watcher, 1, "contract/leave/"))[0].topic == "contract/leave/after"


async def test_every_kind_of_wait_ends_with_the_context(address: BrokerAddress) -> None:
    async with Transport(address, "one") as one:
        reading = asyncio.create_task(first(one, 1, "contract/x"))
        await one.publish("contract/x", b"")
    with pytest.raises(TransportError):
        await reading
    with pytest.raises(TransportError):
        await one.publish("contract/x", b"")
    with pytest.raises(TransportError):
        await one.subscribe(["contract/x"])
    with pytest.raises(TransportError):
        await first(one, 1, "contract/x")


async def test_a_transport_is_not_used_twice(address: BrokerAddress) -> None:
    transport = Transport(address, "one")
    with pytest.raises(TransportError, match="not connected"):
        await transport.publish("contract/x", b"")
    async with transport:
        pass
    with pytest.raises(TransportError, match="once"):
        await transport.__aenter__()
