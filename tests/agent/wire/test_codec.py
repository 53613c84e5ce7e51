from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.bodies import (
    Path,
    attempt,
    damaged,
    dotted,
    get,
    pack,
    places,
    records,
    refusal_of,
    replaced,
)
from agent.wire.make_golden import (
    EVENT,
    INVENTORY,
    MESSAGES,
    MONO_NS,
    PRESENCE,
    QUEUE,
    RAW,
    REPLY,
    ROLLUP,
    STATUS,
    STEPPED,
    STORED,
    WALL_NS,
)
from xinmai.clock import Anchor, ClockStep, Timeline
from xinmai.errors import Refused
from xinmai.wire.codec import (
    decode_batch,
    decode_inventory,
    decode_reply,
    decode_status,
    decode_stored,
    encode_batch,
    encode_inventory,
    encode_presence,
    encode_reply,
    encode_status,
    encode_stored,
    schema_of,
)
from xinmai.wire.limits import REFUSAL_REASONS
from xinmai.wire.messages import STREAMS, AccountEntry, Block, Loss, ReasonRun, Stored

SECRET = "hunter2-in-the-payload"

BODIES: dict[str, Any] = {
    name: msgpack.unpackb(golden.encode(golden.message)) for name, golden in MESSAGES.items()
}
RECORDS = [(name, at) for name, body in BODIES.items() for at in records(body)]
KEYS = [
    (name, (*at, key))
    for name, at in RECORDS
    for key in get(BODIES[name], at)
    if (*at, key) != ("steps",) and key != "distinct"
]
"""All but the one that may be absent."""


def decode(name: str, body: Any) -> Any:
    """The message, or its refusal."""
    return attempt(lambda: MESSAGES[name].decode(pack(body)))


def refusal(name: str, body: Any) -> Refused:
    return refusal_of(lambda: MESSAGES[name].decode(pack(body)))


def changed(name: str, *changes: tuple[Path, object]) -> Any:
    body = BODIES[name]
    for at, value in changes:
        body = replaced(body, at, value)
    return body


def named(case: tuple[str, Path]) -> str:
    return f"{case[0]}:{dotted(case[1])}"


@pytest.mark.statement("WIRE-10")
@pytest.mark.parametrize("name", MESSAGES)
def test_a_body_is_one_map_with_string_keys_and_no_floats(name: str) -> None:
    body = BODIES[name]
    assert body["v"] == 1
    for at in places(body):
        value = get(body, at)
        assert isinstance(value, dict | list | str | bytes | int | None)
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)


@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("case", KEYS, ids=named)
def test_a_missing_key_is_refused_by_name(case: tuple[str, Path]) -> None:
    name, at = case
    fields = dict(get(BODIES[name], at[:-1]))
    del fields[at[-1]]
    found = refusal(name, replaced(BODIES[name], at[:-1], fields))
    assert (found.reason, found.key) == ("shape", dotted(at))


@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("case", RECORDS, ids=named)
def test_an_unknown_key_is_refused_without_echo(case: tuple[str, Path]) -> None:
    name, at = case
    fields = {**get(BODIES[name], at), SECRET: 1}
    found = refusal(name, replaced(BODIES[name], at, fields))
    assert (found.reason, found.key) == ("shape", dotted(at))
    assert SECRET not in str(found)


@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("case", RECORDS, ids=named)
def test_what_stands_under_x_is_ignored(case: tuple[str, Path]) -> None:
    name, at = case
    extra = {"later": [1.5, {"deeper": None}], "v": 2}
    fields = {**get(BODIES[name], at), "x": extra}
    assert decode(name, replaced(BODIES[name], at, fields)) == MESSAGES[name].message
    for no_map in (None, 1, "later", [extra]):
        fields = {**get(BODIES[name], at), "x": no_map}
        found = refusal(name, replaced(BODIES[name], at, fields))
        assert (found.reason, found.key) == ("shape", dotted((*at, "x")))


