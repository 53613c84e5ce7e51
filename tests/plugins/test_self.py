from __future__ import annotations

from pathlib import Path

from fakes.fakesys import build, snapshot


def test_clock_is_a_reading_of_the_agent(tmp_path: Path) -> None:
    row = snapshot(build(tmp_path, "/proc/uptime: 184312.47 23481923.11").plugin("self"))
    assert row.one("xinmai.clock.uptime", "agent") == 184312.47


def test_always_there() -> None:
    row = snapshot(build(Path("/"), "").plugin("self"))
    uptime = row.one("xinmai.clock.uptime")
    assert isinstance(uptime, float)
    assert uptime > 0
