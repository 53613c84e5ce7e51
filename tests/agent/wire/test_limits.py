from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.bodies import attempt, damaged, pack, refusal_of
from agent.wire.make_golden import MESSAGES
from xinmai.errors import Refused
from xinmai.wire.codec import decode_batch
from xinmai.wire.limits import (
    MAX_BODY_BYTES,
    MAX_ENTRIES,
    MAX_NESTING,
    MAX_STRING_BYTES,
    MAX_VALUES,
    REFUSAL_REASONS,
    check_body,
    pack_body,
    unpack_body,
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=40,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def array32(entries: int) -> bytes:
    return b"\xdd" + entries.to_bytes(4, "big")


def filled(unit: bytes, head: bytes = b"") -> bytes:
    return head + unit * ((MAX_BODY_BYTES - len(head)) // len(unit))


# Each is at most 1 MiB and asks for far more.
HOSTILE = {
    "nested arrays": filled(b"\x91"),
    "nested maps": filled(b"\x81\xa0"),
    "nested arrays closed": b"\x91" * (MAX_BODY_BYTES - 1) + b"\xc0",
    "nested arrays, each claiming all entries": filled(b"\xdc\xff\xff"),
    "nested arrays claiming 4 G entries": filled(array32(2**32 - 1)),
    "nested maps claiming 4 G entries": filled(b"\xdf\xff\xff\xff\xff"),
    "16 arrays of 65,536, the last unfinished": array32(MAX_ENTRIES) * 15 + b"\xc0" * 1000,
    "empty maps": filled(b"\x80", array32(MAX_BODY_BYTES - 5)),
    "rows of empty maps": filled(
        array32(MAX_ENTRIES) + b"\x80" * MAX_ENTRIES, array32(MAX_ENTRIES)
    ),
    "most empty maps that pass": array32(4)
    + (b"\xdc\xff\xff" + b"\x80" * 65_535) * 3
    + b"\xdc\xff\xf0"
    + b"\x80" * 0xFFF0,
    "most empty arrays that pass": array32(3) + (b"\xdc\xff\xff" + b"\x90" * 65_535) * 3,
    "most short strings that pass": array32(3) + (b"\xdc\xff\xff" + b"\xa2ab" * 65_535) * 3,
    "most integers that pass": array32(3) + (b"\xdc\xff\xff" + b"\xcd\xff\xff" * 65_535) * 3,
    "a string claiming 4 GiB": filled(b"a", b"\xdb\xff\xff\xff\xff"),
    "a blob claiming 4 GiB": filled(b"a", b"\xc6\xff\xff\xff\xff"),
    "a map of many keys": b"\xdf\x00\x01\x00\x00"
    + b"".join(b"\xa4%04x\xc0" % key for key in range(MAX_ENTRIES)),
    "over a mebibyte": b"\x91" * (MAX_BODY_BYTES + 1),
}

WITHIN_LIMITS = {name for name in HOSTILE if name.endswith("that pass")} | {"a map of many keys"}


@pytest.mark.fault("F1")
@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_body_cannot_ask_for_much_memory(name: str) -> None:
    body = HOSTILE[name]
    assert (attempt(lambda: check_body(body)) is None) == (name in WITHIN_LIMITS)
    tracemalloc.start()
    try:
        refusal_of(lambda: decode_batch(body))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 24 * 2**20


@pytest.mark.fault("F1")
@pytest.mark.parametrize("decode", [golden.decode for golden in MESSAGES.values()])
def test_every_decoder_refuses_every_hostile_body(decode: Callable[[bytes], object]) -> None:
    for body in HOSTILE.values():
        assert refusal_of(lambda body=body: decode(body)).reason in REFUSAL_REASONS  # type: ignore[misc]


@pytest.mark.fault("F1")
@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in WITHIN_LIMITS])
def test_a_body_over_a_limit_costs_nothing_before_it_is_refused(name: str) -> None:
    body = HOSTILE[name]
    tracemalloc.start()
    try:
        refusal_of(lambda: unpack_body(body))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 * 2**10


@pytest.mark.statement("WIRE-10")
@settings(max_examples=300, deadline=None)
@given(values)
def test_any_value_within_bounds_comes_back(value: object) -> None:
    body = pack_body(value) if depth(value) <= MAX_NESTING else pack(value)
    result = attempt(lambda: unpack_body(body))
    assert isinstance(result, Refused) if depth(value) > MAX_NESTING else result == value


@pytest.mark.statement("WIRE-10")
@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_unpack_as_msgpack_says_or_are_refused(body: bytes) -> None:
    result = attempt(lambda: unpack_body(body))
    if isinstance(result, Refused):
        assert result.reason in REFUSAL_REASONS
    else:
        assert result == msgpack.unpackb(body)


