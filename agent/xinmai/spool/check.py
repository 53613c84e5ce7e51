"""`xinmai spool check`: what segments hold, read without a lock and without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xinmai.errors import SpoolError
from xinmai.spool.layout import SUFFIX
from xinmai.spool.recovery import Loaded, load


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """One segment file.

    Args:
        path: relative to the directory that was checked.
        problem: "" or why nothing is known of it; then all but `path` and `bytes` is empty.
        first, last: lowest and highest seq found, 0 without records.
        missing: seqs between them, and up to the end it was sealed with, that were not found.
        good_bytes: read before the first bad byte.
        damages: bad stretches as (first byte, byte behind).
        closed: ended so that its queue could go on.
    """

    path: str
    bytes: int
    problem: str = ""
    stream: str = ""
    owner: str = ""
    queue: str = ""
    predecessor: str = ""
    created_ns: int = 0
    first: int = 0
    last: int = 0
    records: int = 0
    missing: int = 0
    inventories: int = 0
    losses: int = 0
    good_bytes: int = 0
    damages: tuple[tuple[int, int], ...] = ()
    closed: bool = False


def check(directory: Path) -> list[SegmentFacts]:
    """Facts of every segment under a spool directory, a set of them, or a log, by age.

    Set-aside files in `bad/` are not looked at.

    Raises:
        SpoolError: the directory cannot be read.
    """
    if not directory.is_dir():
        raise SpoolError(f"no directory to check: {directory}")
    try:
        return [_facts(directory, path) for path in sorted(_segments(directory))]
    except OSError as error:
        raise SpoolError(f"cannot read {directory}: {error}") from error


def _segments(directory: Path) -> Iterator[Path]:
    yield from directory.glob(f"*{SUFFIX}")
    for entry in directory.iterdir():
        if entry.is_dir() and entry.name != "bad":
            yield from entry.glob(f"*{SUFFIX}")


def _facts(directory: Path, path: Path) -> SegmentFacts:
    name = str(path.relative_to(directory))
    loaded = load(path) if path.is_file() else None
    if loaded is None:
        size = path.stat().st_size if path.is_file() else 0
        return SegmentFacts(name, size, "neither header nor file name is that of a segment")
    return _known(name, loaded)


def _known(name: str, loaded: Loaded) -> SegmentFacts:
    held, header, found = loaded.held, loaded.held.header, loaded.scan
    end = loaded.next_seq if loaded.next_seq is not None else held.last_seq + 1
    spans = list(held.spans())
    return SegmentFacts(
        path=name,
        bytes=found.file_bytes,
        stream=header.stream,
        owner=header.owner,
        queue=header.queue,
        predecessor=header.predecessor,
        created_ns=header.created_ns,
        first=spans[0][0] if spans else 0,
        last=spans[-1][1] if spans else 0,
        records=len(held),
        missing=max(0, end - header.first_seq - len(held)),
        inventories=len(held.inventories),
        losses=len(loaded.losses),
        good_bytes=found.good_bytes,
        damages=tuple((damage.offset, damage.end) for damage in found.damages),
        closed=loaded.closed,
    )
