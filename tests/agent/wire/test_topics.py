from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.bodies import attempt
from xinmai.errors import Refused
from xinmai.wire.limits import REFUSAL_REASONS
from xinmai.wire.topics import (
    LEAVES,
    ParsedTopic,
    Topics,
    collector_topic,
    is_name,
    parse_topic,
)

SCHEMA = "0123456789abcdef"
TOPICS = Topics("row.b", "node-07")

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


@pytest.mark.statement("WIRE-1")
def test_every_topic_of_a_node_parses_back() -> None:
    assert parse_topic(TOPICS.status) == ParsedTopic("row.b", "node-07", "status")
    assert parse_topic(TOPICS.batch) == ParsedTopic("row.b", "node-07", "batch")
    assert parse_topic(TOPICS.event) == ParsedTopic("row.b", "node-07", "event")
    assert parse_topic(TOPICS.stored) == ParsedTopic("row.b", "node-07", "stored")
    assert parse_topic(TOPICS.capture) == ParsedTopic("row.b", "node-07", "capture")
    assert parse_topic(TOPICS.cmd) == ParsedTopic("row.b", "node-07", "cmd")
    assert parse_topic(TOPICS.reply) == ParsedTopic("row.b", "node-07", "reply")
    assert parse_topic(TOPICS.inventory(SCHEMA)) == ParsedTopic(
        "row.b", "node-07", "inventory", SCHEMA
    )
    for leaf in set(LEAVES) - {"inventory"}:
        assert parse_topic(f"xinmai/1/row.b/node-07/{leaf}").leaf == leaf
    assert parse_topic(collector_topic("row.b")) == ParsedTopic("row.b", "", "_collector")


@pytest.mark.statement("WIRE-1")
@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "xinmai",
        "xinmai/1",
        "xinmai/1/e",
        "xinmai/1/e/n",
        "xinmai/1/e/n/",
        "xinmai/1/e/n/other",
        "xinmai/1/e/n/_collector",
        "xinmai/1/e/n/status/",
        "xinmai/1/e/n/batch/more",
        "xinmai/1/e/n/inventory",
        "xinmai/1/e/n/inventory/",
        f"xinmai/1/e/n/inventory/{SCHEMA[:-1]}",
        f"xinmai/1/e/n/inventory/{SCHEMA.upper()}",
        f"xinmai/1/e/n/inventory/{SCHEMA}/more",
        "xinmai/1/e/_collector/status",
        "xinmai/1//_collector",
        "xinmai/1/_collector",
        "xinmai/2/e/n/status",
        "Xinmai/1/e/n/status",
        "/xinmai/1/e/n/status",
        "$SYS/broker/uptime",
        "xinmai/1/+/n/status",
        "xinmai/1/e/#",
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused(topic: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_topic(topic)
    assert caught.value.reason == "topic"


@pytest.mark.statement("WIRE-2")
@pytest.mark.parametrize("text", ["a", "0", "A.b_c-d", "a" * 64, "9lives", "a.", "a..b"])
def test_names_of_the_allowed_characters_are_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.statement("WIRE-2")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 65,
        ".a",
        "_a",
        "-a",
        "a b",
        "a/b",
        "a+",
        "#",
        "a\n",
        "a\0",
        "é",
        "\u0661",
        "\ud800",
    ],  # noqa: E501
)
def test_other_texts_are_no_names(text: str) -> None:
    assert not is_name(text)


@pytest.mark.statement("WIRE-2")
@given(names, names)
def test_any_two_names_make_topics_that_parse_back(edge: str, node: str) -> None:
    assert is_name(edge)
    parsed = parse_topic(Topics(edge, node).status)
    assert (parsed.edge, parsed.node, parsed.leaf) == (edge, node, "status")


@pytest.mark.statement("WIRE-14")
@settings(max_examples=300)
@given(
    st.text()
    | st.lists(st.sampled_from(["xinmai", "1", "e", "_collector", "", SCHEMA])).map("/".join)
)
def test_any_text_parses_or_is_refused(topic: str) -> None:
    parsed = attempt(lambda: parse_topic(topic))
    if isinstance(parsed, Refused):
        assert parsed.reason in REFUSAL_REASONS
    else:
        assert topic.startswith(f"xinmai/1/{parsed.edge}/")


@pytest.mark.statement("WIRE-3")
def test_a_body_of_another_node_or_edge_than_its_topic_is_refused() -> None:
    topic = parse_topic(TOPICS.batch)
    topic.check_origin(edge="row.b", node="node-07")
    with pytest.raises(Refused) as caught:
        topic.check_origin(edge="row.b", node="node-08")
    assert (caught.value.reason, caught.value.key) == ("origin", "node")
    with pytest.raises(Refused) as caught:
        topic.check_origin(edge="row.c", node="node-07")
    assert (caught.value.reason, caught.value.key) == ("origin", "edge")
