from __future__ import annotations

import array
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinmai.channel import BODY_BYTES, MAX_FDS, PACKET_BYTES, VERSION, Channel, Received, listen
from xinmai.errors import ProtocolError

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A peer that may send whatever it likes."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(theirs)
    yield ours, channel
    ours.close()
    channel.close()


def received(channel: Channel) -> Received:
    message = channel.receive()
    assert message is not None
    return message


def open_fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def descriptor(content: bytes) -> int:
    fd = os.memfd_create("content")
    os.write(fd, content)
    return fd


def packet(*parts: Any) -> bytes:
    packed: bytes = msgpack.packb(list(parts))
    return packed


def send_raw(sock: socket.socket, data: bytes, fds: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], ancillary)


def test_message_arrives_as_it_was_sent(pair: Pair) -> None:
    pair[0].send("hello", {"plugin": "tiny", "pid": 7, "nested": {"a": [1, None, 2.5]}})
    message = received(pair[1])
    assert (message.kind, message.fds) == ("hello", [])
    assert message.body == {"plugin": "tiny", "pid": 7, "nested": {"a": [1, None, 2.5]}}


def test_nothing_waits(pair: Pair) -> None:
    assert pair[1].receive() is None
    assert not pair[1].has_input()


def test_messages_keep_their_order_and_borders(pair: Pair) -> None:
    for number in range(5):
        pair[0].send("count", {"number": number})
    assert [received(pair[1]).body["number"] for _ in range(5)] == [0, 1, 2, 3, 4]


def test_descriptors_travel_and_are_not_inherited(pair: Pair) -> None:
    contents = [b"first", b"second"]
    fds = [descriptor(content) for content in contents]
    pair[0].send("layout", {}, fds)
    for fd in fds:
        os.close(fd)
    message = received(pair[1])
    assert [os.pread(fd, 100, 0) for fd in message.fds] == contents
    assert [os.get_inheritable(fd) for fd in message.fds] == [False, False]
    for fd in message.fds:
        os.close(fd)


@pytest.mark.parametrize("size", [PACKET_BYTES - 100, PACKET_BYTES + 1, 2**20])
def test_body_of_any_size_arrives_with_its_descriptors(pair: Pair, size: int) -> None:
    before = open_fds()
    fd = descriptor(b"ring")
    pair[0].send("layout", {"text": "x" * size}, [fd])
    message = received(pair[1])
    assert (message.kind, len(message.body["text"])) == ("layout", size)
    assert [os.pread(one, 10, 0) for one in message.fds] == [b"ring"]
    os.close(message.fds[0])
    os.close(fd)
    assert open_fds() == before


def test_body_over_the_limit_is_not_sent(pair: Pair) -> None:
    with pytest.raises(ProtocolError, match="over"):
        pair[0].send("layout", {"text": "x" * BODY_BYTES})
    assert pair[1].receive() is None


def test_more_descriptors_than_fit_are_not_sent(pair: Pair) -> None:
    with pytest.raises(ProtocolError, match="descriptors"):
        pair[0].send("layout", {}, [0] * (MAX_FDS + 1))


@pytest.mark.statement("CTL-1")
@pytest.mark.fault("B13")
@pytest.mark.parametrize("version", [0, VERSION + 1, "1", None, True, 1.0])
def test_another_version_is_refused_by_name(
    raw: tuple[socket.socket, Channel], version: Any
) -> None:
    raw[0].send(packet(version, "hello", {}))
    with pytest.raises(ProtocolError, match=f"control protocol {version!r}, this side speaks 1"):
        raw[1].receive()


@pytest.mark.statement("CTL-3")
def test_end_of_the_peer_comes_after_its_last_message(pair: Pair) -> None:
    pair[0].send("bye", {"reason": "stopped"})
    pair[0].close()
    assert received(pair[1]).kind == "bye"
    assert pair[1].has_input()
    with pytest.raises(EOFError):
        pair[1].receive()


