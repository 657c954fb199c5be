"""Every call of a model is on record, within its budgets, and paid once; whatever function asks it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from holdfast import Alert, Budget, Ledger, NotDone, RetryPolicy, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import (
    BudgetExceeded,
    EffectFailed,
    InvalidCall,
    InvalidTool,
    NotSerializable,
    UnboundedRequest,
    UnpricedModel,
)
from holdfast.ports import HoldQuery
from holdfast.prices import PriceBook
from holdfast.stores.memory import MemoryStore
from promises.ledgers import DEAD_SOON, Place

QUICK = RetryPolicy(maximum_attempts=3, initial_interval=0.001, maximum_interval=0.001)
MODEL = "acme/chat-1"
PRICES = PriceBook({MODEL: {"input": "1", "output": "10"}}, bundled=False)  # per million tokens
ASK: list[dict[str, str]] = [{"role": "user", "content": "What is there to be done?"}]


class Provider:
    """A model behind a function: it writes as much as it may, or so much."""

    def __init__(self, *, read: int = 40, written: int | None = None) -> None:
        self.asked: list[dict[str, Any]] = []
        self.read, self.written = read, written

    def chat(self, messages: list[dict[str, str]], max_tokens: int = 1_000) -> dict[str, Any]:
        self.asked.append({"messages": messages, "max_tokens": max_tokens})
        written = max_tokens if self.written is None else self.written
        return {
            "choices": [{"message": {"role": "assistant", "content": f"answer {len(self.asked)}"}}],
            "usage": {"prompt_tokens": self.read, "completion_tokens": written},
        }


def model_of(book: Any, provider: Provider, **options: Any) -> Any:
    function = book.handler(provider.chat)
    return book.ledger.model(function, model=MODEL, **options)


async def holds(book: Any) -> list[Any]:
    found = book.ledger._engine.parts.store.budgets.holds(HoldQuery(tenant="default"))
    return list(run_sync(found) if book.is_sync else await found)


async def test_a_model_is_asked_once_and_answers_from_the_record_ever_after(place: Place) -> None:
    """COS-15, DUR-16."""
    provider = Provider(written=20)
    first = await book_ask(place.open(prices=PRICES), provider, workflow_id="run-1")

    again = await book_ask(place.open(prices=PRICES), provider, workflow_id="run-1")

    assert again == first
    assert len(provider.asked) == 1


LOOP: Any = 100  # nothing here asks as often without being stopped


async def asked_until_stopped(book: Any, ask: Any, **options: Any) -> BudgetExceeded:
    """Ask for ever, as an agent in a loop does; return what stopped that."""
    for n in range(LOOP):
        try:
            await book.do(ask, messages=[*ASK, {"role": "user", "content": str(n)}], **options)
        except BudgetExceeded as refused:
            return refused
    raise AssertionError("it asked for ever")


async def book_ask(book: Any, provider: Provider, **options: Any) -> Any:
    return await book.do(model_of(book, provider, **options), messages=ASK)


async def test_equal_questions_are_asked_as_often_as_they_are_put(place: Place) -> None:
    book, provider = place.open(prices=PRICES), Provider(written=20)
    ask = model_of(book, provider, workflow_id="run-1")

    answers = [await book.do(ask, messages=ASK) for _ in range(3)]

    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [
        "answer 1",
        "answer 2",
        "answer 3",
    ]


async def test_what_a_call_used_is_on_record_with_its_price(place: Place) -> None:
    """COS-11, COS-12."""
    book, provider = place.open(prices=PRICES), Provider(read=40, written=20)
    await book_ask(book, provider)

    (hold,) = await holds(book)

    assert (hold.model, hold.state, hold.currency) == (MODEL, "settled", "usd")
    assert (hold.spent_tokens, hold.spent_money) == (60, 40 + 200)
    assert MODEL in hold.price
    assert '"uncached_input": 40' in hold.usage


async def test_an_agent_stops_after_so_many_steps(place: Place) -> None:
    """COS-04."""
    book, provider = place.open(prices=PRICES, budgets={"workflow": Budget(steps=5)}), Provider(written=20)

    refused = await asked_until_stopped(book, model_of(book, provider, workflow_id="run-1"))

    assert (refused.account, refused.unit, refused.used, refused.cap) == ("workflow:run-1", "steps", 5, 5)
    assert len(provider.asked) == 5


async def test_the_call_that_would_pass_a_cap_of_tokens_is_not_sent(place: Place) -> None:
    """COS-01."""
    book, provider = (
        place.open(prices=PRICES, budgets={"tenant": Budget(tokens=5_000)}),
        Provider(written=900),
    )

    refused = await asked_until_stopped(book, model_of(book, provider, workflow_id="run-1"))

    used = sum(hold.spent_tokens for hold in await holds(book))
    assert (refused.unit, refused.cap, refused.used) == ("tokens", 5_000, used)
    assert used <= 5_000
    assert len(provider.asked) == len(await holds(book))


async def test_the_call_that_would_pass_a_cap_of_money_is_not_sent(place: Place) -> None:
    """COS-03."""
    book, provider = place.open(prices=PRICES, budgets={"tenant": Budget(usd="0.05")}), Provider()

    refused = await asked_until_stopped(book, model_of(book, provider, workflow_id="run-1"))

    used = sum(hold.spent_money for hold in await holds(book))
    assert (refused.unit, refused.cap, refused.used) == ("usd", 50_000, used)
    assert 45_000 < used <= 50_000


async def test_a_request_asks_for_as_short_an_answer_as_there_is_money_for(place: Place) -> None:
    """COS-01, COS-03."""
    book, provider = place.open(prices=PRICES, budgets={"tenant": Budget(usd="0.012")}), Provider()
    ask = model_of(book, provider, workflow_id="run-1")

    await book.do(ask, messages=ASK, max_tokens=1_000)
    await book.do(ask, messages=ASK, max_tokens=1_000)

    first, second = provider.asked
    assert first["max_tokens"] == 1_000
    assert 64 <= second["max_tokens"] < 200
    (newest, _) = await book.effects(workflow_id="run-1")
    assert newest.result["sent"] == {"max_tokens": second["max_tokens"]}


async def test_a_request_that_there_is_too_little_left_for_is_not_sent(place: Place) -> None:
    book, provider = place.open(prices=PRICES, budgets={"tenant": Budget(usd="0.012")}), Provider()
    ask = model_of(book, provider, workflow_id="run-1", least_output=500)

    await book.do(ask, messages=ASK, max_tokens=1_000)
    with pytest.raises(BudgetExceeded, match="tenant/usd"):
        await book.do(ask, messages=ASK, max_tokens=1_000)

    assert len(provider.asked) == 1


async def test_agents_at_once_do_not_pass_a_cap_together(place: Place) -> None:
    """COS-02."""
    book, provider = place.open(prices=PRICES, budgets={"tenant": Budget(tokens=4_000)}), Provider()
    asks = [model_of(book, provider, least_output=1_000) for _ in range(12)]

    answers = await asyncio.gather(
        *(book.do(ask, messages=ASK, max_tokens=1_000) for ask in asks), return_exceptions=True
    )

    assert sum(isinstance(answer, BudgetExceeded) for answer in answers) == 12 - len(provider.asked)
    assert 1 <= len(provider.asked) <= 3


async def test_an_answer_that_is_lost_counts_by_what_it_may_have_cost(place: Place) -> None:
    """COS-14: never as nothing."""
    book = place.open(prices=PRICES, budgets={"tenant": Budget(usd="1")})

    class Lost(Provider):
        def chat(self, messages: list[dict[str, str]], max_tokens: int = 1_000) -> dict[str, Any]:
            super().chat(messages, max_tokens)
            raise TimeoutError

    provider = Lost()
    with pytest.raises(TimeoutError):
        await book_ask(book, provider, retry=QUICK)

    rows = await holds(book)
    assert {hold.state for hold in rows} == {"assumed"}
    assert all(hold.spent_money == hold.money > 10_000 for hold in rows)
    assert len(rows) == len(provider.asked) == 3


async def test_a_model_without_a_price_is_refused_where_money_is_capped_and_nowhere_else(
    place: Place,
) -> None:
    """COS-11: what is unknown is never free."""
    provider = Provider(written=20)
    unpriced = PriceBook({"other/model": {"input": "1", "output": "10"}}, bundled=False)
    with pytest.raises(UnpricedModel):
        await book_ask(place.open(prices=unpriced), provider)
    bundled: Any = {}
    with pytest.raises(UnboundedRequest, match="has no price"):
        await book_ask(place.open(budgets={"tenant": Budget(usd="1")}, **bundled), provider)
    assert provider.asked == []

    await book_ask(place.open(budgets={"tenant": Budget(tokens=10_000)}), provider)

    assert len(provider.asked) == 1


async def test_a_workflow_that_goes_on_elsewhere_pays_no_model_twice(place: Place) -> None:
    """DUR-16, COS-15: in a workflow's code, and in the handlers that it calls."""
    provider = Provider(written=20)

    def dies_before_its_end(book: Any, *, dies: bool) -> Any:
        ask = model_of(book, provider)

        if book.is_sync:

            @book.ledger.workflow(name="report")
            def report(ctx: Any) -> list[Any]:
                said = [ask(messages=ASK), ask(messages=ASK), ctx.step("third", lambda: ask(messages=ASK))]
                if dies:
                    raise Killed
                return said

            return report

        @book.ledger.workflow(name="report")
        async def report_async(ctx: Any) -> list[Any]:
            async def third() -> Any:
                return await ask(messages=ASK)

            said = [await ask(messages=ASK), await ask(messages=ASK), await ctx.step("third", third)]
            if dies:
                raise Killed
            return said

        return report_async

    first = place.open(prices=PRICES, settings=DEAD_SOON)
    with suppress(Killed):
        await first.do(dies_before_its_end(first, dies=True).run, "report-1")
    again = place.open(prices=PRICES, settings=DEAD_SOON)

    said = await again.do(dies_before_its_end(again, dies=False).run, "report-1")

    assert [one["choices"][0]["message"]["content"] for one in said] == ["answer 1", "answer 2", "answer 3"]
    assert len(provider.asked) == 3
    assert sum(hold.spent_tokens for hold in await holds(again)) == 3 * 60


