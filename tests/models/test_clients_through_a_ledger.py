"""The official clients behave through a ledger as they do without one; and what differs is meant to."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from holdfast import Budget, Ledger, SyncLedger
from holdfast.errors import BudgetExceeded, InvalidCall, InvalidTool
from holdfast.stores.memory import MemoryStore
from holdfast.testing.model import Api, call, fails, overloaded, rate_limited, says
from models.asking import QUICK, Desk, serve
from models.gated import gated
from promises.ledgers import DEAD_SOON
from testing.model_clients import PLAIN, STREAMS, TASK, WAYS, Way

EVERYTHING = says(
    "Es kostet 100 €. ",
    call("charge", amount=2**60 + 1, note='"quoted" \\ → 日本'),
    reasoning="The order is open.",
    usage={"input_tokens": 1000, "cached_tokens": 900},
)
SYNC_CHAT, ASYNC_CHAT, SYNC_CLAUDE = PLAIN[0], PLAIN[1], PLAIN[-2]

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
each_plain = pytest.mark.parametrize("way", PLAIN, ids=str)


@each_way
def test_an_answer_is_the_same_through_a_ledger(way: Way) -> None:
    """INT-02: every object and every event of the client's own types."""
    with serve(EVERYTHING) as server:
        plain = way.ask(server)
        [as_asked] = server.asked
    with serve(EVERYTHING) as server:
        heard = Desk(way).ask(server)
        [asked] = server.asked

    assert heard == plain
    assert asked.body == as_asked.body
    assert set(asked.headers) == set(as_asked.headers)


@each_way
def test_a_workflow_that_goes_on_elsewhere_asks_no_provider_again(way: Way, tmp_path: Path) -> None:
    """DUR-16, COS-15."""
    desk = Desk(way, f"sqlite:///{tmp_path}/ledger.db", settings=DEAD_SOON)
    with serve(EVERYTHING) as server:
        with suppress(Killed):
            desk.use(server, asking_in_a_workflow(way, dies=True))
        heard = desk.use(server, asking_in_a_workflow(way, dies=False))
        requests = server.requests
    with serve(EVERYTHING) as server:
        plain = way.ask(server)

    assert requests == 1
    assert heard == plain.text


class Killed(BaseException):
    """The worker's process ends."""


def asking_in_a_workflow(way: Way, *, dies: bool) -> Any:
    def act(sdk: Any, ledger: Any) -> Any:
        @ledger.workflow(name="ask")
        def ask(ctx: Any) -> str:
            text = way.hear(sdk).text
            if dies:
                raise Killed
            return text

        return ask.run("w-1")

    async def act_async(sdk: Any, ledger: Any) -> Any:
        @ledger.workflow(name="ask")
        async def ask(ctx: Any) -> str:
            text = (await way.hear_async(sdk)).text
            if dies:
                raise Killed
            return text

        return await ask.run("w-1")

    return act_async if way.is_async else act


@each_way
def test_a_provider_is_asked_as_often_as_the_policy_says_and_no_client_adds_to_that(way: Way) -> None:
    """RET-19, RET-06."""
    with serve(then=overloaded()) as server:
        with pytest.raises((openai.InternalServerError, anthropic.APIStatusError)) as raised:
            Desk(way).ask(server, client={"max_retries": 5}, wishes={"retry": QUICK})
        requests = server.requests

    assert requests == 3
    assert raised.value.status_code == 529


@pytest.mark.parametrize("is_async", [False, True])
def test_no_single_request_is_tried_more_often_either(is_async: bool) -> None:
    """RET-19."""
    asked: Any = {
        "path": "/chat/completions",
        "body": {"model": "m", "messages": TASK},
        "options": {"max_retries": 5},
        "cast_to": object,
    }

    def act(sdk: Any, _: Any) -> Any:
        return sdk.post(**asked)

    async def act_async(sdk: Any, _: Any) -> Any:
        return await sdk.post(**asked)

    desk = Desk(ASYNC_CHAT if is_async else SYNC_CHAT)
    with serve(then=overloaded()) as server:
        with pytest.raises(openai.InternalServerError):
            desk.use(server, act_async if is_async else act, retry=QUICK)
        requests = server.requests

    assert requests == 3


