"""What a run may cost at most, before it starts; and what it is likely to, from what others did. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from holdfast._core.budget import TOKENS
from holdfast._core.budgeting import STEPS, TOOL_CALLS, Budget
from holdfast._core.money import Money
from holdfast._core.price import PriceRow
from holdfast._core.worst_cost import RequestBound, worst_cost
from holdfast.errors import InvalidCall

_MOST: Final = 100_000
_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """Calls of one model that a run may make.

    Attributes:
        row: The prices, e.g. ``PriceBook().row("anthropic/claude-sonnet-4-5", at=now)``.
        bound: What the first call uses at most; it sets a limit for the output.
        calls: So many at most.
        attempts: Each is tried so often at most; every attempt may be charged.
        grows_by: Each call reads so many tokens more than the one before, at most what the model can read.

    Raises:
        InvalidCall: A count is none, or the output has no limit.
    """

    row: PriceRow
    bound: RequestBound
    calls: int
    attempts: int = 1
    grows_by: int = 0

    def __post_init__(self) -> None:
        _check("calls", self.calls)
        _check("attempts", self.attempts)
        _check("grows_by", self.grows_by)
        if self.bound.max_output is None:
            raise InvalidCall("a model's calls have no limit for their output", "give max_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalls:
    """Calls of a tool that a run may make.

    Attributes:
        cost: The most that one attempt costs; ``None`` for nothing.
        calls: So many at most.
        attempts: Each is tried so often at most; every attempt may be charged.

    Raises:
        InvalidCall: A count is none.
    """

    name: str
    calls: int
    cost: Money | None = None
    attempts: int = 1

    def __post_init__(self) -> None:
        _check("calls", self.calls)
        _check("attempts", self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostHistory:
    """What earlier runs of one kind cost.

    Attributes:
        runs: How many there are; without any all others are ``None``.
        median: Half of them cost no more than this.
        p95: 95 of 100 cost no more than this.
        most: What the dearest one cost.
        median_tokens: The same of tokens; so is *p95_tokens*.
    """

    runs: int
    median: Money | None
    p95: Money | None
    most: Money | None
    median_tokens: int | None
    p95_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run costs.

    Attributes:
        worst: It costs no more, as long as bounds are bounds.
        tokens: It uses no more.
        steps: Attempts of models, at most; *tool_calls* of tools.
        limited_by: The caps of the budget that lie below what the plan alone would allow, by unit.
        expected: What half of the earlier runs cost at most, and *likely* 95 of 100; never more than *worst*.
            ``None`` where none is known.
        runs: How many earlier runs that is from.
    """

    worst: Money
    tokens: int
    steps: int
    tool_calls: int
    limited_by: tuple[str, ...]
    expected: Money | None
    likely: Money | None
    runs: int


