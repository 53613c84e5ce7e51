"""Sealed sets: directories of Parquet files that replace log segments, each made all at once.

`data/<first>-<last>` covers the log segments of these numbers. A set appears by one rename of a
whole directory, and one that another covers is dead: listing the directory is all the truth there
is, and every step can be repeated.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from xinmai.collector.files import sync_directory, sync_file, write_file
from xinmai.collector.tail import TailTables

log = logging.getLogger(__name__)

SAMPLES: Final = "samples.parquet"
EVENTS: Final = "events.parquet"
ACCOUNT: Final = "account.parquet"
CAPTURES: Final = "captures.parquet"
CAPTURE_ROWS: Final = "capture_rows.parquet"
STATE: Final = "state.json"
FACTS: Final = "facts.json"
ROW_GROUP_ROWS: Final = 65_536

_NAME = re.compile(r"(\d{10})-(\d{10})")
_TEMPORARY = (".tmp-", ".dead-")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a set says of itself.

    Args:
        sealed_ns: wall time when its newest log segment was sealed.
        min_ns, max_ns: of its rows' times; 0 when it has none.
        level: 0 as sealed, 1 an hour, 2 a day.
        captures: parts of captures; `capture_rows` their rows, which `rows` does not count.
    """

    rows: int
    sealed_ns: int
    min_ns: int
    max_ns: int
    level: int = 0
    events: bool = False
    account: bool = False
    captures: int = 0
    capture_rows: int = 0
    v: int = 1

    def to_json(self) -> bytes:
        """As the set keeps it."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class SealedSet:
    """One set on disk."""

    first: int
    last: int
    path: Path
    bytes: int
    facts: Facts

    @property
    def samples(self) -> Path:
        """Rows of samples."""
        return self.path / SAMPLES

    @property
    def events(self) -> Path | None:
        """Rows of events, if any."""
        return self.path / EVENTS if self.facts.events else None

    @property
    def account(self) -> Path | None:
        """Increments of the account, if any."""
        return self.path / ACCOUNT if self.facts.account else None

    @property
    def captures(self) -> Path | None:
        """Parts of captures, if any."""
        return self.path / CAPTURES if self.facts.captures else None

    @property
    def capture_rows(self) -> Path | None:
        """Rows of captures, if any."""
        return self.path / CAPTURE_ROWS if self.facts.capture_rows else None

    def state(self) -> Mapping[str, Any]:
        """Ledger and devices as they were behind the last log segment.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        state = json.loads((self.path / STATE).read_bytes())
        if not isinstance(state, dict):
            raise TypeError(f"{self.path / STATE} holds no map")
        return state

    def covers(self, other: SealedSet) -> bool:
        """Whether another set is wholly inside this one."""
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True, slots=True)
class Contents:
    """What a new set is to hold."""

    tables: TailTables
    state: bytes


def name_of(first: int, last: int) -> str:
    """Directory name; names sort by number."""
    return f"{first:010}-{last:010}"


