"""What models and strangers wrote: how it is shown, and how it stands in a link."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

from holdfast._core.budget import TOKENS
from holdfast._core.budgeting import CONCURRENCY, STEPS, TOOL_CALLS
from holdfast._core.visible import is_hidden, one_line

COUNTED: Final = frozenset({TOKENS, STEPS, TOOL_CALLS, CONCURRENCY})
_UNUSUAL: Final = re.compile(r"[^\n\t -~]")
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def shown(value: object) -> str:
    """Return *value* as one line of plain text, hidden characters by number: fit for any place in a page."""
    return one_line(str(value))


def marked(value: object) -> Markup:
    """Return *value* for the inside of an element: line ends stay, other hidden characters stand out."""
    text, begin = str(value), 0
    parts: list[Markup] = []
    for found in _UNUSUAL.finditer(text):  # a million characters must not hold up everybody else's page
        if is_hidden(found[0]):
            parts += [escape(text[begin : found.start()]), _ghost(found[0])]
            begin = found.end()
    return Markup().join([*parts, escape(text[begin:])])


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


def grouped(number: int) -> str:
    """Return a whole number as people read it, in groups of three."""
    return f"{number:,}"


def money(micros: int, currency: str, digits: int = 2) -> str:
    """Return an amount as people read it: exact, with the cents and what is finer than them.

    Args:
        digits: Show at least so many behind the point, so that amounts below each other can be compared.
    """
    if not currency:
        return "-" if not micros else grouped(micros)
    whole, rest = divmod(abs(micros), 1_000_000)
    cents = f"{rest:06d}".rstrip("0").ljust(digits, "0")
    return f"{'-' * (micros < 0)}{whole:,}.{cents} {currency.upper()}"


def digits(micros: Iterable[int]) -> int:
    """Return how many digits behind the point tell all these amounts exactly; two at least."""
    return max([len(f"{one % 1_000_000:06d}".rstrip("0")) for one in micros] + [2])


def amount(number: int, unit: str) -> str:
    """Return an amount of what a budget counts: money by its currency, all else as a whole number."""
    return grouped(number) if unit in COUNTED else money(number, unit)


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


def step(seconds: int) -> str:
    """Return a whole length of time as people read it: an hour, 6 hours."""
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        if seconds % length == 0:
            return unit if seconds == length else f"{seconds // length} {unit}s"
    return f"{seconds} seconds"


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