@each_plain
def test_a_copy_goes_through_the_ledger_too_and_tries_no_more_often(way: Way) -> None:
    """RET-19."""

    def other(sdk: Any) -> Any:
        assert sdk.with_options(max_retries=5).max_retries == 0
        return sdk.with_options(max_retries=5, timeout=20.0).copy(
            max_retries=4, default_headers={"x-own": "1"}
        )

    def act(sdk: Any, _: Any) -> Any:
        return way.hear(other(sdk))

    async def act_async(sdk: Any, _: Any) -> Any:
        return await way.hear_async(other(sdk))

    desk = Desk(way)
    with serve(overloaded(), then="Yes.") as server:
        heard = desk.use(server, act_async if way.is_async else act, retry=QUICK)
        asked = server.asked

    assert heard.text == "Yes."
    assert [one.headers["x-own"] for one in asked] == ["1", "1"]
    assert [effect.state for effect in desk.effects()] == ["succeeded"]


@each_way
@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_is_raised_as_the_client_raises_it_after_one_attempt(way: Way, status: int) -> None:
    """RET-08, RET-09."""
    refused = fails(status, "Not like this.")
    with serve(then=refused) as server:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as plain:
            way.ask(server)
        with pytest.raises(type(plain.value)) as raised:
            Desk(way).ask(server, wishes={"retry": QUICK})
        requests = server.requests

    assert requests == 2
    assert type(raised.value) is type(plain.value)
    assert str(raised.value).partition("req_")[0] == str(plain.value).partition("req_")[0]
    assert raised.value.request_id


@each_plain
def test_what_a_provider_says_of_waiting_is_heard(way: Way) -> None:
    """RET-05."""
    with serve(then=rate_limited(3_000)) as server:
        with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)) as raised:
            Desk(way).ask(server, wishes={"retry": QUICK})
        requests = server.requests

    assert requests == 1, "nobody waits as long"
    assert raised.value.response.headers["retry-after"] == "3000"


@each_way
def test_what_the_ledger_raises_reaches_the_caller_as_it_is(way: Way) -> None:
    """COS-04: no client makes an error of connections out of it, or tries it again."""
    desk = Desk(way, budgets={"tenant": Budget(steps=1)})
    with serve(then="Yes.") as server:
        desk.ask(server)
        with pytest.raises(BudgetExceeded):
            desk.ask(server)
        requests = server.requests

    assert requests == 1


@each_plain
def test_a_client_stays_what_it_is(way: Way) -> None:
    with serve() as server:
        client = way.client(server)
        face: Any = Ledger if way.is_async else SyncLedger
        ledger = face(MemoryStore())
        wrapped = ledger.model(client)

    assert isinstance(wrapped, type(client))
    assert type(wrapped).__name__ == type(client).__name__
    assert (wrapped.api_key, wrapped.base_url, wrapped.timeout) == (
        client.api_key,
        client.base_url,
        client.timeout,
    )
    assert wrapped.max_retries == 0


def test_a_client_that_is_closed_closes_what_it_sends_by() -> None:
    with serve() as server, SyncLedger(MemoryStore()) as ledger:
        client = SYNC_CHAT.client(server)
        with ledger.model(client):
            assert not client.is_closed()

    assert client.is_closed()


@each_plain
def test_the_clients_own_http_client_sends_each_attempt(way: Way) -> None:
    """RET-19: its hooks see all that is sent, and nothing that comes from the record."""
    seen: list[str] = []

    def keep(request: Any) -> None:
        seen.append(request.headers["x-of-http-client"])

    async def keep_async(request: Any) -> None:
        keep(request)

    kind: Any = httpx2.AsyncClient if way.is_async else httpx2.Client
    hooks: Any = {"request": [keep_async if way.is_async else keep]}
    http = kind(event_hooks=hooks, headers={"x-of-http-client": "1"}, verify=False, trust_env=False)
    with serve(overloaded(), then="Yes.") as server:
        Desk(way).ask(server, client={"http_client": http}, wishes={"retry": QUICK})

    assert seen == ["1", "1"]


