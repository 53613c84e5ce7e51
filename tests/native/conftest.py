"""The library that tests of call probes call into."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from native.callrig import Functions

SOURCE = Path(__file__).parent / "c" / "calls.c"


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Functions:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    out = tmp_path_factory.mktemp("calls") / "calls.so"
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-shared", "-fPIC", "-o", str(out), str(SOURCE)], check=True)
    return Functions(ctypes.CDLL(str(out)), out)
