"""What hosts print is passed on, but not as a flood."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.sampler.samplerrun import SamplerRun
from agent.shipper.bench import eventually
from fakes.tinyplugin import tiny
from running import eventually as until
from xinmai import clock
from xinmai.clock import SECOND_NS
from xinmai.sampler import outputs as module
from xinmai.sampler.outputs import BURST_LINES, LINE_BYTES, LINES_PER_S, Allowance, Outputs

pytestmark = pytest.mark.fault("B5")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic time, which the test advances."""
    found = [SECOND_NS]
    monkeypatch.setattr(clock, "mono_ns", lambda: found[0])
    return found


@pytest.fixture
async def outputs() -> AsyncIterator[Outputs]:
    one = Outputs()
    yield one
    one.close()


def test_a_burst_passes_and_then_only_the_rate(now: list[int]) -> None:
    allowance = Allowance()
    assert allowance.take(BURST_LINES + 7) == BURST_LINES
    assert (allowance.take(1), allowance.dropped) == (0, 8)
    now[0] += SECOND_NS // 2
    assert allowance.take(1000) == LINES_PER_S // 2
    now[0] += 3600 * SECOND_NS
    assert allowance.take(1000) == BURST_LINES


async def test_lines_come_whole_and_the_last_without_its_end(
    outputs: Outputs, capfd: pytest.CaptureFixture[str]
) -> None:
    fd = outputs.open("tiny")
    seen = ""

    def shown(text: str) -> bool:
        nonlocal seen
        seen += capfd.readouterr().err
        return text in seen

    os.write(fd, b"one\ntw")
    await eventually(lambda: shown("one\n"), "the first line")
    assert "tw" not in seen
    os.write(fd, b"o\n" + b"x" * (2 * LINE_BYTES) + b"\nlast")
    os.close(fd)
    await eventually(lambda: shown("last\n"), "the last line")
    assert seen == f"one\ntwo\n{'x' * LINE_BYTES}\nlast\n"


async def test_a_line_without_end_takes_no_memory(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1000)
    fd = outputs.open("tiny")
    os.write(fd, b"x" * 30_000)
    os.close(fd)
    seen = ""

    def all_shown() -> bool:
        nonlocal seen
        seen += capfd.readouterr().err
        return seen.endswith("\n")

    await eventually(all_shown, "what is kept of it")
    assert seen == "x" * LINE_BYTES + "\n"


async def test_what_is_dropped_is_counted_over_all_hosts_of_a_plugin(
    outputs: Outputs,
    now: list[int],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    def passed(count: int) -> bool:
        seen.extend(capfd.readouterr().err.splitlines())
        return len(seen) == count

    for name, count in (("tiny", 90), ("tiny", 90), ("other", 5)):
        fd = outputs.open(name)
        os.write(fd, b"line\n" * count)
        os.close(fd)
    await eventually(lambda: passed(105), "lines that pass")
    outputs.tend()
    outputs.tend()
    assert [one.message for one in caplog.records] == ["output dropped: plugin=tiny lines=80"]


def test_a_library_that_floods_costs_nobody_a_reading(tmp_path: Path) -> None:
    """Both streams, from C: no logging of ours is in the way."""
    body = """
    def events(self):
        for fd in (1, 2):
            os.write(fd, b"".join(b"library says %d\\n" % n for n in range(5000)))
        return []
    """
    source = tiny(tmp_path / "plugin", body)
    with SamplerRun(tmp_path, [source]) as run:
        client = run.connect()
        ring = client.until_ring("tiny")
        client.until_rows(ring, "hw.power", "one", 20)
        until(lambda: "output dropped: plugin=tiny" in run.logged(), "the word")
        assert run.logged().count("library says") < 1000
        assert run.terminate() == 0
