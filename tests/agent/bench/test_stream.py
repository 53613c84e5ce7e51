from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from running import eventually
from xinmai.bench import livefiles, stream
from xinmai.bench.livefiles import MOST, SENSORS, make_chip, writing
from xinmai.bench.processes import cpu_by_name, pss_by_name
from xinmai.bench.stream import Window
from xinmai.cli.main import main
from xinmai.errors import XinmaiError


def test_a_streaming_agent_delivers_exactly_what_it_took(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["--figure", "agent_stream_1khz", "--figure", "agent_stream_delivered"]
    assert main(["bench", "agent", "--seconds", "4", "--pairs", "1", "--json", *names]) == 0
    out = capsys.readouterr()
    cpu, delivered = json.loads(out.out)["figures"]
    assert cpu["name"] == "agent_stream_1khz"
    assert cpu["bar"] == "ratio ≤ 1.5"
    assert cpu["value"] > 0
    assert cpu["reference_value"] > 0
    assert delivered["name"] == "agent_stream_delivered"
    assert delivered["value"] == delivered["reference_value"] > SENSORS * 1000
    assert delivered["ratio"] == 1
    assert "0 lost, 0 gaps" in delivered["reference"]
    for process in ("xm-shipper", "xm-sampler", "xm-host-hwmon"):
        assert process in out.err


def test_readings_change_while_they_are_written_and_stay_plausible(tmp_path: Path) -> None:
    files = make_chip(tmp_path)
    assert len(files) == SENSORS == 96
    seen: set[int] = set()

    def changes() -> bool:
        seen.add(int(files[0].read_bytes().split(b"\n")[0]))
        return len(seen) > 3

    with writing(files):
        eventually(changes, "readings that change")
        values = [int(file.read_bytes().split(b"\n")[0]) for file in files]
    assert all(0 <= value < MOST for value in values)
    assert len(set(values)) > SENSORS // 2


def test_files_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(XinmaiError, match="nothing"), writing([tmp_path / "nothing"]):
        pass


def test_texts_have_one_length_so_that_files_keep_theirs() -> None:
    rows = livefiles._texts()[:50]
    assert {len(row) for row in rows} == {SENSORS}
    assert {len(text) for row in rows for text in row} == {16}


def test_cpu_and_memory_are_told_by_process_name() -> None:
    before = cpu_by_name(os.getpid())
    sum(range(10**6))
    after = cpu_by_name(os.getpid())
    after.subtract(before)
    assert after.total() > 0
    assert pss_by_name(os.getpid()).total() > 2**20


def test_cpu_is_shared_out_over_the_readings_of_the_windows() -> None:
    windows = [Window(0, 1, Counter(a=4_000, b=1_000)), Window(1, 2, Counter(a=2_000))]
    assert stream._us_by_process(windows, [2, 1]) == {"a": 2.0, "b": pytest.approx(1 / 3)}
