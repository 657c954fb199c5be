"""Budgets as values: what a claim holds, what its end settles, and what follows for a level. Pure.

A budget is a cap on one unit of one account, for ever or in each window of time. A claim *holds* what its
attempt may spend at most, in the statement that wins the claim; the statement that ends the attempt settles
that. So nothing can be held by nobody: what nobody holds any more has left ``pending``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from holdfast._core.model import EffectKey
from holdfast._core.states import State
from holdfast._core.value import value

EVERYBODY: Final = ""
"""The owner of what all tenants share."""

TOKENS: Final = "tokens"
"""The unit that providers count; money is counted in micro-units of a currency, under its code."""

MOST: Final = 2**53
"""No cap and no amount is larger: sums stay far from where a database's integers end."""

Per: TypeAlias = Literal["", "minute", "hour", "day", "month"]
"""How long a cap holds before it begins anew, by the store's clock in UTC; ``""`` for ever."""

Basis: TypeAlias = Literal["actual", "bound", "nothing"]
"""What is known of what was spent: the amounts, at most what was held, or that nothing was."""


class HoldState:
    """Where a hold stands, as the database has it."""

    HELD: Final = "held"  #: its attempt is under way
    SETTLED: Final = "settled"  #: what was spent is known
    ASSUMED: Final = "assumed"  #: nobody knows; it counts as spent to its bound until evidence comes
    RELEASED: Final = "released"  #: nothing was spent


@value
class Demand:
    """What one claim needs of one budget.

    Attributes:
        owner: Whose account it is: a tenant, or :data:`EVERYBODY`.
        account: ``global``, ``tenant``, ``agent:<id>``, ``workflow:<id>`` or ``scope:<name>``.
        unit: ``tokens``, ``steps``, ``tool_calls``, ``concurrency``, or a currency's code in small letters.
        cap: What code declares; people may have raised it.
        amount: What is held, at most :data:`MOST`.
        returns: What is held is free again at the end, and nothing of it is spent.
        slices: Into so many slices a store may divide what is left, so that a fleet does not wait for one
            row; 0 for none. It changes nothing of what is admitted.
    """

    owner: str
    account: str
    unit: str
    per: Per = ""
    cap: int
    amount: int
    returns: bool = False
    slices: int = 0


@value
class PlaceHold:
    """Hold what an attempt may spend. Guard: no cap is passed, those of all its demands together.

    Attributes:
        attempt: The attempt that the claim begins.
        currency: Of its money, a code in small letters; empty when it costs none.
        money: The most that it costs, in micro-units.
        tokens: The most that it uses.
        price: Which price it was computed by; ``None`` when nothing was.
        slice: Which slice of a divided budget its worker uses.
        is_spent: The attempt is over, as a read is when it is recorded: all of it is spent at once.
    """

    tenant: str
    key: EffectKey
    attempt: int
    workflow_id: str
    actor: str
    tool: str
    demands: tuple[Demand, ...]
    at: datetime
    model: str = ""
    currency: str = ""
    money: int = 0
    tokens: int = 0
    price: str | None = None
    slice: int = 0
    is_spent: bool = False


@value
class SettleHold:
    """Settle what an attempt held; nothing when it held nothing, or that is settled.

    What was assumed is corrected once, by amounts or by the knowledge that nothing was spent.

    Attributes:
        attempt: ``None`` for all attempts of which it is not known.
        amounts: What was spent by unit, when the basis says that it is known; a unit that is not told of
            counts by its bound.
        usage: JSON text of what the provider told; ``None`` when nothing did.
    """

    tenant: str
    key: EffectKey
    attempt: int | None
    basis: Basis
    amounts: tuple[tuple[str, int], ...] = ()
    usage: str | None = None


HoldOp: TypeAlias = PlaceHold | SettleHold


