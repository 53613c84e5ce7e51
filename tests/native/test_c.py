"""The C tests: small programs, built by tests/native/c/Makefile.

XINMAI_SANITIZE=1 runs them under the address, undefined-behaviour and thread sanitizers as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "c"
ROOT = HERE.parents[2]
TIMEOUT_S = 110

# Every program with its arguments; those with threads run under the thread sanitizer too.
PROGRAMS: dict[str, list[str]] = {
    "call": [],
    "column": [],
    "crash": ["300"],
    "crc32c": [],
    "gate": [],
    "hostile": ["20000"],
    "lane": [],
    "parse": [],
    "probe": [],
    "race": ["200"],
    "ring": [],
}
THREADED = ["gate", "lane", "probe", "race", "ring"]

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("gcc") is None, reason="needs make and gcc"
)
sanitized = pytest.mark.skipif(
    os.environ.get("XINMAI_SANITIZE") != "1", reason="XINMAI_SANITIZE=1 runs it"
)


def run(name: str, variant: str = "plain") -> None:
    """Build one program and run it."""
    out = ROOT / "native" / "build" / "tests" / variant
    target = f"{out}/test_{name}"
    make = ["make", "-s", "-j2", "-C", str(HERE), f"VARIANT={variant}", f"OUT={out}", target]
    built = subprocess.run(make, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert built.returncode == 0, built.stdout + built.stderr
    command = [*addresses(variant), target, *PROGRAMS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr


def addresses(variant: str) -> list[str]:
    """The thread sanitizer of older compilers needs addresses where it expects them."""
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    if variant == "tsan" and bits.exists() and int(bits.read_text()) > 28:
        return ["setarch", "--addr-no-randomize"]
    return []


def test_table_holds_each_program() -> None:
    sources = {path.stem.removeprefix("test_") for path in HERE.glob("test_*.c")}
    makefile = (HERE / "Makefile").read_text()
    line = next(line for line in makefile.splitlines() if line.startswith("PROGRAMS ="))
    assert sources == set(PROGRAMS) == set(line.split()[2:])


@pytest.mark.fault("A6")
@pytest.mark.fault("A17")
def test_calls_give_a_value_or_a_reason() -> None:
    run("call")


@pytest.mark.statement("COL-1")
@pytest.mark.statement("COL-2")
@pytest.mark.statement("COL-3")
@pytest.mark.statement("COL-4")
def test_columns_pack_and_unpack() -> None:
    run("column")


@pytest.mark.statement("RING-8")
@pytest.mark.fault("C1")
def test_producer_may_die_at_each_store() -> None:
    run("crash")


def test_crc32c_by_hardware_and_table() -> None:
    run("crc32c")


def test_gate_lets_one_in_and_nobody_starve() -> None:
    run("gate")


@pytest.mark.statement("RING-7")
@pytest.mark.fault("C6")
def test_hostile_header_does_no_harm() -> None:
    run("hostile")


@pytest.mark.statement("RING-10")
@pytest.mark.fault("G2")
def test_lane_keeps_its_grid() -> None:
    run("lane")


def test_numbers_are_found_in_text() -> None:
    run("parse")


@pytest.mark.fault("A21")
def test_probes_read_files() -> None:
    run("probe")


@pytest.mark.statement("RING-3")
@pytest.mark.statement("RING-5")
@pytest.mark.fault("C2")
@pytest.mark.fault("C3")
def test_readers_race_a_writer() -> None:
    run("race")


@pytest.mark.statement("RING-1")
@pytest.mark.statement("RING-2")
@pytest.mark.statement("RING-4")
@pytest.mark.statement("RING-6")
@pytest.mark.fault("C4")
def test_ring_gives_rows_back() -> None:
    run("ring")


@sanitized
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_addresses_and_arithmetic_are_sound(name: str) -> None:
    run(name, "asan")


@sanitized
@pytest.mark.parametrize("name", THREADED)
def test_threads_do_not_race(name: str) -> None:
    run(name, "tsan")
