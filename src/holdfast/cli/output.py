"""How answers look: NDJSON with ``--json``, a table on a terminal, TSV elsewhere; talk on stderr.

What stands in a ledger was written by models and by strangers. Nothing of it reaches a terminal raw:
control and format characters are shown as escapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import click

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One item of a listing.

    Attributes:
        fields: What ``--json`` prints: a contract.
        cells: What a pipe gets, column by column: a contract.
        brief: What a terminal gets instead, where columns are dear.
    """

    fields: Mapping[str, Any]
    cells: Sequence[str]
    brief: Sequence[str] | None = None


def listing(heads: Sequence[str], lines: Iterable[Line], *, as_json: bool) -> None:
    """Print items in the form that suits who reads them."""
    if as_json:
        for line in lines:
            ndjson(line.fields)
    elif is_terminal():
        shown = [line.brief or line.cells for line in lines]
        if shown:
            screen_table(heads, shown)
    else:
        for line in lines:
            tsv(line.cells)


def ndjson(fields: Mapping[str, Any]) -> None:
    """Print one JSON object on one line, in ASCII."""
    click.echo(json.dumps(fields, separators=(",", ":")))


def tsv(cells: Iterable[str]) -> None:
    """Print one line of tab-separated cells; tabs and line ends inside them are escaped."""
    click.echo("\t".join(printable(cell) for cell in cells))


def screen_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table on the terminal."""
    # rich takes longer to import than most commands take to run, and pipes do not need it.
    from holdfast.cli import screen  # noqa: PLC0415

    screen.table(heads, [[printable(cell) for cell in row] for row in rows], title=title)


def is_terminal() -> bool:
    """Whether a person is looking at stdout."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """Tell the person something that is not data."""
    click.echo(printable(text), err=True)


def complain(text: str, code: str) -> None:
    """Tell the person what went wrong; *code* names the kind, for searching the docs."""
    say(f"error: {text} [{code}]")


def printable(text: str) -> str:
    """Return *text* with everything that could steer a terminal shown as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def compact(value: object) -> str:
    """Return a JSON value as text for people, on one line."""
    return json.dumps(value, ensure_ascii=False)


def counted(count: int, noun: str) -> str:
    """Return ``1 effect``, ``2 effects``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def iso(at: datetime | None) -> str | None:
    """Return a moment as programs read it: UTC, to the microsecond."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock(at: datetime | None) -> str:
    """Return a moment as people read it: UTC, to the second."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a length of time as people read it, in its two largest units."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f}s" if seconds < _MINUTE / 6 else f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR}h"
