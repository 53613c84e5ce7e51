"""The sampler as a process: hosts that hang, crash, come and go, and shippers that do too."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from agent.sampler.rig import descriptors, exists, threads
from agent.sampler.samplerrun import DEADLINES, MS, SamplerRun
from fakes.tinyplugin import (
    CRASHES_WHEN_TOLD,
    FOLLOWS_A_DIRECTORY,
    HANGS_WHEN_TOLD,
    OPEN_HANGS,
    READS_FILES,
    UNAVAILABLE,
    WAITS_AT_A_FIFO,
    tiny,
)
from running import eventually
from xinmai.api import Missing, Reason
from xinmai.sampler.heldrings import HELD_RINGS

TIMEOUT = Missing(Reason.TIMEOUT)


def plugin(base: Path, name: str, *bodies: str, **more: object) -> object:
    return tiny(base / "plugins" / name, *bodies, name=name, **more)  # type: ignore[arg-type]


def sampler(base: Path, *sources: object, **more: object) -> SamplerRun:
    return SamplerRun(base, list(sources), **more)  # type: ignore[arg-type]


def busiest_gap_ns(rows: list[int]) -> int:
    return max(later - earlier for earlier, later in zip(rows, rows[1:], strict=False))


@pytest.mark.fault("A1")
@pytest.mark.fault("A3")
@pytest.mark.fault("A22")
@pytest.mark.fault("B10")
@pytest.mark.fault("B8")
@pytest.mark.fault("A7")
@pytest.mark.statement("CTL-12")
@pytest.mark.statement("CTL-22")
def test_hung_host_is_left_behind_once_and_costs_the_others_nothing(tmp_path: Path) -> None:
    hangs = plugin(tmp_path, "hangs", HANGS_WHEN_TOLD, vendor="Tiny")
    with sampler(tmp_path, plugin(tmp_path, "steady"), hangs) as run:
        client = run.connect()
        steady = client.until_ring("steady")
        first = client.until_ring("hangs")
        client.until_rows(first, "hw.power", "one", 2)
        (tmp_path / "hang-one").touch()

        reason = client.until_state("hangs", "stuck")
        assert reason.startswith("stuck in power of one, lane poll:slow, ")
        assert reason.endswith("kernel state S")

        stalled = client.plugins["hangs"]["stalled"]
        assert (stalled["lane"], stalled["call"]) == ("poll:slow", "power of one")
        assert 0 < stalled["since_ns"] < time.monotonic_ns()

        # Another host goes on with what answers; what does not is a reason, not silence.
        client.until_state("hangs", "running", "without one: did not answer")
        second = client.until_ring("hangs", but=first.layout.ring_id)
        assert first.layout.ring_id in client.gone
        assert client.until_rows(second, "hw.power", "two", 3)[-1] == 42_000
        assert set(client.until_rows(second, "hw.power", "one", 1)) == {TIMEOUT}
        assert len(run.host_pids("hangs")) == 2
        told = client.plugins["hangs"]
        assert (told["restarts"], told["stalls"], told["stalled"]) == (1, 1, stalled)

        # The second hangs as well: no third, and nothing piles up.
        (tmp_path / "hang-two").touch()
        client.until_state("hangs", "stuck", "power of two")
        assert (client.plugins["hangs"]["stalls"], client.plugins["hangs"]["stalled"]) == (
            2,
            stalled,
        )
        pids = run.host_pids()
        opened = len(descriptors(run.process.pid))
        committed = steady.reader.state(0).committed
        time.sleep(2.0)
        assert run.host_pids() == pids
        assert len(descriptors(run.process.pid)) == opened
        assert [threads(pid) for pid in run.host_pids("hangs")] == [["xm-host-hangs"]] * 2

        # 50 ms a row; the machine of the tests is busy.
        state = steady.reader.state(0)
        assert state.committed - committed > 20
        assert state.missed < 20

        # SIGTERM is all that a process inside a driver may get.
        assert run.terminate() == 0
        assert all(exists(pid) for pid in pids if pid in run.host_pids("hangs"))
        log = run.logged()
        for pid in pids[-2:]:
            assert f"host left behind: plugin=hangs pid={pid}" in log or "steady" in log
        assert log.count("host left behind: plugin=hangs") == 2
        assert log.count("plugin stuck: plugin=hangs") == 2


@pytest.mark.statement("CTL-12")
def test_host_that_may_be_killed_is_and_its_device_is_tried_again(tmp_path: Path) -> None:
    hangs = plugin(tmp_path, "hangs", HANGS_WHEN_TOLD, vendor="Tiny", kill_safe=True)
    constants = {"xinmai.sampler.hostproc:LAST_DELAY_S": 2.0}
    deadlines = {**DEADLINES, "grace_ns": 300 * MS}
    with sampler(tmp_path, hangs, constants=constants, deadlines=deadlines) as run:
        client = run.connect()
        client.until_ring("hangs")
        (tmp_path / "hang-one").touch()
        client.until_state("hangs", "running", "without one")
        eventually(lambda: len(run.host_pids("hangs")) == 1, "the end of the host that hung")
        eventually(lambda: client.pump().plugins["hangs"]["stalled"] is None, "its stall to end")
        (tmp_path / "hang-one").unlink()
        eventually(
            lambda: client.pump().plugins["hangs"]["reason"] == "" and client.ring("hangs"),
            "all devices again",
        )
        again = client.until_ring("hangs")
        assert client.until_rows(again, "hw.power", "one", 1)[-1] == 42_000
        assert run.terminate() == 0


@pytest.mark.fault("A21")
def test_hung_lane_of_a_free_plugin_is_reported_and_kept(
    tmp_path: Path, hanging_pread: Path
) -> None:
    (tmp_path / "files").mkdir()
    for name in ("good", "stuck"):
        (tmp_path / "files" / name).write_text("41500")
    files = plugin(tmp_path, "files", READS_FILES, threading="free")
    with sampler(tmp_path, files, preload=hanging_pread) as run:
        client = run.connect()
        ring = client.until_ring("files")
        reason = client.until_state("files", "stuck")
        assert reason.startswith(f"stuck in {tmp_path}/files/stuck, lane fast:stuck, ")
        assert reason.endswith("kernel state S")
        time.sleep(1.2)  # beyond the time after which a serial plugin's host is given up
        [pid] = run.host_pids("files")
        assert threads(pid) == ["xm-host-files", "xm-lane-0", "xm-lane-1"]
        assert client.until_rows(ring, "hw.temperature", "good", 5)[-1] == 41_500
        assert run.terminate() == 0
        assert not exists(pid)


@pytest.mark.fault("A12")
@pytest.mark.fault("G1")
def test_slow_read_that_hangs_costs_the_fast_lane_no_tick(
    tmp_path: Path, hanging_pread: Path
) -> None:
    for name in ("good", "stuck"):
        (tmp_path / name).write_text("41500")
    body = """
    def readings(self, device):
        for name, metric in (("good", "temperature"), ("stuck", "power")):
            made = self.context.metrics[metric]
            yield FileProbe(self.context.path(f"/{name}"), [Field(made.of(device))], made.cost)

    def discover(self):
        return [Device(hw_id="one")]
    """
    deadlines = {**DEADLINES, "abandon": 1000}
    mixed = plugin(tmp_path, "mixed", body)
    with sampler(tmp_path, mixed, deadlines=deadlines, preload=hanging_pread) as run:
        client = run.connect()
        ring = client.until_ring("mixed")
        client.until_state("mixed", "stuck", f"stuck in {tmp_path}/stuck, lane slow, ")
        fast, _ = ring.lane("fast")
        slow, _ = ring.lane("slow")
        before = ring.reader.state(fast)
        client.until_rows(ring, "hw.temperature", "one", 10)
        after = ring.reader.state(fast)
        assert after.missed - before.missed < after.committed - before.committed
        assert ring.reader.state(slow).committed == 0


@pytest.mark.fault("G7")
def test_hosts_run_where_the_configuration_says(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    steady = plugin(tmp_path, "steady")
    with sampler(tmp_path, steady, flags={"sampler.cpus": f"{cpu}"}) as run:
        run.connect().until_ring("steady")
        for pid in (run.process.pid, *run.host_pids()):
            assert os.sched_getaffinity(pid) == {cpu}


@pytest.mark.statement("CTL-10")
@pytest.mark.fault("B6")
def test_start_that_never_ends_is_told_and_given_up(tmp_path: Path) -> None:
    sources = [plugin(tmp_path, "never", OPEN_HANGS), plugin(tmp_path, "steady")]
    deadlines = {**DEADLINES, "start_ns": 300 * MS}
    with sampler(tmp_path, *sources, deadlines=deadlines) as run:
        client = run.connect()
        client.until_ring("steady")
        client.until_state("never", "stuck", "did not finish its start in 0.3 s")
        stalled = client.plugins["never"]["stalled"]
        assert (stalled["lane"], stalled["call"]) == ("", "")
        eventually(lambda: len(run.host_pids("never")) == 2, "a second attempt")
        client.until_state("never", "starting")
        client.until_state("never", "stuck")
        time.sleep(1.5)
        assert len(run.host_pids("never")) == 2
        assert client.pump().plugins["never"]["state"] == "stuck"


@pytest.mark.statement("CTL-12")
def test_host_that_says_bye_and_stays_is_given_up(tmp_path: Path) -> None:
    """A thread in the kernel can keep a process whose main thread has left."""
    body = """
    def changed(self):
        import socket
        for fd in range(3, 64):
            try:
                sock = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            sock.send(b"\\x93\\x01\\xa3bye\\x81\\xa6reason\\xa4done")
        time.sleep(1000)
    """
    with sampler(tmp_path, plugin(tmp_path, "stays", body, threading="free")) as run:
        client = run.connect()
        first = client.until_ring("stays")
        client.until_state("stays", "stuck", "done; was to leave and has not ended")
        client.until_ring("stays", but=first.layout.ring_id)


@pytest.mark.fault("A22")
def test_call_that_comes_back_is_told_and_nothing_is_restarted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    deadlines = {**DEADLINES, "abandon": 1000}
    waits = plugin(tmp_path, "waits", WAITS_AT_A_FIFO)
    with sampler(tmp_path, waits, deadlines=deadlines) as run:
        client = run.connect()
        ring = client.until_ring("waits")
        pids = run.host_pids()
        client.until_state("waits", "stuck", "stuck in fifo of one")
        (tmp_path / "fifo").write_text("7000")
        eventually(lambda: ring.readings("hw.power", "one") == [7000], "the reading")
        eventually(lambda: ("waits", "running", "") in client.pump().history[2:], "running")
        assert [one["stalls"] for one in client.told if one["state"] == "stuck"][0] == 1
        assert [one for one in client.told if one["stalls"] == 1 and one["stalled"] is None]
        assert {one["restarts"] for one in client.told} == {0}
        (tmp_path / "fifo").write_text("8000")
        eventually(lambda: ring.readings("hw.power", "one") == [7000, 8000], "another")
        assert ring.reader.state(0).missed > 0
        assert run.host_pids() == pids
        assert "plugin answers again: plugin=waits" in run.logged()


@pytest.mark.fault("A1")
@pytest.mark.parametrize("method", ["events", "changed"])
def test_hang_between_readings_is_seen_as_well(tmp_path: Path, method: str) -> None:
    body = f"def {method}(self):\n    deadlock()"
    with sampler(tmp_path, plugin(tmp_path, "hangs", body, kill_safe=True)) as run:
        client = run.connect()
        client.until_state("hangs", "stuck", f"stuck in {method}, lane events")


@pytest.mark.fault("A10")
@pytest.mark.fault("A23")
@pytest.mark.fault("B12")
@pytest.mark.statement("CTL-11")
def test_what_cannot_run_rests_with_its_reason_and_the_others_run(tmp_path: Path) -> None:
    body = """
    def open(self):
        with self.context.path("/starts").open("a") as file:
            file.write(f"{time.monotonic()}\\n")
        os._exit(3)
    """
    broken = plugin(tmp_path, "broken")
    (tmp_path / "plugins/broken/metrics.toml").write_text('[power]\nmetric = "hw.pwer"\nunit = "W"')
    needs = '[[needs]]\npaths = ["/dev/tiny"]\nfix = "plug it in"'
    sources = [
        plugin(tmp_path, "loops", body),
        plugin(tmp_path, "absent", UNAVAILABLE),
        plugin(tmp_path, "needy", more=needs),
        plugin(tmp_path, "off"),
        plugin(tmp_path, "steady"),
        broken,
    ]
    constants = {
        "xinmai.sampler.hostproc:LAST_DELAY_S": 0.4,
        "xinmai.sampler.supervisor:NEEDS_AGAIN_S": 0.3,
    }
    flags = {"plugins.off.enabled": False}
    with sampler(tmp_path, *sources, constants=constants, flags=flags) as run:
        client = run.connect()
        client.until_ring("steady")
        client.until_state("loops", "crashed", "exit code 3 without a word")
        client.until_state("absent", "unavailable", "libtiny.so (install tiny-sdk)")
        client.until_state("needy", "unavailable", "find: /dev/tiny (plug it in)")
        client.until_state("off", "disabled", "disabled in the configuration")
        reason = client.until_state("broken", "failed")
        assert str(tmp_path / "plugins/broken/metrics.toml") in reason
        assert "power.metric" in reason
        starts = eventually(lambda: _lines(tmp_path / "starts", 7), "seven starts")
        gaps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
        assert gaps[0] >= 0.05
        assert all(gap >= 0.1 for gap in gaps[1:])
        assert all(gap >= 0.4 for gap in gaps[3:])

        # What was missing comes: it is noticed without anybody's hand.
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev/tiny").touch()
        client.until_state("needy", "running")
        log = run.logged()
        for name in ("loops", "absent", "needy", "broken"):
            assert log.count(f"plugin={name} ") == 1, log
        assert run.host_pids("off") == []
        assert run.terminate() == 0


def _lines(path: Path, least: int) -> list[float]:
    lines = path.read_text().split() if path.exists() else []
    return [float(line) for line in lines] if len(lines) >= least else []


@pytest.mark.statement("CTL-20")
@pytest.mark.fault("A4")
def test_dead_hosts_ring_is_told_gone_and_kept_until_drained(tmp_path: Path) -> None:
    crashes = plugin(tmp_path, "crashes", CRASHES_WHEN_TOLD)
    with sampler(tmp_path, crashes) as run:
        client = run.connect()
        first = client.until_ring("crashes")
        rows = len(client.until_rows(first, "hw.power", "one", 3))
        [pid] = run.host_pids()
        os.kill(pid, signal.SIGKILL)
        second = client.until_ring("crashes", but=first.layout.ring_id)
        assert client.gone == [first.layout.ring_id]
        assert len(first.readings("hw.power", "one")) >= rows
        assert ("crashes", "crashed", "killed by SIGKILL") in client.history

        # Whoever comes later is told everything that is still held, the oldest first.
        later = run.connect()
        assert later.kinds[:4] == ["hello", "ring", "gone", "ring"]
        assert list(later.rings) == [first.layout.ring_id, second.layout.ring_id]
        assert len(later.rings[first.layout.ring_id].readings("hw.power", "one")) >= rows

        # A ring that grows is not let go, whatever a client says.
        memfds = _memfds(run)
        client.drained(second.layout.ring_id)
        client.drained(first.layout.ring_id)
        client.drained("no such ring")
        eventually(lambda: len(_memfds(run)) < len(memfds), "the ring to be let go")
        last = run.connect()
        assert list(last.rings) == [second.layout.ring_id]


def _memfds(run: SamplerRun) -> list[str]:
    return [name for name in descriptors(run.process.pid).values() if "memfd" in name]


@pytest.mark.statement("CTL-20")
@pytest.mark.fault("B7")
@pytest.mark.fault("B9")
def test_a_hundred_restarts_leave_nothing_behind(tmp_path: Path) -> None:
    """Each host hands a ring over and ends at once: nothing it said is lost, nothing stays."""
    body = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        yield Poll(f"power of {device.hw_id}", [power], lambda: os._exit(0))
    """
    constants = {
        "xinmai.sampler.hostproc:FIRST_DELAY_S": 0.0,
        "xinmai.sampler.hostproc:LAST_DELAY_S": 0.0,
    }
    with sampler(tmp_path, plugin(tmp_path, "brief", body), constants=constants) as run:
        client = run.connect()
        process = psutil.Process(run.process.pid)
        eventually(lambda: len(client.pump().rings) >= 20, "twenty rings")
        rss, opened = process.memory_info().rss, process.num_fds()
        eventually(lambda: len(client.pump().rings) >= 120, "a hundred more", timeout_s=60)
        assert process.memory_info().rss - rss < 1_500_000
        assert process.num_fds() - opened <= 4  # a host's socket or ring that comes or goes
        assert threads(run.process.pid) == ["xm-sampler"]
        assert client.kinds.count("gone") >= 119
        greeting = run.connect().kinds
        assert greeting[: greeting.index("plugins")].count("ring") <= HELD_RINGS
        assert run.logged().count("plugin=brief crashed") == 1


