"""What code declares of budgets, and which of them a call falls under. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast._core.budget import EVERYBODY, MOST, TOKENS, Demand, Per
from holdfast._core.budget_marks import marks_of
from holdfast._core.duration import Duration, seconds
from holdfast._core.money import Money
from holdfast._core.needs import Needs
from holdfast.errors import CurrencyMismatch, InvalidPrice, InvalidTool, UnboundedRequest

OnOutage: TypeAlias = Literal["refuse", "allow"]
STEPS: Final = "steps"
"""Calls of a model."""
TOOL_CALLS: Final = "tool_calls"
CONCURRENCY: Final = "concurrency"
GLOBAL: Final = "global"
TENANT: Final = "tenant"
AGENT: Final = "agent:"
WORKFLOW: Final = "workflow:"
SCOPE: Final = "scope:"
STEP: Final = "step:"
DEPTH: Final = "depth"
FAN_OUT: Final = "fan_out"
WALL_CLOCK: Final = "wall_clock"
_RETURNS: Final = frozenset({CONCURRENCY})
COUNTS: Final = (TOKENS, STEPS, TOOL_CALLS, CONCURRENCY)
"""Units that are counted; every other one is a currency."""
_LIMITS: Final = (DEPTH, FAN_OUT)
_MOST_SLICES: Final = 1024
_NAME_LENGTH: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps that hold whatever runs at once: in threads, processes and on machines that share the ledger.

    What a call may need at most is held when it is claimed, and settled when it ends; a call that does not
    fit is refused before anything runs (:class:`holdfast.errors.BudgetExceeded`).

    Attributes:
        tokens: Tokens that models read and write. No call tells of these, of money or of steps yet: a ledger
            refuses caps on them.
        usd: Money, in dollars: ``"2.00"``. *money* has other currencies, by their codes.
        steps: Calls of a model.
        tool_calls: Attempts of tools, each retry counted; what is answered from the record is free.
        concurrency: Attempts under way at once.
        per: The window that all of it begins anew in, by the store's clock in UTC; ``""`` for ever.
        slices: A store may divide what is left into so many parts, so that many workers do not wait for one
            row; 0 for none.
        alert_at: Shares of each cap at which people are told, once each in a window; ``()`` for none.
        alert_within: People are told as well when, at the rate of the last minutes, a cap is reached before
            its window ends; for a cap that never begins anew: within this time. ``None`` for never.
        on_outage: What becomes of reads while the database is away: ``refuse`` them, or ``allow`` those of
            which all budgets say so, and count them afterwards. What changes anything is refused in any case.
        depth: Of a workflow: so many generations of workflows may be begun below it.
        fan_out: Of a workflow: so many of its children at most have not ended.
        wall_clock: Of a workflow: so long after its start nothing more is begun in it, or below it.
        reserve: What of these caps is kept for ``with ledger.reserve():``, as caps of their own.

    Raises:
        InvalidTool: A cap is no positive whole number, or there is none at all.
    """

    tokens: int | None = None
    usd: str | Decimal | int | None = None
    money: Mapping[str, str | Decimal | int] = field(default_factory=dict[str, "str | Decimal | int"])
    steps: int | None = None
    tool_calls: int | None = None
    concurrency: int | None = None
    per: Per = ""
    slices: int = 0
    alert_at: Sequence[float] = (0.5, 0.8, 1.0)
    alert_within: Duration | None = 3600.0
    on_outage: OnOutage = "refuse"
    depth: int | None = None
    fan_out: int | None = None
    wall_clock: Duration | None = None
    reserve: Budget | None = None

    def __post_init__(self) -> None:
        marks_of(self.alert_at)
        if self.on_outage not in get_args(OnOutage):
            raise InvalidTool(f"a budget's on_outage is {self.on_outage!r}", "use 'refuse' or 'allow'")
        if self.alert_within is not None:
            seconds(self.alert_within, name="a budget's alert_within")
        if self.per not in get_args(Per):
            known = ", ".join(repr(each) for each in get_args(Per))
            raise InvalidTool(f"a budget's per is {self.per!r}", f"use one of {known}")
        slices: Any = self.slices
        if not isinstance(slices, int) or not 0 <= slices <= _MOST_SLICES:
            raise InvalidTool("a budget's slices are no number of parts", f"give 0 to {_MOST_SLICES}")
        if not self.caps and not self.is_of_workflows:
            raise InvalidTool("a budget without a cap", 'say what may be spent, e.g. Budget(usd="2.00")')
        _check_limits(self)
        if self.reserve is not None:
            _check_reserve(self, self.reserve)

    @property
    def is_of_workflows(self) -> bool:
        """Whether some of it can only be a workflow's."""
        return any(each is not None for each in (self.depth, self.fan_out, self.wall_clock))

    @property
    def wall_clock_s(self) -> float | None:
        """How long after its start a workflow may begin anything more, in seconds."""
        return None if self.wall_clock is None else seconds(self.wall_clock, name="a budget's wall_clock")

    @property
    def marks(self) -> tuple[int, ...]:
        """Where people are told, in thousandths of a cap."""
        return marks_of(self.alert_at)

    @property
    def alert_within_s(self) -> float | None:
        """Seconds of *alert_within*."""
        within = self.alert_within
        return None if within is None else seconds(within, name="a budget's alert_within")

    @property
    def caps(self) -> dict[str, int]:
        """Its caps by unit; money in micro-units, by the currency's code in small letters."""
        found: dict[str, int] = {}
        for unit in COUNTS:
            given: Any = getattr(self, unit)
            if given is not None:
                found[unit] = _count(unit, given)
        amounts = {**self.money, **({} if self.usd is None else {"usd": self.usd})}
        return {**found, **dict(_micros(code, amount) for code, amount in amounts.items())}


