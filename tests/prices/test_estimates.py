"""COS-17: what a run may cost is known before it starts, and no run costs more."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Budget
from holdfast.errors import CurrencyMismatch, InvalidCall
from holdfast.prices import (
    CostHistory,
    ModelCalls,
    Money,
    RequestBound,
    ToolCalls,
    Usage,
    cost_of,
    estimate,
    price_row,
)

ROW = replace(
    price_row(
        {
            "input": "3",
            "output": "15",
            "cache_read": "0.30",
            "cache_write": "3.75",
            "request": "0.001",
            "tiers": {20_000: {"input": "6", "output": "22.50"}},
            "surcharges": {"us": "1.1"},
        },
        name="anthropic/claude-sonnet-4-5",
    ),
    context_window=40_000,
)
SMALL = price_row({"input": "0.25", "output": "1.25"}, name="a/small")
BOUND = RequestBound(input_tokens=5_000, max_output=1_000)
CENT = Money.parse("0.01")


def used(chance: random.Random, read: int, most: int, *, worst: bool) -> Usage:
    """What a call used within its bound; in the worst case all of it, and dearly."""
    total = read if worst else chance.randint(0, read)
    kept = total if worst else chance.randint(0, total)
    output = most if worst else chance.randint(0, most)
    region = "us" if worst else chance.choice(["", "us"])
    return Usage(uncached_input=total - kept, cache_write_short=kept, output=output, region=region)


def simulated(chance: random.Random, plan: list[ModelCalls | ToolCalls], *, worst: bool) -> Money:
    """Run what a plan allows, with retries and a growing context; return what was spent."""
    spent = Money(0)
    for part in plan:
        for n in range(part.calls if worst else chance.randint(0, part.calls)):
            for _ in range(part.attempts if worst else chance.randint(1, part.attempts)):
                if isinstance(part, ToolCalls):
                    spent += part.cost or Money(0)
                    continue
                most = part.row.context_window
                read = part.bound.input_tokens + n * part.grows_by
                read = read if most is None else min(read, max(most, part.bound.input_tokens))
                usage = used(chance, read, part.bound.max_output or 0, worst=worst)
                spent += cost_of(usage, part.row).total
    return spent


def planned(chance: random.Random) -> list[ModelCalls | ToolCalls]:
    return [
        ModelCalls(
            row=ROW,
            bound=RequestBound(input_tokens=chance.randint(0, 30_000), max_output=chance.randint(0, 2_000)),
            calls=chance.randint(0, 20),
            attempts=chance.randint(1, 3),
            grows_by=chance.choice([0, 700, 9_000]),
        ),
        ModelCalls(row=SMALL, bound=BOUND, calls=chance.randint(0, 4)),
        ToolCalls(name="search", cost=CENT, calls=chance.randint(0, 9), attempts=chance.randint(1, 3)),
        ToolCalls(name="free", calls=3),
    ]


@pytest.mark.parametrize("seed", range(100))
def test_no_run_costs_more_than_was_estimated(seed: int) -> None:
    """COS-17: a hundred simulated runs, each as it comes and at its worst."""
    chance = random.Random(seed)
    plan = planned(chance)

    told = estimate(*plan)

    assert simulated(chance, plan, worst=False) <= told.worst
    assert simulated(chance, plan, worst=True) <= told.worst


def test_the_worst_case_is_the_sum_of_all_attempts_at_their_dearest() -> None:
    """COS-17."""
    calls = ModelCalls(row=SMALL, bound=RequestBound(input_tokens=1_000, max_output=100), calls=3, attempts=2)
    # read at 1.25 times the price of input, if it is kept
    each = 1_000 * 0.25 * 1.25 + 100 * 1.25

    told = estimate(calls, ToolCalls(name="search", cost=CENT, calls=2, attempts=5))

    assert told.worst == Money(6 * int(each + 0.5) + 10 * 10_000)
    assert (told.steps, told.tool_calls, told.tokens) == (6, 10, 6 * 1_100)
    assert (told.expected, told.likely, told.runs, told.limited_by) == (None, None, 0, ())


def test_a_context_grows_until_the_model_can_read_no_more() -> None:
    grown = ModelCalls(row=ROW, bound=replace(BOUND, input_tokens=35_000), calls=4, grows_by=3_000)

    assert estimate(grown).tokens == 35_000 + 38_000 + 40_000 + 40_000 + 4 * 1_000


@pytest.mark.parametrize(
    ("budget", "limited", "worst"),
    [
        (Budget(usd="0.05"), ("usd",), "0.05"),
        (Budget(tool_calls=2), ("tool_calls",), "0.20"),
        (Budget(tool_calls=2, usd="0.15"), ("tool_calls", "usd"), "0.15"),
        (Budget(tool_calls=2, per="day"), (), "0.31"),
        (Budget(tool_calls=99, usd="9"), (), "0.31"),
        (None, (), "0.31"),
    ],
)
def test_a_budget_that_holds_for_the_run_lowers_the_worst_case(
    budget: Budget | None, limited: tuple[str, ...], worst: str
) -> None:
    """COS-17, COS-02: of more calls than fit the dearest are counted."""
    tools = [ToolCalls(name="cheap", cost=CENT, calls=1), ToolCalls(name="dear", cost=CENT * 10, calls=3)]

    told = estimate(*tools, budget=budget)

    assert (told.limited_by, told.worst) == (limited, Money.parse(worst))


def test_steps_and_tokens_are_capped_too() -> None:
    calls = ModelCalls(row=SMALL, bound=BOUND, calls=10)

    assert (estimate(calls, budget=Budget(steps=4)).steps, estimate(calls).steps) == (4, 10)
    assert estimate(calls, budget=Budget(tokens=100)).tokens == 100
    assert estimate(calls, budget=Budget(tokens=100)).limited_by == ("tokens",)


def test_what_is_expected_is_what_earlier_runs_cost_and_never_more_than_the_worst() -> None:
    """COS-17."""
    history = CostHistory(runs=9, median=CENT, p95=CENT * 50, most=CENT * 90, median_tokens=1, p95_tokens=2)

    told = estimate(ToolCalls(name="search", cost=CENT, calls=20), history=history)

    assert (told.expected, told.likely, told.worst, told.runs) == (CENT, CENT * 20, CENT * 20, 9)
    euros = estimate(ToolCalls(name="search", cost=Money.parse("1", "EUR"), calls=1), history=history)
    assert (euros.expected, euros.worst) == (None, Money.parse("1", "EUR"))


@pytest.mark.parametrize(
    "odd", [{"calls": -1}, {"calls": True}, {"calls": 1.5}, {"attempts": 10**9}, {"grows_by": "1"}]
)
def test_what_is_no_plan_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidCall):
        ModelCalls(**{"row": SMALL, "bound": BOUND, "calls": 1, **odd})


def test_a_plan_without_bounds_or_in_two_currencies_is_refused() -> None:
    with pytest.raises(InvalidCall, match="max_output"):
        ModelCalls(row=SMALL, bound=RequestBound(input_tokens=1), calls=1)
    with pytest.raises(InvalidCall, match="something else"):
        estimate("search")  # type: ignore[arg-type]
    pay = [ToolCalls(name=code, cost=Money.parse("1", code), calls=1) for code in ("USD", "EUR")]
    with pytest.raises(CurrencyMismatch):
        estimate(*pay)
    assert estimate(currency="EUR").worst == Money(0, "EUR")
