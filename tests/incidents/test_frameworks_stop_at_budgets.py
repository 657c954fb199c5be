"""Agents of other frameworks, given a client that goes through a ledger, stop at its budgets, and are unchanged."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import anthropic
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
from langgraph.graph import END, START, StateGraph
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import UsageLimits
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from holdfast import Budget, Ended, Ledger, SyncLedger
from holdfast.stores.memory import MemoryStore
from holdfast.testing import ModelServer
from incidents.runaway import MODELS, PRICES, Runaway
from testing.model_clients import Api

BUDGET = Budget(steps=8, usd="0.50")
NAME = MODELS[Api.CHAT].partition("/")[2]
MANY = 1_000


def http_client(*, is_async: bool = True) -> Any:
    """To read a machine's certificates takes longer than all the rest, and nothing is encrypted here."""
    return (httpx2.AsyncClient if is_async else httpx2.Client)(verify=False, trust_env=False)


def of_openai(server: ModelServer) -> Any:
    return openai.AsyncOpenAI(base_url=server.openai_url, api_key="k", http_client=http_client())


def stopped(ended: Ended[Any], pages: list[int], model: Runaway) -> None:
    """It did what it had room for, each step once, and was told why it ended."""
    assert ended.refused is not None
    assert (ended.status, ended.refused.unit, ended.refused.used) == ("budget_exhausted", "steps", 8)
    assert len(pages) == len(model.used) == model.count == 8


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
async def test_the_openai_agents_sdk(kind: Any, streams: bool) -> None:
    """INT-02, COS-04."""
    pages, script = list[int](), Runaway(thinks=10)

    @function_tool
    def look(page: int) -> str:
        pages.append(page)
        return "no flight"

    async with Ledger(MemoryStore(), prices=PRICES) as ledger:
        with ModelServer(script) as server:
            async with ledger.model(of_openai(server)) as sdk:
                model = kind(model=NAME, openai_client=sdk)
                settings = ModelSettings(include_usage=True)
                agent = Agent(name="clerk", model=model, tools=[look], model_settings=settings)
                config = RunConfig(tracing_disabled=True)

                async def work() -> Any:
                    if not streams:
                        return await Runner.run(agent, "Look.", run_config=config, max_turns=MANY)
                    result = Runner.run_streamed(agent, "Look.", run_config=config, max_turns=MANY)
                    async for _ in result.stream_events():
                        pass
                    return result

                ended = await ledger.within("clerk", BUDGET, work)

    stopped(ended, pages, script)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_pydantic_ai(api: str, streams: bool) -> None:
    """INT-02, COS-04."""
    pages, script = list[int](), Runaway(thinks=10)

    async def hear(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    async with Ledger(MemoryStore(), prices=PRICES) as ledger:
        with ModelServer(script) as server:
            if api == "messages":
                plain: Any = anthropic.AsyncAnthropic(
                    base_url=server.anthropic_url, api_key="k", http_client=http_client()
                )
                name = MODELS[Api.MESSAGES].partition("/")[2]
            else:
                plain, name = of_openai(server), NAME
            async with ledger.model(plain) as sdk:
                model: Any
                if api == "messages":
                    model = AnthropicModel(name, provider=AnthropicProvider(anthropic_client=sdk))
                else:
                    form: Any = OpenAIChatModel if api == "chat" else PydanticResponsesModel
                    model = form(name, provider=OpenAIProvider(openai_client=sdk))
                agent = PydanticAgent(model)

                @agent.tool_plain
                def look(page: int) -> str:
                    pages.append(page)
                    return "no flight"

                async def work() -> Any:
                    limits = UsageLimits(request_limit=MANY)
                    handler = hear if streams else None
                    return await agent.run("Look.", usage_limits=limits, event_stream_handler=handler)

                ended = await ledger.within("clerk", BUDGET, work)

    stopped(ended, pages, script)


class Talk(TypedDict):
    messages: Annotated[list[Any], operator.add]


def graph_of(ask: Any, look: Any) -> Any:
    """An agent as a graph: ask, look, ask again, until the model calls nothing."""
    graph: Any = StateGraph(Talk)
    graph.add_node("ask", ask)
    graph.add_node("look", look)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", lambda talk: "look" if talk["messages"][-1].tool_calls else END)
    graph.add_edge("look", "ask")
    return graph.compile()


TOOLS: Any = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
BEGINS: Any = {"messages": [{"role": "user", "content": "Look."}]}


@pytest.mark.parametrize("is_async", [False, True])
async def test_langgraph(is_async: bool) -> None:
    """INT-02, COS-04."""
    pages, script = list[int](), Runaway(thinks=10)

    def look(talk: Talk) -> Any:
        told = []
        for call in talk["messages"][-1].tool_calls:
            pages.append(1)
            told.append({"role": "tool", "tool_call_id": call.id, "content": "no flight"})
        return {"messages": told}

    with ModelServer(script) as server:
        if is_async:
            async with (
                Ledger(MemoryStore(), prices=PRICES) as ledger,
                ledger.model(of_openai(server)) as sdk,
            ):

                async def ask_async(talk: Talk) -> Any:
                    asked: Any = {"model": NAME, "messages": talk["messages"], "tools": TOOLS}
                    said = await sdk.chat.completions.create(**asked)
                    return {"messages": [said.choices[0].message]}

                flow = graph_of(ask_async, look)
                ended = await ledger.within(
                    "clerk", BUDGET, lambda: flow.ainvoke(BEGINS, {"recursion_limit": MANY})
                )
        else:
            client = openai.OpenAI(
                base_url=server.openai_url, api_key="k", http_client=http_client(is_async=False)
            )
            with SyncLedger(MemoryStore(), prices=PRICES) as blocking, blocking.model(client) as sync_sdk:

                def ask(talk: Talk) -> Any:
                    asked: Any = {"model": NAME, "messages": talk["messages"], "tools": TOOLS}
                    said = sync_sdk.chat.completions.create(**asked)
                    return {"messages": [said.choices[0].message]}

                flow = graph_of(ask, look)
                ended = blocking.within(
                    "clerk", BUDGET, lambda: flow.invoke(BEGINS, {"recursion_limit": MANY})
                )

    stopped(ended, pages, script)
