"""Tables for people: the only module here that needs rich. Import it on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES: Final = {
    "succeeded": "green",
    "ok": "green",
    "pending": "cyan",
    "waiting": "yellow",
    "retryable": "yellow",
    "warn": "yellow",
    "unknown": "bold magenta",
    "failed": "red",
    "fail": "bold red",
    "denied": "red",
    "cancelled": "dim",
    "compensated": "blue",
    "closed": "green",
    "half_open": "yellow",
    "open": "bold red",
    "needs_review": "bold magenta",
    "running": "cyan",
    "undone": "green",
    "stands": "yellow",
    "never_happened": "dim",
    "called_off": "dim",
}
"""Words that mean the same wherever they stand, and their colours."""


_WHOLE: Final = frozenset(
    {"state", "status", "fate", "circuit", "for", "created", "updated", "at", "event", "level"}
)
"""Columns whose short words are never broken; the others make room."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table of printable cells; long ones are folded, never cut."""
    grid = Table(
        box=SIMPLE_HEAD if any(heads) else None,
        show_header=any(heads),
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        pad_edge=False,
    )
    for number, head in enumerate(heads):
        grid.add_column(Text(head), overflow="fold", no_wrap=number == 0 or head in _WHOLE)
    for row in rows:
        # Text, not str: rich reads markup in str, and what is recorded may contain some.
        grid.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(grid)
