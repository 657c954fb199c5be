"""Rows of what people read of budgets and costs, of either dialect -> nouns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from holdfast._core.budget import Level
from holdfast.ports import Fullest, FullestQuery, SpreadRow
from holdfast.stores.budget_rows import Moment, level_of


def fullest_of(rows: Sequence[Sequence[Any]], now: datetime, moment: Moment) -> Fullest:
    """Return the page of budgets in *rows*: each has the counts last; without a budget there is one row."""
    levels: tuple[Level, ...] = tuple(level_of(row, now, moment) for row in rows if row[0] is not None)
    return Fullest(levels=levels, found=int(rows[0][-2]), near=int(rows[0][-1]))


def after_of(query: FullestQuery) -> dict[str, Any]:
    """Return the place that *query* goes on from, by the names of the parameters."""
    after = query.after or (None, None, None, None, None)
    names = ("after_filled", "after_owner", "after_account", "after_unit", "after_per")
    return dict(zip(names, after, strict=True))


def spread_of(row: Sequence[Any]) -> SpreadRow:
    """Return the sums in *row*; a database may sum in a wider type."""
    return SpreadRow(
        by=row[0],
        name=row[1],
        is_rest=bool(row[2]),
        names=row[3],
        at=None if row[4] is None else at_second(row[4]),
        currency=row[5],
        attempts=int(row[6]),
        money=int(row[7]),
        tokens=int(row[8]),
        failed=int(row[9]),
        superseded=int(row[10]),
        assumed=int(row[11]),
        held=int(row[12]),
    )


def burnt_of(row: Sequence[Any]) -> tuple[datetime, int]:
    """Return when and how much."""
    return at_second(row[0]), int(row[1])


def at_second(second: int) -> datetime:
    """Return the moment so many seconds after 1970."""
    return datetime.fromtimestamp(second, UTC)