@pytest.mark.fault("F2")
@pytest.mark.statement("WIRE-10")
def test_what_stands_under_x_still_obeys_the_limits() -> None:
    for extra, reason in (
        (float("nan"), "forbidden"),
        (msgpack.ExtType(1, b""), "forbidden"),
        ("a" * 65_537, "limit"),
        ([[[[[[[[[[[[[[[]]]]]]]]]]]]]]], "limit"),
    ):
        assert refusal("status", {**BODIES["status"], "x": {"later": extra}}).reason == reason


@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("case", KEYS, ids=named)
def test_a_value_of_the_wrong_type_is_refused_by_place(case: tuple[str, Path]) -> None:
    name, at = case
    right = get(BODIES[name], at)
    for wrong in (None, True, 1, 1.0, "text", b"bytes", [None], {SECRET: None}):
        if type(wrong) is type(right):
            continue
        found = decode(name, replaced(BODIES[name], at, wrong))
        if not isinstance(found, Refused):
            # Null, or a value where null stands in the golden file.
            assert wrong is None or right is None
            continue
        assert found.reason in ("shape", "value", "version")
        assert dotted(at).startswith(found.key) or found.key.startswith(dotted(at))
        assert SECRET not in str(found)


@pytest.mark.fault("F2")
@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("name", MESSAGES)
def test_a_duplicate_key_is_refused(name: str) -> None:
    body = MESSAGES[name].encode(MESSAGES[name].message)
    entries = len(BODIES[name]) + 1
    twice = b"\xde" + entries.to_bytes(2, "big") + body[1:] + b"\xa1v\x01"
    assert refusal_of(lambda: MESSAGES[name].decode(twice)).reason == "forbidden"


@pytest.mark.statement("WIRE-12")
@pytest.mark.statement("WIRE-14")
@pytest.mark.parametrize("name", MESSAGES)
def test_another_version_is_refused_whatever_else_it_holds(name: str) -> None:
    for version in (0, 2, -1, 2**40):
        found = refusal(name, {"v": version, "else": 1})
        assert (found.reason, found.key) == ("version", "v")
    for no_version in (None, True, "1", 1.0):
        found = refusal(name, {**BODIES[name], "v": no_version})
        assert (found.reason, found.key) == ("shape", "v")


@pytest.mark.statement("WIRE-10")
@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("body", [None, 1, "text", [], [{}], b"", {}])
def test_what_is_no_message_at_all_is_refused(name: str, body: object) -> None:
    assert refusal(name, body).reason == "shape"


@pytest.mark.statement("WIRE-12")
@pytest.mark.parametrize("name", MESSAGES)
def test_one_kind_of_message_is_not_taken_for_another(name: str) -> None:
    for other, golden in MESSAGES.items():
        if golden.decode is not MESSAGES[name].decode:
            assert decode(other, BODIES[name]).reason == "shape"


@pytest.mark.statement("WIRE-14")
@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.integers(0, 2**32))
def test_damaged_bodies_decode_or_are_refused_for_a_known_reason(name: str, seed: int) -> None:
    golden = MESSAGES[name]
    body = damaged(golden.encode(golden.message), random.Random(seed))
    result = attempt(lambda: golden.decode(body))
    if isinstance(result, Refused):
        assert result.reason in REFUSAL_REASONS
    else:
        # What was accepted means the same when it is sent on.
        assert golden.decode(golden.encode(result)) == result


hostile_values = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([-(2**63), -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
    | st.floats()
    | st.sampled_from([SECRET, "", "raw", "event", QUEUE])
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.just(SECRET), inner),
    max_leaves=8,
)


@pytest.mark.statement("WIRE-13")
@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.data())
def test_a_refusal_names_reason_and_place_and_never_the_payload(
    name: str, data: st.DataObject
) -> None:
    body = BODIES[name]
    at = data.draw(st.sampled_from(list(places(body))))
    found = decode(name, replaced(body, at, data.draw(hostile_values)))
    if isinstance(found, Refused):
        assert found.reason in REFUSAL_REASONS
        assert SECRET not in str(found)


@pytest.mark.statement("WIRE-13")
def test_a_refusal_does_not_carry_the_payload_along() -> None:
    with pytest.raises(Refused) as caught:
        decode_status(b"\x81\xa1v\xd9\x20" + SECRET.encode() + b"\xff" * 10)
    assert caught.value.__suppress_context__


