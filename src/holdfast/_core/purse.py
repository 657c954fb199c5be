"""Whose budgets a call falls under, and what it needs of each of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast._core.budget import EVERYBODY, TOKENS, Demand
from holdfast._core.budgeting import (
    AGENT,
    CONCURRENCY,
    COUNTS,
    GLOBAL,
    TENANT,
    WORKFLOW,
    Budget,
)
from holdfast._core.needs import Needs
from holdfast.errors import CurrencyMismatch, UnboundedRequest

_RETURNS: Final = frozenset({CONCURRENCY})


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget, and whose it is.

    Attributes:
        generation: How many beginnings of workflows are between where it was declared and the code that it
            holds for: 0 for the workflow's own.
        until: When its wall clock is over, by the store's clock; ``None`` when it has none.
        lag: How far the store's clock is ahead of this process's.
    """

    owner: str
    account: str
    budget: Budget
    generation: int = 0
    until: datetime | None = None
    lag: timedelta = timedelta(0)

    def caps(self, *, opens: bool) -> dict[str, int]:
        """Return what may be spent, by unit; of what is reserved only where it was declared, if *opens*."""
        caps, reserve = self.budget.caps, self.budget.reserve
        if reserve is None or (opens and self.generation == 0):
            return caps
        kept = reserve.caps
        return {unit: cap - kept.get(unit, 0) for unit, cap in caps.items()}

    def late_s(self, at: datetime) -> float | None:
        """Return for how long its wall clock is over *at* a moment by this process's clock; else ``None``."""
        if self.until is None or at + self.lag < self.until:
            return None
        return (at + self.lag - self.until).total_seconds()


def purses_of(budgets: Mapping[str, Budget], *, tenant: str, actor: str, workflow_id: str) -> Iterator[Purse]:
    """Return which of a ledger's budgets a call falls under.

    Args:
        budgets: By account; ``agent`` and ``workflow`` stand for each of them that has none of its own.
    """
    exact = {f"{AGENT}{actor}", f"{WORKFLOW}{workflow_id}"} & budgets.keys()
    for name, budget in budgets.items():
        if any(own.startswith(f"{name}:") for own in exact):
            continue
        if name == GLOBAL:
            yield Purse(EVERYBODY, GLOBAL, budget)
        elif name == TENANT:
            yield Purse(tenant, TENANT, budget)
        elif name in {AGENT[:-1], f"{AGENT}{actor}"}:
            yield Purse(tenant, f"{AGENT}{actor}", budget)
        elif name in {WORKFLOW[:-1], f"{WORKFLOW}{workflow_id}"}:
            yield Purse(tenant, f"{WORKFLOW}{workflow_id}", budget)


def declared_for(budgets: Mapping[str, Budget], account: str) -> Budget | None:
    """Return what a ledger's budgets say of one account; ``None`` when that is none of them."""
    found = budgets.get(account)
    if found is not None:
        return found
    return next((budgets.get(kind[:-1]) for kind in (AGENT, WORKFLOW) if account.startswith(kind)), None)


def ensure_told(purses: Iterable[Purse], needs: Needs) -> None:
    """Let no call pass of which nobody can say how much it needs of what a budget caps.

    Raises:
        CurrencyMismatch: It costs money in one currency, and a budget caps that in another one only.
        UnboundedRequest: It may use any number of tokens, or cost anything.
    """
    for purse in purses:
        caps = purse.budget.caps.keys()
        money = caps - set(COUNTS)
        if needs.endless and (money or TOKENS in caps):
            raise UnboundedRequest(needs.model, purse.account, needs.endless)
        if needs.unpriced and money:
            raise UnboundedRequest(needs.model, purse.account, (needs.unpriced,))
        if needs.money and money and needs.currency not in money:
            raise CurrencyMismatch(needs.currency.upper(), min(money).upper())


def demands(purses: Sequence[Purse], needs: Mapping[str, int], *, opens: bool = False) -> tuple[Demand, ...]:
    """Return what a claim needs of each budget that has a cap on some of it.

    The same cap of one account, declared twice around a call, is one: the lower.

    Args:
        opens: What is reserved may be spent as well; but not what those above a workflow reserve.
    """
    found: dict[tuple[str, str, str, str], Demand] = {}
    for purse in purses:
        for unit, cap in purse.caps(opens=opens).items():
            if unit not in needs:
                continue
            place = purse.owner, purse.account, unit, purse.budget.per
            known = found.get(place)
            if known is not None and known.cap <= cap:
                continue
            found[place] = Demand(
                owner=purse.owner,
                account=purse.account,
                unit=unit,
                per=purse.budget.per,
                cap=cap,
                amount=needs[unit],
                returns=unit in _RETURNS,
                slices=purse.budget.slices,
            )
    return tuple(found.values())
