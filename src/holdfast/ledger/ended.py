"""How work under a budget ended: it was completed, or the budget was exhausted and this is what there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from holdfast._core.budgeting import CONCURRENCY, Budget
from holdfast._runtime.budgeting import within
from holdfast._runtime.purses import opened_reserve
from holdfast.errors import BudgetExceeded

T = TypeVar("T")
_DEEPEST: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Generic[T]):
    """How work under a budget ended.

    Attributes:
        output: What it returned; of a budget that was exhausted what ``on_budget`` made of the rest, and
            ``None`` if there was no such function, or not enough kept for it.
        refused: What had no room, and in which budget; ``None`` when it was completed.
    """

    output: T | None
    refused: BudgetExceeded | None = None

    @property
    def status(self) -> Literal["completed", "budget_exhausted"]:
        """How it ended."""
        return "completed" if self.refused is None else "budget_exhausted"


def ended_within(
    tenant: str,
    name: str,
    budget: Budget,
    work: Callable[[], T],
    on_budget: Callable[[BudgetExceeded], T] | None,
) -> Ended[T]:
    """See :meth:`holdfast.SyncLedger.within`."""
    with within(tenant, name, budget):
        try:
            return Ended(output=work())
        except Exception as error:
            refused = _exhausted(error)
            if refused is None:
                raise
        if on_budget is None:
            return Ended(output=None, refused=refused)
        try:
            with opened_reserve():
                return Ended(output=on_budget(refused), refused=refused)
        except Exception as error:
            if _exhausted(error) is None:
                raise
            return Ended(output=None, refused=refused)


async def ended_within_async(
    tenant: str,
    name: str,
    budget: Budget,
    work: Callable[[], Awaitable[T]],
    on_budget: Callable[[BudgetExceeded], Awaitable[T]] | None,
) -> Ended[T]:
    """See :meth:`holdfast.Ledger.within`."""
    with within(tenant, name, budget):
        try:
            return Ended(output=await work())
        except Exception as error:
            refused = _exhausted(error)
            if refused is None:
                raise
        if on_budget is None:
            return Ended(output=None, refused=refused)
        try:
            with opened_reserve():
                return Ended(output=await on_budget(refused), refused=refused)
        except Exception as error:
            if _exhausted(error) is None:
                raise
            return Ended(output=None, refused=refused)


def _exhausted(error: BaseException) -> BudgetExceeded | None:
    """Return the refusal that an error is, or was made of by a framework; a seat that is taken is none."""
    seen: BaseException | None = error
    for _ in range(_DEEPEST):
        if isinstance(seen, BudgetExceeded):
            return None if seen.unit == CONCURRENCY else seen
        seen = None if seen is None else seen.__cause__
    return None
