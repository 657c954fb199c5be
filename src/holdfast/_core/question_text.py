"""Arguments as people read them before they decide: in one order, exact, nothing hidden. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from holdfast._core.model import JSON
from holdfast._core.visible import hides, is_hidden, mixes_scripts, visible

MOST_LINES: Final = 2000
"""So many lines are compared; a text of more is to be read, for to compare it takes too long."""


def pretty(args: Mapping[str, Any]) -> str:
    """Return arguments as JSON, keys in order, integers exact; what cannot be seen is in it as it is."""
    # All of it: what is hidden from people they cannot approve. A guard keeps secrets out of the ledger.
    return json.dumps(dict(args), sort_keys=True, indent=2, ensure_ascii=False)


def laid_out(args: Mapping[str, Any]) -> list[str]:
    """Return arguments line by line: keys in order, integers exact, nothing hidden."""
    return [visible(part) for part in pretty(args).split("\n")]


def editable(args: Mapping[str, Any]) -> str:
    """Return arguments as JSON to be changed: what could not be seen is escaped, and read back as it was."""
    return "".join(_escaped(char) if char != "\n" and is_hidden(char) else char for char in pretty(args))


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def warnings(args: Mapping[str, Any]) -> list[str]:
    """Return what of the arguments looks like something else than it is."""
    found: list[str] = []
    for path, text in _texts(args, "$"):
        if hides(text):
            found.append(f"{path} has characters that cannot be seen; they are shown by their numbers")
        if mixes_scripts(text):
            found.append(f"{path} mixes letters of several scripts that look alike")
    return found


def at_stake(shown: Mapping[str, Any]) -> str:
    """Return what is at stake, in the smallest units of its currency; empty when nothing says so.

    What a call comes to that people have changed is looked up when it is made.
    """
    amount = str(shown.get("amount") or "")
    return f"{amount} before it was edited" if amount and "edited_by" in shown else amount


def _texts(value: JSON, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield f"{path} key", str(name)
            yield from _texts(member, f"{path}.{visible(str(name))}")
    elif isinstance(value, Sequence):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return how two sets of arguments differ, line by line."""
    lines = difflib.unified_diff(laid_out(before), laid_out(after), lineterm="", n=2)
    return [text for number, text in enumerate(lines) if number > 1 and not text.startswith("@@")]
