"""Addresses and the backoff: no network."""

from __future__ import annotations

import random

import pytest

from xinmai.errors import Usage
from xinmai.transport import Backoff, BrokerAddress


def test_ports_follow_the_scheme() -> None:
    assert BrokerAddress("mqtt://edge").port == 1883
    assert BrokerAddress("mqtts://edge").port == 8883
    assert BrokerAddress("mqtt://edge:1").port == 1


def test_brackets_are_not_part_of_a_host() -> None:
    address = BrokerAddress("mqtts://[::1]:9000")
    assert (address.host, address.port, address.tls) == ("::1", 9000, True)


@pytest.mark.parametrize(
    "url",
    ["", "edge:1883", "http://edge", "mqtt://", "mqtt://edge:x", "mqtt://edge:0", "mqtt://edge/a"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Usage):
        BrokerAddress(url)


def test_a_password_is_never_shown() -> None:
    assert "geheim" not in repr(BrokerAddress("mqtt://edge", username="u", password="geheim"))
    with pytest.raises(Usage) as caught:
        BrokerAddress("mqtt://u:geheim@edge")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("keepalive_s", [0, -1, 65536])
def test_a_keepalive_is_required(keepalive_s: int) -> None:
    with pytest.raises(Usage):
        BrokerAddress("mqtt://edge", keepalive_s=keepalive_s)


def test_what_was_learned_does_not_change_the_address() -> None:
    first, second = BrokerAddress("mqtt://edge"), BrokerAddress("mqtt://edge")
    first.learned.protocol = "3.1.1"
    assert first == second
    assert hash(first) == hash(second)
    assert second.learned.protocol is None


class Highest(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.fault("D9")
def test_windows_double_up_to_the_cap() -> None:
    backoff = Backoff(base_s=1, cap_s=10, spread_s=0.5, source=Highest())
    assert [backoff.delay_s() for _ in range(6)] == [0.5, 2, 4, 8, 10, 10]


@pytest.mark.fault("D9")
def test_a_stable_connection_starts_over() -> None:
    backoff = Backoff(spread_s=0.5, source=Highest())
    assert [backoff.delay_s() for _ in range(3)] == [0.5, 2, 4]
    backoff.stable()
    assert [backoff.delay_s() for _ in range(2)] == [0.5, 2]


@pytest.mark.fault("D9")
def test_a_fleet_spreads_from_the_first_attempt() -> None:
    delays = [Backoff(spread_s=60, source=random.Random(seed)).delay_s() for seed in range(1000)]
    busiest = max(sum(second <= delay < second + 1 for delay in delays) for second in range(60))
    assert busiest < 40


def test_a_thousand_attempts_do_not_overflow() -> None:
    backoff = Backoff()
    assert max(backoff.delay_s() for _ in range(2000)) <= 60
