"""Agents of other frameworks ask their models through a ledger: by its client, or by an HTTP client of theirs."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    function_tool,
)
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from holdfast import Budget, Ledger, SyncLedger
from holdfast.adapters import httpx as legacy
from holdfast.adapters import httpx2 as current
from holdfast.errors import BudgetExceeded
from holdfast.stores.memory import MemoryStore
from holdfast.testing import ModelServer
from holdfast.testing.model import call, overloaded, says
from models.asking import QUICK, serve
from testing.model_clients import TASK

LINES = (
    says("Let me charge.", call("charge", amount=100), call("charge", amount=200), reasoning="Two orders."),
    lambda request: f"Charged: {', '.join(request.results)}.",
)
ANSWER = "Charged: ch_100, ch_200."

HttpClient = Callable[[Ledger], Any]


def by_client(ledger: Ledger, server: ModelServer, kind: Any) -> Any:
    """An official client, given to the ledger."""
    return ledger.model(kind(base_url=url_of(server, kind), api_key="k", http_client=plain()))


def by_transport(ledger: Ledger, server: ModelServer, kind: Any) -> Any:
    """An official client whose HTTP client sends by the ledger."""
    http = httpx2.AsyncClient(transport=current.AsyncLedgerTransport(ledger, plain()), trust_env=False)
    return kind(base_url=url_of(server, kind), api_key="k", max_retries=0, http_client=http)


def plain() -> Any:
    return httpx2.AsyncClient(verify=False, trust_env=False)


def url_of(server: ModelServer, kind: Any) -> str:
    return server.anthropic_url if kind is anthropic.AsyncAnthropic else server.openai_url


each_how = pytest.mark.parametrize("how", [by_client, by_transport])
each_streaming = pytest.mark.parametrize("streams", [False, True])


@each_how
@each_streaming
@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
async def test_an_agent_of_the_openai_agents_sdk(kind: Any, streams: bool, how: Any) -> None:
    """INT-02."""
    charged: list[int] = []

    @function_tool
    def charge(amount: int) -> str:
        charged.append(amount)
        return f"ch_{amount}"

    with serve(*LINES) as server:
        async with Ledger(MemoryStore()) as ledger, how(ledger, server, openai.AsyncOpenAI) as client:
            model = kind(model="m", openai_client=client)
            settings = ModelSettings(include_usage=True)
            agent = Agent(name="support", model=model, tools=[charge], model_settings=settings)
            config = RunConfig(tracing_disabled=True)
            if streams:
                result: Any = Runner.run_streamed(agent, "Charge both.", run_config=config)
                async for _ in result.stream_events():
                    pass
            else:
                result = await Runner.run(agent, "Charge both.", run_config=config)
            effects = await ledger.effects()

    assert result.final_output == ANSWER
    assert sorted(charged) == [100, 200]
    assert [effect.tool for effect in effects] == ["model:openai/m"] * 2
    assert [effect.state for effect in effects] == ["succeeded"] * 2


@each_how
@each_streaming
@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
async def test_an_agent_of_pydantic_ai(name: str, streams: bool, how: Any) -> None:
    """INT-02."""
    charged: list[int] = []

    async def hear(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    with serve(*LINES) as server:
        async with Ledger(MemoryStore()) as ledger, pydantic_model(name, how, ledger, server) as model:
            agent = PydanticAgent(model)

            @agent.tool_plain
            def charge(amount: int) -> str:
                charged.append(amount)
                return f"ch_{amount}"

            result = await agent.run("Charge both.", event_stream_handler=hear if streams else None)
            effects = await ledger.effects()
        asked = server.asked

    assert result.output == ANSWER
    assert sorted(charged) == [100, 200]
    assert [one.streams for one in asked] == [streams] * 2
    assert [effect.state for effect in effects] == ["succeeded"] * 2


@asynccontextmanager
async def pydantic_model(name: str, how: Any, ledger: Ledger, server: ModelServer) -> AsyncIterator[Any]:
    if name == "messages":
        async with how(ledger, server, anthropic.AsyncAnthropic) as claude:
            yield AnthropicModel("m", provider=AnthropicProvider(anthropic_client=claude))
        return
    kind: Any = OpenAIChatModel if name == "chat" else PydanticResponsesModel
    async with how(ledger, server, openai.AsyncOpenAI) as sdk:
        yield kind("m", provider=OpenAIProvider(openai_client=sdk))


@each_streaming
def test_anthropics_own_tool_runner(streams: bool) -> None:
    """INT-02."""
    charged: list[int] = []

    @anthropic.beta_tool
    def charge(amount: int) -> str:
        """Charge a card.

        Args:
            amount: In cents.
        """
        charged.append(amount)
        return f"ch_{amount}"

    with serve(*LINES) as server, SyncLedger(MemoryStore()) as ledger:
        http = httpx2.Client(verify=False, trust_env=False)
        client = anthropic.Anthropic(base_url=server.anthropic_url, api_key="k", http_client=http)
        with ledger.model(client) as sdk:
            task: Any = [{"role": "user", "content": "Charge both."}]
            runner: Any = sdk.beta.messages.tool_runner(
                model="m", max_tokens=99, messages=task, tools=[charge], stream=streams
            )
            last = runner.until_done()
        effects = ledger.effects()

    assert last.content[0].text == ANSWER
    assert charged == [100, 200]
    assert [effect.state for effect in effects] == ["succeeded"] * 2


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the internet
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import litellm
        from litellm.llms.custom_httpx import http_handler

        monkeypatch.setattr(litellm, "suppress_debug_info", True)
        yield litellm, http_handler.HTTPHandler


@each_streaming
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_litellm_asks_by_an_http_client_of_the_older_kind(litellm: Any, provider: str, streams: bool) -> None:
    """INT-02: httpx, which older clients have."""
    module, handler = litellm
    with serve(then="Yes.") as server, SyncLedger(MemoryStore()) as ledger:
        transport = legacy.LedgerTransport(ledger, httpx.Client(verify=False, trust_env=False))
        with httpx.Client(transport=transport, trust_env=False) as http:
            if provider == "openai":
                client: Any = openai.OpenAI(
                    base_url=server.openai_url, api_key="k", max_retries=0, http_client=http
                )
                place = server.openai_url
            else:
                client, place = handler(client=http), f"{server.anthropic_url}/v1/messages"
            asked = {"model": f"{provider}/m", "messages": TASK, "api_key": "k", "api_base": place}
            answer = module.completion(**asked, client=client, stream=streams)
            if streams:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
            else:
                text = answer.choices[0].message.content
        [effect] = ledger.effects()

    assert text == "Yes."
    assert (effect.tool, effect.state) == (f"model:{provider}/m", "succeeded")


def sync_pair(is_legacy: bool, ledger: Any) -> Any:
    http: Any = httpx if is_legacy else httpx2
    kind = legacy.LedgerTransport if is_legacy else current.LedgerTransport
    transport: Any = kind(ledger, http.Client(verify=False, trust_env=False), retry=QUICK)
    return http.Client(transport=transport, trust_env=False)


def async_pair(is_legacy: bool, ledger: Any) -> Any:
    http: Any = httpx if is_legacy else httpx2
    kind = legacy.AsyncLedgerTransport if is_legacy else current.AsyncLedgerTransport
    transport: Any = kind(ledger, http.AsyncClient(verify=False, trust_env=False), retry=QUICK)
    return http.AsyncClient(transport=transport, trust_env=False)


@pytest.mark.parametrize("is_legacy", [False, True])
def test_any_http_client_that_waits_asks_through_a_ledger(is_legacy: bool) -> None:
    with serve(overloaded(), "Yes.", then=overloaded()) as server, SyncLedger(MemoryStore()) as ledger:
        url, body = f"{server.openai_url}/chat/completions", {"model": "m", "messages": TASK}
        with sync_pair(is_legacy, ledger) as http:
            said = http.post(url, json=body)
            models = http.get(f"{server.openai_url}/models")
            refused = http.post(url, json=body)
            with http.stream("POST", url, json={**body, "stream": True}) as streaming:
                told = streaming.read()
        requests = server.requests
        states = [effect.state for effect in ledger.effects()]

    assert said.json()["choices"][0]["message"]["content"] == "Yes."
    assert models.json()["object"] == "list"
    assert (refused.status_code, refused.headers["x-should-retry"]) == (529, "false")
    assert streaming.status_code == 529
    assert b"error" in told
    assert requests == 2 + 1 + 3 + 3
    assert len(states) == 3


@pytest.mark.parametrize("is_legacy", [False, True])
async def test_any_http_client_that_is_awaited_asks_through_a_ledger(is_legacy: bool) -> None:
    with serve(overloaded(), then="Yes.") as server:
        async with Ledger(MemoryStore()) as ledger, async_pair(is_legacy, ledger) as http:
            url, body = f"{server.openai_url}/chat/completions", {"model": "m", "messages": TASK}
            said = await http.post(url, json=body)
            models = await http.get(f"{server.openai_url}/models")
            async with http.stream("POST", url, json={**body, "stream": True}) as streaming:
                told = await streaming.aread()
            states = [effect.state for effect in await ledger.effects()]

    assert said.json()["choices"][0]["message"]["content"] == "Yes."
    assert models.json()["object"] == "list"
    assert told.endswith(b"data: [DONE]\n\n")
    assert states == ["succeeded"] * 2


@pytest.mark.parametrize("kind", [openai.OpenAI, anthropic.Anthropic])
def test_a_client_that_knows_nothing_of_the_ledger_raises_its_errors_or_has_them_for_a_cause(
    kind: Any,
) -> None:
    with (
        serve(then="Yes.") as server,
        SyncLedger(MemoryStore(), budgets={"tenant": Budget(steps=1)}) as ledger,
    ):
        url = server.openai_url if kind is openai.OpenAI else server.anthropic_url
        http: Any = sync_pair(False, ledger)
        with closing(kind(base_url=url, api_key="k", max_retries=0, http_client=http)) as sdk:
            ask = sdk.chat.completions.create if kind is openai.OpenAI else sdk.messages.create
            asked: Any = {"model": "m", "messages": TASK, "max_tokens": 99}
            ask(**asked)
            with pytest.raises((BudgetExceeded, anthropic.APIConnectionError)) as raised:
                ask(**asked)
        requests = server.requests

    assert requests == 1
    assert isinstance(raised.value, BudgetExceeded) or isinstance(raised.value.__cause__, BudgetExceeded)
