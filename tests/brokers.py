"""Real brokers for tests: mosquitto with its own configuration, and amqtt as a process.

Starting is synchronous and returns when the broker takes connections.
"""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from xinmai.broker import HOST, BrokerKind, broker_command, find_broker, free_port

READY_S = 15.0
_POLL_S = 0.02


class RunningBroker:
    """A broker process; a context manager that stops it."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._command = command
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it takes connections."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM: clients are told, where the protocol can."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process:
            self._process.kill()
            self.exit_code = self._process.wait()
            self._process = None

    def restart(self) -> None:
        """On the same port, whatever state it is in."""
        self.kill()
        self.start()

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        for _ in range(int(READY_S / _POLL_S)):
            with suppress(OSError):
                socket.create_connection((HOST, self.port), READY_S).close()
                return
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(_POLL_S)
                pytest.fail(f"{self._command} ended with {code}")
        pytest.fail(f"{self._command} takes no connections on {self.port}")


def mosquitto(directory: Path, extra_conf: str = "") -> RunningBroker:
    """Start mosquitto as `xinmai up` would.

    Args:
        directory: of its own, for the configuration.
        extra_conf: more lines; a `listener`, `max_packet_size` or `allow_anonymous` of your own
            replaces ours.
    """
    kind = _mosquitto_kind()
    port = free_port()
    command = broker_command(kind, directory, port)
    conf = directory / "mosquitto.conf"
    own = {line.split()[0] for line in extra_conf.splitlines() if line.strip()}
    kept = [line for line in conf.read_text().splitlines() if line.split()[0] not in own]
    # Before the rest: options of a listener follow it.
    text = "\n".join([*kept, extra_conf.replace("{port}", str(port))])
    conf.write_text(text + "\n")
    return RunningBroker(command, port)


def amqtt(directory: Path) -> RunningBroker:
    """Start amqtt: MQTT 3.1.1 only."""
    pytest.importorskip("amqtt")
    kind = find_broker(path="")
    port = free_port()
    return RunningBroker(broker_command(kind, directory, port), port)


def _mosquitto_kind() -> BrokerKind:
    kind = find_broker()
    if kind.name != "mosquitto":
        pytest.skip("needs mosquitto (apt install mosquitto)")
    return kind
