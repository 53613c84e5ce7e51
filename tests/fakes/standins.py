"""Stand-in SDKs built once for the tests, and children that load one under a scenario."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from xinmai.standin import build_cached, stand_in_named

ROOT = Path(__file__).parent.parent.parent
CHILD_S = 60.0
HOUR_NS = 3600 * 10**9

PRELUDE = """
import ctypes as c, os, sys, threading, time
sdk = c.CDLL(os.environ["SDK"])
sdk.nsdkErrorString.restype = c.c_char_p
sdk.xinmai_standin_t0_ns.restype = c.c_int64
U32, I64, REF = c.c_uint, c.c_int64, c.byref

def handle(index):
    out = c.c_void_p()
    code = sdk.nsdkDeviceByIndex(index, REF(out))
    assert code == 0, code
    return out

def power(of):
    out = U32()
    return sdk.nsdkDeviceGetPower(of, REF(out)), out.value

def now():
    return time.monotonic_ns() - sdk.xinmai_standin_t0_ns()

def peek(device, quantity, index, t_ns):
    out = I64()
    assert sdk.xinmai_standin_peek(device, quantity, index, I64(t_ns), REF(out)) == 0
    return out.value

def eventually(is_true):
    until = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.002)
"""


@cache
def library(name: str = "neutral") -> Path:
    """A stand-in's library, compiled again only when its sources change."""
    return build_cached(stand_in_named(name), ROOT / "native" / "build" / "tests")


def variables(directory: Path, scenario: str, **more: str) -> dict[str, str]:
    """What a process that loads the library needs in its environment."""
    file = directory / "scenario.txt"
    file.write_text(scenario, "utf-8")
    settings = {f"XINMAI_STANDIN_{name.upper()}": value for name, value in more.items()}
    return {"SDK": str(library()), "XINMAI_STANDIN_SCENARIO": str(file), **settings}


def child(
    directory: Path, scenario: str, script: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script behind the prelude, `nsdkInit` done.

    Args:
        more: settings by the end of their name, such as t0_ns.
    """
    start = "" if "nsdkInit" in script else "assert sdk.nsdkInit() == 0\n"
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + start + script],
        env={**os.environ, **variables(directory, scenario, **more)},
        capture_output=True,
        text=True,
        timeout=CHILD_S,
        check=False,
    )


def hours_ago(hours: float) -> str:
    """Second 0 of a scenario that has been running for so long."""
    return str(time.monotonic_ns() - int(hours * HOUR_NS))


def own_copy(directory: Path) -> Path:
    """A library that shares no state with any other of this process: a file of its own."""
    return Path(shutil.copy(library(), directory / library().name))