class Killed(BaseException):
    """The worker's process ends."""


async def test_a_handler_that_is_tried_again_goes_on_with_what_the_model_said(place: Place) -> None:
    """COS-15."""
    book, provider = place.open(prices=PRICES), Provider(written=20)
    ask, tries = model_of(book, provider), iter([True, False])

    if book.is_sync:

        def summarise() -> Any:
            said = ask(messages=ASK)
            if next(tries):
                raise NotDone
            return said
    else:

        async def summarise() -> Any:
            said = await ask(messages=ASK)
            if next(tries):
                raise NotDone
            return said

    first = ToolCall(workflow_id="w", tool="summarise", args={})
    await book.run(first, summarise, safety="idempotent", retry=QUICK)
    tries = iter([False])
    other = ToolCall(workflow_id="w", tool="summarise", args={}, key="another")
    await book.run(other, summarise, safety="idempotent", retry=QUICK)

    assert len(provider.asked) == 2, "once for each call of the tool"


async def test_a_workflow_that_is_undone_has_no_questions_to_take_back(place: Place) -> None:
    book, provider = place.open(prices=PRICES), Provider(written=20)
    await book_ask(book, provider, workflow_id="run-1")
    note = book.tool(lambda: 1, name="note", safety="idempotent")
    await note("run-1")

    report = await book.compensate("run-1", reason="it was for nothing")

    assert [(fate.tool, fate.fate) for fate in report.effects] == [("note", "stands")]
    assert not report.needs_review


