"""What of a text can be searched: its words, cut in one way for every store.

The rule of PostgreSQL's ``simple`` configuration: any case, no stems, no stop words. Cut here and not by the
databases, because each of these has a parser of its own: an address or a hyphen would be one word in one and
three in another. Words consist of letters and digits alone: no syntax of a search can be written with them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import islice
from typing import Final

# Chinese and Japanese are written without spaces: there each character is a word.
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD: Final = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_LONGEST: Final = 40
_MOST: Final = 16_000
_MOST_DISTINCT: Final = 4096
_MOST_WANTED: Final = 64
_WANTED_LENGTH: Final = 16_384


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of *text* in their order; what a very long one has beyond 16,000 is not found."""
    kept: list[str] = []
    known: set[str] = set()
    for word in islice(_words(text), _MOST):
        if word not in known:
            if len(known) == _MOST_DISTINCT:
                continue
            known.add(word)
        kept.append(word)
    return tuple(kept)


def wanted_words(query: str) -> tuple[str, ...]:
    """Return what a search looks for: the first 64 different words of *query*, whatever else is in it."""
    return tuple(islice(dict.fromkeys(_words(query[:_WANTED_LENGTH])), _MOST_WANTED))


def scope_word(tenant: str, namespace: str) -> str:
    """Return the word that all memories of a namespace have, so that an index finds these and no others."""
    # With the length in front no two pairs give one text.
    return "s" + sha256(f"{len(tenant)}/{tenant}/{namespace}".encode()).hexdigest()[:24]


def match_counts(words: Iterable[str], wanted: Sequence[str]) -> int:
    """Return how many of the *wanted* words there are."""
    return len(set(words).intersection(wanted))


def _words(text: str) -> Iterable[str]:
    return (found[0][:_LONGEST] for found in _WORD.finditer(_folded(text)))


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()
    # Accents and vowel signs: they are no letters of their own, and not everybody types them.
    bare = "".join(char for char in plain if unicodedata.category(char)[0] != "M")
    return unicodedata.normalize("NFC", bare)
