"""Budgets: what it costs, and who is near the cap."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from holdfast._core.budgeting import CONCURRENCY
from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.budgets import BudgetList, budget_list, named_budget
from holdfast.console.views.burn import Burn, burn, level_of
from holdfast.console.views.costs import OVER, RANGES, Costs, costs
from holdfast.ports import SpreadBy

_KEPT: Final = "costs"
_USED: Final = "used budgets"
_MOST_KEPT: Final = 100
_WORDS: Final[dict[SpreadBy, str]] = {"model": "model", "tool": "tool", "actor": "agent"}


async def _build(asked: Asked) -> Answer:
    prefix = asked.query.get("prefix", "").strip()
    within, over = _within(asked), _over(asked)
    budgets = await budget_list(asked.ledger, prefix, asked.query.get("after"))
    use = await _use(asked, budgets)
    chosen = {"prefix": prefix, "within": within, "over": over, "of": asked.query.get("of", "")}
    return Answer(
        "budgets.html",
        "Budgets",
        {"budgets": budgets, "use": use, "costs": await _costs(asked, within, over)},
        {
            **chosen,
            "chosen": use.row.id if use else "",
            "link": urlencode({"prefix": prefix, "within": within, "over": over}),
            "ranges": {one: urlencode({**chosen, "within": one}) for one in RANGES},
            "over_words": _WORDS[over],
            "overs": {_WORDS[one]: (one, urlencode({**chosen, "over": one})) for one in OVER},
            "next": urlencode({**chosen, "after": budgets.after or ""}),
        },
    )


def _within(asked: Asked) -> str:
    told = asked.query.get("within", "")
    return told if told in RANGES else "7d"


def _over(asked: Asked) -> SpreadBy:
    told = asked.query.get("over", "")
    known: dict[str, SpreadBy] = {one: one for one in OVER}
    return known.get(told, OVER[0])


async def _use(asked: Asked, budgets: BudgetList) -> Burn | None:
    """Return how one budget was used up as of this minute: the one asked for, else the fullest."""
    told = asked.query.get("of", "")
    first = next((row.id for row in budgets.rows if row.unit != CONCURRENCY), "")
    if not (told or first):
        return None
    kept: dict[str, tuple[datetime, Burn]] = asked.kept.setdefault(_USED, {})
    at, found = kept.get(told or first, (None, None))
    if found is None or at != asked.now:
        level = await level_of(asked.ledger, named_budget(told or first))
        found = await burn(asked.ledger, level, asked.now)
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[told or first] = (asked.now, found)
    return found


async def _costs(asked: Asked, within: str, over: SpreadBy) -> Costs:
    """Return the costs as of this minute: they are added up over all attempts, which a tick must not."""
    kept: dict[tuple[str, SpreadBy], tuple[datetime, Costs]] = asked.kept.setdefault(_KEPT, {})
    at, found = kept.get((within, over), (None, None))
    if found is None or at != asked.now:
        found = await costs(asked.ledger, within, over, asked.now)
        kept[within, over] = (asked.now, found)
    return found


PAGE = Page("budgets", "/budgets", _build, title="Budgets", key="b")
