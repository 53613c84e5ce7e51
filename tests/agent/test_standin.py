"""Finding, asking for and building stand-ins; what they do is tested in tests/native."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from xinmai import standin
from xinmai.cli.main import main
from xinmai.errors import Unavailable, Usage, XinmaiError
from xinmai.manifest import find_plugins
from xinmai.standin import build, build_cached, environment, find_stand_ins, parse_wanted

compiled = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def test_every_stand_in_has_a_plugin_with_a_key_for_its_library() -> None:
    plugins = find_plugins()
    for one in find_stand_ins().values():
        assert "library" in plugins[one.plugin].manifest.config


def test_every_stand_in_has_the_name_that_its_plugin_looks_for() -> None:
    plugins = find_plugins()
    for one in find_stand_ins().values():
        needs = plugins[one.plugin].manifest.needs
        named = {item for need in needs if need.kind == "libraries" for item in need.items}
        assert one.file in {Path(name).name for name in named}


def test_wanted_devices_default_to_eight() -> None:
    assert [(one.stand_in.name, one.devices) for one in parse_wanted("neutral")] == [("neutral", 8)]
    assert [one.devices for one in parse_wanted("neutral:3")] == [3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody:4", 'no stand-in "nobody"; there are neutral'),
        ("neutral:", "write NAME or NAME:DEVICES"),
        ("neutral:x", "write NAME or NAME:DEVICES"),
        ("neutral:0", "from 1 to 128"),
        ("neutral:129", "from 1 to 128"),
        ("neutral:1,neutral:2", "name each stand-in once"),
    ],
)
def test_what_cannot_be_wanted_is_wrong_use(text: str, words: str) -> None:
    with pytest.raises(Usage, match=words):
        parse_wanted(text)


def test_processes_share_second_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINMAI_STANDIN_T0_NS", raising=False)
    assert environment(parse_wanted("neutral:3"), 17) == {
        "XINMAI_STANDIN_T0_NS": "17",
        "XINMAI_STANDIN_NEUTRAL_DEVICES": "3",
    }
    monkeypatch.setenv("XINMAI_STANDIN_T0_NS", "5")
    assert environment([], 17)["XINMAI_STANDIN_T0_NS"] == "5"


@compiled
def test_built_library_has_its_file_name_and_says_what_it_is(tmp_path: Path) -> None:
    library = build(find_stand_ins()["neutral"], tmp_path / "new")
    assert library == tmp_path / "new" / "libnsdk.so.1"
    assert b"libnsdk.so.1" in library.read_bytes()
    assert ctypes.c_char.in_dll(ctypes.CDLL(str(library)), "xinmai_standin_version").value == b"1"
    assert [entry.name for entry in library.parent.iterdir()] == ["libnsdk.so.1"]


@compiled
def test_unchanged_sources_are_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutral = find_stand_ins()["neutral"]
    first = build_cached(neutral, tmp_path)
    monkeypatch.setenv("PATH", "")
    assert build_cached(neutral, tmp_path) == first


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="apt install gcc"):
        build(find_stand_ins()["neutral"], tmp_path / "out")


def test_a_compiler_that_refuses_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no such target' >&2\nexit 1\n", "utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(XinmaiError, match="no such target"):
        build(find_stand_ins()["neutral"], tmp_path / "out")


def test_without_the_sources_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "PACKAGE", "xinmai_nowhere")
    with pytest.raises(Unavailable, match="xinmai_nowhere"):
        find_stand_ins()


def test_list_names_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["standin", "list"]) == 0
    assert "libnsdk.so.1" in capsys.readouterr().out


@compiled
def test_build_prints_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["standin", "build", "neutral", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/libnsdk.so.1\n"


def test_unknown_name_is_wrong_use(tmp_path: Path) -> None:
    assert main(["standin", "build", "nobody", "--out", str(tmp_path)]) == 2
