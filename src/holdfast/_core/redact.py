"""What must not be shown or kept: paths and telltale names -> a copy without their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from holdfast._core.model import JSON

HIDDEN: Final = "[redacted]"
_TELLTALE: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api_?key|authorization|credential|cookie|session|private|"
    r"card_?(number|no)|cvv|cvc|iban|ssn|pin$",
    re.IGNORECASE,
)
_USER: Final = re.compile(
    # A password may hold what should have been escaped; `host:8080/@name` is none.
    r"//(?:[^\s/\"'<>@:]*:(?!\d{1,5}[/?#])[^\s\"'<>]*|[^\s/\"'<>?#]*)@"
)
_BARE_USER: Final = re.compile(r"\b[\w.+-]{1,64}:[^\s/@:\"'<>]+@(?=[\w\[])")
_URLLIB3: Final = re.compile(r"(\burl: [^\s?#]*[?#]).*?(?= \(Caused by |$)", re.DOTALL)
_TAIL: Final = re.compile(
    r"(://[^\s\"'<>?#]*[?#]|/[^\s\"'<>?#]*\?|\?(?=[\w.~%\[\]+-]+=))"  # of a URL, or of a path
    r"(?:[^\s\"'<>]|'(?=[\w%&=]))+"
)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def redact(value: JSON, paths: Sequence[str]) -> JSON:
    """Return a copy of *value* with what sits at *paths* (``$.card.number``, ``$.items[2]``) hidden."""
    hidden = {_steps(path) for path in paths}
    return _walk(value, (), hidden) if hidden else value


def redact_names(value: JSON) -> JSON:
    """Return a copy of *value* with everything under a telltale name (``password``, ``token`` …) hidden."""
    match value:
        case str() | None:
            return value
        case Mapping():
            return {
                name: HIDDEN if _TELLTALE.search(name) else redact_names(item) for name, item in value.items()
            }
        case Sequence():
            return [redact_names(item) for item in value]
        case _:
            return value


def redact_urls(text: str) -> str:
    """Return *text* without what URLs in it carry beyond the place: user, password, query and fragment."""
    text = _URLLIB3.sub(lambda found: found[1] + HIDDEN, _USER.sub(f"//{HIDDEN}@", text))
    text = _BARE_USER.sub(f"{HIDDEN}@", text)
    return _TAIL.sub(lambda found: found[1] + HIDDEN, text)


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(int(index) if index else name for name, index in _STEP.findall(path))


def _walk(value: JSON, here: tuple[str | int, ...], hidden: set[tuple[str | int, ...]]) -> JSON:
    if here in hidden:
        return HIDDEN
    match value:
        case str() | None:
            return value
        case Mapping():
            return {name: _walk(item, (*here, name), hidden) for name, item in value.items()}
        case Sequence():
            return [_walk(item, (*here, index), hidden) for index, item in enumerate(value)]
        case _:
            return value
