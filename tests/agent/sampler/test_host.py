"""A host in a process of its own, as the supervisor sees it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from statistics import median

import pytest

from agent.sampler.conftest import Script
from agent.sampler.rig import QUICK, HostRun, descriptors, exists
from fakes.tinyplugin import (
    CRASHES_WHEN_TOLD,
    FOLLOWS_A_DIRECTORY,
    OPEN_FAILS,
    UNAVAILABLE,
    WAITS_AT_A_FIFO,
    raises,
    tiny,
)
from running import eventually
from xinmai.api import Missing, Reason
from xinmai.config import PluginConfig
from xinmai.sampler import host as host_module
from xinmai.sampler import leaving
from xinmai.sampler.host import Changes
from xinmai.sampler.hostproc import State

NS = 1_000_000_000


@pytest.fixture(autouse=True)
def quick_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events and changes ten times a second; the fork takes it along."""
    monkeypatch.setattr(host_module, "TURN_NS", NS // 10)


def host(tmp_path: Path, *bodies: str, threading: str = "serial", more: str = "") -> HostRun:
    source = tiny(tmp_path / "plugin", *bodies, threading=threading, more=more)
    return HostRun(source, root=tmp_path)


def until_logged(capfd: pytest.CaptureFixture[str], *texts: str) -> str:
    """What the host writes until it holds all the texts."""
    logged = ""

    def is_there() -> bool:
        nonlocal logged
        logged += capfd.readouterr().err
        return all(text in logged for text in texts)

    eventually(is_there, f"in the log: {texts}")
    return logged


def test_says_hello_hands_a_ring_over_and_reads(tmp_path: Path) -> None:
    with host(tmp_path) as run:
        run.until_running()
        assert run.kinds() == ["hello", "layout"]
        assert run.heard[0].body == {"plugin": "tiny", "pid": run.pid}
        assert [device.hw_id for device in run.ring.layout.devices] == ["one", "two"]
        assert run.ring.reader.pid == run.pid
        assert run.until_read("hw.power", "one", 3) == 42_000
        assert run.until_read("hw.power", "two") == 42_000
        assert run.process.state is State.RUNNING


@pytest.mark.statement("CTL-3")
def test_told_to_stop_it_says_bye_and_ends_well(tmp_path: Path) -> None:
    with host(tmp_path) as run:
        run.until_running()
        assert run.stop() is State.STOPPED
        assert (run.exit_code, run.kinds()[-1]) == (0, "bye")


def test_told_to_stop_at_once_it_says_bye_as_well(tmp_path: Path) -> None:
    """The signal comes between the fork and the host's first line."""
    for _ in range(10):
        with host(tmp_path) as run:
            assert run.stop() is State.STOPPED
            assert (run.exit_code, run.kinds()[-1]) == (0, "bye")


def test_stop_as_a_message_does_the_same(tmp_path: Path) -> None:
    with host(tmp_path) as run:
        run.until_running()
        assert run.process.channel is not None
        run.process.channel.send("stop")
        assert run.until_ended() is State.STOPPED


@pytest.mark.statement("CTL-3")
@pytest.mark.fault("B3")
def test_leaves_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    body = 'def close(self):\n    self.context.path("/closed").touch()'
    with host(tmp_path, body) as run:
        run.until_running()
        before = time.monotonic()
        run.process.hang_up()
        run.until_ended()
        assert time.monotonic() - before < 2.0
        assert run.exit_code == 0
        assert (tmp_path / "closed").exists()


@pytest.mark.statement("CTL-3")
@pytest.mark.parametrize("how", ["term", "hang up"])
def test_hanging_in_a_read_it_leaves_within_its_deadline(tmp_path: Path, how: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    body = 'def close(self):\n    self.context.path("/closed").touch()'
    with host(tmp_path, WAITS_AT_A_FIFO, body) as run:
        run.until_running()
        eventually(lambda: run.ring.reader.state(0).call == 0, "the poll")
        before = time.monotonic()
        if how == "term":
            run.process.ask_to_stop()
        else:
            run.process.hang_up()
        run.until_ended()
        assert time.monotonic() - before < 2.0
        assert run.exit_code == 0
        assert (tmp_path / "closed").exists()
        if how == "term":
            assert run.process.reason == "left in the middle of a call that did not end"


@pytest.mark.parametrize("body", ["def open(self):\n    {}", "def close(self):\n    {}"])
def test_hanging_while_it_opens_or_closes_it_leaves_as_well(
    tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "CLOSE_S", 0.5)
    waits = 'self.context.path("/there").touch(); time.sleep(1000)'
    with host(tmp_path, body.format(waits)) as run:
        eventually(lambda: run.turn() or run.kinds() or (tmp_path / "there").exists(), "a sign")
        if "close" in body:
            run.until_running()
        else:
            eventually((tmp_path / "there").exists, "open")
        assert run.stop() is State.STOPPED
        assert run.exit_code == 0


@pytest.mark.statement("CTL-4")
def test_nothing_of_the_parent_is_open_in_it(tmp_path: Path) -> None:
    opened = os.memfd_create("of-the-parent")
    other = host(tmp_path / "other")
    with other, host(tmp_path) as run:
        run.until_running()
        other.until_running()
        found = descriptors(run.pid)
        assert found[0] == "/dev/null"
        assert "of-the-parent" not in str(found)
        kinds = sorted(name.split(":")[0].split(" ")[0] for fd, name in found.items() if fd > 2)
        assert kinds == ["/memfd", "pipe", "pipe", "socket"]
    os.close(opened)


@pytest.mark.statement("CTL-4")
def test_they_are_closed_before_plugin_code_runs(tmp_path: Path) -> None:
    body = """
    def open(self):
        names = os.listdir("/proc/self/fd")
        self.context.path("/fds").write_text(" ".join(names))
    """
    with host(tmp_path, body) as run:
        run.until_running()
        # Standard streams, socket, wake-up pipe, and the directory itself.
        assert len((tmp_path / "fds").read_text().split()) == 7


def test_bears_its_plugins_name(tmp_path: Path) -> None:
    with HostRun(tiny(tmp_path / "p", name="a_rather_long_name")) as run:
        run.until_running()
        assert Path(f"/proc/{run.pid}/comm").read_text().strip() == "xm-host-a_rathe"


@pytest.mark.fault("A9")
def test_dumps_no_core(tmp_path: Path) -> None:
    with host(tmp_path) as run:
        run.until_running()
        limits = Path(f"/proc/{run.pid}/limits").read_text()
        [core] = [line.split() for line in limits.splitlines() if line.startswith("Max core")]
        assert core[4:6] == ["0", "0"]


def test_unavailable_is_said_with_its_fix_and_rests(tmp_path: Path) -> None:
    with host(tmp_path, UNAVAILABLE) as run:
        assert run.until_ended() is State.UNAVAILABLE
        assert run.process.reason == "load the library: libtiny.so (install tiny-sdk)"
        assert run.exit_code == 0
        assert run.process.due_ns - time.monotonic_ns() > 55 * NS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (OPEN_FAILS, "RuntimeError: no such luck"),
        ("def open(self):\n    raise SystemExit(3)", "SystemExit: 3"),
        (
            "def open(self):\n    raise ConnectionRefusedError('vendor daemon')",
            "ConnectionRefusedError: vendor daemon",
        ),
        ("def discover(self):\n    raise KeyError('x')", "KeyError: 'x'"),
        ("def readings(self, device):\n    raise KeyError('x')", "KeyError: 'x'"),
        ("def readings(self, device):\n    yield 7", "PluginError: device one: 7 is no"),
        ("x = 1 / 0", "cannot import xinmai_folder_tiny: ZeroDivisionError"),
    ],
)
def test_failing_start_is_told_in_the_plugins_words(tmp_path: Path, body: str, reason: str) -> None:
    with host(tmp_path, body) as run:
        assert run.until_ended() is State.FAILED
        assert reason in run.process.reason
        assert run.exit_code == 1
        assert run.kinds() == ["hello", "failed"]


