"""Parts of a policy's file, taken by name and kind; whatever has another kind is refused where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from holdfast._core.duration import seconds
from holdfast.errors import InvalidPolicy, InvalidTool
from holdfast.policies.kinds import is_list
from holdfast.policies.strict_yaml import Section


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a policy.

    Attributes:
        section: The mapping that it stands in, when there is one: it knows its line.
        part: For people, e.g. ``rule big-charge``.
    """

    file: str
    section: Any = None
    part: str = ""

    @property
    def at(self) -> str:
        """The file, with the line if that is known."""
        line = self.section.line if isinstance(self.section, Section) else 0
        return f"{self.file}:{line}" if line else self.file

    def refusal(self, what: str, fix: str) -> InvalidPolicy:
        """Return the error that says what is wrong here."""
        return InvalidPolicy(self.at, self.part, what, fix)


def plain(name: object) -> str:
    """Return a name as errors show it: without what could hide or turn around."""
    return ascii(name)[1:-1][:80]


def section(given: Any, place: Place) -> Section:
    """Return a mapping."""
    if not isinstance(given, Section):
        raise place.refusal("it is no mapping", "write names with values")
    return given


def only(told: Mapping[str, Any], place: Place, *known: str) -> None:
    """Refuse names that mean nothing here: a misspelt one would be silently without effect."""
    for name in told:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}"
            raise place.refusal(f"{name[:80]!r} means nothing here", fix)


def text(told: Mapping[str, Any], key: str, place: Place, *, default: str | None = None) -> str:
    """Return a text."""
    found = told.get(key, default)
    if not isinstance(found, str):
        what = f"{key} is missing" if key not in told else f"{key} is no text"
        raise place.refusal(what, f"give {key} as text")
    return found


def texts(told: Mapping[str, Any], key: str, place: Place) -> tuple[str, ...]:
    """Return a list of texts."""
    found = told.get(key)
    if not is_list(found) or not all(isinstance(item, str) for item in found):
        raise place.refusal(f"{key} is no list of texts", f"give {key} as [a, b]")
    return tuple(found)


def mapping(told: Mapping[str, Any], key: str, place: Place) -> dict[str, Any]:
    """Return a mapping, empty when it is left out."""
    found = told.get(key, Section())
    if not isinstance(found, Section):
        raise place.refusal(f"{key} is no mapping", f"give {key} as names with values")
    return dict(found)


def length(told: Mapping[str, Any], key: str, place: Place, *, default: float | None = None) -> float:
    """Return a length of time in seconds."""
    if key not in told and default is not None:
        return default
    try:
        return seconds(told.get(key), name=key)  # type: ignore[arg-type] # it looks at anything
    except InvalidTool as error:
        raise place.refusal(f"{key} is no length of time", "give one like 15m, 2h or 7d") from error
