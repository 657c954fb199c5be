"""What people read before they decide: nothing of it hides, and it is read back as it was."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.question_text import difference, editable, laid_out, warnings
from holdfast._core.visible import is_hidden, numbered, one_line, visible

HIDDEN = "\u202e\u200b\u2066\x1b\x00\ufeff\ue000\u3164\u00ad\u2028\ufe0f\u115f\U000e0041\ud800\u00a0\u2003\t"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_what_cannot_be_seen_is_shown_by_its_number() -> None:
    assert all(map(is_hidden, HIDDEN))
    assert visible(HIDDEN) == one_line(HIDDEN) == "".join(map(numbered, HIDDEN))
    assert visible("plain <b> ü 漢 🙂 א") == "plain <b> ü 漢 🙂 א"
    assert (visible("a\nb"), one_line("a\nb")) == ("a\nb", "a⟨U+000A⟩b")


@given(st.dictionaries(st.text(), VALUES, max_size=3))
def test_arguments_are_laid_out_so_that_nothing_hides_and_what_is_edited_reads_back(args: dict) -> None:
    assert not [char for line in laid_out(args) for char in line if is_hidden(char)]
    text = editable(args)
    assert not [char for char in text if char != "\n" and is_hidden(char)]
    assert json.loads(text) == args


def test_integers_are_exact_and_keys_in_order() -> None:
    assert laid_out({"b": 9007199254740993, "a": 1}) == ["{", '  "a": 1,', '  "b": 9007199254740993', "}"]


def test_what_looks_like_something_else_is_pointed_out() -> None:
    found = warnings({"to": ["p\u0430ypal"], "memo": "a\u200bb", "fine": "漢字 και text"})

    assert found == [
        "$.to[0] mixes letters of several scripts that look alike",
        "$.memo has characters that cannot be seen; they are shown by their numbers",
    ]


def test_a_difference_has_the_lines_that_differ_whatever_they_begin_with() -> None:
    assert difference({"a": 1}, {"a": 1}) == []
    assert difference({"a": 1}, {"a": 2}) == [" {", '-  "a": 1', '+  "a": 2', " }"]
