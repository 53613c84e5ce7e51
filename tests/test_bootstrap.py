"""scripts/bootstrap against machines that lack things: a PATH made of stubs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("cat", "cksum", "cp", "cut", "dirname", "find", "head", "ls", "mkdir", "rm", "sed", "sort")
TEST_TOOLS = ("mosquitto", "mosquitto_sub", "chromium", "clang-format", "valgrind", "openssl")

PYTHON = """
echo "python $*" >>"$LOG"
case "$*" in
*ensurepip*) echo "include=/nowhere"; echo "lacks=$(cat "$(dirname "$0")/lacks")" ;;
*"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && : >.venv/bin/lacks ;;
*-VV*) echo "Python 3.11.2" ;;
*realpath*) echo python3 ;;
esac
"""
APT_CACHE = """
case "$*" in
"policy python3") echo "  Candidate: 3.11.2-1+b1" ;;
"depends clang") echo "  Depends: clang-14" ;;
esac
"""


class Machine:
    """A tree with the script in it, and the programs it finds."""

    def __init__(self, base: Path) -> None:
        self.tree, self.bin, self.log = base / "tree", base / "bin", base / "log"
        for folder in ("scripts", "agent", "native", "plugins"):
            (self.tree / folder).mkdir(parents=True)
        self.bin.mkdir()
        self.log.touch()
        shutil.copy(ROOT / "scripts/bootstrap", self.tree / "scripts")
        (self.tree / "pyproject.toml").write_text("[project]\n")
        (self.tree / "agent/a.py").write_text("a = 1\n")
        (self.tree / "native/a.c").write_text("int a;\n")
        for tool in (*TOOLS, "sh", "tr", "uname"):
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)
        self.stub("python3", PYTHON)
        (self.bin / "lacks").touch()
        self.stub("cc", "cat >/dev/null")
        self.user(1000)

    def stub(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def user(self, uid: int) -> None:
        self.stub("id", f"echo {uid}")

    def debian(self, installs: str = "") -> None:
        """apt-get that writes to the log and, for an installation, runs a line of shell."""
        self.stub("apt-cache", APT_CACHE)
        self.stub(
            "apt-get",
            f'echo "apt-get $*" >>"$LOG"\ncase "$*" in *install*) {installs or ":"};; esac',
        )

    def without(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self.tree / "scripts/bootstrap", *words],
            env={"PATH": str(self.bin), "LOG": str(self.log), "PYTHON": "python3"},
            capture_output=True,
            text=True,
            check=False,
        )

    def did(self, words: str) -> int:
        """How many commands of the log contain these words."""
        return sum(words in line for line in self.log.read_text().splitlines())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_complete_machine_lacks_nothing(machine: Machine) -> None:
    done = machine.run("check", "up")
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_compiler_is_listed_with_the_command(machine: Machine) -> None:
    machine.debian()
    machine.without("cc")

    done = machine.run("up")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "bootstrap: missing:",
        "  gcc",
        "  libc6-dev",
        "bootstrap: install with: sudo apt-get install -y --no-install-recommends gcc libc6-dev",
    ]
    assert machine.did("apt-get") == 0
    assert not (machine.tree / ".venv").exists()


@pytest.mark.parametrize(
    ("lacks", "packages"),
    [
        ("headers", "python3-dev"),
        ("venv", "python3-venv"),
        ("headers venv", "python3-dev python3-venv"),
        ("version headers", "python3 python3-dev python3-venv"),
    ],
)
def test_incomplete_interpreter_is_named(machine: Machine, lacks: str, packages: str) -> None:
    machine.debian()
    (machine.bin / "lacks").write_text(lacks)

    done = machine.run("up")

    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(f"--no-install-recommends {packages}")


def test_missing_c_library_is_named(machine: Machine) -> None:
    machine.debian()
    machine.stub("cc", "cat >/dev/null; exit 1")

    assert machine.run("up").stderr.rstrip().endswith("--no-install-recommends libc6-dev")


def test_tests_need_more_than_running(machine: Machine) -> None:
    machine.debian()

    done = machine.run("check", "test")

    assert done.returncode == 2
    for package in ("mosquitto-clients", "chromium", "clang", "valgrind", "libclang-rt-14-dev"):
        assert f"  {package}\n" in done.stderr
    assert machine.run("check", "up").returncode == 0


def test_sanitizer_library_follows_the_installed_clang(machine: Machine) -> None:
    machine.debian()
    for tool in TEST_TOOLS:
        machine.stub(tool, ":")
    machine.stub(
        "clang", 'case "$1" in -dumpversion) echo 19.1.4 ;; *) echo /nowhere/lib.a ;; esac'
    )

    assert "  libclang-rt-19-dev\n" in machine.run("check", "test").stderr


def test_other_package_manager_gets_its_own_names(machine: Machine) -> None:
    machine.stub("dnf", ":")
    machine.without("cc")

    done = machine.run("up")

    assert done.stderr.splitlines()[-1] == (
        "bootstrap: install with: sudo dnf install -y gcc glibc-devel"
    )


def test_unknown_system_gets_plain_words(machine: Machine) -> None:
    machine.without("cc")

    done = machine.run("up")

    assert done.returncode == 2
    assert "  a C compiler (cc)\n" in done.stderr


def test_root_on_debian_installs_what_is_missing(machine: Machine) -> None:
    machine.user(0)
    machine.debian('cp "$(dirname "$0")/spare-cc" "$(dirname "$0")/cc"')
    machine.stub("spare-cc", "cat >/dev/null")
    machine.without("cc")

    done = machine.run("up")

    assert done.returncode == 0, done.stderr
    assert machine.did("apt-get install -y -qq --no-install-recommends gcc libc6-dev") == 1
    assert machine.did("-m pip install --quiet --disable-pip-version-check .[collector,broker]")


def test_root_hears_what_apt_could_not_install(machine: Machine) -> None:
    machine.user(0)
    machine.debian("exit 100")
    machine.without("cc")

    done = machine.run("up")

    assert done.returncode == 2
    assert "still missing after the installation" in done.stderr
    assert "install with: apt-get install" in done.stderr


def test_check_never_installs(machine: Machine) -> None:
    machine.user(0)
    machine.debian()
    machine.without("cc")

    assert machine.run("check", "up").returncode == 2
    assert machine.did("apt-get") == 0


def test_second_run_installs_nothing_until_a_source_changes(machine: Machine) -> None:
    assert machine.run("up").returncode == 0
    assert machine.run("up").returncode == 0
    assert machine.did("pip install") == 1

    (machine.tree / "agent/a.py").write_text("a = 2\n")

    assert machine.run("up").returncode == 0
    assert machine.did("pip install") == 2
    assert machine.did("-m venv") == 1


def test_editable_tree_follows_python_and_rebuilds_for_c(machine: Machine) -> None:
    for tool in TEST_TOOLS:
        machine.stub(tool, ":")
    library = machine.bin / "libclang_rt.fuzzer.a"
    library.touch()
    machine.stub("clang", f"echo {library}")
    if "cjk" in machine.run("check", "test").stderr:
        pytest.skip("no CJK font on this machine")

    assert machine.run("test").returncode == 0
    (machine.tree / "agent/a.py").write_text("a = 2\n")
    assert machine.run("test").returncode == 0
    assert machine.run("up").returncode == 0
    assert machine.did("pip install") == 1

    (machine.tree / "native/a.c").write_text("int b;\n")
    assert machine.run("test").returncode == 0
    assert machine.did("-e .[collector,broker,dev]") == 2


def test_failed_installation_is_tried_again(machine: Machine) -> None:
    broken = PYTHON.replace("*-VV*)", '*"pip install"*) exit 1 ;;\n*-VV*)')
    machine.stub("python3", broken)
    assert machine.run("up").returncode == 1

    machine.stub("python3", PYTHON)
    shutil.copy(machine.bin / "python3", machine.tree / ".venv/bin/python")

    assert machine.run("up").returncode == 0


def test_broken_environment_is_made_anew(machine: Machine) -> None:
    assert machine.run("up").returncode == 0
    (machine.tree / ".venv/bin/python").unlink()

    assert machine.run("up").returncode == 0

    assert machine.did("-m venv --clear .venv") == 2


@pytest.mark.parametrize("words", [(), ("down",), ("check",)])
def test_wrong_use(machine: Machine, words: tuple[str, ...]) -> None:
    done = machine.run(*words)
    assert (done.returncode, "usage" in done.stderr) == (2, True)
