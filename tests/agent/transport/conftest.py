"""One broker of each kind for the contract tests, started when first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from brokers import RunningBroker, amqtt, mosquitto
from fakes.fakebroker import FakeBroker
from xinmai.transport import BrokerAddress, Learned

Start = Callable[[str], RunningBroker]


@pytest.fixture(scope="module")
def start_real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    running: dict[str, RunningBroker] = {}

    def start(name: str) -> RunningBroker:
        if name not in running:
            launch = {"mosquitto": mosquitto, "amqtt": amqtt}[name]
            running[name] = launch(tmp_path_factory.mktemp(name))
        return running[name]

    yield start
    for broker in running.values():
        broker.stop()


@pytest.fixture(params=["fake", pytest.param("mosquitto", marks=pytest.mark.broker), "amqtt"])
async def address(
    request: pytest.FixtureRequest, start_real: Start
) -> AsyncIterator[BrokerAddress]:
    """Of each kind of broker in turn."""
    if request.param == "fake":
        async with FakeBroker() as broker:
            yield BrokerAddress(broker.url)
    else:
        # What amqtt makes of a question for MQTT 5 is tested elsewhere; here it costs a second.
        learned = Learned("3.1.1" if request.param == "amqtt" else "5")
        yield BrokerAddress(start_real(request.param).url, learned=learned)


@pytest.fixture
def real_broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """A mosquitto of this test's own."""
    with mosquitto(tmp_path) as broker:
        yield broker