def load(path: Path) -> SealedSet:
    """Read what a set says of itself.

    Raises:
        OSError, ValueError, KeyError, TypeError, pa.ArrowException: it is damaged.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is no sealed set")
    facts = Facts(**json.loads((path / FACTS).read_bytes()))
    names = (SAMPLES, EVENTS, ACCOUNT, CAPTURES, CAPTURE_ROWS)
    there = (True, facts.events, facts.account, facts.captures, facts.capture_rows)
    for name in compress(names, there):
        pq.read_metadata(path / name)
    size = sum(file.stat().st_size for file in path.iterdir())
    return SealedSet(int(match[1]), int(match[2]), path, size, facts)


def living(sets: Iterable[SealedSet]) -> list[SealedSet]:
    """Sets that no other covers, by number."""
    alive: list[SealedSet] = []
    for candidate in sorted(sets, key=lambda one: (one.first, -one.last)):
        if not alive or not alive[-1].covers(candidate):
            alive.append(candidate)
    return alive


def list_sets(data: Path) -> tuple[list[SealedSet], list[SealedSet], list[Path]]:
    """(living, dead, damaged) sets of a directory."""
    found: list[SealedSet] = []
    damaged: list[Path] = []
    for path in sorted(data.iterdir()) if data.is_dir() else ():
        if not _NAME.fullmatch(path.name):
            continue
        try:
            found.append(load(path))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            if path.exists():
                log.warning("sealed set is damaged: path=%s error=%s", path, error)
                damaged.append(path)
    alive = living(found)
    return alive, [one for one in found if one not in alive], damaged


def sweep(data: Path) -> None:
    """Remove what a crash left half made or half removed."""
    for path in data.iterdir():
        if path.name.startswith(_TEMPORARY):
            shutil.rmtree(path, ignore_errors=True)


def prepare(data: Path, first: int, last: int) -> Path:
    """An empty directory to build a set in."""
    building = data / f"{_TEMPORARY[0]}{name_of(first, last)}"
    if building.exists():
        shutil.rmtree(building)
    building.mkdir(parents=True)
    return building


def publish(data: Path, building: Path, first: int, last: int) -> SealedSet:
    """Make a finished set appear. If it is there already, that one stays."""
    target = data / name_of(first, last)
    for file in building.iterdir():
        sync_file(file)
        file.chmod(0o444)
    sync_directory(building)
    if target.exists():
        shutil.rmtree(building)
    else:
        building.rename(target)
    sync_directory(data)
    return load(target)


def write_set(
    data: Path, first: int, last: int, contents: Contents, *, sealed_ns: int, level: int = 0
) -> SealedSet:
    """Write a set and make it appear.

    Raises:
        OSError, pa.ArrowException: nothing appeared.
    """
    building = prepare(data, first, last)
    try:
        tables = contents.tables
        rows = tables.rows.combine_chunks().sort_by(
            [("series_id", "ascending"), ("time_ns", "ascending")]
        )
        facts = Facts(
            rows.num_rows,
            sealed_ns,
            *_span(rows),
            level=level,
            events=tables.events.num_rows > 0,
            account=tables.account.num_rows > 0,
            captures=tables.captures.num_rows,
            capture_rows=tables.capture_rows.num_rows,
        )
        write_samples(rows, building / SAMPLES)
        write_file(building / FACTS, facts.to_json())
        write_side(building, tables.events, tables.account)
        write_captures(building, tables.captures)
        write_capture_rows(building, tables.capture_rows)
        write_file(building / STATE, contents.state)
        return publish(data, building, first, last)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _span(rows: pa.Table) -> tuple[int, int]:
    if not rows.num_rows:
        return 0, 0
    span = pa.compute.min_max(rows["time_ns"]).as_py()
    return span["min"], span["max"]


def write_samples(rows: pa.Table, path: Path) -> None:
    """Rows in order of series and time; times as differences, the rest by dictionary."""
    pq.write_table(
        rows,
        path,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=["series_id", "count", "reason", "code", "stream"],
        column_encoding={
            name: "DELTA_BINARY_PACKED" for name in ("time", "time_ns", "last", "min", "max")
        },
        store_schema=False,
    )


def write_side(building: Path, events: pa.Table, account: pa.Table) -> None:
    """Events and account, where there are any."""
    if events.num_rows:
        pq.write_table(events.sort_by("time_ns"), building / EVENTS, compression="zstd")
    if account.num_rows:
        pq.write_table(account, building / ACCOUNT, compression="zstd")


def write_captures(building: Path, captures: pa.Table) -> None:
    """Parts of captures, where there are any."""
    if captures.num_rows:
        pq.write_table(captures.sort_by("at_ns"), building / CAPTURES, compression="zstd")


def write_capture_rows(building: Path, rows: pa.Table) -> None:
    """Rows of captures, where there are any; one capture's rows lie together."""
    if not rows.num_rows:
        return
    order = [(name, "ascending") for name in ("capture", "series_id", "time_ns")]
    pq.write_table(
        rows.combine_chunks().sort_by(order),
        building / CAPTURE_ROWS,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=["capture", "series_id", "reason", "code"],
        column_encoding={
            name: "DELTA_BINARY_PACKED" for name in ("time_ns", "late_ns", "duration_ns", "last")
        },
        store_schema=False,
    )


def remove(one: SealedSet) -> None:
    """Remove a set; a crash in between leaves nothing that could be taken for one."""
    dead = one.path.with_name(f"{_TEMPORARY[1]}{one.path.name}")
    try:
        if dead.exists():
            shutil.rmtree(dead)
        one.path.rename(dead)
    except FileNotFoundError:
        return
    sync_directory(one.path.parent)
    shutil.rmtree(dead, ignore_errors=True)


def total_bytes(sets: Sequence[SealedSet]) -> int:
    """Size of several sets."""
    return sum(one.bytes for one in sets)
