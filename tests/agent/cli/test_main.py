from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from xinmai import __version__
from xinmai.cli import main as cli
from xinmai.errors import ConfigError, TransportError

Install = Callable[[Callable[[], int]], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes `xinmai up` do something else."""

    def put(action: Callable[[], int]) -> None:
        module = ModuleType("xinmai.cli.up")
        vars(module)["add_arguments"] = lambda parser: None
        vars(module)["run"] = lambda args: action()
        monkeypatch.setitem(sys.modules, "xinmai.cli.up", module)
        monkeypatch.delenv("XINMAI_DEBUG", raising=False)

    return put


def raising(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"xinmai {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0

    text = capsys.readouterr().out
    for name, help_line in cli.COMMANDS.items():
        assert f"  {name} " in text
        assert help_line in text


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: xinmai {name}")


def test_unknown_command_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["statsu"]) == 2
    assert 'did you mean "status"?' in capsys.readouterr().err


def test_unknown_option_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--nonsense"]) == 2
    assert cli.main(["doctor", "--nonsense"]) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("wrong", file="x.toml", line=3, key="a.b"), 2, "xinmai: x.toml:3: a.b: wrong"),
        (TransportError("broker went away"), 1, "xinmai: broker went away"),
        (FileNotFoundError(2, "No such file", "/x"), 1, "xinmai: No such file: /x"),
        (ModuleNotFoundError("x", name="duckdb"), 1, "pip install 'xinmai[collector]'"),
        (ModuleNotFoundError("x", name="amqtt"), 1, "pip install 'xinmai[broker]'"),
        (RuntimeError("odd"), 1, "internal error: RuntimeError: odd (XINMAI_DEBUG=1"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(7), 7, ""),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    install: Install,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
) -> None:
    install(raising(error))

    assert cli.main(["up"]) == code

    err = capsys.readouterr().err
    assert text in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(raising(TransportError("x")))
    monkeypatch.setenv("XINMAI_DEBUG", "1")

    with pytest.raises(TransportError):
        cli.main(["up"])


def test_exit_code_is_the_commands(install: Install) -> None:
    install(lambda: 3)
    assert cli.main(["up"]) == 3


def test_reader_that_goes_away_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "xinmai", "config", "init"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert (done.returncode, done.stderr) == (cli.BROKEN_PIPE, b"")


@pytest.mark.parametrize("name", ["agent", "status"])
def test_agent_commands_import_nothing_of_the_collector(name: str) -> None:
    code = (
        "import sys, importlib\n"
        f"importlib.import_module('xinmai.cli.{name}')\n"
        "heavy = {'rich', 'duckdb', 'pyarrow', 'aiohttp', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_command_keeps_the_contract() -> None:
    for name in cli.COMMANDS:
        module = importlib.import_module(f"xinmai.cli.{name}")
        assert callable(module.add_arguments), name
        assert callable(module.run), name
