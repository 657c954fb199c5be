"""What models and strangers wrote: how it is shown, and how it stands in a link."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

# Letters and marks that leave no trace on a screen, although Python calls them printable.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def is_hidden(char: str) -> bool:
    """Whether a reader could not see *char*: bidirectional and other controls, unassigned, blank letters."""
    return not char.isprintable() or _BLANK.match(char) is not None


def shown(value: object) -> str:
    """Return *value* as one line of plain text, hidden characters by number: fit for any place in a page."""
    text = str(value)
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(f"⟨U+{ord(char):04X}⟩" if is_hidden(char) else char for char in text)


def visible(value: object) -> Markup:
    """Return *value* for the inside of an element: line ends stay, other hidden characters stand out."""
    text = str(value)
    if text.isprintable() and not _BLANK.search(text):
        return escape(text)
    return Markup().join(_ghost(char) if _stands_out(char) else escape(char) for char in text)


def _stands_out(char: str) -> bool:
    return char not in "\n\t" and is_hidden(char)


def _ghost(char: str) -> Markup:
    name = unicodedata.name(char, "without a name")
    return Markup('<b class="ghost" title="{}">U+{:04X}</b>').format(name, ord(char))


def exact(value: object) -> Markup:
    """Return *value* unchanged, for a form that sends it back."""
    return escape(str(value))


def finalized(value: object) -> object:
    """Return what a template prints for an expression: nothing of the ledger's gets by unseen."""
    return value if isinstance(value, Markup) else shown(value)


def segment(name: str) -> str:
    """Return *name* as one part of a path; any printable name comes back whole from :func:`named`.

    Quoted twice: servers unquote once, browsers resolve dots, and ``a/b``, ``..``, ``x.json`` are names.
    """
    once = quote(name, safe=":@")
    if once in {".", ".."} or once.endswith(".json"):
        once = once.replace(".", "%2E")
    return once.replace("%", "%25")


def named(part: str) -> str:
    """Return the name that a part of a path stands for, the path being unquoted once."""
    return unquote(part)


def iso(at: datetime | None) -> str | None:
    """Return a moment as programs read it: UTC, to the microsecond."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock(at: datetime | None) -> str:
    """Return a moment as people read it: UTC, to the second."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a length of time as people read it, in its two largest units."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _MINUTE / 6 else f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def nearly(at: datetime | None, now: datetime) -> str:
    """Return how long ago, or how soon, by the minute: a page that nothing happened to stays the same."""
    if at is None:
        return "-"
    minutes = int((now - at).total_seconds() // _MINUTE)
    if minutes in {0, -1}:
        return "less than 1 min ago" if minutes == 0 else "in less than 1 min"
    ahead, minutes = minutes < 0, abs(minutes)
    if minutes < _MINUTE:
        told = f"{minutes} min"
    elif minutes < _DAY // _MINUTE:
        told = f"{minutes // 60} h {minutes % 60} min"
    else:
        told = f"{minutes // (24 * 60)} d {minutes // 60 % 24} h"
    return f"in {told}" if ahead else f"{told} ago"
