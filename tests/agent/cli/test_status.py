from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from xinmai.cli import status
from xinmai.cli.main import main
from xinmai.shipper.status import SOCKET_NAME

ANSWER: dict[str, Any] = {
    "healthy": True,
    "node": "n1",
    "edge": "local",
    "agent": "0.1",
    "sampler": "connected",
    "plugins": [
        {
            "name": "host",
            "state": "running",
            "newest_age_s": 0.21,
            "stuck": False,
            "reason": "",
        },
        {
            "name": "rapl",
            "state": "unavailable",
            "newest_age_s": None,
            "stuck": False,
            "reason": "no counters here",
        },
    ],
    "lanes": [
        {
            "plugin": "host",
            "lane": "slow",
            "period_ns": 1_000_000_000,
            "series": 40,
            "committed": 7,
            "missed": 2,
            "late_mean_ns": 61_000,
            "late_max_ns": 99_000,
            "age_s": 0.2,
            "span_s": 30.0,
        }
    ],
    "spool": [{"stream": "rollup", "bytes": 8192, "records": 3}],
    "transport": {
        "connected": True,
        "url": "mqtt://broker:1883",
        "protocol": "5",
        "error": "",
    },
    "totals": {},
}


@contextmanager
def agent(directory: Path, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """A listener in the run directory that treats one client at a time."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / SOCKET_NAME))
        server.listen(8)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError):
                        talk(client)

        thread = threading.Thread(target=serve, name="agent")
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(answer: object) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(json.dumps(answer).encode())


def run(directory: Path, *words: str) -> int:
    return main(["status", "--set", f"node.run_dir={directory}", *words])


def test_json_has_the_keys_that_are_promised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent(tmp_path, answering(ANSWER)):
        assert run(tmp_path, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["healthy", "plugins", "lanes", "spool", "transport"]
    assert shown == {key: ANSWER[key] for key in shown}


def test_people_see_state_reasons_lanes_and_spool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent(tmp_path, answering(ANSWER)):
        assert run(tmp_path) == 0
    out = capsys.readouterr().out
    for word in ("healthy: n1", "mqtt://broker:1883 (MQTT 5)", "0.21", "no counters here", "8192"):
        assert word in out


@pytest.mark.parametrize(("is_open", "state"), [(True, "under way"), (False, "4711 bytes")])
def test_people_see_the_last_capture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_open: bool, state: str
) -> None:
    last = {"id": "ab12", "cause": "card lost", "at_ns": 0, "bytes": 4711, "open": is_open}
    captures = {"captures": 3, "merged": 0, "suppressed": 2, "last": last}
    with agent(tmp_path, answering({**ANSWER, "captures": captures})):
        assert run(tmp_path) == 0
    out = capsys.readouterr().out
    assert "3 captures, 2 triggers without one; the last: ab12 at 1970-01-01" in out
    assert f"{state}: card lost" in out


def test_ill_health_is_exit_code_1_and_names_the_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transport = {**ANSWER["transport"], "connected": False, "error": "Connection refused"}
    ill = {**ANSWER, "healthy": False, "transport": transport}
    with agent(tmp_path, answering(ill)):
        assert run(tmp_path) == 1
        assert run(tmp_path, "--json") == 1
    out = capsys.readouterr().out
    assert "NOT HEALTHY" in out
    assert "not connected to mqtt://broker:1883: Connection refused" in out


def test_no_agent_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 1
    err = capsys.readouterr().err
    assert str(tmp_path / SOCKET_NAME) in err
    assert "xinmai agent" in err


def test_no_agent_in_json_has_the_same_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["healthy", "plugins", "lanes", "spool", "transport"]
    assert shown["healthy"] is False
    assert "no agent answers" in shown["transport"]["error"]


@pytest.mark.parametrize("answer", [{}, [], None, {"healthy": True}], ids=str)
def test_an_answer_of_another_shape_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: object
) -> None:
    with agent(tmp_path, answering(answer)):
        assert run(tmp_path) == 1
    assert "not understood" in capsys.readouterr().err


def test_an_answer_that_breaks_off_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with agent(tmp_path, lambda client: client.sendall(json.dumps(ANSWER).encode()[:100])):
        assert run(tmp_path) == 1
    assert "not understood" in capsys.readouterr().err


@pytest.mark.fault("B11")
def test_an_agent_that_trickles_is_given_no_more_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.3)

    def trickle(client: socket.socket) -> None:
        tick = threading.Event()
        while True:
            client.sendall(b" ")
            tick.wait(0.02)

    began_s = time.monotonic()
    with agent(tmp_path, trickle):
        assert run(tmp_path) == 1
    assert time.monotonic() - began_s < 2
    assert "does not answer within 0.3 s" in capsys.readouterr().err


SERVER = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(2)
print("ready", flush=True)
while True:
    client, _ = server.accept()
    client.recv(1)
"""


@pytest.mark.fault("B11")
def test_a_stopped_agent_piles_nothing_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    command = [sys.executable, "-c", SERVER, str(tmp_path / SOCKET_NAME)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(process.pid, signal.SIGSTOP)
            threads, began_s = threading.active_count(), time.monotonic()
            # The queue of the socket fills up: later ones are sent away at once.
            assert [run(tmp_path) for _ in range(10)] == [1] * 10
            assert time.monotonic() - began_s < 10 * 0.5
            assert threading.active_count() == threads
        finally:
            process.kill()
    assert capsys.readouterr().err.count("xm-shipper") == 10
