"""Costs: what was spent, for what, and how much of it bought nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast.console.ledgers import looked
from holdfast.console.text import digits
from holdfast.ledger import Ledger
from holdfast.ports import SpreadBy, SpreadQuery, SpreadRow

RANGES: Final = {
    "1h": (timedelta(hours=1), timedelta(minutes=1)),
    "1d": (timedelta(days=1), timedelta(hours=1)),
    "7d": (timedelta(days=7), timedelta(hours=6)),
    "30d": (timedelta(days=30), timedelta(days=1)),
}
"""How far back costs are told, and the steps of time that they are drawn in."""

TITLES: Final[dict[SpreadBy, str]] = {
    "tool": "By tool",
    "model": "By model",
    "actor": "By agent",
    "workflow_id": "By workflow",
    "outcome": "By outcome",
}
OVER: Final[tuple[SpreadBy, ...]] = ("model", "tool", "actor")
"""What costs over time are told by."""

MOST: Final = 20
DRAWN: Final = 6
"""So many names have a colour of their own; the others are drawn as one."""
_REST: Final = "all others"
_NOBODY: Final = {"model": "no model", "outcome": "no longer on record", "actor": "nobody"}


@dataclass(frozen=True, slots=True)
class CostLine:
    """What has something in common, and what it cost.

    Attributes:
        name: What it has in common, for people; *is_rest* when it is all the others.
        share: Of the dearest of its table and currency, in hundredths: how wide its bar is; *wasted_share*,
            how wide the part of it is that bought nothing.
    """

    name: str
    is_rest: bool
    currency: str
    attempts: int
    tokens: int
    money: int
    wasted: int
    held: int
    share: float
    wasted_share: float


@dataclass(frozen=True, slots=True)
class CostTable:
    """All costs, told by one thing.

    Attributes:
        kind: By what.
        digits: So many behind the point tell all its amounts exactly.
    """

    kind: SpreadBy
    title: str
    lines: tuple[CostLine, ...]
    digits: int


@dataclass(frozen=True, slots=True)
class CostTotal:
    """All that was spent in one currency.

    Attributes:
        currency: A code in small letters; empty for attempts that cost no money.
        wasted: The part of *money* that bought nothing: *failed*, *superseded* and *assumed* together.
        bought, failed_share, superseded_share, assumed_share: Of all of it, in hundredths.
    """

    currency: str
    attempts: int
    tokens: int
    money: int
    held: int
    failed: int
    superseded: int
    assumed: int
    wasted: int
    wasted_share: float
    bought: float
    failed_share: float
    superseded_share: float
    assumed_share: float


@dataclass(frozen=True, slots=True)
class Series:
    """What one name cost, step by step; as long as the times of its chart."""

    name: str
    money: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CostChart:
    """Costs over time in one currency.

    Attributes:
        at: When each step begins.
        step_s: How long a step is, in seconds.
        sums: What all series cost, step by step.
    """

    currency: str
    over: SpreadBy
    step_s: int
    at: tuple[datetime, ...]
    series: tuple[Series, ...]
    sums: tuple[int, ...]
    digits: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What was spent since a moment; all of it, whichever way it is told.

    Attributes:
        charts: One for each currency.
    """

    since: datetime | None
    totals: tuple[CostTotal, ...]
    tables: tuple[CostTable, ...]
    charts: tuple[CostChart, ...]


async def costs(ledger: Ledger, within: str, over: SpreadBy, now: datetime) -> Costs:
    """Say what was spent within one of :data:`RANGES` before *now*, by everything that it can be told by."""
    length, step = RANGES[within]
    begun = _floor(now - length, step)
    query = SpreadQuery(tenant="", by=tuple(TITLES), since=begun, over=over, step=step, most=MOST)
    rows = await looked(ledger, lambda engine: engine.pages.spread(query))
    tables = _tables(rows)
    times = tuple(_times(begun, now, step, [row.at for row in rows if row.at is not None]))
    charts = tuple(_chart(rows, over, total.currency, times, step) for total in _totals(rows) if total.money)
    return Costs(since=begun, totals=_totals(rows), tables=tables, charts=charts)


async def workflow_costs(ledger: Ledger, workflow_id: str) -> Costs:
    """Say what one workflow cost so far."""
    query = SpreadQuery(tenant="", by=("tool", "model"), workflow_id=workflow_id, most=MOST)
    rows = await looked(ledger, lambda engine: engine.pages.spread(query))
    return Costs(since=None, totals=_totals(rows), tables=_tables(rows), charts=())


def _totals(rows: Sequence[SpreadRow]) -> tuple[CostTotal, ...]:
    """Return what was spent in each currency: one sum, whatever it is told by."""
    by = rows[0].by if rows else "tool"
    of = [row for row in rows if row.by == by]
    found = [
        _total(currency, [row for row in of if row.currency == currency]) for currency in _currencies(of)
    ]
    return tuple(found)


