"""Whole agents of other frameworks work by a script: they are the strictest readers of what a provider says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
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

from holdfast.testing import ModelServer
from holdfast.testing.model import call, says

LINES = (
    says("Let me charge.", call("charge", amount=100), call("charge", amount=200), reasoning="Two orders."),
    lambda request: f"Charged: {', '.join(request.results)}.",
)
ANSWER = "Charged: ch_100, ch_200."


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", [OpenAIChatCompletionsModel, OpenAIResponsesModel])
async def test_an_agent_of_the_openai_agents_sdk(kind: Any, streams: bool) -> None:
    """TST-03."""
    charged: list[int] = []

    @function_tool
    def charge(amount: int) -> str:
        charged.append(amount)
        return f"ch_{amount}"

    with ModelServer(*LINES) as server:
        async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="k", max_retries=0) as client:
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
        asked = server.asked

    assert result.final_output == ANSWER
    assert sorted(charged) == [100, 200]
    assert [one.streams for one in asked] == [streams] * 2
    usage = result.context_wrapper.usage
    assert (usage.requests, usage.input_tokens) == (2, sum(one.input_tokens for one in asked))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
async def test_an_agent_of_pydantic_ai(name: str, streams: bool) -> None:
    """TST-03."""
    charged: list[int] = []

    async def hear(_: Any, events: Any) -> None:
        async for _ in events:
            pass

    with ModelServer(*LINES) as server:
        async with asking(name, server) as model:
            agent = PydanticAgent(model)

            @agent.tool_plain
            def charge(amount: int) -> str:
                charged.append(amount)
                return f"ch_{amount}"

            result = await agent.run("Charge both.", event_stream_handler=hear if streams else None)
        asked = server.asked

    assert result.output == ANSWER
    assert sorted(charged) == [100, 200]
    assert [one.streams for one in asked] == [streams] * 2
    assert (result.usage.requests, result.usage.input_tokens) == (2, sum(one.input_tokens for one in asked))


@asynccontextmanager
async def asking(name: str, server: ModelServer) -> AsyncIterator[Any]:
    """A model of pydantic-ai's that asks *server*."""
    if name == "messages":
        url = server.anthropic_url
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as claude:
            yield AnthropicModel("m", provider=AnthropicProvider(anthropic_client=claude))
        return
    kind: Any = OpenAIChatModel if name == "chat" else PydanticResponsesModel
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key="k", max_retries=0) as sdk:
        yield kind("m", provider=OpenAIProvider(openai_client=sdk))


@pytest.mark.parametrize("streams", [False, True])
def test_anthropics_own_tool_runner(streams: bool) -> None:
    """TST-03."""
    charged: list[int] = []

    @anthropic.beta_tool
    def charge(amount: int) -> str:
        """Charge a card.

        Args:
            amount: In cents.
        """
        charged.append(amount)
        return f"ch_{amount}"

    with (
        ModelServer(*LINES) as server,
        anthropic.Anthropic(base_url=server.anthropic_url, api_key="k", max_retries=0) as client,
    ):
        task: Any = [{"role": "user", "content": "Charge both."}]
        runner: Any = client.beta.messages.tool_runner(
            model="m", max_tokens=99, messages=task, tools=[charge], stream=streams
        )
        last = runner.until_done()

    assert last.content[0].text == ANSWER
    assert charged == [100, 200]


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_structured_output_is_what_the_script_says(api: str) -> None:
    from pydantic import BaseModel

    class Charge(BaseModel):
        amount: int

    with (
        ModelServer('{"amount": 100}') as server,
        openai.OpenAI(base_url=server.openai_url, api_key="k") as client,
    ):
        if api == "chat":
            task: Any = [{"role": "user", "content": "How much?"}]
            chat = client.chat.completions.parse(model="m", messages=task, response_format=Charge)
            parsed = chat.choices[0].message.parsed
        else:
            parsed = client.responses.parse(model="m", input="How much?", text_format=Charge).output_parsed

    assert parsed == Charge(amount=100)
