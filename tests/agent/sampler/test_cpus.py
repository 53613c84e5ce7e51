"""The agent keeps off the CPUs that were set aside for jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xinmai.sampler.cpus import housekeeping, settle

pytestmark = pytest.mark.fault("G7")


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """The masks that were set; before that a process may use CPUs 0 to 7."""
    found: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, mask: found.append(set(mask)))
    return found


def node(root: Path, **files: str) -> Path:
    """A root in which the kernel's files hold these texts."""
    folder = root / "sys/devices/system/cpu"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, "01234567"),
        ({"isolated": "\n", "nohz_full": "(null)\n"}, "01234567"),
        ({"isolated": "2-5\n", "nohz_full": "\n"}, "0167"),
        ({"isolated": "2\n", "nohz_full": "4-7,9\n"}, "013"),
        ({"isolated": "0-7\n"}, ""),
        ({"isolated": "nonsense\n"}, "01234567"),
    ],
)
def test_what_is_set_aside_is_not_used(
    tmp_path: Path, masks: list[set[int]], files: dict[str, str], left: str
) -> None:
    assert housekeeping(node(tmp_path, **files)) == {int(one) for one in left}


def test_the_process_is_confined_to_what_is_left(tmp_path: Path, masks: list[set[int]]) -> None:
    settle((), node(tmp_path, isolated="1-6"))
    assert masks == [{0, 7}]


def test_what_is_configured_goes_before_what_is_found(
    tmp_path: Path, masks: list[set[int]]
) -> None:
    settle({3, 4, 99}, node(tmp_path, isolated="1-6"))
    assert masks == [{3, 4}]


@pytest.mark.parametrize(
    ("wanted", "why"), [({99}, "none of sampler.cpus"), ((), "every CPU is isolated")]
)
def test_where_nothing_is_left_the_process_stays_where_it_is(
    tmp_path: Path,
    masks: list[set[int]],
    caplog: pytest.LogCaptureFixture,
    wanted: set[int],
    why: str,
) -> None:
    settle(wanted, node(tmp_path, isolated="0-7"))
    assert masks == []
    assert [why in record.message for record in caplog.records] == [True]


def test_a_refusal_of_the_kernel_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(pid: int, mask: set[int]) -> None:
        raise PermissionError("seccomp")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    settle((), node(tmp_path))
    assert "seccomp" in caplog.text
