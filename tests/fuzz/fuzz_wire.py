"""Mutation fuzzer of everything that reads bytes from the wire.

    python tests/fuzz/fuzz_wire.py SECONDS [SEED]

Starts from the golden files. Anything but a message or a Refused is a finding: the input is saved
beside this file and the exit code is 1.
"""

from __future__ import annotations

import copy
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgpack

from xinmai.errors import Refused
from xinmai.wire.blocks import expand, readings_by_window
from xinmai.wire.codec import (
    decode_batch,
    decode_command,
    decode_inventory,
    decode_presence,
    decode_reply,
    decode_status,
    decode_stored,
    encode_batch,
    encode_command,
    encode_inventory,
    encode_presence,
    encode_reply,
    encode_status,
    encode_stored,
    schema_of,
)
from xinmai.wire.limits import REFUSAL_REASONS
from xinmai.wire.topics import parse_topic
from xinmai_native import KIND_FLOAT, KIND_GAUGE, KIND_LAST

GOLDEN = Path(__file__).parent.parent / "agent" / "wire" / "golden"
KINDS = bytes([KIND_GAUGE, KIND_FLOAT, KIND_LAST])
SECRET = "not-to-be-echoed"

INTERESTING_BYTES = (
    b"\x00\x01\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc4\xc7\xca\xcb\xcf\xd3\xd9\xdd\xdf\xff"
)
INTERESTING_VALUES: Sequence[Any] = (
    None,
    True,
    0,
    1,
    -1,
    2**20,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    -(2**63),
    0.5,
    float("nan"),
    "",
    SECRET,
    b"",
    b"\x00" * 9,
    b"\x01" + b"\xff" * 9 + b"\x01",
    [],
    [[]],
    {},
    {SECRET: SECRET},
    msgpack.ExtType(1, b""),
)


def batch(data: bytes) -> None:
    """Decode, expand each block, and send on what was accepted."""
    found = decode_batch(data)
    if decode_batch(encode_batch(found)) != found:
        raise AssertionError("a batch changed on its way")
    for block in found.blocks:
        expanded = expand(block, KINDS)
        if sum(readings_by_window(expanded)) != expanded.readings:
            raise AssertionError("readings do not add up")


def inventory(data: bytes) -> None:
    """Decode and name; the name survives the wire."""
    found = decode_inventory(data)
    if schema_of(decode_inventory(encode_inventory(found))) != schema_of(found):
        raise AssertionError("a schema changed on its way")


TARGETS: Sequence[Callable[[bytes], object]] = (
    batch,
    inventory,
    lambda data: encode_status(decode_status(data)),
    lambda data: encode_stored(decode_stored(data)),
    lambda data: encode_presence(decode_presence(data)),
    lambda data: encode_command(decode_command(data)),
    lambda data: encode_reply(decode_reply(data)),
    lambda data: parse_topic(data.decode("latin-1")),
)


def mutated(data: bytes, corpus: Sequence[bytes], source: random.Random) -> bytes:
    """A few random edits of the bytes, of what they say, or of the packed blobs."""
    match source.randrange(4):
        case 0:
            return mutated_value(data, source)
        case 1:
            return mutated_blobs(data, source)
        case _:
            return mutated_bytes(data, corpus, source)


def mutated_bytes(data: bytes, corpus: Sequence[bytes], source: random.Random) -> bytes:
    """Flipped, cut, doubled, spliced."""
    out = bytearray(data)
    for _ in range(1 << source.randrange(4)):
        at = source.randrange(len(out) + 1)
        length = 1 << source.randrange(7)
        match source.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << source.randrange(8)
            case 1 if at < len(out):
                out[at] = source.choice(INTERESTING_BYTES)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                other = source.choice(corpus)
                start = source.randrange(len(other))
                out[at : at + length] = other[start : start + length]
            case _:
                out[at:at] = source.randbytes(length)
    return bytes(out)


def mutated_blobs(data: bytes, source: random.Random) -> bytes:
    """The same message with edits inside packed columns only: these reach `expand`."""
    value: Any = msgpack.unpackb(data)
    for block in value.get("blocks", ()):
        for key, blob in block.items():
            if isinstance(blob, bytes) and source.random() < 0.3:
                edited = bytearray(blob)
                for _ in range(source.randint(1, 3)):
                    if edited:
                        edited[source.randrange(len(edited))] = source.choice(
                            (0, 1, 2, 0x7F, 0x80, 0xFF, source.randrange(256))
                        )
                block[key] = bytes(edited)
        if source.random() < 0.1:
            block["n"] += source.choice((-1, 1))
    packed: bytes = msgpack.packb(value)
    return packed


def mutated_value(data: bytes, source: random.Random) -> bytes:
    """The same message with something else in one to four places."""
    value: Any = msgpack.unpackb(data)
    for _ in range(source.randint(1, 4)):
        holder: Any = None
        inner, key = value, None
        while isinstance(inner, dict | list) and inner and source.random() < 0.8:
            holder = inner
            key = source.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            inner = inner[key]
        if holder is not None:
            change_entry(holder, key, source)
    packed: bytes = msgpack.packb(value)
    return packed


def change_entry(holder: Any, key: Any, source: random.Random) -> None:
    """Replace, remove, double or nudge one entry."""
    entry = holder[key]
    match source.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, entry)
        case 1:
            holder[SECRET] = entry
        case 2 if isinstance(entry, int) and abs(entry) < 2**62:
            holder[key] = entry + source.choice((-1, 1))
        case 3 if isinstance(entry, bytes) and entry:
            edited = bytearray(entry)
            edited[source.randrange(len(edited))] = source.choice(INTERESTING_BYTES)
            holder[key] = bytes(edited)
        case _:
            # A copy: the same list put inside itself, over several edits, would have no end.
            holder[key] = copy.deepcopy(source.choice(INTERESTING_VALUES))


def main(arguments: Sequence[str]) -> int:
    """Run for a while; 0 when nothing was found."""
    seconds = float(arguments[0]) if arguments else 10.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 2**32
    source = random.Random(seed)
    corpus = [path.read_bytes() for path in sorted(GOLDEN.glob("*.msgpack"))]
    outcomes: Counter[str] = Counter()
    end_ns = time.monotonic_ns() + int(seconds * 1e9)
    executions = 0
    while time.monotonic_ns() < end_ns:
        data = mutated(source.choice(corpus), corpus, source)
        for target in TARGETS:
            executions += 1
            try:
                target(data)
                outcomes["accepted"] += 1
            except Refused as refusal:
                outcomes[refusal.reason] += 1
                if refusal.reason in REFUSAL_REASONS and SECRET not in str(refusal):
                    continue
                return report(data, seed, executions)
            except Exception:
                return report(data, seed, executions)
    print(f"{executions} executions, seed {seed}: {dict(outcomes.most_common())}")
    return 0


def report(data: bytes, seed: int, executions: int) -> int:
    """Save a finding."""
    traceback.print_exc()
    saved = Path(__file__).with_name(f"finding-{seed}-{executions}.bin")
    saved.write_bytes(data)
    print(f"finding after {executions} executions, seed {seed}: {saved}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