def estimate(
    *plan: ModelCalls | ToolCalls,
    budget: Budget | None = None,
    history: CostHistory | None = None,
    currency: str = "USD",
) -> Estimate:
    """Return the most that a run can cost that makes these calls, and what it is likely to.

    A budget that holds for the run as a whole lowers the worst case: what does not fit is refused. Where
    there are more calls than it lets through, the dearest are counted.

    Args:
        plan: What it may call.
        budget: That of its workflow; one that begins anew in each window bounds no run, and is left out.
        history: What earlier runs cost: see ``ledger.cost_history``.
        currency: Of a plan that costs nothing.

    Raises:
        CurrencyMismatch: Its costs are in several currencies.
        InvalidCall: It is no plan.
        UnpricedModel: Something that it allows has no price.
    """
    caps = {} if budget is None or budget.per else budget.caps
    limited: list[str] = []
    models = [part for part in plan if isinstance(part, ModelCalls)]
    tools = [part for part in plan if isinstance(part, ToolCalls)]
    if len(models) + len(tools) != len(plan):
        raise InvalidCall("a plan of something else", "give ModelCalls(...) and ToolCalls(...)")
    currency = next(iter(_currencies(models, tools)), currency)
    asked = _cut(sorted(_asked(models), key=_dearest, reverse=True), STEPS, caps, limited)
    called = _cut(sorted(_called(tools, currency), key=_dearest, reverse=True), TOOL_CALLS, caps, limited)
    steps, tool_calls = sum(times for _, _, times in asked), sum(times for _, _, times in called)
    worst = Money.total((cost * times for cost, _, times in (*asked, *called)), currency)
    tokens = sum(each * times for _, each, times in asked)
    if caps.get(TOKENS, tokens) < tokens:
        tokens = caps[TOKENS]
        limited.append(TOKENS)
    unit = currency.lower()
    if caps.get(unit, worst.micros) < worst.micros:
        worst = Money(caps[unit], currency)
        limited.append(unit)
    return Estimate(
        worst=worst,
        tokens=tokens,
        steps=steps,
        tool_calls=tool_calls,
        limited_by=tuple(limited),
        expected=_least(worst, None if history is None else history.median),
        likely=_least(worst, None if history is None else history.p95),
        runs=0 if history is None else history.runs,
    )


_Calls = tuple[Money, int, int]
"""What one attempt costs at most, how many tokens it uses at most, and how many attempts there are."""


def _currencies(models: Sequence[ModelCalls], tools: Sequence[ToolCalls]) -> Iterator[str]:
    yield from (part.row.currency for part in models)
    yield from (part.cost.currency for part in tools if part.cost is not None)


def _asked(models: Iterable[ModelCalls]) -> Iterator[_Calls]:
    for part in models:
        output, most = part.bound.max_output or 0, part.row.context_window
        read, left = part.bound.input_tokens, part.calls
        while left:
            is_full = not part.grows_by or (most is not None and read >= most)
            times = left if is_full else 1
            bound = replace(part.bound, input_tokens=read)
            yield worst_cost(bound, part.row), read + output, times * part.attempts
            left -= times
            more = read + part.grows_by
            read = more if most is None else max(read, min(more, most))


def _called(tools: Iterable[ToolCalls], currency: str) -> Iterator[_Calls]:
    for part in tools:
        yield part.cost or Money(0, currency), 0, part.calls * part.attempts


def _dearest(calls: _Calls) -> Money:
    return calls[0]


def _cut(calls: Iterable[_Calls], unit: str, caps: dict[str, int], limited: list[str]) -> list[_Calls]:
    """Return the first of *calls* that a cap lets through."""
    found = [each for each in calls if each[2]]
    cap = caps.get(unit)
    if cap is None or sum(times for _, _, times in found) <= cap:
        return found
    limited.append(unit)
    kept: list[_Calls] = []
    for cost, tokens, times in found:
        if cap:
            kept.append((cost, tokens, min(times, cap)))
            cap -= min(times, cap)
    return kept


def _least(worst: Money, known: Money | None) -> Money | None:
    return None if known is None or known.currency != worst.currency else min(worst, known)


def history_of(micros: Sequence[int], tokens: Sequence[int], currency: str) -> CostHistory:
    """Return what runs cost that cost so much each, and used so many tokens."""
    if not micros:
        return CostHistory(runs=0, median=None, p95=None, most=None, median_tokens=None, p95_tokens=None)
    return CostHistory(
        runs=len(micros),
        median=Money(percentile(micros, 50), currency),
        p95=Money(percentile(micros, 95), currency),
        most=Money(max(micros), currency),
        median_tokens=percentile(tokens, 50),
        p95_tokens=percentile(tokens, 95),
    )


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the smallest of *values* that so many of a hundred do not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(len(values) * percent / _HUNDRED), 1) - 1]


def _check(name: str, given: Any) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= _MOST:
        raise InvalidCall(f"{name}={given!r} of a plan is no count", f"give a whole number from 0 to {_MOST}")
