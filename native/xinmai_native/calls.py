"""What a call probe is to the extension: plain tuples with names.

A lane calls `function` with up to six integers or pointers, then takes results out of the return
value and of scratch buffers. Declared by `xinmai.calls`, which takes types and offsets from cffi or
ctypes; checked once by `Lane`, which refuses what it cannot call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RETURNED = -1
"""Stands for a buffer's index: the return value itself."""

INTEGER_TYPES = "bBhHiIqQ?"
"""Letters of `struct`: signed and unsigned 8 to 64 bits, and bool by its low byte."""
FLOAT_TYPES = "fd"
"""In memory only: no float is passed or returned in a register."""


class Value(NamedTuple):
    """An argument passed as it is, modulo 2**64: an integer, a handle, a pointer."""

    value: int


class Buffer(NamedTuple):
    """An argument that points into a scratch buffer."""

    buffer: int
    offset: int = 0


class Load(NamedTuple):
    """A number in a scratch buffer, or the return value.

    Args:
        buffer: index, or RETURNED (with offset 0).
        type: a letter of INTEGER_TYPES or FLOAT_TYPES.
        shift, bits: of a bit field; bits 0 is the whole number. A signed type extends the field's
            highest bit.
    """

    buffer: int
    offset: int
    type: str
    shift: int = 0
    bits: int = 0


class Returns(NamedTuple):
    """What the return value, or an entry's own status, means.

    Args:
        type: a letter of INTEGER_TYPES, "" for void.
        success: codes that mean success; empty: there is no status, every return is success.
        reasons: (code, reason) pairs; any other code is vendor_error with the code.
    """

    type: str = "i"
    success: Sequence[int] = (0,)
    reasons: Sequence[tuple[int, int]] = ()


class Result(NamedTuple):
    """One column of a lane.

    The raw number is read, compared with `sentinels`, then combined and converted:
    sum over elements, times `factor`, shifted by `decimals`, compared with the range, stored.

    Args:
        column: in the ring's lane.
        loads: (tag, load): the load whose tag equals what `tag` reads; the first where there is no
            `tag`. No such tag reads as implausible.
        elements, stride: sum over so many, so many bytes apart.
        factor: the other factor of a product, of any type.
        decimals: the number times 10 to this is rounded half away from zero to an integer. Where
            every load is an integer it is 0; where a tag chooses between floats and integers it
            holds for both, so that the series has one scale. -1: the bits of the double are
            stored, for f64 series.
        status: this entry's own status, read by the probe's `Returns` codes.
        limit: (load, index): there is a value only where index is below what the load reads, as
            where a call fills in how many entries it wrote; else unsupported.
        sentinels: raw numbers that mean "no value", of any element or of the factor: unsupported.
            Compared before any conversion, with floats as doubles.
        low, high: of the cell that is stored (of the double where decimals is -1); outside, as
            with NaN, infinity and what 64 bits cannot hold, it reads as implausible.
    """

    column: int
    loads: Sequence[tuple[int, Load]]
    elements: int = 1
    stride: int = 0
    factor: Load | None = None
    decimals: int = 0
    status: Load | None = None
    tag: Load | None = None
    limit: tuple[Load, int] | None = None
    sentinels: Sequence[int] = ()
    low: int = -(2**63)
    high: int = 2**63 - 1


class Call(NamedTuple):
    """One call probe.

    Args:
        function: address.
        arguments: up to six.
        buffers: what each scratch buffer holds before every call; the memory itself is shared by
            the probes of a lane, which run one at a time: a function must not keep the pointer and
            write later. A canary lies behind each buffer: a call that writes over it is not made
            again, and its results read as vendor_error.
        returns: of the function.
        results: columns it fills. Where the call fails each has the reason of its code.
    """

    function: int
    arguments: Sequence[Value | Buffer]
    buffers: Sequence[bytes]
    returns: Returns
    results: Sequence[Result]