def test_two_readings_of_one_series_are_refused_by_name(tmp_path: Path) -> None:
    body = """
    def readings(self, device):
        power = self.context.metrics["power"].of(None)
        yield Poll("power", [power], lambda: [1])
    """
    with host(tmp_path, body) as run:
        assert run.until_ended() is State.FAILED
        assert "two readings claim hw.power" in run.process.reason


@pytest.mark.fault("A4")
@pytest.mark.statement("CTL-11")
def test_crash_is_told_with_signal_and_call(tmp_path: Path) -> None:
    with host(tmp_path, CRASHES_WHEN_TOLD) as run:
        run.until_running()
        run.until_read("hw.power", "one", 2)
        (tmp_path / "crash").touch()
        assert run.until_ended() is State.CRASHED
        assert run.process.reason == "killed by SIGSEGV in power of one"
        assert len(run.ring.readings("hw.power", "one")) >= 2


@pytest.mark.statement("CTL-11")
def test_end_without_a_word_is_a_crash(tmp_path: Path) -> None:
    with host(tmp_path, "def open(self):\n    os._exit(3)") as run:
        assert run.until_ended() is State.CRASHED
        assert run.process.reason == "exit code 3 without a word"


@pytest.mark.fault("B1")
def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    body = """
    def open(self):
        sleeper = subprocess.Popen(["sleep", "1000"])
        self.context.path("/sleeper").write_text(str(sleeper.pid))
    """
    with host(tmp_path, body) as run:
        run.until_running()
        sleeper = int((tmp_path / "sleeper").read_text())
        os.kill(run.pid, signal.SIGKILL)
        run.until_ended()
        assert run.process.reason == "killed by SIGKILL"
        eventually(lambda: not exists(sleeper), "the end of what the host started")


