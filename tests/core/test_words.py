"""STA-10: what of a text can be searched, and that it can be no syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.markdown import one_line
from holdfast._core.words import scope_word, wanted_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Deploys go OUT", "deploys go out"),
        ("snake_case, kebab-case: a.b!", "snake case kebab case a b"),
        ("Grüße ÉTÉ e\u0301te\u0301 ﬁx", "grusse ete ete fix"),
        ("日本 go 語", "日 本 go 語"),
        ("it's 3.14", "it s 3 14"),
        ("-- '\" \x00 \ud800 💳", ""),
        ("x" * 99, "x" * 40),
    ],
    ids=range(7),
)
def test_words_are_letters_and_digits_in_lower_case_without_accents(text: str, words: str) -> None:
    """STA-10."""
    assert " ".join(words_of(text)) == words


@given(st.text())
def test_no_word_has_anything_that_a_database_could_read(text: str) -> None:
    """STA-10: nor anything that would be cut again."""
    for word in words_of(text):
        assert word.isalnum()
        assert 1 <= len(word) <= 40
        word.encode()
        assert words_of(word) == (word,)


def test_a_long_text_and_a_long_query_are_bounded() -> None:
    """STA-10: a megabyte of query costs as much as its beginning."""
    many = " ".join(f"w{n}" for n in range(100_000))

    assert len(words_of(many)) == 4096
    assert len(words_of("again " * 100_000)) == 16_000
    assert wanted_words(many) == tuple(f"w{n}" for n in range(64))
    assert wanted_words("a " * 1_000_000) == ("a",)


def test_every_namespace_has_a_word_of_its_own() -> None:
    words = {scope_word(*place) for place in [("a", "b"), ("a/b", ""), ("", "a/b"), ("ab", ""), ("a", "b/")]}

    assert len(words) == 5
    assert all(words_of(word) == (word,) for word in words)


@given(st.text())
def test_a_line_of_markdown_is_one_line_and_nothing_but_text(text: str) -> None:
    """STA-08."""
    line = one_line(text)

    assert line == " ".join(line.split())
    assert line.isprintable()
    assert line[:1] not in set("-+=_#>*`~|[<&")
