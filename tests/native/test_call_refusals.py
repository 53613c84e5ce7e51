"""What cannot be called is refused when the Lane is made, never while it samples."""

from __future__ import annotations

from typing import Any

import pytest

from native.callrig import result
from native.rig import MILLISECOND_NS, field, make_ring
from xinmai_native import Lane
from xinmai_native.calls import RETURNED, Buffer, Call, Load, Result, Returns, Value

WORD = Load(0, 0, "I")
GOOD = Call(0x1000, [Buffer(0)], [bytes(8)], Returns(), [result(0, WORD)])
MIB = 1 << 20


def with_result(**change: Any) -> Call:
    return GOOD._replace(results=[result(0, WORD)._replace(**change)])


def with_load(*load: Any, **change: Any) -> Call:
    return with_result(loads=[(0, Load(*load))], **change)


REFUSED: list[tuple[Call, str]] = [
    (GOOD._replace(function=0), "the function has no address"),
    (GOOD._replace(function=2**64), "does not fit 64 bits"),
    (GOOD._replace(arguments=[Value(0)] * 7), "7 arguments"),
    (GOOD._replace(arguments=[Value(2**64)]), "does not fit 64 bits"),
    (GOOD._replace(arguments=[Value(-(2**63) - 1)]), "does not fit 64 bits"),
    (GOOD._replace(arguments=[Buffer(1)]), "argument 0 is buffer 1 of 1"),
    (GOOD._replace(arguments=[Value(1), Buffer(-1)]), "argument 1 is buffer -1"),
    (GOOD._replace(arguments=[Buffer(0, 8)]), "outside its buffer"),
    (GOOD._replace(arguments=[Buffer(0, -1)]), "outside its buffer"),
    (GOOD._replace(arguments=[Buffer(2**70)]), "too big|too large"),
    (GOOD._replace(buffers=[b""]), "buffer 0 is of 0 bytes"),
    (GOOD._replace(buffers=[bytes(8), bytes(MIB + 1)]), "buffer 1 is of 1048577 bytes"),
    (GOOD._replace(buffers=[bytes(MIB)] * 16), "over 16777216 bytes together"),
    (GOOD._replace(buffers=[b"x"] * 4097), "4097 buffers, at most 4096"),
    (GOOD._replace(returns=Returns("f")), "returns 'f', which is no integer"),
    (GOOD._replace(returns=Returns("d")), "which is no integer"),
    (GOOD._replace(returns=Returns("x")), "which is no integer"),
    (GOOD._replace(returns=Returns("ii")), "type 'ii' is unknown"),
    (GOOD._replace(returns=Returns("i", (2**64,))), "does not fit 64 bits"),
    (GOOD._replace(returns=Returns("i", (0,), [(2**65, 1)])), "does not fit 64 bits"),
    (GOOD._replace(returns=Returns("i", (0,), [(1, 0)])), "code 1 means 0, which is no reason"),
    (GOOD._replace(returns=Returns("i", (0,), [(1, 12)])), "which is no reason"),
    (GOOD._replace(returns=Returns("i", [0] * 4097)), "4097 codes"),
    (GOOD._replace(results=[result(0, WORD), result(0, WORD)]), "result 1: .* filled already"),
    (with_result(column=-1), "result 0: column -1 is not in the ring's lane"),
    (with_result(column=2), "column 2 is not in the ring's lane"),
    (with_result(low=1, high=0), "empty range"),
    (with_result(loads=[]), "loads nothing"),
    (with_result(loads=[(0, WORD), (1, WORD)]), "2 loads and no tag"),
    (with_result(loads=[(2**64, WORD)]), "does not fit 64 bits"),
    (with_result(sentinels=[2**64]), "does not fit 64 bits"),
    (with_result(sentinels=[0] * 4097), "4097 sentinels"),
    (with_result(elements=0), "0 elements"),
    (with_result(elements=4097, stride=4), "4097 elements"),
    (with_result(elements=2, stride=0), "elements 0 bytes apart"),
    (with_result(elements=2, stride=3), "elements 3 bytes apart"),
    (with_result(elements=2, stride=-4), "elements -4 bytes apart"),
    (with_result(elements=2, stride=2**62), "bytes apart"),
    (with_result(elements=3, stride=4), "outside its buffer of 8 bytes"),
    (with_result(decimals=1), "1 decimals of an integer"),
    (with_result(decimals=-1), "-1 decimals of an integer"),
    (with_load(0, 0, "d", decimals=19), "19 decimals, not -1 to 18"),
    (with_load(0, 0, "d", decimals=-2), "-2 decimals"),
    (with_load(0, 0, "x"), "of an unknown type"),
    (with_load(0, 0, "s"), "of an unknown type"),
    (with_load(0, 0, ""), "type '' is unknown"),
    (with_load(0, 0, "\0"), "is unknown"),
    (with_load(0, 5, "I"), "at 5 is outside its buffer"),
    (with_load(0, -1, "B"), "at -1 is outside its buffer"),
    (with_load(0, 2**62, "B"), "is outside its buffer"),
    (with_load(1, 0, "B"), "in buffer 1 of 1"),
    (with_load(-2, 0, "B"), "in buffer -2 of 1"),
    (with_load(0, 0, "H", 9, 8), "8 bits from bit 9 on, outside its type"),
    (with_load(0, 0, "H", -1, 8), "outside its type"),
    (with_load(0, 0, "H", 0, 17), "outside its type"),
    (with_load(0, 0, "H", 3, 0), "outside its type"),
    (with_load(0, 0, "f", 0, 8), "takes bits of a float"),
    (with_load(RETURNED, 0, "f"), "takes a float from the return value"),
    (with_load(RETURNED, 0, "q"), "not inside the return value"),
    (with_load(RETURNED, 1, "B"), "not inside the return value"),
    (with_load(RETURNED, 0, "i", elements=2, stride=4), "sum over the return value"),
    (with_load(RETURNED, 0, "i")._replace(returns=Returns("")), "returns nothing"),
    (with_result(factor=Load(0, 6, "I")), "factor at 6 is outside"),
    (with_result(status=Load(0, 6, "I")), "status at 6 is outside"),
    (with_result(status=Load(0, 0, "f")), "status is a float"),
    (with_result(status=WORD)._replace(returns=Returns("i", ())), "no code means success"),
    (with_result(tag=Load(0, 6, "I")), "tag at 6 is outside"),
    (with_result(limit=(Load(0, 6, "I"), 0)), "limit at 6 is outside"),
    (with_result(limit=(WORD, -1)), "index below the limit is negative"),
]


