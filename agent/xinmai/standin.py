"""Builds stand-in SDKs: libraries with a vendor's file name and ABI that simulate devices.

The sources are data of the package `xinmai_standin`; nothing of it is imported or loaded here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from xinmai.errors import Unavailable, Usage, XinmaiError
from xinmai.tables import Table, read_toml

PACKAGE: Final = "xinmai_standin"
FLAGS: Final = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
BUILD_S: Final = 120.0
DEFAULT_DEVICES: Final = 8
MAX_DEVICES: Final = 128
T0: Final = "XINMAI_STANDIN_T0_NS"


@dataclass(frozen=True, slots=True)
class StandIn:
    """One SDK that can be built.

    Args:
        file: the library's file name and soname.
        plugin: which plugin reads it; it has a configuration key `library`.
    """

    name: str
    folder: Path
    file: str
    plugin: str
    summary: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A stand-in and how many devices it shall have."""

    stand_in: StandIn
    devices: int


def find_stand_ins() -> dict[str, StandIn]:
    """Every stand-in by name, sorted.

    Raises:
        Unavailable: this installation came without them.
    """
    files = sorted(_core().glob("*/standin.toml"))
    return {file.parent.name: _read(file) for file in files}


def _core() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("find the sources of stand-ins", PACKAGE, "install xinmai once more")
    return Path(spec.submodule_search_locations[0])


def _read(file: Path) -> StandIn:
    table = Table(file, "", read_toml(file))
    found = StandIn(
        name=file.parent.name,
        folder=file.parent,
        file=table.take("file", str),
        plugin=table.take("plugin", str),
        summary=table.take("summary", str),
    )
    table.done()
    return found


def stand_in_named(name: str) -> StandIn:
    """The stand-in of that name.

    Raises:
        Usage: there is none.
    """
    known = find_stand_ins()
    if name not in known:
        raise Usage(f'no stand-in "{name}"; there are {", ".join(known)}')
    return known[name]


def parse_wanted(text: str) -> list[Wanted]:
    """What `NAME[:DEVICES][,…]` asks for.

    Raises:
        Usage: a name that is not known or a count that is none.
    """
    wanted = [_wanted(part) for part in text.split(",")]
    names = [entry.stand_in.name for entry in wanted]
    if len(set(names)) != len(names):
        raise Usage(f"--stand-in {text}: name each stand-in once")
    return wanted


def _wanted(text: str) -> Wanted:
    name, colon, count = text.partition(":")
    devices = int(count) if count.isdecimal() else DEFAULT_DEVICES
    if (colon and not count.isdecimal()) or not 1 <= devices <= MAX_DEVICES:
        raise Usage(f"--stand-in {text}: write NAME or NAME:DEVICES, from 1 to {MAX_DEVICES}")
    return Wanted(stand_in_named(name), devices)


def build(stand_in: StandIn, out: Path) -> Path:
    """Compile into a directory; returns the library's path.

    Raises:
        Unavailable: there is no C compiler.
        XinmaiError: it refuses the sources; its own words follow.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("compile a stand-in", "no cc on PATH", "apt install gcc, dnf install gcc")
    out.mkdir(parents=True, exist_ok=True)
    library = out / stand_in.file
    with tempfile.TemporaryDirectory(prefix=".build-", dir=out) as name:
        made = Path(name) / stand_in.file
        _compile(compiler, stand_in, made)
        # At once: another process may have the old one mapped.
        made.replace(library)
    return library


def _compile(compiler: str, stand_in: StandIn, out: Path) -> None:
    sources = [str(file) for file in _sources(stand_in) if file.suffix == ".c"]
    soname = f"-Wl,-soname,{stand_in.file}"
    command = [compiler, *FLAGS, "-D_GNU_SOURCE", soname, "-o", str(out), *sources, "-lm"]
    done = _run(command)
    if done.returncode:
        raise XinmaiError(f"{compiler} cannot build the stand-in {stand_in.name}:\n{done.stderr}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # In one language: the message may end in a report.
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=BUILD_S, env=environment
    )


def build_cached(stand_in: StandIn, state_dir: Path) -> Path:
    """Compile into a directory named after the sources' content; at once if it is there."""
    digest = hashlib.sha256()
    for file in _sources(stand_in):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    out = state_dir / "stand-in" / f"{stand_in.name}-{digest.hexdigest()[:16]}"
    library = out / stand_in.file
    return library if library.exists() else build(stand_in, out)


def _sources(stand_in: StandIn) -> Iterator[Path]:
    for folder in (stand_in.folder.parent, stand_in.folder):
        yield from sorted(file for file in folder.iterdir() if file.suffix in (".c", ".h"))


def environment(wanted: Sequence[Wanted], t0_mono_ns: int) -> dict[str, str]:
    """Variables for the processes that will load the libraries.

    Args:
        t0_mono_ns: CLOCK_MONOTONIC of the scenarios' second 0, for all processes to share; what
            the environment says goes before it.
    """
    out = {T0: os.environ.get(T0) or str(t0_mono_ns)}
    for entry in wanted:
        out[f"XINMAI_STANDIN_{entry.stand_in.name.upper()}_DEVICES"] = str(entry.devices)
    return out
