"""Budgets: who is near the cap."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast._core.budget import EVERYBODY, Level
from holdfast._core.spending import FULL, Fullness, filled, fullness
from holdfast.console.asking import Misread
from holdfast.console.ledgers import looked
from holdfast.ledger import Ledger
from holdfast.ports import FullestQuery
from holdfast.ports.spending import Place

PAGE: Final = 50
NAMED: Final = 5
_SHARED: Final = "shared"
_OWN: Final = "own"
_PLACE: Final = re.compile(
    rf"(?:(\d{{1,16}})~)?({_SHARED}|{_OWN})~([a-z_]{{1,20}})~((?:minute|hour|day|month)?)~([^\0]{{1,2000}})",
    re.ASCII | re.DOTALL,
)
_MARKS: Final = (500, 800, 1000)


@dataclass(frozen=True, slots=True)
class BudgetBar:
    """How full a budget is, as one bar, in hundredths of its width.

    Attributes:
        spent: How wide what is spent is; *held* begins there.
        marks: Where the half, four fifths and all of the cap are.
    """

    spent: float
    held: float
    marks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget.

    Attributes:
        id: Names it in an address.
        is_shared: All tenants share it.
        cap: What may be spent: what code declared last, and what people added (*raised*).
        left: What a claim may still hold; below zero when more was spent than was held.
        filled: How much is spent or held, in thousandths.
        fullness: The same in words.
        window_start: When its window began; ``None`` when the cap holds for ever.
    """

    id: str
    account: str
    is_shared: bool
    unit: str
    per: str
    cap: int
    raised: int
    spent: int
    held: int
    left: int
    filled: int
    fullness: Fullness
    window_start: datetime | None
    bar: BudgetBar


@dataclass(frozen=True, slots=True)
class BudgetList:
    """One page of budgets, the fullest first.

    Attributes:
        found: How many there are in all that were looked for; *near*, how many of them are near their caps.
        after: Where the next page begins; ``None`` when this is the last.
    """

    rows: tuple[BudgetRow, ...]
    found: int
    near: int
    after: str | None


async def budget_list(ledger: Ledger, prefix: str, after: str | None) -> BudgetList:
    """Say who is near the cap: the fullest first, fifty to a page, counted exactly.

    Raises:
        Misread: *after* is no place in a list, or no account begins like that.
    """
    if "\0" in prefix:
        raise Misread("No account's name has a character like that.")
    query = FullestQuery(tenant="", prefix=prefix, after=_after(ledger, after), limit=PAGE + 1)
    found = await looked(ledger, lambda engine: engine.pages.fullest(query))
    shown = found.levels[:PAGE]
    is_last = len(found.levels) <= PAGE
    return BudgetList(
        rows=tuple(budget_row(level) for level in shown),
        found=found.found,
        near=found.near,
        after=None if is_last else f"{filled(shown[-1])}~{_id(shown[-1])}",
    )


async def near_caps(ledger: Ledger) -> BudgetList:
    """Say which budgets people should know of: the fullest few, and how many there are."""
    query = FullestQuery(tenant="", is_near=True, limit=NAMED)
    found = await looked(ledger, lambda engine: engine.pages.fullest(query))
    return BudgetList(
        rows=tuple(budget_row(level) for level in found.levels),
        found=found.found,
        near=found.near,
        after=None,
    )


def budget_row(level: Level) -> BudgetRow:
    """Return one budget as it stands in a list."""
    return BudgetRow(
        id=_id(level),
        account=level.account,
        is_shared=level.owner == EVERYBODY,
        unit=level.unit,
        per=level.per,
        cap=level.cap,
        raised=level.raised,
        spent=level.spent,
        held=level.held,
        left=level.left,
        filled=filled(level),
        fullness=fullness(level),
        window_start=level.window_start if level.per else None,
        bar=bar_of(level),
    )


def bar_of(level: Level) -> BudgetBar:
    """Return the bar of a budget: as wide as the cap, or as what is spent and held when that is more."""
    cap = max(level.cap, 0)
    whole = max(cap, level.spent + level.held, 1)
    return BudgetBar(
        spent=round(100 * level.spent / whole, 2),
        held=round(100 * level.held / whole, 2),
        marks=tuple(round(100 * cap * mark / FULL / whole, 2) for mark in _MARKS if cap),
    )


def _id(level: Level) -> str:
    owner = _SHARED if level.owner == EVERYBODY else _OWN
    return f"{owner}~{level.unit}~{level.per}~{level.account}"


@dataclass(frozen=True, slots=True)
class Named:
    """A budget that an address names."""

    is_shared: bool
    unit: str
    per: str
    account: str


def named_budget(text: str) -> Named:
    """Return which budget an address names.

    Raises:
        Misread: It names none.
    """
    found = _PLACE.fullmatch(text)
    if found is None or found[1] is not None:
        raise Misread("This address names no budget: choose one from the list.")
    return Named(found[2] == _SHARED, found[3], found[4], found[5])


def _after(ledger: Ledger, text: str | None) -> Place | None:
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    if found is None or found[1] is None:
        raise Misread("This address names no place in the list: begin at the first page.")
    owner = EVERYBODY if found[2] == _SHARED else tenant_of(ledger)
    return int(found[1]), owner, found[5], found[3], found[4]


def tenant_of(ledger: Ledger) -> str:
    """Return whose ledger it is."""
    return ledger._engine.tenant  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