@pytest.mark.fault("A6")
@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_impossible_call_is_refused(call: Call, message: str) -> None:
    ring, _ = make_ring(columns=2)
    with pytest.raises(ValueError, match=f"probe 1: .*({message})"):
        Lane(ring, 0, MILLISECOND_NS, [(b"/a", [field(1)]), call])
    Lane(ring, 0, MILLISECOND_NS, [GOOD])


@pytest.mark.parametrize(
    "call",
    [
        (1,),
        GOOD._replace(arguments=5),  # type: ignore[arg-type]
        GOOD._replace(arguments=[5]),  # type: ignore[list-item]
        GOOD._replace(arguments=[(1, 2, 3)]),  # type: ignore[list-item]
        GOOD._replace(arguments=[Value("x")]),  # type: ignore[arg-type]
        GOOD._replace(arguments=[Value(1.5)]),  # type: ignore[arg-type]
        GOOD._replace(buffers=["x"]),  # type: ignore[list-item]
        GOOD._replace(returns=None),  # type: ignore[arg-type]
        GOOD._replace(returns=Returns(5)),  # type: ignore[arg-type]
        GOOD._replace(results=[None]),  # type: ignore[list-item]
        with_result(loads=[WORD]),
        with_result(loads=[(0, None)]),
        with_result(limit=WORD),
        with_result(limit=(5, 0)),
        with_result(sentinels=["x"]),
        with_result(column="x"),
        with_load("x", 0, "I"),
    ],
)
def test_call_of_wrong_types_is_refused(call: Any) -> None:
    ring, _ = make_ring(columns=2)
    with pytest.raises(TypeError, match="probe 0: "):
        Lane(ring, 0, MILLISECOND_NS, [call])


def test_column_of_a_file_is_not_a_calls_too() -> None:
    ring, _ = make_ring(columns=2)
    with pytest.raises(ValueError, match="filled already"):
        Lane(ring, 0, MILLISECOND_NS, [(b"/a", [field(0)]), GOOD])
    with pytest.raises(ValueError, match="two fields"):
        Lane(ring, 0, MILLISECOND_NS, [GOOD, (b"/a", [field(0)])])


def test_scratch_memory_of_a_lane_is_bounded_over_its_probes() -> None:
    ring, _ = make_ring(columns=2)
    large = GOOD._replace(buffers=[bytes(MIB)] * 10, results=[])
    with pytest.raises(ValueError, match="probe 1: buffers of the lane's probes are over"):
        Lane(ring, 0, MILLISECOND_NS, [large, large])


def test_exception_of_a_sequence_comes_through() -> None:
    class Broken:
        def __iter__(self) -> None:
            raise KeyError("broken")

    ring, _ = make_ring(columns=2)
    call: Any = GOOD._replace(results=Broken())  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="broken"):
        Lane(ring, 0, MILLISECOND_NS, [call])


def test_result_is_a_tuple_of_all_its_parts() -> None:
    ring, _ = make_ring(columns=2)
    call: Any = GOOD._replace(results=[tuple(Result(0, [(0, WORD)]))[:-1]])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="probe 0: "):
        Lane(ring, 0, MILLISECOND_NS, [call])
