"""Families of columns as hardware gives them, each from a seed, the same on every machine."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

DEVICES: Final = 8
METRICS: Final = 12


def square_wave(rng: Random, n: int, rate_hz: int, noise_mw: float = 6000.0) -> array[int]:
    """Power in mW: training steps between two levels, Gaussian noise around them."""
    low, high = 180_000 + rng.randrange(60_000), 520_000 + rng.randrange(120_000)
    step_s, busy = 0.6 + rng.random() * 2, 0.55 + rng.random() * 0.3
    phase = rng.random()
    cells = array("q")
    for tick in range(n):
        level = high if (tick / rate_hz / step_s + phase) % 1 < busy else low
        cells.append(int(rng.gauss(level, noise_mw)))
    return cells


def clean_square_wave(rng: Random, n: int, rate_hz: int) -> array[int]:
    """The same from a sensor without noise."""
    return square_wave(rng, n, rate_hz, 0.0)


def ramp(rng: Random, n: int, rate_hz: int) -> array[int]:
    """A scheduled grid."""
    start = rng.randrange(2**50)
    return array("q", [start + tick * 10**9 // rate_hz for tick in range(n)])


def jittered_ramp(rng: Random, n: int, rate_hz: int) -> array[int]:
    """A steady counter with noise in its steps: energy in mJ."""
    total, cells = rng.randrange(2**40), array("q")
    for _ in range(n):
        total += max(0, int(rng.gauss(400_000 / rate_hz, 8_000 / rate_hz)))
        cells.append(total)
    return cells


def whole_degrees(rng: Random, n: int, rate_hz: int, scale: int = 1) -> array[int]:
    """Temperature: a slow walk, quantised."""
    at, cells = 45 + 20 * rng.random(), array("q")
    for _ in range(n):
        at += rng.gauss(0, 0.6) / rate_hz**0.5
        cells.append(int(at) * scale)
    return cells


def whole_degrees_milli(rng: Random, n: int, rate_hz: int) -> array[int]:
    """The same as hwmon gives it, in thousandths."""
    return whole_degrees(rng, n, rate_hz, 1000)


def bursty_counter(rng: Random, n: int, rate_hz: int) -> array[int]:
    """Bytes over a link: idle, then bursts of nearly steady rate."""
    total, busy, cells = rng.randrange(2**44), False, array("q")
    rate = 20e9 / rate_hz
    for _ in range(n):
        if rng.random() < (8 if busy else 16) / rate_hz:
            busy = not busy
        total += int(rate * (1 + rng.gauss(0, 0.1))) if busy else 0
        cells.append(total)
    return cells


def constant(rng: Random, n: int, _rate_hz: int) -> array[int]:
    """What never changes: a limit, a memory clock."""
    return array("q", [rng.randrange(2**36)]) * n


def clocks(rng: Random, n: int, rate_hz: int) -> array[int]:
    """MHz: few levels, 15 apart, held for a while."""
    level, cells = 1980, array("q")
    for _ in range(n):
        if rng.random() < 20 / rate_hz:
            level = 1980 - 15 * min(12, int(rng.expovariate(0.5)))
        cells.append(level)
    return cells


def utilisation(rng: Random, n: int, rate_hz: int) -> array[int]:
    """Per cent, refreshed 500 times a second and held between."""
    level, cells = 90, array("q")
    hold = max(1, rate_hz // 500)
    for tick in range(n):
        if tick % hold == 0:
            level = min(100, max(0, int(rng.gauss(90, 6))))
        cells.append(level)
    return cells


def gaps(rng: Random, n: int, rate_hz: int) -> array[int]:
    """A counter whose sensor falls silent now and then: what is left has jumps."""
    return array("q", [cell for cell in bursty_counter(rng, n, rate_hz) if rng.random() > 0.05])


def resets(rng: Random, n: int, rate_hz: int) -> array[int]:
    """A counter that starts again at nought."""
    at, cells = rng.randrange(2**40), array("q")
    for _ in range(n):
        at = 0 if rng.random() < 3 / n else at + int(rng.gauss(5e6, 4e5)) * 64 // rate_hz
        cells.append(at)
    return cells


def noise(rng: Random, n: int, _rate_hz: int) -> array[int]:
    """64 random bits a value: nothing can be saved."""
    return array("q", [rng.getrandbits(64) - 2**63 for _ in range(n)])


def lateness(rng: Random, n: int, _rate_hz: int) -> array[int]:
    """Begin minus scheduled in ns: a lognormal body and rare long waits."""
    return array("q", [int(13_000 * rng.lognormvariate(0, 0.35)) for _ in range(n)])


Family = Callable[[Random, int, int], "array[int]"]
"""(random numbers, values, rate in Hz) to a column."""

FAMILIES: Final[Mapping[str, Family]] = {
    "square wave": square_wave,
    "square wave, no noise": clean_square_wave,
    "ramp": ramp,
    "ramp, jittered": jittered_ramp,
    "whole degrees": whole_degrees,
    "whole degrees, in m°C": whole_degrees_milli,
    "bursty counter": bursty_counter,
    "constant": constant,
    "clocks": clocks,
    "utilisation": utilisation,
    "gaps": gaps,
    "resets": resets,
    "lateness": lateness,
    "noise": noise,
}

DEVICE: Final[tuple[Family, ...]] = (
    square_wave,
    jittered_ramp,
    whole_degrees,
    whole_degrees,
    clocks,
    constant,
    utilisation,
    utilisation,
    bursty_counter,
    bursty_counter,
    bursty_counter,
    bursty_counter,
)
"""The 12 metrics of one device."""


def node(seed: int, n: int, rate_hz: int, devices: int = DEVICES) -> Iterator[array[int]]:
    """Columns of a node, device by device; each goes on over n ticks."""
    for device in range(devices):
        for metric, family in enumerate(DEVICE):
            yield family(Random(f"{seed}/{device}/{metric}"), n, rate_hz)