@pytest.mark.fault("B5")
def test_what_it_prints_disturbs_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    body = """
    def open(self):
        print("from python")
        sys.stdout.write("no end of line")
        os.write(1, b"from below\\n")
        assert os.read(0, 1) == b""
    """
    with host(tmp_path, body) as run:
        run.until_running()
        run.until_read("hw.power", "one")
        run.stop()
    out, err = capfd.readouterr()
    assert out == ""
    assert "from python\n" in err
    assert "from below\n" in err


@pytest.mark.fault("A14")
def test_new_devices_get_a_new_ring_and_the_old_one_stays_readable(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/first").touch()
    with host(tmp_path, FOLLOWS_A_DIRECTORY) as run:
        run.until_running()
        run.until_read("hw.power", "first", 2)
        (tmp_path / "devices/second").touch()
        run.until_running(rings=2)
        old, new = run.rings
        assert [device.hw_id for device in new.layout.devices] == ["first", "second"]
        assert [ring.layout.generation for ring in run.rings] == [1, 2]
        assert old.layout.ring_id != new.layout.ring_id
        assert run.until_read("hw.power", "second") == 42_000
        rows = len(old.readings("hw.power", "first"))
        run.until_read("hw.power", "second", 5)
        assert len(old.readings("hw.power", "first")) == rows >= 2
        assert len([name for name in descriptors(run.pid).values() if "memfd" in name]) == 1


def test_devices_that_flap_are_followed_ever_more_slowly() -> None:
    changes = Changes()
    seen = []
    for second in range(200):
        if changes.may_ask(second * NS):
            changes.note(second * NS)
            seen.append(second)
    assert seen == [0, 1, 3, 7, 15, 31, 63, 123, 124, 126, 130, 138, 154, 186]


def test_plugin_that_raises_between_readings_goes_on_reading(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], log: None
) -> None:
    with host(tmp_path, raises("events"), raises("changed")) as run:
        run.until_running()
        (tmp_path / "broken").touch()
        logged = until_logged(capfd, "plugin failed: call=events", "plugin failed: call=changed")
        rows = len(run.ring.readings("hw.power", "one"))
        (tmp_path / "broken").unlink()
        logged += until_logged(capfd, "works again: call=events", "works again: call=changed")
        run.until_read("hw.power", "one", rows + 1)
        assert run.stop() is State.STOPPED
    logged += capfd.readouterr().err
    for method in ("events", "changed"):
        assert logged.count(f"plugin failed: call={method}") == 1
        assert logged.count(f"plugin works again: call={method}") == 1