@pytest.mark.parametrize(("client", "ledger"), [(SYNC_CHAT, Ledger), (ASYNC_CHAT, SyncLedger)])
def test_a_client_that_waits_and_a_ledger_that_is_awaited_are_told_apart(client: Way, ledger: Any) -> None:
    with serve() as server, pytest.raises(InvalidTool, match="Ledger"):
        ledger(MemoryStore()).model(client.client(server))


def test_what_is_no_client_is_refused() -> None:
    ledger = SyncLedger(MemoryStore())
    with serve() as server:
        through = ledger.model(SYNC_CHAT.client(server))
        for odd in (object(), httpx2.Client(verify=False), through):
            with pytest.raises(InvalidTool):
                ledger.model(odd)


def test_what_costs_nothing_passes_and_is_no_effect() -> None:
    store = MemoryStore()
    with serve(models=["m"]) as server, SyncLedger(store) as ledger:
        with closing(ledger.model(SYNC_CHAT.client(server))) as sdk:
            assert [model.id for model in sdk.models.list()] == ["m"]
        with closing(ledger.model(SYNC_CLAUDE.client(server))) as claude:
            assert claude.messages.count_tokens(model="m", messages=TASK).input_tokens > 0
            assert [model.id for model in claude.models.list()] == ["m"]
        effects = ledger.effects()

    assert list(effects) == []


def test_what_may_cost_and_is_no_model_call_that_is_known_is_refused_unless_it_is_allowed() -> None:
    """COS-11: what is unknown is never free."""
    with serve() as server, SyncLedger(MemoryStore()) as ledger:
        with closing(ledger.model(SYNC_CHAT.client(server))) as sdk:
            for ask in (
                lambda: sdk.embeddings.create(model="m", input="Hi."),
                lambda: sdk.completions.create(model="m", prompt="Hi."),
                lambda: sdk.batches.create(
                    input_file_id="f", endpoint="/v1/responses", completion_window="24h"
                ),
                lambda: sdk.post("/threads/t/messages", body={"role": "user"}, cast_to=object),
            ):
                with pytest.raises(InvalidCall, match="others='allow'"):
                    ask()
        with closing(ledger.model(SYNC_CLAUDE.client(server))) as claude, pytest.raises(InvalidCall):
            claude.messages.batches.create(requests=[])
        assert server.requests == 0
        allowed = closing(ledger.model(SYNC_CHAT.client(server), others="allow"))
        with allowed as sdk, pytest.raises(openai.NotFoundError):
            sdk.embeddings.create(model="m", input="Hi.")
        assert server.requests == 1


async def test_what_may_cost_is_refused_by_clients_that_are_awaited_as_well() -> None:
    with serve(models=["m"]) as server:
        async with Ledger(MemoryStore()) as ledger, ledger.model(ASYNC_CHAT.client(server)) as sdk:
            with pytest.raises(InvalidCall):
                await sdk.embeddings.create(model="m", input="Hi.")
            assert [model.id async for model in sdk.models.list()] == ["m"]


@each_way
def test_no_credentials_are_on_record(way: Way, tmp_path: Path) -> None:
    """I8."""
    desk = Desk(way, f"sqlite:///{tmp_path}/ledger.db")
    with serve("Yes.") as server:
        desk.ask(server, client={"api_key": "sk-secret-of-mine"})

    [effect] = desk.effects()
    assert effect.state == "succeeded"
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"sk-secret-of-mine" not in kept
    assert b"Charge order 7." in kept