SPEAKS = """
    def open(self):
        import socket
        for fd in range(3, 64):
            try:
                sock = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            sock.send({message!r})
"""

CORRUPTS = """
    def readings(self, device):
        power = self.context.metrics["power"].of(device)
        self._reads = 0
        yield Poll("corrupts", [power], self._corrupt)

    def discover(self):
        return [Device(hw_id="one")]

    def _corrupt(self):
        self._reads += 1
        if self._reads < 10:
            return [42_000]
        for line in Path("/proc/self/maps").read_text().splitlines():
            if "memfd" in line and " rw-s " in line:
                start, _, rest = line.partition("-")
                size = int(rest.split()[0], 16) - int(start, 16)
                ctypes.memset(int(start, 16), 0xFF, size)
        deadlock()
"""


@pytest.mark.fault("C6")
@pytest.mark.fault("B5")
def test_host_that_speaks_or_writes_nonsense_harms_itself_alone(tmp_path: Path) -> None:
    sources = [
        plugin(tmp_path, "garbage", SPEAKS.format(message=b"\xc1")),
        plugin(tmp_path, "ringless", SPEAKS.format(message=b"\x93\x01\xa6layout\x80")),
        plugin(tmp_path, "corrupts", CORRUPTS),
        plugin(tmp_path, "steady"),
    ]
    with sampler(tmp_path, *sources) as run:
        client = run.connect()
        ring = client.until_ring("steady")
        client.until_state("garbage", "failed", "spoke wrongly: not a control message")
        client.until_state("ringless", "failed", "its ring cannot be used: layout without a ring")
        corrupt = client.until_ring("corrupts")
        client.until_rows(corrupt, "hw.power", "one", 1)
        time.sleep(0.5)
        client.until_rows(ring, "hw.power", "one", 5)
        assert run.terminate() == 0
        assert "plugin=corrupts" in run.logged()