@pytest.mark.statement("WIRE-10")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.integers(0, 2**32))
def test_what_the_walk_lets_pass_msgpack_can_read(name: str, seed: int) -> None:
    message, encode, _ = MESSAGES[name]
    body = damaged(encode(message), random.Random(seed))
    if attempt(lambda: check_body(body)) is None:
        result = attempt(lambda: unpack_body(body))
        if isinstance(result, Refused):
            assert result.reason in ("forbidden", "not_msgpack")
            assert result.detail in (
                "a duplicate key",
                "a key that is no string",
                "UnicodeDecodeError",
                "ValueError",
            )


@pytest.mark.statement("WIRE-10")
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_msgpack"),
        (b"\xc1", "not_msgpack"),
        (b"\xc0\xc0", "not_msgpack"),
        (b"\x92\xc0", "not_msgpack"),
        (b"\xa2a", "not_msgpack"),
        (b"\xc4\x02a", "not_msgpack"),
        (b"\xc4", "not_msgpack"),
        (b"\xdc\x00", "not_msgpack"),
        (b"\xcb\x00", "not_msgpack"),
        (b"\xcf\x00", "not_msgpack"),
        (b"\xa1\xff", "not_msgpack"),
        (b"\x81\x01\xc0", "not_msgpack"),
        (b"\x81\xc4\x01a\xc0", "not_msgpack"),
        (b"\x81\x90\xc0", "not_msgpack"),
        (b"\x81\x80\xc0", "not_msgpack"),
    ],
)
def test_bytes_that_are_no_body_are_refused(body: bytes, reason: str) -> None:
    assert refusal_of(lambda: unpack_body(body)).reason == reason


@pytest.mark.fault("F2")
@pytest.mark.statement("WIRE-10")
@pytest.mark.parametrize(
    "body",
    [
        *(pack(msgpack.ExtType(5, b"a" * size)) for size in (0, 1, 2, 4, 8, 16, 17, 300, 70_000)),
        pack(msgpack.Timestamp(1, 0)),
        pack(msgpack.Timestamp(1, 1)),
        pack(msgpack.Timestamp(2**40, 1)),
        b"\xc7\x00\xff",
        *(pack(number) for number in (math.nan, math.inf, -math.inf)),
        b"\xca\x7f\x80\x00\x00",
        b"\xca\xff\xc0\x00\x00",
        b"\x82\xa1a\xc0\xa1a\xc0",
        b"\x91\x82\xa1a\xc0\xd9\x01a\xc0",
    ],
)
def test_extensions_nan_infinity_and_duplicate_keys_are_forbidden(body: bytes) -> None:
    assert refusal_of(lambda: unpack_body(body)).reason == "forbidden"


@pytest.mark.statement("WIRE-11")
def test_limits_are_exact() -> None:
    def nested(levels: int) -> bytes:
        return b"\x91" * (levels - 1) + b"\x90"

    check_body(nested(MAX_NESTING))
    check_body(pack([0] * MAX_ENTRIES))
    check_body(pack({str(key): 0 for key in range(MAX_ENTRIES)}))
    check_body(pack("a" * MAX_STRING_BYTES))
    check_body(pack(b"a" * (MAX_BODY_BYTES - 5)))
    for body, reason in (
        (nested(MAX_NESTING + 1), "limit"),
        (pack([0] * (MAX_ENTRIES + 1)), "limit"),
        (pack({str(key): 0 for key in range(MAX_ENTRIES + 1)}), "limit"),
        (pack("a" * (MAX_STRING_BYTES + 1)), "limit"),
        (pack([[0] * MAX_ENTRIES] * 4), "limit"),
        (pack(b"a" * (MAX_BODY_BYTES - 4)), "too_big"),
    ):
        assert refusal_of(lambda body=body: check_body(body)).reason == reason  # type: ignore[misc]


@pytest.mark.statement("WIRE-11")
def test_every_key_and_value_counts() -> None:
    # 1 for the outer array, 4 for the inner, the rest inside them.
    inside = MAX_VALUES - 5
    full = [[0] * MAX_ENTRIES] * 3
    check_body(pack([*full, [0] * (inside - 3 * MAX_ENTRIES)]))
    over = pack([*full, [0] * (inside - 3 * MAX_ENTRIES + 1)])
    assert refusal_of(lambda: check_body(over)).reason == "limit"


@pytest.mark.statement("WIRE-16")
def test_an_encoder_refuses_a_body_over_a_limit() -> None:
    assert refusal_of(lambda: pack_body(b"a" * MAX_BODY_BYTES)).reason == "too_big"
    assert refusal_of(lambda: pack_body("a" * (MAX_STRING_BYTES + 1))).reason == "limit"
    assert refusal_of(lambda: pack_body([0] * (MAX_ENTRIES + 1))).reason == "limit"


@pytest.mark.statement("WIRE-16")
def test_a_lone_surrogate_is_sent_as_its_escape() -> None:
    assert unpack_body(pack_body({"name": "a\udcffb"})) == {"name": "a\\udcffb"}
