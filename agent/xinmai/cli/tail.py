"""`xinmai tail`: decoded messages from a broker, one line each."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from xinmai import clock
from xinmai.cli.options import add_config_options, add_json_option, resolution_from
from xinmai.cli.output import note, print_json, say
from xinmai.cli.status import ask
from xinmai.cli.times import iso
from xinmai.config import BrokerConfig, Resolution
from xinmai.errors import Refused
from xinmai.shipper.address import broker_address
from xinmai.shipper.status import SOCKET_NAME
from xinmai.transport import Message, Transport
from xinmai.wire import codec
from xinmai.wire.topics import PREFIX, parse_topic

_DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    "status": codec.decode_status,
    "inventory": codec.decode_inventory,
    "batch": codec.decode_batch,
    "event": codec.decode_batch,
    "capture": codec.decode_batch,
    "cmd": codec.decode_command,
    "reply": codec.decode_reply,
    "stored": codec.decode_stored,
    "_collector": codec.decode_presence,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to hear, how long."""
    parser.add_argument("--edge", metavar="NAME", default="+", help="only this edge")
    parser.add_argument("--node", metavar="NAME", default="", help="only this node")
    parser.add_argument("--count", metavar="N", type=int, help="end after so many messages")
    add_config_options(parser)
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Until Ctrl-C, `--count`, or the end of the connection."""
    resolution = resolution_from(args)
    if resolution.errors:
        raise resolution.errors[0]
    broker = _broker(resolution)
    pattern = f"{PREFIX}/{args.edge}/{args.node}/#" if args.node else f"{PREFIX}/{args.edge}/#"
    asyncio.run(_listen(broker, pattern, args.count, _print_json if args.json else _print_line))
    return 0


def _broker(resolution: Resolution) -> BrokerConfig:
    """The configured broker; where none is set, the one that the running agent uses."""
    broker = resolution.config.broker
    if "broker.url" in resolution.settings:
        return broker
    try:
        url = ask(resolution.config.node.run_dir / SOCKET_NAME)["transport"]["url"]
    except (OSError, KeyError, TypeError):
        return broker
    return replace(broker, url=url)


async def _listen(
    broker: BrokerConfig, pattern: str, count: int | None, show: Callable[[Message], None]
) -> None:
    client_id = f"xinmai-tail-{os.getpid()}-{os.urandom(4).hex()}"
    async with Transport(broker_address(broker), client_id) as transport:
        note(f"listening at {broker.url} (MQTT {transport.protocol}) to {pattern}")
        await transport.subscribe([pattern])
        left = count
        async for message in transport.messages():
            show(message)
            left = None if left is None else left - 1
            if left is not None and left <= 0:
                break


def _print_line(message: Message) -> None:
    say(line(message, clock.wall_ns()))


def _print_json(message: Message) -> None:
    print_json(document(message), indent=None)


def document(message: Message) -> dict[str, Any]:
    """A message as JSON has it; packed columns are base64, `refused` says why there is no body."""
    found: dict[str, Any] = {
        "topic": message.topic,
        "retain": message.retain,
        "bytes": len(message.payload),
        "leaf": None,
        "message": None,
        "refused": None,
    }
    try:
        leaf, body = _decoded(message)
    except Refused as error:
        return found | {"refused": str(error)}
    text = json.dumps(asdict(body), default=_packed) if body is not None else "null"
    return found | {"leaf": leaf, "message": json.loads(text)}


def _decoded(message: Message) -> tuple[str, Any]:
    leaf = parse_topic(message.topic).leaf
    return leaf, _DECODERS[leaf](message.payload) if leaf in _DECODERS else None


def _packed(value: object) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def line(message: Message, heard_ns: int) -> str:
    """A message for people."""
    try:
        leaf, body = _decoded(message)
        text = _TEXTS[leaf](body) if leaf in _TEXTS else leaf
    except Refused as error:
        text = f"refused: {error}"
    retained = " (retained)" if message.retain else ""
    place = message.topic.removeprefix(f"{PREFIX}/")
    return f"{iso(heard_ns)} {place} {len(message.payload)} B{retained}: {text}"


def _status(body: Any) -> str:
    state = "online" if body.online else "offline"
    return f"{state} boot {body.boot[:8]} session {body.session} agent {body.agent}"


def _inventory(body: Any) -> str:
    return f"{len(body.devices)} devices, {len(body.series)} series, {len(body.lanes)} lanes"


def _batch(body: Any) -> str:
    parts = [f"{body.stream} {body.queue[:8]}#{body.seq} schema {body.schema[:8]}"]
    parts.append(f"{sum(block.n for block in body.blocks)} windows in {len(body.blocks)} blocks")
    if body.capture is not None:
        end = ", the last" if body.capture.last else ""
        parts.append(f"capture {body.capture.id} part {body.capture.part}{end}")
        parts.append(f"{body.capture.trigger}: {body.capture.cause}")
    parts += [f"{event.severity} {event.code}: {event.message}" for event in body.events]
    parts += [
        f"lost {loss.stream} {loss.queue[:8]}#{loss.first}-{loss.last}: {loss.reason}"
        for loss in body.losses
    ]
    return "; ".join(parts)


def _command(body: Any) -> str:
    before_s, after_s = (ns / clock.SECOND_NS for ns in (body.before_ns, body.after_ns))
    return f"{body.command} {body.id}: {before_s:g} s before and {after_s:g} s after"


def _reply(body: Any) -> str:
    return f"to {body.id}: {f'capture {body.capture}' if body.ok else body.error}"


def _stored(body: Any) -> str:
    ranges = [
        f"{stream} {queue[:8]}#{','.join(f'{first}-{last}' for first, last in spans)}"
        for stream, queues in body.streams.items()
        for queue, spans in queues.items()
    ]
    return f"by {body.collector} session {body.session}: {'; '.join(ranges) or 'nothing yet'}"


def _presence(body: Any) -> str:
    state = "online" if body.online else "offline"
    return f"collector {body.collector} {state} session {body.session}"


_TEXTS: Mapping[str, Callable[[Any], str]] = {
    "status": _status,
    "inventory": _inventory,
    "batch": _batch,
    "event": _batch,
    "capture": _batch,
    "cmd": _command,
    "reply": _reply,
    "stored": _stored,
    "_collector": _presence,
}
