"""What people see of text that a model, or a stranger, has written: nothing of it can hide."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that leave no trace on a screen, although Python calls them printable."""


def is_hidden(char: str) -> bool:
    """Whether a reader could not see *char* for what it is.

    Bidirectional and other controls, zero-width, private and unassigned ones, letters that are blank, line
    ends, and every blank that is not the ordinary space.
    """
    return not char.isprintable() or _BLANK.match(char) is not None


def numbered(char: str) -> str:
    """Return what stands in the place of a character that cannot be seen."""
    return f"⟨U+{ord(char):04X}⟩"


def visible(text: str) -> str:
    """Return *text* with every character that cannot be seen, or that moves others, shown by its number.

    They become ``⟨U+202E⟩``. Line ends stay; so does everything that can be seen.
    """
    if _is_plain(text):
        return text
    return "".join(numbered(char) if char != "\n" and is_hidden(char) else char for char in text)


def one_line(text: str) -> str:
    """Return *text* as :func:`visible` does, line ends shown by their number as well."""
    return text if _is_plain(text) else "".join(numbered(char) if is_hidden(char) else char for char in text)


def _is_plain(text: str) -> bool:
    return text.isprintable() and not _BLANK.search(text)


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