def test_raising_while_it_closes_is_no_failure_of_the_end(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with host(tmp_path, raises("close")) as run:
        run.until_running()
        assert run.stop() is State.STOPPED


@pytest.mark.fault("A11")
def test_device_that_cannot_be_declared_hides_no_other(tmp_path: Path) -> None:
    body = """
    def readings(self, device):
        if device.hw_id == "one":
            raise OSError(5, "bad card")
        power = self.context.metrics["power"].of(device)
        yield Poll("power", [power], lambda: [7])
    """
    with host(tmp_path, body) as run:
        run.until_running()
        assert run.until_read("hw.power", "two") == 7
        assert [device.hw_id for device in run.ring.layout.devices] == ["one", "two"]
        event = run.until_event("device_unreadable")
        assert event["hw_id"] == "one"
        assert "bad card" in event["message"]


def test_events_arrive_whatever_is_in_them(tmp_path: Path) -> None:
    body = """
    def events(self):
        if not hasattr(self, "_said"):
            self._said = True
            yield Event("xid", "x" * 5000, severity="error", hw_id="one", attributes={"a": "b"})
            yield Event("wide", "\\U0001f600" * 3000, action="\\U0001f600" * 500, hw_id="\\udc80")
            yield Event("many", "m", attributes={str(n): "x" * 50 for n in range(100)})
    """
    with host(tmp_path, body) as run:
        run.until_running()
        event = run.until_event("many")
        assert event["attributes"] == {}
        xid, wide, _ = run.ring.events()
        assert xid["attributes"] == {"a": "b"}
        assert (xid["severity"], xid["hw_id"]) == ("error", "one")
        assert abs(xid["time_ns"] - time.time_ns()) < 60 * NS
        assert set(wide["message"]) == {"\U0001f600"}


STUCK = """
    import sys, time
    from pathlib import Path
    from agent.sampler.rig import HostRun, threads
    from fakes.tinyplugin import READS_FILES, tiny
    from running import eventually
    from xinmai.sampler import host
    from xinmai.sampler.hostproc import State

    host.TURN_NS = 100_000_000
    host.STALLED_NS = 300_000_000
    host.LANES_STOP_NS = 300_000_000
    root = Path(sys.argv[1])
    (root / "files").mkdir()
    (root / "files/stuck").write_text("1")

    def inside():
        return run.ring.reader.state(lane).call == 0

    def stalled():
        return inside() and time.monotonic_ns() - since() > host.STALLED_NS

    def since():
        return run.ring.reader.state(lane).since_ns
"""


@pytest.mark.fault("A21")
@pytest.mark.fault("A11")
@pytest.mark.fault("A5")
def test_file_that_hangs_costs_only_its_own_device(preloaded: Script) -> None:
    script = """
    (root / "files/good").write_text("41500")
    body = 'def close(self): self.context.path("/closed").touch()'
    source = tiny(root / "plugin", READS_FILES, body, threading="free")
    with HostRun(source, root=root) as run:
        run.until_running()
        lane, _ = run.ring.lane("fast:stuck")
        eventually(inside, "the lane inside its read")
        rows = len(run.ring.readings("hw.temperature", "good"))
        assert run.until_read("hw.temperature", "good", rows + 10) == 41_500
        assert run.ring.readings("hw.temperature", "stuck") == []
        before = time.monotonic()
        assert run.stop() is State.STOPPED
        assert time.monotonic() - before < 2.5
        print(run.process.reason, (root / "closed").exists())
    """
    # Closing would shut a library down under a thread that is inside it.
    assert preloaded(STUCK + script) == "left with lanes stuck: fast:stuck False\n"


@pytest.mark.fault("A22")
def test_changes_behind_a_stuck_lane_start_the_host_anew(preloaded: Script) -> None:
    script = """
    body = 'def changed(self): return len(self.context.names("/files")) != 1'
    with HostRun(tiny(root / "plugin", READS_FILES, body), root=root) as run:
        run.until_running()
        lane, _ = run.ring.lane("fast")
        eventually(stalled, "a read that takes too long")
        (root / "files/second").write_text("1")
        assert run.until_ended() is State.STOPPED
        assert len(run.rings) == 1
        print(run.process.reason)
    """
    assert preloaded(STUCK + script) == "left with lanes stuck: fast\n"


def test_explicit_period_and_rare_reading_come_at_once(tmp_path: Path) -> None:
    body = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        yield Poll(f"power of {device.hw_id}", [power], lambda: [1], Cost.RARE)
    """
    source = tiny(tmp_path / "plugin", body)
    with HostRun(source, plugin=PluginConfig(period_ns={"rare": 3600 * NS})) as run:
        run.until_running()
        assert run.until_read("hw.power", "one") == 1


def test_reading_that_fails_has_its_reason_and_is_logged_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], log: None
) -> None:
    body = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        path = self.context.path(f"/value-{device.hw_id}")
        yield Poll(f"power of {device.hw_id}", [power], lambda: [int(path.read_text())])
    """
    (tmp_path / "value-one").write_text("1")
    with host(tmp_path, body) as run:
        run.until_running()
        assert run.until_read("hw.power", "one", 5) == 1
        assert run.until_read("hw.power", "two", 5) == Missing(Reason.DEVICE_LOST)
        run.stop()
    assert capfd.readouterr().err.count("reading lost: call=power of two") == 1


def test_own_series_tell_about_lanes_and_process(tmp_path: Path) -> None:
    with host(tmp_path) as run:
        run.until_running()
        run.until_read("xinmai.lane.rate", n=20, plugin="tiny", lane="poll:slow")
        rates = run.ring.readings("xinmai.lane.rate", plugin="tiny", lane="poll:slow")
        assert rates[0] == Missing(Reason.NOT_YET)
        # Thousandths of a row a second, at a period of 50 ms.
        assert 10_000 < median(rate for rate in rates if isinstance(rate, int)) < 30_000
        assert run.until_read("xinmai.process.memory.rss", plugin="tiny") > 2**20  # type: ignore[operator]
        assert run.until_read("xinmai.process.cpu.time", plugin="tiny") > 0  # type: ignore[operator]
        lane = [lane for lane in run.ring.layout.lanes if lane.name == "self"]
        assert (lane[0].period_ns, lane[0].cost) == (QUICK.slow_ns, "")
