"""The broker of `xinmai up`: mosquitto where it is installed, else amqtt, on loopback only.

Nothing is stored: agents' spools are the queue, and what a broker loses is sent again (D1, D11).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from xinmai.errors import TransportError, Unavailable

HOST = "127.0.0.1"
# Debian puts mosquitto where a user's PATH does not look.
_MORE_PLACES = (Path("/usr/sbin"), Path("/usr/local/sbin"))
_POLL_S = 0.02

_MOSQUITTO_CONF = """\
listener {port} {host}
allow_anonymous true
persistence false
max_inflight_messages 64
max_packet_size 2097152
max_queued_messages 10000
max_queued_bytes 67108864
log_dest stderr
log_type error
log_type warning
"""


@dataclass(frozen=True, slots=True)
class BrokerKind:
    """A broker that can be started here.

    Args:
        executable: of mosquitto; for amqtt this Python.
    """

    name: Literal["mosquitto", "amqtt"]
    executable: str

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """What it speaks; to say so spares a client the question."""
        return "5" if self.name == "mosquitto" else "3.1.1"


def find_broker(
    path: str | None = None, *, has_module: Callable[[str], object] = find_spec
) -> BrokerKind:
    """The best broker of this machine.

    Args:
        path: where to look for mosquitto, separated as in PATH; None: PATH and the sbin folders.
        has_module: tells whether amqtt can be imported.

    Raises:
        Unavailable: there is none.
    """
    executable = shutil.which("mosquitto", path=_search_path() if path is None else path)
    if executable:
        return BrokerKind("mosquitto", executable)
    if has_module("amqtt"):
        return BrokerKind("amqtt", sys.executable)
    raise Unavailable(
        "start a broker",
        "neither mosquitto nor amqtt is here",
        "apt install mosquitto, or pip install 'xinmai[broker]', or name one in broker.url",
    )


def broker_command(kind: BrokerKind, directory: Path, port: int) -> list[str]:
    """What runs the broker in the foreground on this port of loopback.

    Args:
        directory: gets mosquitto's configuration.
    """
    if kind.name == "amqtt":
        return [kind.executable, "-m", "xinmai.amqtt_broker", "--port", str(port)]
    conf = directory / "mosquitto.conf"
    text = _MOSQUITTO_CONF.format(port=port, host=HOST)
    if os.geteuid() == 0:
        # It would become the user "mosquitto", which may not exist and need not read the folder.
        text += "user root\n"
    conf.write_text(text, "utf-8")
    return [kind.executable, "-c", str(conf)]


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


async def wait_ready(
    port: int, timeout_s: float = 10.0, *, alive: Callable[[], bool] = lambda: True
) -> None:
    """Return when the broker takes connections.

    Args:
        alive: whether its process still runs; waiting ends with it.

    Raises:
        TransportError: it does not, within the time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while not await _takes_connections(port):
                if not alive():
                    raise TransportError(
                        f"the broker for {HOST}:{port} ended before it took connections"
                        " (is the port taken? its own message stands above)"
                    )
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise TransportError(
            f"no broker takes connections at {HOST}:{port} within {timeout_s:.0f} s"
        ) from error


async def _takes_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, _MORE_PLACES)])
