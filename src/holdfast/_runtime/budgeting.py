"""Stage 5: what a claim has to hold of the budgets that its call falls under; and what a refusal says."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Final

from holdfast._core.budget import Demand, Level, PlaceHold, Refused
from holdfast._core.budgeting import CONCURRENCY, WORKFLOW, Budget, checked_budget, scope
from holdfast._core.model import EffectKey
from holdfast._core.needs import TOOL, Needs
from holdfast._core.purse import Purse, demands, ensure_told, purses_of
from holdfast._runtime import context
from holdfast._runtime.parts import Parts
from holdfast._runtime.purses import refuse_late
from holdfast.errors import BudgetExceeded
from holdfast.ports import AccountQuery, Facts

_REMEMBERED: Final = 1024
"""Of so many workflows it is remembered what their calls demand: one call of many is like the one before."""


class Budgets:
    """The budgets that a ledger was given, and those around the code that calls.

    Args:
        given: By account.
        worker: Whoever claims here: all of a process use one slice of a divided budget.
    """

    def __init__(self, given: Mapping[str, Budget], worker: str) -> None:
        self._given = given
        self._own = lru_cache(maxsize=_REMEMBERED)(self._demanded)
        self._slice = int.from_bytes(hashlib.sha256(worker.encode()).digest()[:2])

    def hold(self, facts: Facts, attempt: int, at: datetime, *, is_spent: bool = False) -> PlaceHold | None:
        """See :meth:`holdfast.ports.Pricer.hold`."""
        needs, needed = facts.needs, self._needed(facts, at, is_spent=is_spent)
        if not needed and not needs.is_recorded:
            return None
        return PlaceHold(
            tenant=facts.tenant,
            key=facts.key,
            attempt=attempt,
            workflow_id=facts.workflow_id,
            actor=facts.actor,
            tool=facts.tool,
            demands=needed,
            at=at,
            model=needs.model,
            currency=needs.currency,
            money=needs.money,
            tokens=needs.tokens,
            price=needs.price,
            slice=self._slice,
            is_spent=is_spent,
        )

    def _needed(self, facts: Facts, at: datetime, *, is_spent: bool) -> tuple[Demand, ...]:
        """Return what the call needs of each budget that it falls under.

        Raises:
            BudgetExceeded: The time of a workflow around it is over. Nothing ran.
            CurrencyMismatch: It costs money, and a budget caps that in another currency. Nothing ran.
            UnboundedRequest: A budget caps what nobody can say of it. Nothing ran.
        """
        if facts.undoes is not None:  # what undoes must not be what there is no more room for
            return ()
        around = tuple(purse for purse in context.purses.get() if purse.owner in {"", facts.tenant})
        if around and not is_spent:  # what is spent already was begun in time
            refuse_late(around, at, facts.key)
        whose, opens = (facts.tenant, facts.actor, facts.workflow_id), context.reserve.get()
        if facts.needs is TOOL and not around:
            return self._own(*whose, opens)
        return self._demanded(*whose, opens, facts.needs, around)

    def _demanded(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        opens: bool,  # noqa: FBT001 - a cache's key
        needs: Needs = TOOL,
        around: tuple[Purse, ...] = (),
    ) -> tuple[Demand, ...]:
        own = purses_of(self._given, tenant=tenant, actor=actor, workflow_id=workflow_id)
        purses = (*own, *around)
        ensure_told(purses, needs)
        return demands(purses, needs.amounts | {CONCURRENCY: 1}, opens=opens)

    def of_workflow(self, tenant: str, workflow_id: str) -> Sequence[Purse]:
        """See :meth:`holdfast.ports.Pricer.of_workflow`."""
        found = purses_of(self._given, tenant=tenant, actor="", workflow_id=workflow_id)
        return [purse for purse in found if purse.account.startswith(WORKFLOW)]


@contextmanager
def within(tenant: str, name: str, budget: Budget) -> Generator[None]:
    """Let all that is called inside fall under a budget of that name as well.

    Raises:
        InvalidTool: It is no budget, or has no name.
    """
    purse = Purse(tenant, scope(name), checked_budget(name, budget))
    token = context.purses.set((*context.purses.get(), purse))
    try:
        yield
    finally:
        context.purses.reset(token)


def exceeded(refused: Refused, key: EffectKey, *, was_read: bool = False) -> BudgetExceeded:
    """Return what a caller is told whose call did not fit."""
    level = refused.level
    return BudgetExceeded(
        level.account,
        level.unit,
        level.per,
        used=level.spent,
        held=level.held,
        cap=level.cap,
        needed=refused.amount,
        key=key,
        was_read=was_read,
    )


async def levels_of(parts: Parts, hold: PlaceHold | None) -> list[Level]:
    """Return how full the budgets are that a hold falls under; of those that nothing was held of, nothing."""
    if hold is None:
        return []
    places = {(demand.owner, demand.account) for demand in hold.demands}
    wanted = {(demand.owner, demand.account, demand.unit, demand.per) for demand in hold.demands}
    found: list[Level] = []
    for owner, account in sorted(places):
        found += await parts.store.budgets.levels(AccountQuery(owner=owner, account=account))
    return [level for level in found if (level.owner, level.account, level.unit, level.per) in wanted]
