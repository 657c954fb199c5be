"""What people see of text that a model, or a stranger, has written: nothing of it can hide."""

from __future__ import annotations

import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
_KEPT: Final = frozenset({"\n"})
_BLANK: Final = frozenset({"\u00a0", "\u2800", "\u3164", "\uffa0", "\u115f", "\u1160", "\u034f"})
"""Characters that look like nothing, or like an ordinary space, and are neither."""


def visible(text: str) -> str:
    """Return *text* with every character that cannot be seen, or that moves others, shown by its number.

    Bidirectional marks, zero-width characters, controls, private and unassigned ones, and blanks that are no
    space become ``⟨U+202E⟩``. Line ends stay; so does everything that can be seen.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(shown(char) for char in text)


def shown(char: str) -> str:
    """Return one character as people see it."""
    if char in _KEPT:
        return char
    is_odd_space = unicodedata.category(char) == "Zs" and char != " "
    if is_odd_space or char in _BLANK or unicodedata.category(char) in _HIDDEN:
        return f"⟨U+{ord(char):04X}⟩"
    return char


def hides(text: str) -> bool:
    """Whether something of *text* cannot be seen as it is."""
    return visible(text) != text


def mixes_scripts(text: str) -> bool:
    """Whether a word of *text* mixes letters of Latin with letters that merely look like it.

    A recipient whose name has one Cyrillic letter among Latin ones is another one. It is pointed out, not
    refused: names of the world mix scripts, but rarely within a word.
    """
    return any(_is_mixed(word) for word in text.split())


def _is_mixed(word: str) -> bool:
    found = {_script(char) for char in word if char.isalpha()}
    return "LATIN" in found and bool(found & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


def _script(char: str) -> str:
    return unicodedata.name(char, "").partition(" ")[0]
