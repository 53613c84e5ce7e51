"""Plugins that call a library from lanes, in real hosts under a real sampler."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.sampler.rig import HostRun, exists, threads
from agent.sampler.samplerrun import MS, SamplerRun
from fakes.clib import put
from fakes.tinyplugin import CALLS_A_LIBRARY, WRITES_BEYOND, tiny
from running import eventually
from xinmai.api import Missing, Reason
from xinmai.manifest import PluginSource
from xinmai_native import CANARY_CODE

TIMEOUT = Missing(Reason.TIMEOUT)
IMPATIENT = {"xinmai.sampler.serial:PATIENCE_NS": 50 * MS}


@pytest.fixture
def machine(tmp_path: Path, tinysdk: Path) -> Path:
    put(tmp_path, tinysdk, "tinysdk.h")
    return tmp_path


def cards(machine: Path, threading: str) -> PluginSource:
    folder = machine / "plugins" / "cards"
    return tiny(folder, CALLS_A_LIBRARY, name="cards", threading=threading, vendor="Tiny")


def told(run: HostRun) -> list[str]:
    """Devices for which calls beyond their memory were told, as often as they were."""
    found = [one for one in run.ring.events() if one["code"] == "call_beyond_memory"]
    return sorted(one["hw_id"] for one in found)


@pytest.mark.parametrize("threading", ["free", "serial"])
def test_host_reads_what_lanes_and_polls_ask_the_library(machine: Path, threading: str) -> None:
    with HostRun(cards(machine, threading), root=machine) as run:
        run.until_running()
        assert run.until_read("hw.power", "card-0", n=3) == 42_000
        assert run.until_read("hw.power", "card-1", n=3) == 42_001
        assert run.until_read("accel.native.cards.jobs", "card-1", n=3) == 4
        [power] = {
            series.native for series in run.ring.layout.series if series.metric == "hw.power"
        }
        assert power == "tsdk_get_power"
        calls = [call for lane in run.ring.layout.lanes for call in lane.calls]
        assert "tsdk_get_power of card-1" in calls
        assert run.stop().value == "stopped"


@pytest.mark.fault("A6")
def test_call_that_writes_beyond_its_memory_is_told_and_not_made_again(machine: Path) -> None:
    calls = CALLS_A_LIBRARY[: CALLS_A_LIBRARY.index("def readings")].rstrip()
    folder = machine / "plugins" / "cards"
    source = tiny(folder, calls, WRITES_BEYOND, name="cards", threading="free", vendor="Tiny")
    with HostRun(source, root=machine) as run:
        run.until_running()
        event = run.until_event("call_beyond_memory")
        assert event["message"].startswith("plugin cards: tsdk_get_name of card-")
        beyond = run.until_read("hw.temperature", "card-1")
        assert beyond == Missing(Reason.VENDOR_ERROR, CANARY_CODE)
        assert run.until_read("hw.power", "card-1", n=5) == 42_001
        eventually(lambda: told(run) == ["card-0", "card-1"], "an event for each")


@pytest.mark.fault("A1")
@pytest.mark.statement("CTL-13")
def test_hung_call_of_a_serial_library_costs_the_others_a_restart(machine: Path) -> None:
    source = cards(machine, "serial")
    with SamplerRun(machine, [source], constants=IMPATIENT) as run:
        client = run.connect()
        first = client.until_ring("cards")
        client.until_rows(first, "hw.power", "card-1", 2)
        [hung] = run.host_pids("cards")
        (machine / "hang-1").touch()

        reason = client.until_state("cards", "stuck")
        assert reason.startswith("stuck in tsdk_get_power of card-1, lane fast, ")
        # Python waits at the gate, for a bounded time.
        assert first.readings("accel.native.cards.jobs", "card-0")[-1] in (4, TIMEOUT)

        client.until_state("cards", "running", "without card-1: did not answer")
        assert first.readings("accel.native.cards.jobs", "card-0")[-1] == TIMEOUT
        second = client.until_ring("cards", but=first.layout.ring_id)
        assert client.until_rows(second, "hw.power", "card-0", 3)[-1] == 42_000
        assert client.until_rows(second, "accel.native.cards.jobs", "card-0", 2)[-1] == 4
        assert set(client.until_rows(second, "hw.power", "card-1", 1)) == {TIMEOUT}
        assert "reading lost: call=jobs of card-0" in run.logged()

        # Asked to leave, it leaves without its lane, and its library is not shut down under it.
        eventually(lambda: not exists(hung), "the end of the host that hung")
        assert run.terminate() == 0


@pytest.mark.fault("A12")
def test_hung_call_of_a_free_library_costs_the_other_devices_nothing(machine: Path) -> None:
    with SamplerRun(machine, [cards(machine, "free")]) as run:
        client = run.connect()
        ring = client.until_ring("cards")
        client.until_rows(ring, "hw.power", "card-1", 2)
        (machine / "hang-1").touch()
        reason = client.until_state("cards", "stuck")
        assert reason.startswith("stuck in tsdk_get_power of card-1, lane fast:card-1, ")

        # Longer than a serial plugin's host would be kept.
        assert set(client.until_rows(ring, "hw.power", "card-0", 20)) == {42_000}
        assert set(client.until_rows(ring, "accel.native.cards.jobs", "card-1", 2)) == {4}
        [pid] = run.host_pids("cards")
        assert threads(pid) == ["xm-host-cards", "xm-lane-0", "xm-lane-1"]

        (machine / "hang-1").unlink()
        client.until_state("cards", "running")
        assert client.until_rows(ring, "hw.power", "card-1", 2)[-1] == 42_001
        assert run.terminate() == 0
