from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
HANG = TESTS / "native" / "c" / "hang.c"

Script = Callable[..., str]


@pytest.fixture
def log() -> Iterator[None]:
    """Logging to descriptor 2, as in the daemons: hosts write to it as well."""
    with os.fdopen(2, "w", buffering=1, closefd=False) as stream:
        handler = logging.StreamHandler(stream)
        handler.setLevel(logging.INFO)
        root = logging.getLogger()
        before = root.level
        root.setLevel(logging.INFO)
        root.addHandler(handler)
        yield
        root.removeHandler(handler)
        root.setLevel(before)


@pytest.fixture(scope="session")
def hanging_pread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library for LD_PRELOAD in which reads of a file named `stuck` never come back."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    out = tmp_path_factory.mktemp("preload") / "hang.so"
    command = ["gcc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", str(out), str(HANG)]
    subprocess.run(command, check=True)
    return out


@pytest.fixture
def preloaded(hanging_pread: Path, tmp_path: Path) -> Script:
    """Runs a script, with tmp_path as its argument, in which files named `stuck` hang."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
            env={
                **os.environ,
                "LD_PRELOAD": str(hanging_pread),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
