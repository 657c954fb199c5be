"""What a SyncLedger does about budgets and costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, TypeVar

from holdfast._core.budget import Level, Per
from holdfast._core.budgeting import Budget
from holdfast._core.caps import cap_wish
from holdfast._core.duration import Duration
from holdfast._core.estimate import CostHistory
from holdfast._core.factors import CostFactors
from holdfast._core.people import Principal
from holdfast._runtime.drive import run_sync
from holdfast.errors import BudgetExceeded
from holdfast.ledger.accounts import CostReport, SpentBy
from holdfast.ledger.ended import Ended, ended_within
from holdfast.ledger.engine import Engine

T = TypeVar("T")
Work: TypeAlias = Callable[[], T]
OnBudget: TypeAlias = Callable[[BudgetExceeded], T]


class SyncBudgets:
    """The part of a SyncLedger that is about budgets."""

    _engine: Engine

    def within(
        self,
        name: str,
        budget: Budget,
        work: Work[T],
        *,
        on_budget: OnBudget[T] | None = None,
    ) -> Ended[T]:
        """Do *work* under a budget that ends it; see :meth:`Ledger.within`. Nothing is awaited."""
        return ended_within(self._engine.tenant, name, budget, work, on_budget)

    def budgets(
        self,
        *,
        account: str | None = None,
        prefix: str | None = None,
        after: Level | None = None,
        limit: int = 100,
    ) -> list[Level]:
        """Return how full budgets are: those that all tenants share, then this tenant's, by account.

        A budget is there from the first call that fell under it.

        Args:
            account: ``global``, ``tenant``, ``agent:<id>``, ``workflow:<id>`` or ``scope:<name>``.
            prefix: Start of the account, e.g. ``agent:``.
            after: The last one of the page before.
        """
        return run_sync(self._engine.accounts.budgets(account, prefix, after, limit))

    def costs(
        self,
        *,
        by: SpentBy = "tool",
        workflow_id: str | None = None,
        since: datetime | Duration | None = None,
        until: datetime | Duration | None = None,
    ) -> CostReport:
        """Return what this tenant's attempts cost, each retry counted, and what of it was for nothing.

        What is answered from the record costs nothing, and is not in it. What nobody knows counts by its
        bound. Costs are kept as long as their effects.

        Args:
            by: What it is divided by. Whatever that is, the parts add up to the same.
            since: Of attempts that began then or later: a moment, or a length of time ago; *until* of those
                that began before.
        """
        return run_sync(self._engine.accounts.costs(by, workflow_id, since, until))

    def cost_history(
        self,
        workflow: str | None = None,
        *,
        agent: str | None = None,
        currency: str = "USD",
        limit: int = 1000,
    ) -> CostHistory:
        """Return what earlier runs cost: what the next may be expected to, for `holdfast.prices.estimate`.

        Args:
            workflow: Of the durable workflow of that name: the newest *limit* that ended of each outcome.
            agent: Only those that this actor began.
            currency: What was spent in others is not in it.
        """
        return run_sync(self._engine.accounts.history(workflow, agent, currency, limit))

    def cost_factors(self, workflow_id: str) -> CostFactors:
        """Return the five factors of a workflow's cost: calls, context growth, retries, outputs, loops.

        It is read from what is on record of its attempts and effects; what no provider told is ``None``.

        Raises:
            InvalidCall: Nothing is on record of it.
        """
        return run_sync(self._engine.accounts.factors(workflow_id))

    def raise_budget(
        self,
        account: str,
        unit: str,
        *,
        by: str | Principal,
        reason: str,
        add: str | Decimal | int | None = None,
        to: str | Decimal | int | None = None,
        per: Per = "",
    ) -> Level:
        """Give a budget more, or less, in the name of a person; audited; return it as it is then.

        It holds at once and in all workers, for this window and all that come, whatever code declares: what
        people added is added to that. Each change is made once, also when its answer was lost; the same
        change asked for by the same person twice at once is one.

        Args:
            account: ``global``, ``tenant``, ``agent:<id>``, ``workflow:<id>`` or ``scope:<name>``.
            unit: ``tokens``, ``steps``, ``tool_calls``, ``concurrency``, or a currency in small letters.
            by: Whoever calls this vouches for it. With a directory of people they need the role ``budgets``
                there; nobody changes what they, or an agent of theirs, may spend.
            add: So much more than now; below zero for less. Money in units, e.g. ``"5.00"``.
            to: So much in all; give one of both.
            per: The budget's window.

        Raises:
            CapRefused: It is not theirs, or an agent's tool or workflow asks. That they tried is on record.
            CapConflict: Somebody else changes it, or has just done so. Nothing changed.
            InvalidCall: It cannot be understood, or nothing has used such a budget. Nothing changed.
        """
        wish = cap_wish(account, unit, per, add, to, reason)
        return run_sync(self._engine.accounts.change_cap(by, wish))
