"""The scanner that finds lines is held against generated files whose lines are known."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinmai.config_lines import KeyPath, key_lines, syntax_error
from xinmai.config_values import toml_text

BARE = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_-", min_size=1, max_size=6)
ANY_TEXT = st.text("aZ0 .\"'\\#[]{}=,\n\t\x7fä中", max_size=8)
SCALARS = st.one_of(
    st.integers(-(2**31), 2**31).map(str),
    st.booleans().map(toml_text),
    st.sampled_from(["1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00", "+inf", "1e6"]),
    ANY_TEXT.map(toml_text),
    st.sampled_from(['"""a ""quoted"" # no comment\n[x]\nb = 1\\""""', "'''\n[y] 'z'\n'''", "'#'"]),
)
BLANKS = st.sampled_from(["", "\n", "# [comment] a = 1\n", "  \t\n", "\n# '''\n"])


@dataclass
class Document:
    """TOML text that is being written, with the lines its keys stand on."""

    text: str = ""
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def add(self, text: str) -> None:
        self.text += text

    def key(self, parent: KeyPath, word: str, quoted: str) -> KeyPath:
        path = (*parent, word)
        self.lines.setdefault(path, self.text.count("\n") + 1)
        self.add(quoted)
        return path


@st.composite
def words(draw: st.DrawFn, taken: set[str]) -> tuple[str, str]:
    """A new key and the way it is written: bare, or in either kind of quotes."""
    word = draw(st.one_of(BARE, ANY_TEXT).filter(lambda candidate: candidate not in taken))
    taken.add(word)
    forms = [toml_text(word)]
    if word.isascii() and word.replace("-", "_").replace("_", "a").isalnum():
        forms.append(word)
    if "'" not in word and word.isprintable():
        forms.append(f"'{word}'")
    return word, draw(st.sampled_from(forms))


@st.composite
def documents(draw: st.DrawFn) -> Document:
    document = Document()
    _pairs(draw, document, (), set(), "\n")
    tables: set[str] = set(path[0] for path in document.lines)
    for _ in range(draw(st.integers(0, 3))):
        document.add(draw(BLANKS))
        word, quoted = draw(words(tables))
        document.add(draw(st.sampled_from(["[", "[ ", "  ["])))
        table = document.key((), word, quoted)
        if draw(st.booleans()):
            document.add(draw(st.sampled_from([".", " . "])))
            table = document.key(table, *draw(words(set())))
        document.add(draw(st.sampled_from(["]\n", " ] # [x]\n"])))
        _pairs(draw, document, table, set(), "\n")
    return document


def _pairs(draw: st.DrawFn, document: Document, table: KeyPath, taken: set[str], end: str) -> None:
    for _ in range(draw(st.integers(0, 3))):
        document.add(draw(BLANKS))
        path = document.key(table, *draw(words(taken)))
        for _ in range(draw(st.integers(0, 2))):
            document.add(".")
            path = document.key(path, *draw(words(set())))
        document.add(draw(st.sampled_from([" = ", "=", "\t=  "])))
        _value(draw, document, path, 2)
        document.add(draw(st.sampled_from(["", " # it's", "  "])) + end)


def _value(draw: st.DrawFn, document: Document, path: KeyPath, depth: int) -> None:
    kind = draw(st.sampled_from(["scalar", "array", "inline"] if depth else ["scalar"]))
    if kind == "scalar":
        document.add(draw(SCALARS))
    elif kind == "array":
        document.add("[")
        for _ in range(draw(st.integers(0, 3))):
            document.add(draw(st.sampled_from([" ", "\n", "\n  # ]\n"])) + draw(SCALARS) + ",")
        document.add("\n]")
    else:
        taken: set[str] = set()
        document.add("{ ")
        for index in range(draw(st.integers(0, 3))):
            document.add(", " if index else "")
            inner = document.key(path, *draw(words(taken)))
            document.add(" = ")
            _value(draw, document, inner, depth - 1)
        document.add(" }")


@given(documents())
def test_every_key_is_found_on_its_line(document: Document) -> None:
    tomllib.loads(document.text)  # the generator writes TOML
    assert key_lines(document.text) == document.lines


def test_array_of_tables_keeps_the_first_line() -> None:
    text = "[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n"

    assert key_lines(text) == {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 2}


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb =\n", 2), ("a = 1\n\nc = [1,\n", 4), ("a = 1\na = 2\n", 2)]
)
def test_syntax_errors_have_a_line_and_no_column(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)

    message, found = syntax_error(caught.value, text)

    assert abs(found - line) <= 1
    assert "line" not in message
