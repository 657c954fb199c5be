"""Where people read what is spent: the fullest budgets, what costs came to, how fast one is used up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, TypeAlias

from holdfast._core.budget import Level, Per

SpreadBy: TypeAlias = Literal["tool", "model", "actor", "workflow_id", "outcome", "fate"]
"""What costs are told by: the outcome is the state that the effect is in, the fate what the money came to."""

Place: TypeAlias = tuple[int, str, str, str, str]
"""Where a budget stands among the fullest: how full it is, owner, account, unit, window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullestQuery:
    """Which budgets to list, the fullest first: the tenant's own, and those that all share.

    Attributes:
        prefix: Start of the account's name.
        is_near: Only those that people should know of.
        after: Only what comes after this place in the order.
        limit: At most this many.
    """

    tenant: str
    prefix: str = ""
    is_near: bool = False
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Fullest:
    """One page of budgets.

    Attributes:
        found: How many there are in all that were asked for.
        near: How many of these people should know of.
    """

    levels: tuple[Level, ...]
    found: int
    near: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadQuery:
    """What costs to add up, by several things in one look.

    Attributes:
        workflow_id: Of one workflow; ``None`` for all.
        since: Of attempts that began at or after (aware); *until* before.
        by: By what.
        over: One of these is told by time as well, in steps of *step*, whole seconds.
        most: So many names by each, those that cost most in a currency; the others are put together.
    """

    tenant: str
    by: tuple[SpreadBy, ...]
    workflow_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    over: SpreadBy | None = None
    step: timedelta = timedelta(days=1)
    most: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadRow:
    """What attempts cost that have something in common. Each *by* adds up to the same.

    Attributes:
        name: What they have in common; empty for the others, which *is_rest* says.
        names: How many are told of: 1, or those that are put together.
        at: The step of time that they began in; ``None`` for what is not told by time.
        currency: A code in small letters; empty for those that cost no money.
        money: What they cost, in micro-units; of those under way nothing. So it is with *tokens*.
        failed: The part of *money* that attempts cost which failed; so are *superseded* and *assumed*.
        held: What those under way may cost at most.
    """

    by: SpreadBy
    name: str
    is_rest: bool
    names: int
    at: datetime | None
    currency: str
    attempts: int
    money: int
    tokens: int
    failed: int
    superseded: int
    assumed: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnQuery:
    """Of which budget to tell how it was used up.

    Attributes:
        since: Of what was settled at or after (aware), in attempts begun a day before that or later.
        step: Whole seconds.
    """

    owner: str
    account: str
    unit: str
    per: Per
    since: datetime
    step: timedelta


class SpendingStore(Protocol):
    """Reads of budgets and costs for people to look at; each is one query."""

    async def fullest(self, query: FullestQuery) -> Fullest:
        """Return budgets, the fullest first; of a window that is over nothing is spent."""
        ...

    async def spread(self, query: SpreadQuery) -> Sequence[SpreadRow]:
        """Return what was spent, by each thing that is asked for; in no order."""
        ...

    async def burnt(self, query: BurnQuery) -> Sequence[tuple[datetime, int]]:
        """Return when and how much was spent of one budget, by steps of time; of empty steps nothing."""
        ...
