"""The stage list, the runner's judgement of a stage, and the check of what is packed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
CI = ROOT / ".ci"
TOTAL_CAP_S = 3600


def stages() -> list[tuple[str, int, str]]:
    lines = (CI / "stages").read_text().splitlines()
    rows = [line.split(maxsplit=2) for line in lines if line and not line.startswith("#")]
    return [(name, int(cap), command) for name, cap, command in rows]


def test_caps_add_up_to_less_than_an_hour() -> None:
    assert sum(cap for _, cap, _ in stages()) < TOTAL_CAP_S


def test_set_up_lint_and_the_readmes_test_command_come_first() -> None:
    assert [(name, command) for name, _, command in stages()[:3]] == [
        ("setup", "scripts/bootstrap test"),
        ("lint", "make lint"),
        ("test", "make test"),
    ]


def test_every_stage_has_its_script() -> None:
    for name, _, command in stages():
        program = command.split()[0]
        assert program == "make" or os.access(ROOT / program, os.X_OK), name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the runner with stages of its own."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(CI / "run", tmp_path / ".ci" / "run")
    return tmp_path


def run(tree: Path, listed: str, *words: str) -> subprocess.CompletedProcess[str]:
    (tree / ".ci" / "stages").write_text(listed)
    return subprocess.run(
        [tree / ".ci" / "run", *words], capture_output=True, text=True, check=False
    )


def table(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    found = re.findall(r"^(\w+) +\d+ +\d+  (.+)$", done.stdout, re.MULTILINE)
    return dict(found)


def test_failed_and_late_stages_are_named_and_the_others_run(tree: Path) -> None:
    done = run(tree, "setup 9 true\n# x\nbad 9 exit 3\nlate 1 sleep 30\ngood 9 echo fine\n")

    assert done.returncode == 1
    assert table(done) == {
        "setup": "passed",
        "bad": "failed (3)",
        "late": "over its cap",
        "good": "passed",
    }
    assert done.stdout.splitlines()[-1] == "failed: bad late"
    assert (tree / "build" / "ci" / "good.log").read_text() == "fine\n"


def test_nothing_runs_without_a_set_up(tree: Path) -> None:
    done = run(tree, "setup 9 false\ngood 9 true\n")

    assert done.returncode == 1
    assert table(done) == {"setup": "failed (1)"}


def test_named_stages_run_alone(tree: Path) -> None:
    done = run(tree, "one 9 true\ntwo 9 false\n", "one")

    assert (done.returncode, table(done)) == (0, {"one": "passed"})
    assert run(tree, "one 9 true\n", "three").returncode == 2


def test_hooks_are_local_and_run_what_make_lint_runs() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()

    assert re.findall(r"repo: (\S+)", text) == ["local"]
    assert re.findall(r"- id: (\S+)", text) == ["ruff", "ruff-format", "mypy", "clang-format"]
    assert re.findall(r"language: (\S+)", text) == ["system"] * 4


@pytest.fixture(scope="module")
def check_dist() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_dist", CI / "check_dist.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOOD = [
    "xinmai/py.typed",
    "xinmai/cli/main.py",
    "xinmai/collector/web/index.html",
    "xinmai_native/_core.pyi",
    "xinmai_native/_core.abi3.so",
    "xinmai_plugins/example/plugin.toml",
    "xinmai_plugins/example/metrics.toml",
    "xinmai_plugins/example/README.md",
    "xinmai_plugins/neutral/_abi.py",
    "xinmai_plugins/neutral/abi.h",
    "xinmai_standin/standin.h",
    "xinmai_standin/neutral/standin.toml",
    "xinmai-0.1.0.dist-info/entry_points.txt",
    "xinmai-0.1.0.dist-info/licenses/LICENSE",
]


def wheel(tmp_path: Path, names: list[str], tag: str = "cp311-abi3-linux_x86_64") -> Path:
    path = tmp_path / f"xinmai-0.1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return path


def test_good_wheel_has_no_problem(tmp_path: Path, check_dist: ModuleType) -> None:
    assert check_dist.wheel_problems(wheel(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([*GOOD, "tests/test_x.py"], "unwanted: tests/test_x.py"),
        ([*GOOD, "xinmai_native/ring.c"], "unwanted: xinmai_native/ring.c"),
        ([*GOOD, "setup.py"], "unwanted: setup.py"),
        (GOOD[1:], r"missing: xinmai/py\.typed"),
    ],
)
def test_wheel_with_too_much_or_too_little_is_refused(
    tmp_path: Path, check_dist: ModuleType, names: list[str], problem: str
) -> None:
    assert problem in check_dist.wheel_problems(wheel(tmp_path, names))


def test_wheel_for_one_python_is_refused(tmp_path: Path, check_dist: ModuleType) -> None:
    (problem,) = check_dist.wheel_problems(wheel(tmp_path, GOOD, "cp311-cp311-linux_x86_64"))

    assert problem.startswith("not a wheel of the stable ABI")


def test_source_distribution_needs_the_c_sources(tmp_path: Path, check_dist: ModuleType) -> None:
    path = tmp_path / "xinmai-0.1.0.tar.gz"
    (tmp_path / "pyproject.toml").touch()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "pyproject.toml", "xinmai-0.1.0/pyproject.toml")

    problems = check_dist.sdist_problems(path)

    assert r"missing: native/.*\.c" in problems
    assert r"missing: pyproject\.toml" not in problems
