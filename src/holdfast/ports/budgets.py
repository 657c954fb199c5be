"""Where budgets are read. They are moved by changes, together with the effects that hold and spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from holdfast._core.budget import HoldRecord, Level, Per
from holdfast._core.model import EffectKey

CostBy: TypeAlias = Literal["tool", "model", "actor", "workflow_id", "outcome", "day", "waste"]
"""What costs are added up by; the outcome is the state that the effect is in, and waste is why what was spent
was for nothing: see :func:`holdfast._core.budget.wasted_as`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuery:
    """Which budgets to list. ``None`` means any.

    Attributes:
        owner: A tenant, or ``""`` for those that all share.
        prefix: Start of the account's name.
        after: Only what comes after this place in the order: ``(account, unit, per)`` of the last one seen.
        limit: At most this many.
    """

    owner: str
    account: str | None = None
    prefix: str | None = None
    after: tuple[str, str, str] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldQuery:
    """Which holds to list, newest first. ``None`` means any.

    Attributes:
        state: ``held``, ``settled``, ``assumed`` or ``released``.
        since: Placed at or after (aware).
        limit: At most this many.
    """

    tenant: str
    key: EffectKey | None = None
    workflow_id: str | None = None
    state: str | None = None
    since: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuery:
    """Which costs to add up, and by what.

    Attributes:
        workflow_id: Of one workflow; ``None`` for all.
        since: Of attempts that began at or after (aware).
        until: Of attempts that began before (aware).
    """

    tenant: str
    by: CostBy
    workflow_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What attempts cost that have something in common.

    Attributes:
        name: What they have in common.
        currency: Of the money, a code in small letters; empty for those that cost none.
        attempts: How many there were.
        money: What they cost, in micro-units; of those under way nothing.
        tokens: What they used; of those under way nothing.
        assumed_money: The part of *money* that nobody knows: it is counted by its bound.
        held_money: What those under way may cost at most.
        wasted_money: The part of *money* that was spent for nothing, or perhaps for nothing.
        wasted_tokens: The part of *tokens*.
    """

    name: str
    currency: str
    attempts: int
    money: int
    tokens: int
    assumed_money: int
    held_money: int
    wasted_money: int
    wasted_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapChange:
    """People give a budget more, or less. Guard: *was* is what they had added before.

    Attributes:
        cap: What code declares, for a budget that nobody has used yet.
        raised: What they have added in all after this; may be below zero.
    """

    owner: str
    account: str
    unit: str
    per: Per
    cap: int
    was: int
    raised: int
    at: datetime


class BudgetStore(Protocol):
    """Reads of budgets and of what was spent; and the one write that no effect's change carries."""

    async def levels(self, query: AccountQuery) -> Sequence[Level]:
        """Return budgets by account, unit and window; of a window that is over nothing is spent."""
        ...

    async def holds(self, query: HoldQuery) -> Sequence[HoldRecord]:
        """Return holds, newest first."""
        ...

    async def costs(self, query: CostQuery) -> Sequence[CostRow]:
        """Return what was spent, by name and currency."""
        ...

    async def put_cap(self, change: CapChange) -> Level | None:
        """Write what people added; return the budget as it is then, or ``None`` if the guard did not hold."""
        ...
