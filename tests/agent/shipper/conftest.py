from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.shipper.rig import Clock, Rig
from xinmai.config import ShipperConfig

MakeRig = Callable[..., Rig]


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
    """Rigs with a configuration of the test's own."""
    made: list[Rig] = []

    def make(**options: object) -> Rig:
        config = {key: options.pop(key) for key in list(options) if hasattr(ShipperConfig, key)}
        rig = Rig(tmp_path / "spool", clock, ShipperConfig(**config), **options)  # type: ignore[arg-type]
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.spools.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()


@pytest.fixture
def raw_rig(make_rig: MakeRig) -> Rig:
    """Every lane at full rate: each row can be told apart."""
    return make_rig(raw=("*",))