async def test_no_call_of_a_tool_passes_for_one_of_a_model(place: Place) -> None:
    """COS-12: what a model names its tools makes no costs of models."""
    book, provider = place.open(prices=PRICES), Provider(written=20)
    named = ToolCall(workflow_id="w", tool=f"model:{MODEL}", args={})

    with pytest.raises(InvalidCall, match="named as a model's call"):
        await book.run(named, book.handler(lambda: 1))
    with pytest.raises(InvalidTool, match="or as a model"):
        book.tool(provider.chat, name=f"model:{MODEL}")


async def test_an_answer_that_is_lost_for_good_is_nobodys_to_decide_on(place: Place) -> None:
    """A model that was asked in vain has changed nothing: no person is asked what became of it."""
    book, provider = place.open(prices=PRICES), Provider()

    def lose(messages: list[dict[str, str]], max_tokens: int = 100) -> Any:
        provider.asked.append({})
        raise ConnectionResetError

    ask = book.ledger.model(book.handler(lose), model=MODEL, workflow_id="run-1", retry=QUICK)
    for _ in range(2):
        with pytest.raises((ConnectionResetError, EffectFailed)):
            await book.do(ask, messages=ASK)

    states = {effect.state for effect in await book.effects(workflow_id="run-1")}
    assert states <= {"failed", "retryable"}
    assert len(provider.asked) == 6


async def test_nobody_hears_of_a_budget_that_a_shorter_answer_fits_into(place: Place) -> None:
    """COS-08: what is told to people is that calls are refused, not how a call found its room."""
    heard: list[Alert] = []
    budget = Budget(usd="0.012", alert_at=(1.0,), alert_within=None)
    book = place.open(prices=PRICES, budgets={"tenant": budget}, on_alert=heard.append)
    provider = Provider()
    ask = model_of(book, provider, workflow_id="run-1")

    await book.do(ask, messages=ASK, max_tokens=1_000)
    await book.do(ask, messages=ASK, max_tokens=1_000)
    assert heard == []
    with pytest.raises(BudgetExceeded):
        await book.do(ask, messages=ASK, max_tokens=1_000)
    await book.close()

    assert [alert.code for alert in heard] == ["budget_threshold"]


async def test_a_model_is_asked_by_the_name_that_an_alias_stands_for(place: Place) -> None:
    """COS-22: prices, records and what is sent follow one change of the alias."""
    first = PriceBook({MODEL: {"input": "1", "output": "10"}}, aliases={"acme/best": MODEL}, bundled=False)
    book, provider = place.open(prices=first), Named()

    await book.do(book.ledger.model(book.handler(provider.chat), model="acme/best"), messages=ASK)

    (hold,) = await holds(book)
    assert provider.models == ["chat-1"]
    assert hold.model == MODEL


