"""JSON that a person has typed, read to the letter: nothing in it that two readers take in two ways."""

from __future__ import annotations

import json
from typing import Any

from holdfast.console.asking import Misread


def read_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object that *text* is; *what* it is for, in words.

    Raises:
        Misread: It is none, has a name twice, or a number that is none.
    """
    try:
        read: object = json.loads(text, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _Twice) else "they are not JSON"
        raise Misread(f"The {what} cannot be read: {why}. Nothing was done.") from error
    if not isinstance(read, dict):
        raise Misread(f"The {what} are no JSON object: give each by its name. Nothing was done.")
    return read  # pyright: ignore[reportUnknownVariableType]


class _Twice(ValueError):
    """A name stands twice, and readers differ on which of the two they take."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice("a name stands twice")
    return found


def _refused(word: str) -> None:
    raise ValueError(word)


def _finite(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return found
