from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from agent.shipper.rig import MIB, Clock, Rig
from xinmai.config import CaptureConfig, ShipperConfig

DEFAULT = ShipperConfig()
CAPTURES = CaptureConfig()


class MakeRig(Protocol):
    """A rig with a configuration of the test's own."""

    def __call__(
        self,
        config: ShipperConfig = ...,
        *,
        budget_bytes: int = ...,
        packet_bytes: int = ...,
        captures: CaptureConfig = ...,
    ) -> Rig: ...


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fdatasync does cannot be seen from here; waiting for it a thousand times can."""
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def make_rig(tmp_path: Path, clock: Clock) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(
        config: ShipperConfig = DEFAULT,
        *,
        budget_bytes: int = 64 * MIB,
        packet_bytes: int = MIB,
        captures: CaptureConfig = CAPTURES,
    ) -> Rig:
        made.append(Rig(tmp_path / "spool", clock, config, budget_bytes, packet_bytes, captures))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def raw_rig(make_rig: MakeRig) -> Rig:
    """Every lane at full rate: each row can be told apart."""
    return make_rig(ShipperConfig(raw=("*",)))
