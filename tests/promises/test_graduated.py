"""Budgets that run short are answered by degrees: the model is told, calls are slowed, a cheaper one is asked."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Budget, Graduated, Route, RouteFacts
from holdfast.errors import BudgetExceeded, InvalidTool
from holdfast.prices import PriceBook
from promises.ledgers import Book, Place

ASK: list[dict[str, str]] = [{"role": "user", "content": "What is there to be done?"}]
BOOK = PriceBook(
    {"acme/large": {"input": "1", "output": "10"}, "acme/small": {"input": "0.1", "output": "1"}},
    bundled=False,
)


class Provider:
    """Two models behind a function; each call costs the large one 10,040 micro-dollars, the small one a tenth."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def chat(self, messages: list[dict[str, str]], model: str = "large", max_tokens: int = 1_000) -> Any:
        self.asked.append({"messages": messages, "model": model, "max_tokens": max_tokens})
        return {
            "choices": [{"message": {"role": "assistant", "content": "So be it."}}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 1_000},
        }


class Desk:
    """A ledger whose tenant may spend ten calls of the large model."""

    def __init__(self, book: Book, **options: Any) -> None:
        self.provider = Provider()
        self._book = book
        self._ask = book.ledger.model(
            book.handler(self.provider.chat),
            model="acme/large",
            workflow_id="run-1",
            least_output=1_000,
            **options,
        )

    async def ask(self, **options: Any) -> Any:
        return await self._book.do(self._ask, messages=ASK, max_tokens=1_000, **options)

    async def ask_for_ever(self) -> None:
        while True:
            await self.ask()

    async def steered(self) -> list[Any]:
        """What the audit trail says of each call, oldest first."""
        told = []
        for effect in reversed(await self._book.effects(workflow_id="run-1")):
            told += [
                event.details.get("steered")
                for event in await self._book.audit(effect.key)
                if event.event == "claim"
            ]
        return told


def desk(place: Place, **options: Any) -> Desk:
    return Desk(place.open(prices=BOOK, budgets={"tenant": Budget(usd="0.1004")}), **options)


async def test_a_model_is_told_how_much_is_used_from_half_of_its_budget_on(place: Place) -> None:
    """COS-19."""
    office = desk(place, graduated=Graduated(warn_at=0.5, slow_at=None))

    for _ in range(7):
        await office.ask()

    told = [len(request["messages"]) > 1 for request in office.provider.asked]
    assert told == [False] * 5 + [True] * 2
    words = office.provider.asked[-1]["messages"][-1]
    assert words["role"] == "system"
    assert words["content"].startswith("Budget notice: 0.06 USD of 0.10 USD are used (60 %).")
    (*_, last) = await office.steered()
    assert last["warned"] is True
    assert (last["budget"]["account"], last["budget"]["unit"], last["budget"]["used"]) == (
        "tenant",
        "usd",
        60_240,
    )


async def test_calls_are_slowed_then_asked_of_a_cheaper_model_and_then_stop(place: Place) -> None:
    """COS-19, COS-09: at 70 % slowed, at 90 % cheaper, at the cap no more; each with its reason on record."""
    office = desk(
        place,
        graduated=Graduated(warn_at=None, slow_at=0.7, slow_by=0.001),
        routes=[Route(to="acme/small", at=0.9)],
    )

    with pytest.raises(BudgetExceeded, match="tenant/usd"):
        await office.ask_for_ever()

    steered = await office.steered()
    assert [request["model"] for request in office.provider.asked[:9]] == ["large"] * 9
    assert {request["model"] for request in office.provider.asked[9:]} == {"small"}
    assert [one and one.get("slowed_s") for one in steered[:8]] == [None] * 7 + [0.001]
    told = steered[9]["route"]
    assert told == {
        "from": "acme/large",
        "to": "acme/small",
        "why": "budget tenant/usd is used to 90 %",
    }
    assert len(office.provider.asked) == len(steered) == 9 + 9


async def test_easy_work_goes_to_the_cheap_model_and_hard_work_does_not(place: Place) -> None:
    """COS-09."""
    office = desk(place, routes=[Route(to="acme/small", most_input=1_000, tools=False, reason="easy work")])

    await office.ask()
    await office._book.do(
        office._ask, messages=[{"role": "user", "content": "hard " * 1_000}], max_tokens=1_000
    )

    assert [request["model"] for request in office.provider.asked] == ["small", "large"]
    easy, hard = await office.steered()
    assert easy["route"]["why"] == "easy work"
    assert hard is None


async def test_the_cost_of_a_routed_call_is_that_of_the_model_that_answered(place: Place) -> None:
    """COS-09, COS-11."""
    office = desk(place, routes=[Route(to="acme/small", when=lambda facts: facts.actor == "agent")])

    await office.ask()

    (cost,) = (await office._book.costs(by="model")).parts
    assert (cost.name, cost.money) == ("acme/small", 4 + 1_000)


async def test_a_rule_that_raises_lets_nothing_pass_unseen(place: Place) -> None:
    def broken(facts: RouteFacts) -> bool:
        raise ZeroDivisionError

    office = desk(place, routes=[Route(to="acme/small", when=broken)])

    with pytest.raises(ZeroDivisionError):
        await office.ask()

    assert office.provider.asked == []


async def test_a_route_to_another_provider_is_refused_before_the_call(place: Place) -> None:
    """COS-09, COS-22."""
    office = desk(place, routes=[Route(to="other/small")])

    with pytest.raises(InvalidTool, match="leads to 'other/small', and the client asks acme"):
        await office.ask()

    assert office.provider.asked == []


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Graduated(warn_at=1.5), "warn_at is 1.5"),
        (lambda: Graduated(slow_at=0), "slow_at is 0"),
        (lambda: Route(to="small"), "a route leads to 'small'"),
        (lambda: Route(to="acme/small", at=90), "a route's at is 90"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(make: Any, why: str) -> None:
    with pytest.raises(InvalidTool, match=why):
        make()
