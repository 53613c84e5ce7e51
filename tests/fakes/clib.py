"""The tests' own C libraries, built when they are needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def build(source: str, out: Path) -> Path:
    """Compile a source beside this file into a shared library; skips where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", str(out), str(HERE / source)], check=True)
    return out


def declarations(header: str) -> str:
    """A header of this folder as cffi reads it."""
    lines = (HERE / header).read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def put(root: Path, library: Path, header: str) -> None:
    """Lay a library and its declarations where a plugin of the tests looks for them."""
    shutil.copy(library, root)
    (root / header).write_text(declarations(header), "utf-8")
