"""The agent's parent with children that do what the test wants, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.sampler.rig import exists
from running import eventually

BODIES = """
    import ctypes, json, os, signal, sys, time
    from pathlib import Path
    from xinmai import parent
    from xinmai.cli.main import main

    base = Path(sys.argv[1])
    # As the first process of a container: what loses its parent becomes a child of this one.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)

    def note(name, word):
        with (base / "notes").open("a") as file:
            file.write(json.dumps([name, word, os.getpid(), time.monotonic()]) + "\\n")

    def make_orphan():
        first = os.fork()
        if first == 0:
            if os.fork() == 0:
                note("orphan", "started")
                time.sleep(0.3)
            os._exit(0)
        os.waitpid(first, 0)

    def child(name, leave_fd):
        note(name, "started")
        if (base / f"{name}-fails").exists():
            raise RuntimeError("no such luck")
        signal.signal(signal.SIGTERM, lambda *_: None)
        stopped = {signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, stopped)
        while signal.sigtimedwait(stopped, 0.05) is None:
            if (base / "orphan").exists() and name == "sampler":
                (base / "orphan").unlink()
                make_orphan()
            if os.get_blocking(leave_fd):
                os.set_blocking(leave_fd, False)
            try:
                if os.read(leave_fd, 1) == b"":
                    note(name, "parent gone")
                    return
            except BlockingIOError:
                pass
        time.sleep(0.2)
        note(name, "ended")

    parent.sampler_main = lambda config, sources, fd: child("sampler", fd)
    parent.shipper_main = lambda config, fd: child("shipper", fd)
    places = [f"--set=node.state_dir={base}/state", f"--set=node.run_dir={base}/run"]
    sys.exit(main(["agent", *places]))
"""


class Agent:
    """One run of it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(BODIES), str(base)],
            stderr=subprocess.PIPE,
            text=True,
        )

    def notes(self) -> list[tuple[str, str, int, float]]:
        path = self.base / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def words(self) -> list[tuple[str, str]]:
        return [(name, word) for name, word, _, _ in self.notes()]

    def pids(self, name: str) -> list[int]:
        return [pid for who, word, pid, _ in self.notes() if (who, word) == (name, "started")]

    def until_started(self, name: str, times: int = 1) -> int:
        eventually(lambda: len(self.pids(name)) >= times, f"{name} started {times} times")
        return self.pids(name)[-1]

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    yield one
    if one.process.poll() is None:
        for child in psutil.Process(one.process.pid).children(recursive=True):
            child.kill()
        one.process.kill()
    if one.process.stderr and not one.process.stderr.closed:
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sampler_ends_first_and_the_shipper_delivers_what_is_left(
    agent: Agent, number: signal.Signals
) -> None:
    agent.until_started("sampler")
    agent.until_started("shipper")
    agent.process.send_signal(number)
    code, _ = agent.end()
    assert code == 0
    assert agent.words()[-2:] == [("sampler", "ended"), ("shipper", "ended")]


def test_a_terminals_interrupt_reaches_the_parent_alone(agent: Agent) -> None:
    pids = [agent.until_started(name) for name in ("sampler", "shipper")]
    groups = {os.getpgid(pid) for pid in pids}
    assert os.getpgid(agent.process.pid) not in groups


@pytest.mark.parametrize("name", ["sampler", "shipper"])
def test_killed_child_is_brought_back_and_the_other_stays(agent: Agent, name: str) -> None:
    pids = {one: agent.until_started(one) for one in ("sampler", "shipper")}
    os.kill(pids[name], signal.SIGKILL)
    assert agent.until_started(name, 2) != pids[name]
    other = ({"sampler", "shipper"} - {name}).pop()
    assert agent.pids(other) == [pids[other]]


@pytest.mark.fault("A10")
def test_child_that_fails_is_started_ever_more_slowly(agent: Agent) -> None:
    agent.until_started("shipper")
    (agent.base / "shipper-fails").touch()
    os.kill(agent.pids("shipper")[0], signal.SIGKILL)
    agent.until_started("shipper", 5)
    agent.process.send_signal(signal.SIGTERM)
    code, err = agent.end()
    assert code == 0
    starts = [at for name, word, _, at in agent.notes() if (name, word) == ("shipper", "started")]
    gaps = [later - earlier for earlier, later in zip(starts[1:], starts[2:], strict=False)]
    assert all(gap >= least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=False))
    assert err.count("shipper failed") == 4
    assert "child ended: name=shipper exit_code=1" in err
    assert "child ended: name=shipper exit_code=-9" in err


@pytest.mark.fault("B3")
def test_children_see_the_end_of_a_killed_parent(agent: Agent) -> None:
    pids = [agent.until_started(name) for name in ("sampler", "shipper")]
    agent.process.kill()
    eventually(lambda: not any(map(exists, pids)), "the end of the children", timeout_s=3)
    assert {word for _, word in agent.words()} == {"started", "parent gone"}


@pytest.mark.fault("B3")
def test_second_agent_on_the_same_state_is_refused(agent: Agent) -> None:
    agent.until_started("sampler")
    second = Agent(agent.base)
    code, err = second.end()
    assert code == 2
    assert f"another agent runs on {agent.base}/state (lock {agent.base}/state/agent.lock)" in err
    assert len(agent.pids("sampler")) == 1
    agent.process.send_signal(signal.SIGTERM)
    assert agent.end()[0] == 0
    third = Agent(agent.base)
    third.until_started("sampler", 2)
    third.process.send_signal(signal.SIGTERM)
    assert third.end()[0] == 0


def test_child_that_does_not_end_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = BODIES.replace(
        "places =", "parent.SAMPLER_GRACE_S = 0.05; parent.SHIPPER_GRACE_S = 5; places ="
    )
    monkeypatch.setitem(globals(), "BODIES", script)
    one = Agent(tmp_path)
    one.until_started("shipper")
    one.process.send_signal(signal.SIGTERM)
    code, err = one.end()
    assert code == 0
    assert "child left behind: name=sampler" in err
    assert "child left behind: name=shipper" not in err
    eventually(lambda: ("sampler", "ended") in one.words(), "its end, alone")


def test_strangers_are_buried(agent: Agent) -> None:
    sampler = agent.until_started("sampler")
    (agent.base / "orphan").touch()
    orphan = agent.until_started("orphan")
    eventually(lambda: not Path(f"/proc/{orphan}").exists(), "its burial")
    assert exists(sampler)
    assert agent.process.poll() is None
