"""What code declares of budgets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast._core.budget import MOST, TOKENS, Per
from holdfast._core.budget_marks import marks_of
from holdfast._core.duration import Duration, seconds
from holdfast._core.money import Money
from holdfast.errors import InvalidPrice, InvalidTool

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
