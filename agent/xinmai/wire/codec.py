"""Messages to bytes and back. Decoding is bounded and refuses rather than guesses (WIRE-10 to 13)."""

from __future__ import annotations

from xinmai.wire.messages import Batch, Inventory, Presence, Status, Stored


def encode_status(status: Status) -> bytes:
    """A status body."""
    raise NotImplementedError


def decode_status(data: bytes) -> Status:
    """The inverse.

    Raises:
        Refused: over a limit or of the wrong shape.
    """
    raise NotImplementedError


def encode_inventory(inventory: Inventory) -> bytes:
    """An inventory body."""
    raise NotImplementedError


def decode_inventory(data: bytes) -> Inventory:
    """The inverse; raises Refused."""
    raise NotImplementedError


def schema_of(inventory: Inventory) -> str:
    """The schema id, WIRE-30."""
    raise NotImplementedError


def encode_batch(batch: Batch) -> bytes:
    """A batch body."""
    raise NotImplementedError


def decode_batch(data: bytes) -> Batch:
    """The inverse; blobs stay packed. Raises Refused."""
    raise NotImplementedError


def encode_stored(stored: Stored) -> bytes:
    """A stored body."""
    raise NotImplementedError


def decode_stored(data: bytes) -> Stored:
    """The inverse; raises Refused."""
    raise NotImplementedError


def encode_presence(presence: Presence) -> bytes:
    """A `_collector` body."""
    raise NotImplementedError


def decode_presence(data: bytes) -> Presence:
    """The inverse; raises Refused."""
    raise NotImplementedError
