"""kill -9 of any one process of a running `xinmai up`: it comes back, and the account closes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import AGENT, COLLECTOR, SAMPLER, SHIPPER, UpRun, eventually

pytestmark = [pytest.mark.kill, pytest.mark.timeout(180)]

HOST = "xm-host-link"
BROKER = "mosquitto"
FRESH = "SELECT max(time_ns) AS newest FROM samples WHERE metric = 'hw.network.io'"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[UpRun]:
    one = UpRun(tmp_path)
    one.start()
    try:
        eventually(lambda: one.pid_of(HOST) and one.pid_of(SHIPPER), "the agent's processes")
        yield one
    finally:
        one.abandon()


def newest_ns(run: UpRun) -> int:
    done = run.run("query", "--json", FRESH)
    if done.returncode:
        return 0
    import json

    return json.loads(done.stdout)[0]["newest"] or 0


def kill(run: UpRun, name: str) -> int:
    pid = eventually(lambda: run.pid_of(name), f"process {name}")
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until_back(run: UpRun, name: str, dead: int) -> None:
    def back() -> int | None:
        pid = run.pid_of(name)
        return pid if pid != dead else None

    eventually(back, f"another {name} than {dead}")


def wait_for_fresh_rows(run: UpRun) -> None:
    """Rows taken after this moment are stored: the whole path works again."""
    import time

    now_ns = time.time_ns()
    eventually(lambda: newest_ns(run) > now_ns, "a reading taken from now on", timeout_s=40)


@pytest.mark.parametrize("name", [SHIPPER, SAMPLER, HOST, BROKER, COLLECTOR])
def test_a_killed_process_comes_back_and_nothing_is_lost(run: UpRun, name: str) -> None:
    wait_for_fresh_rows(run)
    dead = kill(run, name)
    wait_until_back(run, name, dead)
    wait_for_fresh_rows(run)
    code, summary, stderr = run.stop()
    assert code == 0, stderr
    assert summary["samples_lost"] == 0, summary
    assert summary["samples_taken"] == summary["samples_stored"] > 0
    assert summary["gaps"] == 0


def test_ticks_of_a_dead_host_are_missed_not_lost(run: UpRun) -> None:
    wait_for_fresh_rows(run)
    dead = kill(run, HOST)
    wait_until_back(run, HOST, dead)
    wait_for_fresh_rows(run)
    _, summary, _ = run.stop()
    assert summary["samples_missed"] > 0
    assert summary["samples_lost"] == 0


def test_all_of_them_one_after_another(run: UpRun) -> None:
    for name in (SHIPPER, BROKER, SAMPLER, COLLECTOR, HOST, SHIPPER):
        wait_until_back(run, name, kill(run, name))
    wait_for_fresh_rows(run)
    code, summary, stderr = run.stop()
    assert code == 0, stderr
    assert summary["samples_taken"] == summary["samples_stored"] + summary["samples_lost"]
    assert summary["samples_lost"] == 0, summary


def test_the_agent_parent_is_started_again_by_up(run: UpRun) -> None:
    wait_for_fresh_rows(run)
    dead = kill(run, AGENT)
    wait_until_back(run, AGENT, dead)
    wait_for_fresh_rows(run)
    code, summary, stderr = run.stop()
    assert code == 0, stderr
    assert "agent ended (killed by SIGKILL)" in stderr
    assert summary["samples_taken"] == summary["samples_stored"] + summary["samples_lost"]


@pytest.mark.fault("B3")
def test_killing_the_command_leaves_no_process_behind(run: UpRun) -> None:
    assert run.process is not None
    left = run.tree()
    os.kill(run.process.pid, signal.SIGKILL)
    eventually(lambda: not any(one.is_running() for one in left), "the end of all processes")