@pytest.mark.statement("WIRE-15")
@pytest.mark.statement("WIRE-2")
@pytest.mark.parametrize(
    ("name", "at", "wrong"),
    [
        ("status", "node", "_node"),
        ("status", "edge", "row/b"),
        ("status", "boot", "0" * 31),
        ("status", "boot", "A" * 32),
        ("status", "session", -1),
        ("status", "state", "away"),
        ("status", "time_ns", 2**63),
        ("inventory", "series[0].kind", "histogram"),
        ("inventory", "series[0].type", "f32"),
        ("inventory", "series[0].scale", [1, 0]),
        ("inventory", "series[0].scale", [1, -1]),
        ("inventory", "series[0].scale", [2**63, 1]),
        ("inventory", "series[0].refresh_ns", -1),
        ("inventory", "lanes[0].period_ns", -1),
        ("inventory", "lanes[1].series", [3, 2]),
        ("inventory", "lanes[1].series", [5, 0]),
        ("inventory", "lanes[1].series", [-1, 1]),
        ("batch_rollup", "stream", "other"),
        ("batch_rollup", "queue", "0" * 15),
        ("batch_rollup", "schema", "0" * 17),
        ("batch_rollup", "seq", 0),
        ("batch_rollup", "clock.error_ns", -1),
        ("batch_rollup", "clock.mono_ns", 2**63),
        ("batch_rollup", "blocks[0].lane", 4096),
        ("batch_rollup", "blocks[0].lane", -1),
        ("batch_rollup", "blocks[0].width_ns", -1),
        ("batch_rollup", "blocks[0].n", 2**20 + 1),
        ("batch_rollup", "blocks[0].overrun", -1),
        ("batch_rollup", "blocks[0].min", None),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 3, 4, 0, 99]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 0, 4, 0, 99]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 1, 0, 0, 99]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 1, 12, 0, 99]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 1, 4, 2**63, 99]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 1, 4, 0, 0]]),
        ("batch_rollup", "blocks[0].reasons", [[1, 1, 1, 4, 0, 2**32]]),
        ("batch_rollup", "blocks[0].reasons", [[-1, 1, 1, 4, 0, 1]]),
        ("batch_raw", "blocks[0].reasons", [[0, 0, 1, 4, 0, 2]]),
        ("batch_rollup", "account", [[1, 5, 0, 6]]),
        ("batch_rollup", "account", [[1, 5, -1, 0]]),
        ("batch_rollup", "account", [[2, 5, 0, 0], [1, 5, 0, 0]]),
        ("batch_rollup", "account", [[1, 5, 0, 0], [1, 5, 0, 0]]),
        ("batch_event", "events[0].severity", "fatal"),
        ("batch_event", "losses[0].stream", "other"),
        ("batch_event", "losses[0].first", 0),
        ("batch_event", "losses[0].last", 2),
        ("batch_event", "losses[0].reason", "because"),
        ("batch_event", "losses[0].readings", [[2, 1], [1, 1]]),
        ("batch_event", "losses[0].readings", [[1, -1]]),
        ("batch_event", "losses[0].readings", [[2**40, 1]]),
        ("batch_capture", "account", [[1, 5, 0, 0]]),
        ("batch_capture", "capture.id", "0" * 15),
        ("batch_capture", "capture.trigger", "whim"),
        ("batch_capture", "capture.cause", "a" * 301),
        ("batch_capture", "capture.to_ns", WALL_NS - 1),
        ("batch_capture", "capture.part", 0),
        ("batch_capture", "capture.merged", -1),
        ("batch_stepped", "steps[1].mono_ns", MONO_NS - 500),
        ("batch_stepped", "steps[0].real_before_ns", 2**63),
        ("command", "id", "0" * 17),
        ("command", "command", "reboot"),
        ("command", "before_ns", -1),
        ("reply", "capture", "0" * 15),
        ("reply", "error", "a" * 301),
        ("presence", "state", ""),
        ("presence", "session", -1),
    ],
)
def test_values_out_of_range_or_at_odds_are_refused(name: str, at: str, wrong: object) -> None:
    steps: Path = tuple(
        int(step) if step.isdigit() else step
        for step in at.replace("[", ".").replace("]", "").split(".")
    )
    found = refusal(name, changed(name, (steps, wrong)))
    assert found.reason == "value"
    assert found.key.startswith(at) or at.startswith(found.key)


