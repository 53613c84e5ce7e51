"""Inventories by schema: in memory within bounds, on disk once stored data names them (WIRE-32)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from xinmai.collector.files import replace_file, sync_directory
from xinmai.collector.registry import SeriesMeta, metas_of
from xinmai.collector.rows import LanePlan
from xinmai.errors import Refused
from xinmai.wire.blocks import kinds_of
from xinmai.wire.codec import decode_inventory
from xinmai.wire.limits import MAX_SERIES
from xinmai.wire.messages import Inventory

T = TypeVar("T")

OFFERED_PER_NODE: Final = 16
OFFERED_BYTES: Final = 256 * 2**20
"""Inventories held as bytes that no stored batch names yet."""
READY_PER_NODE: Final = 4
READY_BYTES: Final = 32 * 2**20
"""Inventories held decoded, by the size of their bytes; they take some twenty times that."""

Key = tuple[str, str, str]
"""(edge, node, schema)."""


@dataclass(frozen=True, slots=True)
class Known:
    """An inventory made ready for decoding."""

    key: Key
    payload: bytes
    inventory: Inventory
    metas: Sequence[SeriesMeta]
    lanes: Sequence[LanePlan]

    @classmethod
    def of(cls, key: Key, payload: bytes) -> Known:
        """Decode and plan; raises Refused."""
        inventory = decode_inventory(payload)
        if sum(lane.count for lane in inventory.lanes) > MAX_SERIES:
            raise Refused("limit", "lanes", f"more than {MAX_SERIES} columns in all")
        metas = metas_of(inventory)
        lanes: list[LanePlan] = []
        for lane in inventory.lanes:
            mine = metas[lane.first : lane.first + lane.count]
            kinds = kinds_of([(meta.kind, meta.type) for meta in mine])
            lanes.append(LanePlan([meta.series_id for meta in mine], kinds))
        return cls(key, payload, inventory, metas, lanes)


class Shelf(Generic[T]):
    """The most recently used things, so many per node and so many bytes in all."""

    def __init__(self, per_node: int, most_bytes: int) -> None:
        self._per_node, self._most_bytes = per_node, most_bytes
        self._held: OrderedDict[Key, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def get(self, key: Key) -> T | None:
        """A thing, now the most recently used."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: Key, thing: T, size: int) -> None:
        """Hold a thing; older ones may have to go."""
        self._drop(key)
        mine = [other for other in self._held if other[:2] == key[:2]]
        for other in mine[: len(mine) + 1 - self._per_node]:
            self._drop(other)
        while self._held and self._bytes + size > self._most_bytes:
            self._drop(next(iter(self._held)))
        self._held[key] = (thing, size)
        self._bytes += size

    def _drop(self, key: Key) -> None:
        _, size = self._held.pop(key, (None, 0))
        self._bytes -= size


class Inventories:
    """What each schema id means."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offered: Shelf[bytes] = Shelf(OFFERED_PER_NODE, OFFERED_BYTES)
        self._ready: Shelf[Known] = Shelf(READY_PER_NODE, READY_BYTES)

    def offered(self, key: Key) -> bool:
        """Whether an inventory is held already."""
        return key in self._offered

    def offer(self, key: Key, payload: bytes) -> None:
        """Hold an inventory that was checked and is none of stored data yet."""
        self._offered.put(key, payload, len(payload))

    def find(self, key: Key) -> Known | None:
        """An inventory ready for decoding, from memory or from disk."""
        known = self._ready.get(key)
        if known is not None:
            return known
        payload = self._offered.get(key) or self._read(key)
        if payload is None:
            return None
        try:
            known = Known.of(key, payload)
        except Refused:
            return None
        self._ready.put(key, known, len(payload))
        return known

    def _path(self, key: Key) -> Path:
        edge, node, schema = key
        return self._directory / edge / node / f"{schema}.msgpack"

    def _read(self, key: Key) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def persist(self, known: Known) -> None:
        """Make an inventory durable; runs in the log's thread.

        Raises:
            OSError: it is not durable; the batch that names it must not be stored.
        """
        path = self._path(known.key)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, known.payload)
        sync_directory(path.parent.parent)
        sync_directory(self._directory)


PARKED_PER_NODE_BYTES: Final = 4 * 2**20
PARKED_BYTES: Final = 64 * 2**20


class Parking:
    """Messages that wait for an inventory; bounded, for their senders keep them too."""

    def __init__(self) -> None:
        self._parked: dict[Key, list[tuple[str, bytes]]] = {}
        self._bytes: Counter[tuple[str, str]] = Counter()
        self.dropped = 0

    def __len__(self) -> int:
        return sum(map(len, self._parked.values()))

    def park(self, key: Key, topic: str, payload: bytes) -> bool:
        """Keep a message for later; False when there is no room."""
        size = len(payload) + len(topic)
        mine = self._bytes[key[:2]] + size
        if mine > PARKED_PER_NODE_BYTES or self._bytes.total() + size > PARKED_BYTES:
            self.dropped += 1
            return False
        self._bytes[key[:2]] = mine
        self._parked.setdefault(key, []).append((topic, payload))
        return True

    def take(self, key: Key) -> list[tuple[str, bytes]]:
        """What waited for an inventory, in order of arrival."""
        messages = self._parked.pop(key, [])
        self._bytes[key[:2]] -= sum(len(topic) + len(payload) for topic, payload in messages)
        if self._bytes[key[:2]] <= 0:
            del self._bytes[key[:2]]
        return messages
