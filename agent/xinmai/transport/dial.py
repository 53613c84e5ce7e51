"""From an address to a connected socket.

paho connects in a blocking call, which aiomqtt moves to a thread that nobody can cancel (B8) and
that leaves a socket behind when TLS fails. Here every step can be cancelled and tidies up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from xinmai.errors import TransportError
from xinmai.transport.address import BrokerAddress

CONNECT_S = 10.0

# Version 5, clean start, keepalive 30 s, no properties, empty client id, nothing else.
_BARE_CONNECT_5 = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x00"
_DISCONNECT = b"\xe0\x00"
# How 3.1.1 says "unacceptable protocol version"; every CONNACK of version 5 is longer.
_REFUSED_VERSION = b"\x20\x02\x00\x01"


async def dial(address: BrokerAddress) -> socket.socket:
    """A connected, non-blocking socket, with TLS done where the address asks for it.

    Raises:
        TransportError: what failed, on what, and what to look at.
    """
    try:
        async with asyncio.timeout(CONNECT_S):
            sock = await _connect(address)
            return await _secure(sock, address) if address.tls else sock
    except TimeoutError as error:
        raise TransportError(
            f"cannot reach {address.url}: no connection within {CONNECT_S:.0f} s"
            " (is the host up, does a firewall drop the port?)"
        ) from error
    except ssl.SSLError as error:
        raise TransportError(f"cannot reach {address.url}: {_tls_help(error)}") from error
    except socket.gaierror as error:
        raise TransportError(
            f"cannot reach {address.url}: {error.strerror} (is the host name right?)"
        ) from error
    except OSError as error:
        speaks_tls = ", does the port speak TLS" if address.tls else ""
        raise TransportError(
            f"cannot reach {address.url}: {_os_text(error)}"
            f" (is the broker running, are host and port right{speaks_tls}?)"
        ) from error


async def lacks_version_5(address: BrokerAddress) -> bool:
    """Whether the broker refuses the version of a CONNECT that holds nothing but the version.

    A broker of 3.1.1 may read the properties and will of a CONNECT 5 as something else and wait
    for more bytes for ever (amqtt 0.12 does), so silence proves nothing; this answer does.
    """
    context = tls_context(address) if address.tls else None
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            try:
                writer.write(_BARE_CONNECT_5)
                return await reader.readexactly(len(_REFUSED_VERSION)) == _REFUSED_VERSION
            finally:
                writer.write(_DISCONNECT)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, EOFError):
        return False


def tls_context(address: BrokerAddress) -> ssl.SSLContext:
    """Verify the broker by `ca`; show `cert` and `key` where given.

    Raises:
        TransportError: a file cannot be read or is not PEM.
    """
    try:
        context = ssl.create_default_context(cafile=address.ca)
        if address.cert:
            context.load_cert_chain(address.cert, address.key)
    except OSError as error:
        files = ", ".join(str(file) for file in (address.ca, address.cert, address.key) if file)
        raise TransportError(
            f"cannot prepare TLS for {address.url}: {_os_text(error)}"
            f" (check that {files} exist, are PEM, belong together and may be read)"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _connect(address: BrokerAddress) -> socket.socket:
    failure: OSError = OSError("the host name has no address")
    for family, _, _, _, where in await _resolve(address.host, address.port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            _tune(sock, address.keepalive_s)
            await asyncio.get_running_loop().sock_connect(sock, where)
            return sock
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
    raise failure


async def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    kind = socket.SOCK_STREAM
    try:
        return list(socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        # Not a literal address: the resolver may block, so it runs in the loop's executor.
        return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=kind))


def _tune(sock: socket.socket, keepalive_s: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Unacknowledged bytes tell of a peer that vanished before MQTT's two keepalives do (D7).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, keepalive_s * 1000)


async def _secure(sock: socket.socket, address: BrokerAddress) -> ssl.SSLSocket:
    try:
        context = tls_context(address)
        secured = context.wrap_socket(
            sock, server_hostname=address.host, do_handshake_on_connect=False
        )
    except BaseException:
        sock.close()
        raise
    try:
        await _handshake(secured)
    except BaseException:
        secured.close()
        raise
    return secured


async def _handshake(sock: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await _ready(sock, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(sock, loop.add_writer, loop.remove_writer)


async def _ready(
    sock: socket.socket, add: Callable[..., None], remove: Callable[[int], bool]
) -> None:
    event = asyncio.Event()
    add(sock.fileno(), event.set)
    try:
        await event.wait()
    finally:
        remove(sock.fileno())


def _os_text(error: OSError) -> str:
    # asyncio puts the address in the place of the system's text.
    return os.strerror(error.errno) if error.errno else str(error)


def _tls_help(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{error.verify_message} (does ca hold the authority that signed the broker?)"
    return f"TLS failed: {error.reason or error} (is this the TLS port, does it want a cert?)"