@pytest.mark.statement("WIRE-11")
def test_lanes_blocks_and_ranges_are_limited() -> None:
    inventory, batch, stored = BODIES["inventory"], BODIES["batch_rollup"], BODIES["stored"]
    lane = {**inventory["lanes"][0], "name": ""}
    assert refusal("inventory", {**inventory, "lanes": [lane] * 4097}).reason == "limit"
    assert isinstance(decode("inventory", {**inventory, "lanes": [lane] * 4096}), type(INVENTORY))
    block = batch["blocks"][0]
    small = {**block, "n": 0, **dict.fromkeys(["time", "last"], b"")}
    many = {**batch, "blocks": [small] * 4097}
    assert refusal("batch_rollup", many).reason == "limit"
    spread = [[2 * n, 2 * n] for n in range(1, 258)]
    queues = {f"{queue:016x}": spread[:1] for queue in range(9)}
    for streams in ({"raw": {QUEUE: spread}}, {"raw": queues}):
        assert refusal("stored", {**stored, "streams": streams}).reason == "limit"


@pytest.mark.statement("WIRE-61")
def test_a_stream_carries_what_is_its_own_and_nothing_else() -> None:
    rollup, raw, event = (BODIES[f"batch_{stream}"] for stream in ("rollup", "raw", "event"))
    for batch, key, value in (
        (rollup, "blocks", raw["blocks"]),
        (raw, "blocks", rollup["blocks"]),
        (event, "blocks", rollup["blocks"]),
        (rollup, "events", event["events"]),
        (raw, "losses", event["losses"]),
    ):
        found = refusal("batch_raw", {**batch, key: value})
        assert found.reason == "value"
        assert found.key.startswith(key)
    assert STREAMS == ("event", "rollup", "capture", "raw")


@pytest.mark.statement("WIRE-49")
def test_a_capture_names_itself_in_its_own_stream_and_nowhere_else() -> None:
    body = BODIES["batch_capture"]
    without = {key: value for key, value in body.items() if key != "capture"}
    assert refusal("batch_capture", without).key == "capture"
    for name in ("batch_rollup", "batch_raw", "batch_event"):
        found = refusal(name, {**BODIES[name], "capture": body["capture"]})
        assert (found.reason, found.key) == ("value", "capture")
    rollup = {**body, "blocks": BODIES["batch_rollup"]["blocks"]}
    assert refusal("batch_capture", rollup).key == "blocks[0].width_ns"


@pytest.mark.statement("WIRE-46")
@pytest.mark.statement("WIRE-47")
def test_a_capture_has_no_account() -> None:
    account = BODIES["batch_raw"]["account"]
    found = refusal("batch_capture", {**BODIES["batch_capture"], "account": account})
    assert (found.reason, found.key) == ("value", "account")


@pytest.mark.statement("WIRE-62")
def test_a_reply_names_its_command_and_the_capture_or_the_error() -> None:
    assert BODIES["reply"]["id"] == BODIES["command"]["id"]
    failed = replace(REPLY, ok=False, capture="", error="no capture: the hour's 12 are used up")
    assert decode_reply(encode_reply(failed)) == failed


@pytest.mark.fault("G6")
@pytest.mark.statement("WIRE-55")
def test_a_step_places_what_lies_before_it_by_the_clocks_as_they_were() -> None:
    anchor = Anchor(1_000, 1_000, 50_000, 0)
    steps = (ClockStep(300, 9_300, 300), ClockStep(600, 20_600, 600))
    timeline = decode_batch(encode_batch(replace(STEPPED, clock=anchor, steps=steps))).timeline
    wall = {299: 9_299, 300: 20_300, 599: 20_599, 600: 49_600, 1_000: 50_000}
    assert [timeline.wall_ns(time_ns) for time_ns in wall] == list(wall.values())
    assert timeline.wall_all(array("q", reversed(wall))).tolist() == [*reversed(wall.values())]
    assert timeline.wall_all(array("q", [300, 599])).tolist() == [20_300, 20_599]
    assert Timeline(anchor).wall_all(array("q", [0, 2_000])).tolist() == [49_000, 51_000]
    assert Timeline(anchor, steps).wall_all(array("q")).tolist() == []


