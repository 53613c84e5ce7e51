"""Mutates segment files and reads them: `fuzz_spool.py SECONDS [SEED]`.

Exit code 1, and the input in `fuzz-spool-SEED.seg`, when anything but SpoolError comes out of a
scan, when a record comes out that was never written, or when a spool does not open.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from xinmai.errors import SpoolError
from xinmai.spool import facts
from xinmai.spool.layout import BATCH, CARRY, CLOSED, INVENTORY, LOSS
from xinmai.spool.segment import SegmentHeader, SegmentWriter, read_record, scan, segment_name
from xinmai.spool.spool import Spool
from xinmai.wire.messages import Loss

HEADER = SegmentHeader(1, "raw", "1" * 32, "a" * 16, "", 1_700_000_000_000_000_000)
NAMES = (segment_name(HEADER), "other.seg")


def sample(chance: random.Random, directory: Path) -> tuple[bytes, set[bytes]]:
    """A segment, and the payloads in it."""
    path = directory / "sample"
    writer, payloads = SegmentWriter(path, HEADER), {b"", b"inventory"}
    writer.append(CARRY, 0, "", b"meta", b"")
    writer.append(INVENTORY, 0, "b" * 16, b"", b"inventory")
    lost = Loss("raw", "c" * 16, 1, 5, "spool_budget", ((7, 70),))
    for seq in range(1, chance.randint(2, 12)):
        payload = chance.randbytes(chance.choice([0, 1, 50, 3000]))
        local = facts.pack_facts([(7, seq)], [lost] * chance.randint(0, 1), b"meta")
        writer.append(BATCH, seq, "b" * 16, local, payload)
        payloads.add(payload)
    losses = facts.pack_losses([lost])
    writer.append(LOSS, 0, "", b"", losses)
    writer.seal(100, CLOSED)
    writer.close()
    data = path.read_bytes()
    path.unlink()
    return data, payloads | {losses}


def mutate(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        start = chance.randrange(len(changed) + 1)
        end = min(len(changed), start + chance.choice([1, 4, 40, 300]))
        kind = chance.randrange(6)
        if kind == 0 and start < end:
            changed[start] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[start:end] = chance.randbytes(end - start)
        elif kind == 2:
            changed[start:end] = bytes(end - start)
        elif kind == 3:
            del changed[start:end]
        elif kind == 4:
            changed[start:start] = changed[chance.randrange(len(changed) + 1) :][: end - start]
        else:
            del changed[start:]
    return bytes(changed)


def read_all(path: Path, payloads: set[bytes]) -> None:
    try:
        found, records = scan(path)
    except SpoolError:
        return
    for record in records:
        if record.payload not in payloads:
            raise AssertionError(f"record at {record.offset} was never written")
        if read_record(path, record.offset, found.header) != record:
            raise AssertionError(f"record at {record.offset} reads otherwise alone")
    if not 0 <= found.good_bytes <= found.file_bytes:
        raise AssertionError("good bytes beyond the file")


def use_spool(path: Path) -> None:
    spool = Spool(path.parent, "raw", budget_bytes=2**20, floor_bytes=0)
    for queue, seq, _ in list(spool.unstored()):
        spool.read(queue, seq)
    list(spool.last_meta())
    spool.take_losses()
    spool.append(b"payload", schema="")
    spool.close()


def run(seconds: float, seed: int) -> int:
    chance, end, count = random.Random(seed), time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as name:
        while time.monotonic() < end:
            directory = Path(name) / str(count)
            directory.mkdir()
            data, payloads = sample(chance, directory)
            changed = mutate(chance, data)
            path = directory / chance.choice(NAMES)
            path.write_bytes(changed)
            try:
                read_all(path, payloads)
                if count % 10 == 0:
                    use_spool(path)
            except Exception:  # noqa: BLE001
                saved = Path(f"fuzz-spool-{seed}.seg")
                saved.write_bytes(changed)
                traceback.print_exc()
                print(f"seed {seed}, input {count} as {path.name}: saved in {saved}")
                return 1
            count += 1
    print(f"{count} inputs, seed {seed}: fine")
    return 0


if __name__ == "__main__":
    given = sys.argv[1:]
    if not 1 <= len(given) <= 2:
        sys.exit("usage: fuzz_spool.py SECONDS [SEED]")
    sys.exit(run(float(given[0]), int(given[1]) if len(given) > 1 else random.randrange(2**32)))