def test_sending_to_a_peer_that_is_gone(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(ConnectionError):
        pair[0].send("hello")


def _takes(channel: Channel, number: int, size: int) -> bool:
    try:
        channel.send("count", {"number": number, "filler": "x" * size})
    except BlockingIOError:
        return False
    return True


@pytest.mark.statement("CTL-2")
@pytest.mark.parametrize("size", [10, 60_000, 100_000])
def test_peer_that_does_not_read_costs_no_time_and_gets_whole_messages(
    pair: Pair, size: int
) -> None:
    before = open_fds()
    sent = 0
    while _takes(pair[0], sent, size):
        sent += 1
    numbers = []
    while (message := pair[1].receive()) is not None:
        assert len(message.body["filler"]) == size
        numbers.append(message.body["number"])
    assert numbers == list(range(sent))
    pair[0].send("count", {"number": sent, "filler": ""})
    assert received(pair[1]).body["number"] == sent
    assert open_fds() == before


@pytest.mark.statement("CTL-2")
def test_connecting_to_a_listener_that_accepts_nobody_does_not_wait(tmp_path: Path) -> None:
    waiting: list[Channel] = []
    with listen(tmp_path / "sock"):
        while len(waiting) < 100 and (channel := _connected(tmp_path / "sock")):
            waiting.append(channel)
    assert 0 < len(waiting) < 100
    for one in waiting:
        one.close()


def _connected(path: Path) -> Channel | None:
    try:
        return Channel.connect(path)
    except BlockingIOError:
        return None


HOSTILE = [
    b"\x00",
    b"\xc1",
    packet(1),
    packet(1, "hello"),
    packet(1, "hello", {}, 4),
    packet(1, 2, {}),
    packet(1, "hello", []),
    packet(1, "hello", {1: 2}),
    packet(1, "hello", {}) + b"\x00",
    packet(1, "hello", {})[:-1],
    b"\x93\x01\xa5hello\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff" * 100,
    b"\xdd\x00\x03\xff\xff" * 10_000,
    b"\x91" * 60_000,
    b"\x93\x01\xa2\xff\xfe\x80",
    b"\x93\x01\xa1x\xc7\x02\xff\x00\x00",
    packet(1, "_body_in_fd", {}),
    packet(9, "_body_in_fd", {}),
    b"x" * (PACKET_BYTES + 1),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("fds", [0, 2])
def test_hostile_packet_is_refused_and_leaks_nothing(
    raw: tuple[socket.socket, Channel], data: bytes, fds: int
) -> None:
    before = open_fds()
    content = descriptor(b"\xc1")
    send_raw(raw[0], data, [content] * fds)
    with pytest.raises(ProtocolError):
        raw[1].receive()
    os.close(content)
    assert open_fds() == before
    raw[0].send(packet(1, "hello", {}))
    assert received(raw[1]).kind == "hello"


def _pipe() -> int:
    read, write = os.pipe()
    os.close(write)
    return read


def _write_only() -> int:
    memory = descriptor(packet(1, "hello", {}))
    fd = os.open(f"/proc/self/fd/{memory}", os.O_WRONLY)
    os.close(memory)
    return fd


def _oversized() -> int:
    fd = os.memfd_create("big")
    os.ftruncate(fd, BODY_BYTES + 1)
    return fd


@pytest.mark.parametrize(
    "make",
    [
        lambda: descriptor(b""),
        lambda: descriptor(b"\xc1"),
        lambda: descriptor(packet(2, "hello", {})),
        _oversized,
        _write_only,
        _pipe,
        lambda: os.open("/dev/null", os.O_RDONLY),
        lambda: os.open("/dev/zero", os.O_RDONLY),
        lambda: os.open("/", os.O_RDONLY),
        lambda: os.open("/proc/self/status", os.O_RDONLY),
        lambda: socket.socket().detach(),
    ],
)
def test_hostile_body_descriptor_is_refused_and_leaks_nothing(
    raw: tuple[socket.socket, Channel], make: Any
) -> None:
    before = open_fds()
    spill, other = make(), descriptor(b"")
    send_raw(raw[0], packet(1, "_body_in_fd", {}), [spill, other])
    os.close(spill)
    os.close(other)
    with pytest.raises(ProtocolError):
        raw[1].receive()
    assert open_fds() == before


def test_more_descriptors_than_asked_for_are_refused_and_closed(
    raw: tuple[socket.socket, Channel],
) -> None:
    before = open_fds()
    send_raw(raw[0], packet(1, "hello", {}), [0] * 100)
    with pytest.raises(ProtocolError, match="truncated"):
        raw[1].receive()
    assert open_fds() == before


def test_an_empty_packet_is_an_end(raw: tuple[socket.socket, Channel]) -> None:
    raw[0].send(b"")
    with pytest.raises(EOFError):
        raw[1].receive()


@given(st.binary(min_size=1, max_size=200))
def test_bytes_raise_nothing_but_protocol_errors(data: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(theirs)
    try:
        ours.send(data)
        channel.receive()
    except ProtocolError:
        pass
    finally:
        ours.close()
        channel.close()


def test_listening_replaces_a_dead_socket_and_is_for_the_group_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sock"
    listen(path).close()
    with listen(path) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        client = Channel.connect(path)
        accepted = Channel(server.accept()[0])
        client.send("hello", {"pid": 1})
        assert received(accepted).body == {"pid": 1}
        assert accepted.peer_uid() == os.getuid()
        client.close()
        accepted.close()


def test_connecting_to_nobody_is_an_os_error(tmp_path: Path) -> None:
    before = open_fds()
    with pytest.raises(FileNotFoundError):
        Channel.connect(tmp_path / "nothing")
    assert open_fds() == before


def test_an_inherited_descriptor_is_taken_over(pair: Pair) -> None:
    adopted = Channel.adopt(os.dup(pair[1].fileno()))
    pair[0].send("hello")
    assert received(adopted).kind == "hello"
    adopted.close()