@pytest.mark.statement("WIRE-55")
def test_at_most_eight_steps_travel_and_none_is_the_same_as_no_key() -> None:
    steps = [{"mono_ns": n, "real_before_ns": 0, "boot_before_ns": 0} for n in range(9)]
    assert refusal("batch_stepped", {**BODIES["batch_stepped"], "steps": steps}).reason == "limit"
    assert decode("batch_raw", {**BODIES["batch_raw"], "steps": []}) == RAW
    assert "steps" not in BODIES["batch_raw"]


@pytest.mark.statement("WIRE-30")
def test_schema_is_the_hash_of_the_sorted_inventory_without_its_time() -> None:
    def by_key(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: by_key(value[key]) for key in sorted(value)}
        return [by_key(entry) for entry in value] if isinstance(value, list) else value

    body = dict(BODIES["inventory"])
    del body["time_ns"]
    digest = hashlib.sha256(msgpack.packb(by_key(body))).hexdigest()
    assert schema_of(INVENTORY) == digest[:16]
    assert schema_of(replace(INVENTORY, time_ns=1)) == digest[:16]


@pytest.mark.statement("WIRE-30")
def test_schema_survives_the_wire_and_the_order_of_attributes() -> None:
    attributes = {"b": "2", "a": "1", "é": "3"}
    series = replace(INVENTORY.series[0], attributes=attributes)
    there = replace(INVENTORY, series=(series, *INVENTORY.series[1:]))
    turned = replace(series, attributes=dict(reversed(attributes.items())))
    other = replace(INVENTORY, series=(turned, *INVENTORY.series[1:]))
    extended = {**msgpack.unpackb(encode_inventory(there)), "x": {"later": 1}}
    assert schema_of(there) == schema_of(other)
    assert schema_of(there) == schema_of(decode_inventory(pack(extended)))
    assert schema_of(there) != schema_of(INVENTORY)


@pytest.mark.statement("WIRE-30")
@pytest.mark.parametrize("field", ["boot", "agent", "stand_in", "devices", "lanes", "series"])
def test_schema_changes_with_all_but_the_time(field: str) -> None:
    other: dict[str, Any] = {
        "boot": "f" * 32,
        "agent": "xinmai 9",
        "stand_in": False,
        "devices": INVENTORY.devices[:1],
        "lanes": INVENTORY.lanes[:1],
        "series": INVENTORY.series[::-1],
    }
    assert schema_of(replace(INVENTORY, **{field: other[field]})) != schema_of(INVENTORY)


def test_a_will_is_the_status_with_another_state() -> None:
    will = msgpack.unpackb(encode_status(replace(STATUS, online=False)))
    assert will == {**BODIES["status"], "state": "offline"}
    assert decode_status(pack(will)) == replace(STATUS, online=False)
    presence = msgpack.unpackb(encode_presence(replace(PRESENCE, online=False)))
    assert presence == {**BODIES["presence"], "state": "offline"}


@pytest.mark.statement("WIRE-41")
@pytest.mark.parametrize("synced", [True, False, None])
def test_a_clock_places_monotonic_times_on_the_wall(synced: bool | None) -> None:
    batch = replace(ROLLUP, clock=Anchor(1_000, 2_000, 90_000_000_500, 7, synced))
    clock = decode_batch(encode_batch(batch)).clock
    assert clock == batch.clock
    assert clock.wall_ns(1_500) == 90_000_001_000
    assert clock.wall_ns(500) == 90_000_000_000
    assert clock.minute(1_500) == 1


@pytest.mark.statement("WIRE-42")
@pytest.mark.statement("WIRE-43")
def test_blocks_have_the_keys_of_their_stream() -> None:
    rollup = "lane width_ns n time ticks missed overrun count last min max sum reasons"
    raw = "lane width_ns n time late duration missed overrun last reasons"
    assert " ".join(BODIES["batch_rollup"]["blocks"][0]) == rollup
    assert " ".join(BODIES["batch_raw"]["blocks"][0]) == raw


