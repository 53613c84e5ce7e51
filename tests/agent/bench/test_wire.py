from __future__ import annotations

import json
from array import array
from pathlib import Path

import pytest

from xinmai.bench import wire
from xinmai.bench.wire import Trace, made_trace, read_trace, wire_bytes
from xinmai.cli.main import main
from xinmai.errors import XinmaiError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text, "utf-8")
    return path


def test_traces_are_the_same_each_time() -> None:
    assert made_trace(100, 1) == made_trace(100, 1)


@pytest.mark.parametrize(("rate_hz", "most"), [(1000, 1.10), (100, 1.50)])
def test_wire_takes_no_more_than_aimed_at(rate_hz: int, most: float) -> None:
    trace = made_trace(rate_hz, 1)
    assert wire_bytes(trace) / trace.cells <= most


def test_a_trace_file_is_measured_and_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{10**15 + i * 10**7},{i % 7},{-(2**63) + i}" for i in range(250)]
    path = written(tmp_path, "\n".join(["t_ns,power,x", *rows]) + "\n")

    assert main(["bench", "wire", "--trace", str(path), "--json"]) == 0

    (figure,) = json.loads(capsys.readouterr().out)["figures"]
    assert figure["name"] == "wire_bytes_trace"
    assert 0 < figure["value"] < 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t_ns,a\n",
        "time,a\n1,2\n",
        "t_ns\n1\n",
        "t_ns,a\n1,2\n3\n",
        "t_ns,a\n1,2.5\n",
        f"t_ns,a\n1,{2**63}\n",
    ],
)
def test_what_is_no_trace_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(XinmaiError, match=r"trace\.csv"):
        read_trace(written(tmp_path, text))


def test_seconds_are_cut_from_the_first_row_on() -> None:
    times = array("q", [5, 10**9 + 4, 10**9 + 5, 3 * 10**9 + 5])
    assert list(wire.seconds_of(times)) == [(0, 2), (2, 3), (3, 4)]
    assert list(wire.seconds_of(array("q"))) == []


def test_a_change_on_the_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    nine = array("q", range(9))
    trace = Trace(nine, nine, nine, [nine])
    assert wire_bytes(trace) > 0
    monkeypatch.setattr(wire, "_same", lambda *_: False)
    with pytest.raises(XinmaiError, match="came back changed"):
        wire_bytes(trace)


def test_without_the_yardsticks_there_is_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_optional", lambda name: None)
    monkeypatch.setattr(wire, "SECONDS", 1)
    monkeypatch.setattr(wire, "RUNS", 1)
    figures = wire.run(1, lambda line: None)
    assert [figure.name for figure in figures] == [
        "wire_bytes_1khz",
        "wire_bytes_100hz",
        "encode",
        "decode",
    ]
    assert all(figure.ratio is None and figure.value for figure in figures)