async def test_an_alias_of_another_provider_is_an_error_before_the_call(place: Place) -> None:
    """COS-22."""
    other = PriceBook(
        {"other/m": {"input": "1", "output": "1"}}, aliases={"acme/best": "other/m"}, bundled=False
    )
    book, provider = place.open(prices=other), Named()

    with pytest.raises(InvalidCall, match="'best' is other/m, and this client asks acme"):
        await book.do(book.ledger.model(book.handler(provider.chat), model="acme/best"), messages=ASK)
    with pytest.raises(UnpricedModel):
        await book.do(book.ledger.model(book.handler(provider.chat), model="acme/new"), messages=ASK)

    assert provider.models == []


class Named:
    """A model behind a function that takes the model's name."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def chat(self, messages: list[dict[str, str]], model: str = "", max_tokens: int = 100) -> Any:
        self.models.append(model)
        return {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 0}}


async def test_a_function_without_a_limit_keeps_to_the_one_that_is_said_of_it(place: Place) -> None:
    """COS-01."""

    def chat(messages: list[dict[str, str]]) -> dict[str, Any]:
        return {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 20}}

    book = place.open(prices=PRICES, budgets={"tenant": Budget(tokens=50_000)})
    ask = book.ledger.model(book.handler(chat), model=MODEL, default_output=100)

    await book.do(ask, messages=ASK)

    assert [hold.spent_tokens for hold in await holds(book)] == [60]


async def test_what_cannot_be_read_of_a_reply_is_paid_once(place: Place) -> None:
    """COS-11, COS-15: neither its usage, nor itself."""

    def unread(_: Any) -> Any:
        raise KeyError("usage")

    class Reply:
        def model_dump(self, mode: str) -> Any:
            raise ValueError(mode)

    book, provider = place.open(prices=PRICES), Provider()
    asked: list[Any] = []

    def chat(messages: list[dict[str, str]], max_tokens: int = 10) -> Any:
        asked.append(messages)
        return Reply()

    await book.do(model_of(book, provider, usage=unread, retry=QUICK), messages=ASK)
    with pytest.raises(InvalidTool, match="Reply"):
        await book.do(book.ledger.model(book.handler(chat), model=MODEL, retry=QUICK), messages=ASK)

    assert len(provider.asked) == len(asked) == 1
    assert [(hold.state, hold.spent_money == hold.money) for hold in await holds(book)] == [
        ("assumed", True),
        ("assumed", True),
    ]


async def test_what_is_no_json_is_asked_of_no_model(place: Place) -> None:
    book, provider = place.open(prices=PRICES), Provider()

    with pytest.raises(NotSerializable):
        await book.do(model_of(book, provider), messages=[object()])

    assert provider.asked == []


@pytest.mark.parametrize("provider", ["mistralai", "azure_openai"])
async def test_a_provider_may_be_called_by_any_of_its_names(place: Place, provider: str) -> None:
    """COS-22."""
    canonical = {"mistralai": "mistral", "azure_openai": "azure"}[provider]
    prices = PriceBook({f"{canonical}/m": {"input": "1", "output": "10"}}, bundled=False)
    book, model = place.open(prices=prices), Named()

    await book.do(book.ledger.model(book.handler(model.chat), model=f"{provider}/m"), messages=ASK)

    (hold,) = await holds(book)
    assert (hold.state, hold.spent_money) == ("settled", 40)


async def test_the_next_attempt_asks_for_all_of_its_answer_when_there_is_room_again() -> None:
    """COS-01: what was short when one attempt was claimed need not be short for the next one."""
    others_hold, others_may_end = asyncio.Event(), asyncio.Event()
    asked: list[int] = []
    reply = {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 0}}

    async def other(messages: list[dict[str, str]], max_tokens: int = 0) -> Any:
        others_hold.set()
        await others_may_end.wait()
        return reply

    async def chat(messages: list[dict[str, str]], max_tokens: int = 0) -> Any:
        asked.append(max_tokens)
        if len(asked) == 1:
            others_may_end.set()
            await holding
            raise ConnectionResetError
        return reply

    async with Ledger(MemoryStore(), prices=PRICES, budgets={"tenant": Budget(tokens=3_000)}) as ledger:
        holding = asyncio.create_task(ledger.model(other, model=MODEL)(messages=ASK, max_tokens=1_500))
        await others_hold.wait()
        await ledger.model(chat, model=MODEL, retry=QUICK)(messages=ASK, max_tokens=1_000)

    assert asked[0] < 1_000
    assert asked[1] == 1_000