@value
class Taken:
    """What a hold has of one budget."""

    owner: str
    account: str
    unit: str
    per: Per
    amount: int
    returns: bool
    slice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How full a budget is.

    Attributes:
        cap: What may be spent: what code declared last, and what people added.
        raised: What people added.
        spent: What was, in this window.
        held: What attempts under way may still spend.
        window_start: When the window began (aware, UTC); 1970 when the cap holds for ever.
    """

    owner: str
    account: str
    unit: str
    per: Per
    cap: int
    raised: int
    spent: int
    held: int
    window_start: datetime

    @property
    def left(self) -> int:
        """What a claim may still hold; below zero when more was spent than was held."""
        return self.cap - self.spent - self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A budget that a claim does not fit into.

    Attributes:
        level: The budget as it is; nothing of the claim is in it.
        amount: What the claim needs.
    """

    level: Level
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRecord:
    """What one attempt cost: the hold while it is under way, and the record of its cost ever after.

    Attributes:
        state: ``held``, ``settled``, ``assumed`` or ``released``.
        money: The most that it costs, in micro-units of *currency*.
        tokens: The most that it uses.
        spent_money: What it cost; ``None`` while that is open.
        spent_tokens: What it used; ``None`` while that is open.
        usage: JSON text of what the provider told.
        settled_at: When it was settled last, by the store's clock.
    """

    tenant: str
    key: EffectKey
    attempt: int
    workflow_id: str
    actor: str
    tool: str
    model: str
    state: str
    currency: str
    money: int
    tokens: int
    spent_money: int | None
    spent_tokens: int | None
    price: str | None
    usage: str | None
    taken: tuple[Taken, ...]
    at: datetime
    settled_at: datetime | None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def window_start(per: Per, now: datetime) -> datetime:
    """Return when the window began that *now* (aware) is in; 1970 for a cap that holds for ever."""
    if not per:
        return _EPOCH
    moment = now.astimezone(UTC).replace(second=0, microsecond=0)
    if per == "minute":
        return moment
    moment = moment.replace(minute=0)
    if per == "hour":
        return moment
    moment = moment.replace(hour=0)
    return moment if per == "day" else moment.replace(day=1)


def demanded(op: PlaceHold) -> tuple[Demand, ...]:
    """Return its demands in the one order in which everybody looks at budgets."""
    return in_order(op.demands)


def in_order(demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """Return *demands* in the one order in which everybody looks at budgets."""
    return tuple(sorted(demands, key=lambda each: (each.owner, each.account, each.unit, each.per)))


def taken_by(op: PlaceHold) -> tuple[Taken, ...]:
    """Return what it has when it is placed, in that order."""
    return taken_of(op.demands, op.slice)


def taken_of(demands: tuple[Demand, ...], number: int) -> tuple[Taken, ...]:
    """Return what a hold of *demands* has, by a worker of that *number*, in that order."""
    return tuple(
        Taken(
            owner=each.owner,
            account=each.account,
            unit=each.unit,
            per=each.per,
            amount=each.amount,
            returns=each.returns,
            slice=1 + number % each.slices if each.slices else 0,
        )
        for each in in_order(demands)
    )


def placed(op: PlaceHold, now: datetime) -> HoldRecord:
    """Return the hold that *op* makes."""
    return HoldRecord(
        tenant=op.tenant,
        key=op.key,
        attempt=op.attempt,
        workflow_id=op.workflow_id,
        actor=op.actor,
        tool=op.tool,
        model=op.model,
        state=HoldState.SETTLED if op.is_spent else HoldState.HELD,
        currency=op.currency,
        money=op.money,
        tokens=op.tokens,
        spent_money=op.money if op.is_spent else None,
        spent_tokens=op.tokens if op.is_spent else None,
        price=op.price,
        usage=None,
        taken=taken_by(op),
        at=op.at,
        settled_at=now if op.is_spent else None,
    )


def added(demand: Demand, *, is_spent: bool) -> tuple[int, int]:
    """Return what taking what *demand* says adds to what is held, and to what is spent."""
    if is_spent:
        return 0, 0 if demand.returns else demand.amount
    return demand.amount, 0


def is_settled_by(hold: HoldRecord, op: SettleHold) -> bool:
    """Whether *op* has something to say of *hold*."""
    if op.attempt not in {None, hold.attempt}:
        return False
    if hold.state == HoldState.HELD:
        return True
    return hold.state == HoldState.ASSUMED and op.basis != "bound"


def spent_in(op: SettleHold, unit: str, bound: int) -> int:
    """Return what was spent of a unit of which at most *bound* was to be."""
    if op.basis == "bound":
        return bound
    return 0 if op.basis == "nothing" else dict(op.amounts).get(unit, bound)


def state_after(op: SettleHold) -> str:
    """Return where a hold stands that *op* settled."""
    if op.basis == "bound":
        return HoldState.ASSUMED
    return HoldState.SETTLED if op.basis == "actual" else HoldState.RELEASED


def wasted_as(hold: HoldRecord, attempt: int | None, state: State | None) -> str:
    """Return why what an attempt spent was for nothing; empty when it was not, or nobody knows any more.

    ``unknown``: nobody knows what became of it. ``retried``: another attempt came after it, or may come.
    ``failed``, ``denied``, ``cancelled``: that is how its effect ended.

    Args:
        attempt: The last attempt of its effect; ``None`` when that is gone.
        state: Where its effect stands.
    """
    if hold.state == HoldState.ASSUMED:
        return "unknown"
    if attempt is None or state is None:
        return ""
    if hold.attempt < attempt or state is State.RETRYABLE:
        return "retried"
    return str(state) if state in _FOR_NOTHING else ""


_FOR_NOTHING: Final = frozenset({State.FAILED, State.DENIED, State.CANCELLED})
