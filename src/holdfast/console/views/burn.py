"""One budget: how it was used up so far, and when its cap is reached at this rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from holdfast._core.budget import EVERYBODY, Level, Per
from holdfast._core.budgeting import CONCURRENCY
from holdfast.console.asking import NotThere
from holdfast.console.ledgers import looked
from holdfast.console.text import span
from holdfast.console.views.budgets import BudgetRow, Named, budget_row
from holdfast.ledger import Ledger
from holdfast.ports import AccountQuery, BurnQuery

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_STEPS: Final[dict[str, timedelta]] = {
    "hour": _MINUTE,
    "day": 30 * _MINUTE,
    "month": 12 * _HOUR,
    "": 30 * _MINUTE,
}
"""How finely the use of a budget is drawn, by its window; what begins anew each minute is not drawn."""

_LATELY: Final[dict[str, timedelta]] = {"hour": 10 * _MINUTE, "day": _HOUR, "month": _DAY, "": _HOUR}
"""What the rate is taken from."""


@dataclass(frozen=True, slots=True)
class Burn:
    """How one budget was used up.

    Attributes:
        at: Moments, the last of them now; *spent*, what was spent by then.
        ends_at: When its window ends; ``None`` when the cap holds for ever.
        lately: What was spent within *lately_s* seconds; the rate.
        reaches_at: When the cap is reached at this rate; ``None`` when it is not, or not in this window.
        says: The same in words.
    """

    row: BudgetRow
    at: tuple[datetime, ...]
    spent: tuple[int, ...]
    ends_at: datetime | None
    lately: int
    lately_s: float
    reaches_at: datetime | None
    says: str


async def level_of(ledger: Ledger, named: Named) -> Level:
    """Return the budget that an address names.

    Raises:
        NotThere: There is none like that.
    """
    query = AccountQuery(owner=EVERYBODY if named.is_shared else "own", account=named.account)
    levels = await looked(ledger, lambda engine: engine.pages.levels(query))
    for level in levels:
        if (level.unit, level.per) == (named.unit, named.per):
            return level
    raise NotThere(f"no budget of {named.account} in {named.unit}")


async def burn(ledger: Ledger, level: Level, now: datetime) -> Burn:
    """Say how a budget was used up by *now*, a whole minute, and when its cap is reached at this rate."""
    if level.unit == CONCURRENCY or level.per not in _STEPS:
        return undrawn(level)
    step = _STEPS[level.per]
    since = level.window_start if level.per else _floor(now - _DAY, step)
    lately = _LATELY[level.per]
    fine = min(step, _MINUTE) if level.per != "month" else 10 * _MINUTE
    query = BurnQuery(
        owner=level.owner, account=level.account, unit=level.unit, per=level.per, since=since, step=fine
    )
    steps = await looked(ledger, lambda engine: engine.pages.burnt(query))
    begun = max(since, now - lately)
    recent = sum(spent for at, spent in steps if at >= begun)
    return drawn(level, steps, recent, (since, begun, now), step)


def drawn(
    level: Level,
    steps: Sequence[tuple[datetime, int]],
    recent: int,
    moments: tuple[datetime, datetime, datetime],
    step: timedelta,
) -> Burn:
    """Return how a budget was used up.

    Args:
        steps: What was spent, by when; in smaller steps than those that are drawn, *step*.
        recent: What was spent lately.
        moments: When what is drawn begins, when what is called lately does, and now.
    """
    since, begun, now = moments
    times: list[datetime] = []
    while since + len(times) * step < now:
        times.append(since + len(times) * step)
    times.append(max(now, since))
    spent = [max(0, level.spent - sum(n for at, n in steps if at >= moment)) for moment in times]
    spent[-1] = level.spent
    lately_s = max((now - begun).total_seconds(), 60.0 if recent else 0.0)
    ends_at = _end(level.per, level.window_start)
    reaches_at, says = _told(level, recent, lately_s, now, ends_at)
    return Burn(
        row=budget_row(level),
        at=tuple(times),
        spent=tuple(spent),
        ends_at=ends_at,
        lately=recent,
        lately_s=lately_s,
        reaches_at=reaches_at,
        says=says,
    )


def _told(
    level: Level, recent: int, lately_s: float, now: datetime, ends_at: datetime | None
) -> tuple[datetime | None, str]:
    """Return when the cap is reached at this rate, and what is said of it."""
    if level.left <= 0:
        until = (
            "somebody raises the cap" if ends_at is None else "its window ends, or somebody raises the cap"
        )
        return None, f"It is used up: nothing more is admitted until {until}."
    if lately_s <= 0:
        return None, "Its window has just begun."
    if recent <= 0:
        return None, f"Nothing was spent of it in the last {span(lately_s)}."
    seconds = level.left * lately_s / recent
    left_s = None if ends_at is None else (ends_at - now).total_seconds()
    if left_s is not None and seconds > left_s:
        by_then = level.spent + level.held + recent * left_s / lately_s
        share = 100 * by_then / level.cap
        return None, f"At this rate its window ends first, at {share:.0f} % of the cap."
    if seconds > _FAR_S:
        return None, "At this rate the cap is reached in more than a year."
    return now + timedelta(
        seconds=round(seconds)
    ), f"At this rate the cap is reached in {span(round(seconds))}."


_FAR_S: Final = 366 * 86400.0


def undrawn(level: Level) -> Burn:
    """Return what is said of a budget that is not used up over time."""
    is_seats = level.unit == CONCURRENCY
    says = "Seats are given back: nothing of it is used up." if is_seats else "It begins anew each minute."
    return Burn(budget_row(level), (), (), None, 0, 0.0, None, says)


def _end(per: Per, begun: datetime) -> datetime | None:
    """Return when a window ends that began then."""
    if not per:
        return None
    if per == "month":
        return (begun.replace(day=1) + timedelta(days=32)).replace(day=1)
    return begun + {"minute": _MINUTE, "hour": _HOUR, "day": _DAY}[per]


def _floor(at: datetime, step: timedelta) -> datetime:
    second = int(at.timestamp())
    return datetime.fromtimestamp(second - second % int(step.total_seconds()), UTC)