def _currencies(rows: Iterable[SpreadRow]) -> list[str]:
    return sorted({row.currency for row in rows}, key=lambda code: (not code, code))


def _total(currency: str, rows: Sequence[SpreadRow]) -> CostTotal:
    money = sum(row.money for row in rows)
    failed = sum(row.failed for row in rows)
    superseded = sum(row.superseded for row in rows)
    assumed = sum(row.assumed for row in rows)
    wasted = failed + superseded + assumed
    return CostTotal(
        currency=currency,
        attempts=sum(row.attempts for row in rows),
        tokens=sum(row.tokens for row in rows),
        money=money,
        held=sum(row.held for row in rows),
        failed=failed,
        superseded=superseded,
        assumed=assumed,
        wasted=wasted,
        wasted_share=_share(wasted, money),
        bought=_share(money - wasted, money),
        failed_share=_share(failed, money),
        superseded_share=_share(superseded, money),
        assumed_share=_share(assumed, money),
    )


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _tables(rows: Sequence[SpreadRow]) -> tuple[CostTable, ...]:
    return tuple(
        _table(kind, title, _lines(kind, [row for row in rows if row.by == kind]))
        for kind, title in TITLES.items()
        if any(row.by == kind for row in rows)
    )


def _table(kind: SpreadBy, title: str, lines: Sequence[CostLine]) -> CostTable:
    amounts = [amount for line in lines for amount in (line.money, line.wasted, line.held)]
    return CostTable(kind, title, tuple(lines), digits(amounts))


def _lines(kind: SpreadBy, rows: Sequence[SpreadRow]) -> list[CostLine]:
    """Return one line a name and currency, the dearest first, the others last; steps of time together."""
    of: dict[tuple[str, str, bool], list[SpreadRow]] = {}
    for row in rows:
        of.setdefault((row.currency, row.name, row.is_rest), []).append(row)
    dearest = {
        currency: max(sum(row.money for row in same) for (code, _, _), same in of.items() if code == currency)
        for currency in _currencies(rows)
    }
    lines = [_line(kind, same, dearest[currency]) for (currency, _, _), same in of.items()]
    order = _currencies(rows)
    lines.sort(key=lambda one: (order.index(one.currency), one.is_rest, -one.money, -one.tokens, one.name))
    return lines


def _line(kind: SpreadBy, rows: Sequence[SpreadRow], dearest: int) -> CostLine:
    first = rows[0]
    money = sum(row.money for row in rows)
    wasted = sum(row.failed + row.superseded + row.assumed for row in rows)
    return CostLine(
        name=_named(kind, first),
        is_rest=first.is_rest,
        currency=first.currency,
        attempts=sum(row.attempts for row in rows),
        tokens=sum(row.tokens for row in rows),
        money=money,
        wasted=wasted,
        held=sum(row.held for row in rows),
        share=_share(money, dearest),
        wasted_share=_share(wasted, dearest),
    )


def _named(kind: SpreadBy, row: SpreadRow) -> str:
    if row.is_rest:
        return _REST
    return row.name or _NOBODY.get(kind, "-")


def _floor(at: datetime, step: timedelta) -> datetime:
    """Return when the step of time began that *at* is in, counted as stores count it."""
    second = int(at.timestamp())
    return datetime.fromtimestamp(second - second % int(step.total_seconds()), at.tzinfo)


def _times(begun: datetime, now: datetime, step: timedelta, told: Sequence[datetime]) -> Iterable[datetime]:
    """Return when each step begins, up to now, or to what was begun by a clock that is ahead of ours."""
    last = max([now, *told])
    while begun <= last:
        yield begun
        begun += step


def _chart(
    rows: Sequence[SpreadRow], over: SpreadBy, currency: str, times: Sequence[datetime], step: timedelta
) -> CostChart:
    of = [row for row in rows if row.by == over and row.currency == currency]
    names = [line.name for line in _lines(over, of) if line.money and not line.is_rest]
    own, rest = names[:DRAWN], set(names[DRAWN:]) | {_REST}
    series = [_series(over, name, {name}, of, times) for name in own]
    others = _series(over, _REST, rest, of, times)
    shown = (*series, others) if any(others.money) else tuple(series)
    return CostChart(
        currency=currency,
        over=over,
        step_s=int(step.total_seconds()),
        at=tuple(times),
        series=shown,
        sums=tuple(map(sum, zip(*(one.money for one in shown), strict=True))),
        digits=digits(money for one in shown for money in one.money),
    )


def _series(
    over: SpreadBy, name: str, names: set[str], rows: Sequence[SpreadRow], times: Sequence[datetime]
) -> Series:
    cost = dict.fromkeys(times, 0)
    for row in rows:
        if row.at is not None and _named(over, row) in names:
            cost[row.at] += row.money
    return Series(name, tuple(cost.values()))