@pytest.mark.parametrize("is_async", [False, True])
def test_azures_client_goes_through_a_ledger(is_async: bool) -> None:
    """Its paths name deployments, and its addresses have a query."""
    kind: Any = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
    http: Any = (httpx2.AsyncClient if is_async else httpx2.Client)(verify=False, trust_env=False)
    way = ASYNC_CHAT if is_async else SYNC_CHAT
    with serve("Yes.") as server, httpx2.Client(verify=False, trust_env=False) as plain:
        asked: Any = {"model": "m", "messages": TASK}
        whole = plain.post(f"{server.openai_url}/chat/completions", json=asked).content
    with gated([whole], content_type="application/json") as server:
        client = kind(azure_endpoint=server.url, api_key="k", api_version="1", http_client=http)

        def clients(sdk: Any) -> list[Any]:
            return [sdk, sdk.with_options(api_version="2"), sdk.copy(timeout=9)]

        def act(ledger: Any) -> list[Any]:
            with ledger, ledger.model(client) as sdk:
                return [each.chat.completions.create(**asked) for each in clients(sdk)]

        async def act_async(ledger: Any) -> list[Any]:
            async with ledger, ledger.model(client) as sdk:
                return [await each.chat.completions.create(**asked) for each in clients(sdk)]

        desk = Desk(way)
        said: Any = asyncio.run(act_async(desk.ledger())) if is_async else act(desk.ledger())
        paths = server.paths

    assert [one.choices[0].message.content for one in said] == ["Yes."] * 3
    path = "/openai/deployments/m/chat/completions"
    assert paths == [f"{path}?api-version={version}" for version in (1, 2, 1)]
    assert {effect.args["url"] for effect in desk.effects()} == {f"{server.url}{path}"}


def test_raw_responses_and_structured_outputs_work_as_ever() -> None:
    from pydantic import BaseModel

    class Charge(BaseModel):
        amount: int

    said = '{"amount": 100}'
    with serve(then=said) as server, SyncLedger(MemoryStore()) as ledger:
        with closing(ledger.model(SYNC_CHAT.client(server))) as sdk:
            raw = sdk.chat.completions.with_raw_response.create(model="m", messages=TASK)
            parsed = sdk.chat.completions.parse(model="m", messages=TASK, response_format=Charge)
            response = sdk.responses.parse(model="m", input="Hi.", text_format=Charge)
            with sdk.responses.with_streaming_response.create(model="m", input="Hi.") as streaming:
                lines = "".join(streaming.iter_lines())
        with closing(ledger.model(SYNC_CLAUDE.client(server))) as claude:
            message = claude.beta.messages.create(model="m", messages=TASK, max_tokens=99)
            raw_message = claude.messages.with_raw_response.create(model="m", messages=TASK, max_tokens=99)

    assert raw.parse().choices[0].message.content == said
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-ratelimit-remaining-requests"]
    assert parsed.choices[0].message.parsed == Charge(amount=100)
    assert response.output_parsed == Charge(amount=100)
    assert '"output_text"' in lines
    assert message.content[0].text == said
    assert raw_message.headers["request-id"] == raw_message.parse()._request_id


@pytest.mark.parametrize("way", [way for way in STREAMS if way.api is Api.CHAT], ids=str)
def test_usage_is_asked_of_every_chat_stream_and_shown_to_whoever_asked(way: Way) -> None:
    """COS-11: no usage is no price; and no chunk comes without a choice that nobody expects."""
    asked: Any = {"model": "m", "messages": TASK, "stream": True}
    shown = {"stream_options": {"include_usage": True}}

    def act(sdk: Any, _: Any) -> Any:
        create = sdk.chat.completions.create
        return [list(create(**asked)), list(create(**asked, **shown))]

    async def act_async(sdk: Any, _: Any) -> Any:
        create = sdk.chat.completions.create
        return [[chunk async for chunk in await create(**given)] for given in (asked, asked | shown)]

    desk = Desk(way)
    with serve(then="Once upon a time.") as server:
        without, with_it = desk.use(server, act_async if way.is_async else act)
        bodies = [one.body for one in server.asked]

    assert [chunk.usage for chunk in without] == [None] * len(without)
    assert all(chunk.choices for chunk in without)
    assert with_it[-1].usage.completion_tokens == 5
    assert len(with_it) == len(without) + 1
    assert [body["stream_options"] for body in bodies] == [{"include_usage": True}] * 2
    effects = desk.effects()
    assert ["stream_options" in effect.args["request"] for effect in effects] == [False, True]
