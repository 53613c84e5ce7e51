from __future__ import annotations

import pytest

from agent.wire.make_golden import GOLDEN, MESSAGES, readable


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_encodes_to_its_golden_file_byte_for_byte(name: str) -> None:
    message, encode, _ = MESSAGES[name]
    assert encode(message) == (GOLDEN / f"{name}.msgpack").read_bytes()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_golden_file_decodes_to_its_message(name: str) -> None:
    message, _, decode = MESSAGES[name]
    assert decode((GOLDEN / f"{name}.msgpack").read_bytes()) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_the_readable_form_says_what_the_body_holds(name: str) -> None:
    body = (GOLDEN / f"{name}.msgpack").read_bytes()
    assert (GOLDEN / f"{name}.json").read_text("utf-8") == readable(body)


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(MESSAGES)
