"""The budgets of workflows: which hold for a workflow's code, and what they let it begin."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from holdfast._core.budgeting import STEP, WORKFLOW, Budget
from holdfast._core.execution import ExecutionRecord
from holdfast._core.lineage import (
    Shut,
    fan_out_of,
    handed_down,
    inherited,
    joined,
    own_purses,
    shut,
    too_deep,
)
from holdfast._core.model import EffectKey
from holdfast._core.purse import Purse
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast.errors import BudgetExceeded


@value
class Descent:
    """What a workflow gets along when it is begun.

    Attributes:
        purses: The budgets around whoever begins it, as text.
        fan_out: How many children of its parent may be unfinished.
        refused: Why it must not be begun, unless it is there already.
    """

    purses: str = ""
    fan_out: int | None = None
    refused: Shut | None = None


def descent(tenant: str, parent: str, at: datetime) -> Descent:
    """Return what is begun here gets along *at* a moment by this process's clock."""
    around = [purse for purse in context.purses.get() if purse.owner in {"", tenant}]
    if not around:
        return Descent()
    return Descent(
        purses=handed_down(around, tenant),
        fan_out=fan_out_of(around, parent) if parent else None,
        refused=shut(around, at) or too_deep(around),
    )


@contextmanager
def of_life(
    execution: ExecutionRecord, declared: Budget | None, given: Iterable[Purse], now: datetime, at: datetime
) -> Generator[None]:
    """Let a workflow's code fall under its budget, and under all that its row tells of.

    Args:
        declared: By its code; ``None`` for none.
        given: By the ledger.
        now: By the store's clock, *at* the same moment by this process's.
    """
    tenant, lag = execution.tenant, now - at
    account = f"{WORKFLOW}{execution.workflow_id}"
    mine = [*given] if declared is None else [*given, Purse(tenant, account, declared)]
    around = context.purses.get()
    known = inherited(execution.purses, lag)
    token = context.purses.set(joined((*around, *known, *own_purses(mine, execution.started_at, lag))))
    closed = context.reserve.set(False)  # who opened its own around this opened none of what is begun here
    try:
        yield
    finally:
        context.reserve.reset(closed)
        context.purses.reset(token)


@contextmanager
def of_step(tenant: str, workflow_id: str, name: str, budget: Budget | None) -> Generator[None]:
    """Let a step of a workflow fall under a budget of its own, however often it is tried."""
    if budget is None:
        yield
        return
    purse = Purse(tenant, f"{STEP}{workflow_id}/{name}", budget)
    token = context.purses.set((*context.purses.get(), purse))
    try:
        yield
    finally:
        context.purses.reset(token)


@contextmanager
def opened_reserve() -> Generator[None]:
    """Let what is called inside spend what the budgets around it reserve."""
    token = context.reserve.set(True)
    try:
        yield
    finally:
        context.reserve.reset(token)


def refuse_late(purses: Iterable[Purse], at: datetime, key: EffectKey | None = None) -> None:
    """Let nothing begin when the time of a workflow around it is over.

    Raises:
        BudgetExceeded: It is. Nothing ran.
    """
    over = shut(purses, at)
    if over is not None:
        raise refusal(over, key)


def refusal(over: Shut, key: EffectKey | None = None) -> BudgetExceeded:
    """Return what a caller is told who must not begin anything."""
    return BudgetExceeded(
        over.account, over.unit, "", used=over.used, held=0, cap=over.cap, needed=1, key=key
    )


def told_of(refused: BudgetExceeded) -> dict[str, Any]:
    """Return what is put on record of a refusal, so that it can be told again."""
    named = ("account", "unit", "per", "used", "held", "cap", "needed", "key", "was_read")
    return {name: getattr(refused, name) for name in named}


def refusal_of(said: dict[str, Any]) -> BudgetExceeded | None:
    """Return the refusal that is on record of an error, if it is one."""
    known: dict[str, Any] | None = said.get("budget")
    if known is None:
        return None
    fields = dict(known)
    return BudgetExceeded(fields.pop("account"), fields.pop("unit"), fields.pop("per"), **fields)