def _check_limits(budget: Budget) -> None:
    for unit in _LIMITS:
        given: Any = getattr(budget, unit)
        if given is not None:
            _count(unit, given)
    if budget.wall_clock is not None:
        seconds(budget.wall_clock, name="a budget's wall_clock")


def _check_reserve(budget: Budget, reserve: Any) -> None:
    if not isinstance(reserve, Budget):
        raise InvalidTool(f"a budget's reserve is {type(reserve).__name__}", "give Budget(...)")
    if reserve.per or reserve.slices or reserve.reserve is not None or reserve.is_of_workflows:
        raise InvalidTool("a budget's reserve has more than caps", "e.g. reserve=Budget(tokens=2_000)")
    if budget.slices:
        fix = "leave out one of them: whoever had a slice would not see the reserve"
        raise InvalidTool("a budget with a reserve is divided into slices", fix)
    caps = budget.caps
    if any(amount >= caps.get(unit, 0) for unit, amount in reserve.caps.items()):
        raise InvalidTool(
            "a budget's reserve is no part of its caps", "keep less than the cap, of the same units"
        )


def _count(unit: str, given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given <= MOST:
        raise InvalidTool(f"a budget's {unit} is {given!r}", "give a positive whole number")
    return given


def _micros(code: str, amount: Any) -> tuple[str, int]:
    try:
        money = Money.parse(amount, code.upper())
    except InvalidPrice as error:
        raise InvalidTool(f"a budget's {code} is no amount of money ({error})", 'e.g. usd="2.00"') from error
    if not 0 < money.micros <= MOST:
        raise InvalidTool(f"a budget's {code} is {amount!r}", "give more than nothing, less than billions")
    return code.lower(), money.micros


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


def checked_budgets(given: Mapping[str, Budget]) -> dict[str, Budget]:
    """Return what a ledger is given, if all of it can be somebody's.

    Raises:
        InvalidTool: A budget is nobody's, or is none.
    """
    for name, budget in given.items():
        whose: Any = name
        is_somebodys = isinstance(whose, str) and (
            whose in {GLOBAL, TENANT, AGENT[:-1], WORKFLOW[:-1]} or whose.startswith((AGENT, WORKFLOW))
        )
        if not is_somebodys:
            fix = "use 'global', 'tenant', 'agent', 'agent:<id>', 'workflow' or 'workflow:<id>'"
            raise InvalidTool(f"a budget of {whose!r}, which is nobody", fix)
        checked_budget(whose, budget, is_of_workflow=whose.startswith(WORKFLOW[:-1]))
    return dict(given)


def checked_budget(whose: str, budget: Any, *, is_of_workflow: bool = False) -> Budget:
    """Return what somebody is given, if it can be his.

    Raises:
        InvalidTool: It is no budget, or one that only a workflow can have.
    """
    if not isinstance(budget, Budget):
        raise InvalidTool(f"the budget of {whose!r} is {type(budget).__name__}", "give Budget(...)")
    if budget.is_of_workflows and not is_of_workflow:
        what = (
            f"the budget of {whose!r} has a depth, a fan_out or a wall_clock, which only a workflow can have"
        )
        raise InvalidTool(what, "give these to @ledger.workflow(budget=...), or to budgets={'workflow': ...}")
    return budget


def scope(name: str) -> str:
    """Return the account of a scope.

    Raises:
        InvalidTool: It is no name.
    """
    given: Any = name
    if not isinstance(given, str) or not given or not given.isprintable() or len(given) > _NAME_LENGTH:
        raise InvalidTool("a budget's scope has no name", f"give 1 to {_NAME_LENGTH} printable letters")
    return f"{SCOPE}{name}"


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
