"""The command `xinmai`: finds the subcommand, imports only that, and turns errors into exit codes.

Exit codes: 0 fine, 1 failed, 2 wrong use. `XINMAI_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Protocol, cast

from xinmai import __version__
from xinmai.errors import Usage, XinmaiError

COMMANDS = MappingProxyType(
    {
        "up": "broker, agent, collector and web page on this machine, in one go",
        "agent": "the daemon of a node: sampler and shipper under one parent",
        "collector": "the daemon of an edge: receives, stores, serves the web page",
        "devices": "every device of this machine, without a daemon",
        "read": "every series once, with value or reason, without a daemon",
        "tail": "decoded messages from a broker as they come",
        "query": "SQL over what the collector stored",
        "capture": "every reading of a node around now, at full rate",
        "explain": "what a series is: native call, unit, scale, refresh",
        "status": "health of the running agent: fresh data per plugin",
        "config": "write, check or show the configuration",
        "doctor": "what is missing on this machine, and the fix",
        "plugin": "the plugins that are installed, and what each needs",
        "standin": "simulated SDKs, for tests and demos without hardware",
        "bench": "the project's own figures, measured here, as JSON",
    }
)
EXTRAS = MappingProxyType(
    {"aiohttp": "collector", "duckdb": "collector", "pyarrow": "collector", "amqtt": "broker"}
)
INTERRUPTED = 130
BROKEN_PIPE = 141


class Command(Protocol):
    """A module `xinmai.cli.NAME`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and operands."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: without the program's name; sys.argv's where None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except SystemExit as error:  # argparse has already said what it had to say
        return error.code if isinstance(error.code, int) else 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("XINMAI_DEBUG") == "1":
            raise
        print(f"xinmai: {_explain(error)}", file=sys.stderr)
        return 2 if isinstance(error, Usage) else 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        _top_parser().parse_args(arguments or ["--help"])
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f'did you mean "{near[0]}"?' if near else "see xinmai --help"
        raise Usage(f'no command "{name}"; {hint}')
    module = cast(Command, importlib.import_module(f"xinmai.cli.{name}"))
    parser = argparse.ArgumentParser(
        f"xinmai {name}", description=_sentence(COMMANDS[name]), allow_abbrev=False
    )
    module.add_arguments(parser)
    code = module.run(parser.parse_args(rest))
    sys.stdout.flush()
    return code


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "xinmai",
        usage="xinmai [--version] COMMAND ...",
        description="One hardware-telemetry agent for every accelerator, and its collector.",
        epilog=f"commands (xinmai COMMAND --help says more):\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"xinmai {__version__}")
    return parser


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _explain(error: Exception) -> str:
    if isinstance(error, XinmaiError):
        return str(error)
    extra = EXTRAS.get(error.name or "") if isinstance(error, ModuleNotFoundError) else None
    if isinstance(error, ModuleNotFoundError) and extra:
        return f"{error.name} is not installed: pip install 'xinmai[{extra}]'"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = f"{type(error).__name__}: {error}"
    return f"internal error: {text} (XINMAI_DEBUG=1 shows where)"


def _drop_stdout() -> None:
    """Keep the interpreter from flushing into the broken pipe once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