@pytest.mark.fault("A14")
@pytest.mark.statement("CTL-20")
def test_new_generation_comes_after_the_end_of_the_old(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/first").touch()
    with sampler(tmp_path, plugin(tmp_path, "plugs", FOLLOWS_A_DIRECTORY)) as run:
        client = run.connect()
        old = client.until_ring("plugs")
        client.until_rows(old, "hw.power", "first", 2)
        (tmp_path / "devices/second").touch()
        new = client.until_ring("plugs", but=old.layout.ring_id)
        assert client.gone == [old.layout.ring_id]
        order = [kind for kind in client.kinds if kind in ("ring", "gone")]
        assert order == ["ring", "gone", "ring"]
        assert client.until_rows(new, "hw.power", "second", 1)[-1] == 42_000
        assert len(old.readings("hw.power", "first")) >= 2
        assert len(run.host_pids()) == 1


@pytest.mark.fault("B3")
@pytest.mark.statement("CTL-3")
def test_killed_sampler_leaves_no_host_behind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    sources = [plugin(tmp_path, "steady"), plugin(tmp_path, "waits", WAITS_AT_A_FIFO)]
    with sampler(tmp_path, *sources) as run:
        client = run.connect()
        ring = client.until_ring("waits")
        client.until_ring("steady")
        eventually(lambda: ring.reader.state(0).call == 0, "the read")
        pids = run.host_pids()
        assert len(pids) == 2
        run.process.kill()
        eventually(lambda: not any(map(exists, pids)), "the end of the hosts", timeout_s=2.5)
        eventually(lambda: client.pump().ended, "the end of the socket")


@pytest.mark.fault("B3")
@pytest.mark.parametrize("how", ["term", "parent gone"])
def test_it_ends_in_order(tmp_path: Path, how: str) -> None:
    sources = [plugin(tmp_path, name) for name in ("one", "two")]
    with sampler(tmp_path, *sources, constants={}) as run:
        client = run.connect()
        rings = [client.until_ring(name) for name in ("one", "two")]
        for ring in rings:
            client.until_rows(ring, "hw.power", "one", 1)
        pids = run.host_pids()
        assert len(pids) == 2
        if how == "term":
            run.process.send_signal(signal.SIGTERM)
        else:
            os.close(run.parent_alive)
        eventually(lambda: "stopped" in client.pump().kinds, "stopped")
        assert not any(map(exists, pids))
        assert sorted(client.gone) == sorted(ring.layout.ring_id for ring in rings)
        assert client.kinds[-1] == "stopped"
        assert {one["state"] for one in client.plugins.values()} == {"stopped"}
        for ring_id in client.gone:
            client.drained(ring_id)
        assert run.process.wait(10) == 0
        assert "undrained" not in run.logged()


@pytest.mark.statement("CTL-1")
def test_client_of_another_version_is_refused_by_name_and_the_others_stay(tmp_path: Path) -> None:
    with sampler(tmp_path, plugin(tmp_path, "steady")) as run:
        client, stranger = run.connect(), run.connect()
        sock = stranger.channel._sock
        sock.send(b"\x93\x02\xa5hello\x80")
        eventually(lambda: stranger.pump().ended, "the end of the stranger")
        eventually(lambda: "control protocol 2, this side speaks 1" in run.logged(), "its version")
        client.until_ring("steady")