@pytest.mark.statement("WIRE-42")
def test_blobs_stay_packed_and_null_stays_null() -> None:
    block = Block(lane=0, width_ns=1, n=1, time=b"\0" * 9, last=b"\1\2")
    decoded = decode_batch(encode_batch(replace(ROLLUP, blocks=(block,))))
    assert decoded.blocks == (block,)
    run = ReasonRun(0, 0, 1, 7, -(2**63), 2**32 - 1)
    block = replace(block, min=b"", max=b"", sum=b"", overrun=2**63 - 1, reasons=(run,))
    assert decode_batch(encode_batch(replace(ROLLUP, blocks=(block,)))).blocks == (block,)


@pytest.mark.statement("WIRE-44")
@pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
def test_events_come_back_with_any_severity(severity: str) -> None:
    event = replace(EVENT.events[0], severity=severity)
    decoded = decode_batch(encode_batch(replace(EVENT, events=(event,))))
    assert decoded.events == (event,)
    fields = "time_ns hw_id code class severity action message attributes"
    assert " ".join(BODIES["batch_event"]["events"][0]) == fields


@pytest.mark.statement("WIRE-45")
@pytest.mark.parametrize("reason", ["spool_budget", "spool_damage", "refused", "shutdown"])
def test_losses_come_back_with_any_reason(reason: str) -> None:
    loss = Loss("raw", QUEUE, 1, 2**63 - 1, reason, ((-1, 0), (0, 2**63 - 1)))
    decoded = decode_batch(encode_batch(replace(EVENT, losses=(loss,))))
    assert decoded.losses == (loss,)


@pytest.mark.statement("WIRE-46")
def test_an_account_names_minute_taken_missed_and_overrun_in_this_order() -> None:
    account = (AccountEntry(5, 100, 3, 100), AccountEntry(7, 0, 9, 0))
    body = encode_batch(replace(RAW, account=account))
    assert msgpack.unpackb(body)["account"] == [[5, 100, 3, 100], [7, 0, 9, 0]]
    assert decode_batch(body).account == account


@pytest.mark.parametrize(
    "ranges",
    [
        [[0, 1]],
        [[2, 1]],
        [[1, 2], [3, 4]],
        [[1, 2], [2, 4]],
        [[5, 6], [1, 2]],
        [[1, 2**63]],
    ],
)
def test_stored_ranges_are_closed_ascending_and_apart(ranges: object) -> None:
    found = refusal("stored", {**BODIES["stored"], "streams": {"raw": {QUEUE: ranges}}})
    assert found.reason == "value"


def test_stored_takes_as_many_queues_and_ranges_as_there_may_be() -> None:
    ranges = tuple((3 * n, 3 * n + 1) for n in range(1, 257))
    queues = {f"{queue:016x}": ranges for queue in range(8)}
    stored = Stored("n", "e", "c", 0, {"event": queues, "raw": queues, "rollup": queues})
    assert decode_stored(encode_stored(stored)) == stored
    assert decode_stored(encode_stored(STORED)) == STORED


def test_stored_of_a_stream_or_queue_that_is_none_is_refused() -> None:
    wrong: tuple[Any, ...] = ({"other": {}}, {"raw": {"queue": []}}, {"raw": []})
    for streams in wrong:
        assert refusal("stored", {**BODIES["stored"], "streams": streams}).key == "streams"


@pytest.mark.parametrize("encode", [golden.encode for golden in MESSAGES.values()])
def test_an_encoder_does_not_depend_on_the_kind_of_sequence(encode: Callable[[Any], bytes]) -> None:
    def listed(value: Any) -> Any:
        return [listed(entry) for entry in value] if isinstance(value, tuple) else value

    for golden in MESSAGES.values():
        if golden.encode is encode:
            fields = {
                field: listed(getattr(golden.message, field))
                for field in golden.message.__dataclass_fields__
            }
            assert encode(replace(golden.message, **fields)) == encode(golden.message)
