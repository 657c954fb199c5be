"""The providers' own clients are chat functions as they are: what they return goes in, and back to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from agent.provider import Provider
from agent.scripted import Office
from holdfast.agent import agent
from providers.busy import serving, settle_in

ARGS = {"cents": 500}
TEXT = "Refunded."
USAGE = {"input_tokens": 1, "output_tokens": 1}


def completion(**message: Any) -> dict[str, Any]:
    """An answer of OpenAI chat completions."""
    said = {"role": "assistant", "content": None, "refusal": None, "annotations": [], **message}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": said}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


def response(*output: dict[str, Any]) -> dict[str, Any]:
    """An answer of OpenAI responses."""
    return {
        "id": "r", "object": "response", "created_at": 0, "model": "m", "status": "completed", "tools": [],
        "parallel_tool_calls": True, "tool_choice": "auto", "output": list(output),
    }  # fmt: skip


def message(*content: dict[str, Any]) -> dict[str, Any]:
    """An answer of Anthropic."""
    return {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": None, "usage": USAGE, "content": list(content),
    }  # fmt: skip


CHAT_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "refund", "arguments": json.dumps(ARGS)},
}
ITEM_CALL = {
    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "refund",
    "arguments": json.dumps(ARGS), "status": "completed",
}  # fmt: skip
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
ITEM_TEXT = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
}  # fmt: skip
TOOL_USE = {"type": "tool_use", "id": "call_1", "name": "refund", "input": ARGS}
THOUGHT = {"type": "thinking", "thinking": "Money back.", "signature": "s"}


def ask_chat(client: Any, messages: Any, tools: Any) -> Any:
    functions = [{"type": "function", "function": tool} for tool in tools]
    return client.chat.completions.create(model="m", messages=messages, tools=functions)


def ask_responses(client: Any, messages: Any, tools: Any) -> Any:
    functions = [{"type": "function", "strict": False, **tool} for tool in tools]
    return client.responses.create(model="m", input=messages, tools=functions)


def ask_anthropic(client: Any, messages: Any, tools: Any) -> Any:
    offered = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in tools
    ]
    return client.messages.create(model="m", max_tokens=99, messages=messages, tools=offered)


@dataclass(frozen=True)
class Case:
    """One provider's interface: its clients, its answers, and the history that it is to be sent then."""

    clients: tuple[Callable[..., Any], Callable[..., Any]]
    ask: Callable[..., Any]
    answers: tuple[dict[str, Any], dict[str, Any]]
    history: Callable[[dict[str, Any]], list[Any]]
    result: Callable[[list[Any]], str]


CASES = {
    "openai chat": Case(
        clients=(openai.OpenAI, openai.AsyncOpenAI),
        ask=ask_chat,
        answers=(completion(tool_calls=[CHAT_CALL]), completion(content=TEXT)),
        history=lambda body: [body["messages"][1]["tool_calls"], body["messages"][2]["tool_call_id"]],
        result=lambda body: body["messages"][2]["content"],
    ),
    "openai responses": Case(
        clients=(openai.OpenAI, openai.AsyncOpenAI),
        ask=ask_responses,
        answers=(response(REASONING, ITEM_CALL), response(ITEM_TEXT)),
        history=lambda body: [*body["input"][1:3], body["input"][3]["type"], body["input"][3]["call_id"]],
        result=lambda body: body["input"][3]["output"],
    ),
    "anthropic": Case(
        clients=(anthropic.Anthropic, anthropic.AsyncAnthropic),
        ask=ask_anthropic,
        answers=(message(THOUGHT, TOOL_USE), message({"type": "text", "text": TEXT})),
        history=lambda body: [
            *body["messages"][1]["content"],
            body["messages"][2]["content"][0]["tool_use_id"],
        ],
        result=lambda body: body["messages"][2]["content"][0]["content"],
    ),
}
EXPECTED = {
    "openai chat": [[CHAT_CALL], "call_1"],
    "openai responses": [REASONING, ITEM_CALL, "function_call_output", "call_1"],
    "anthropic": [THOUGHT, TOOL_USE, "call_1"],
}


@pytest.mark.parametrize("name", CASES)
async def test_a_providers_client_is_a_chat_function_as_it_is(
    office: Office, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PLN-01, INT-01: the SDK's object goes in; call and result come back to it in its own form."""
    settle_in(monkeypatch)
    case, paid = CASES[name], []

    def refund(cents: int) -> dict[str, str]:
        """Pay money back."""
        paid.append(cents)
        return {"id": "re_1"}

    tool = office.tool(refund)
    with serving(Provider(*case.answers)) as provider:
        client = case.clients[not office.book.is_sync](api_key="k", base_url=provider.url, max_retries=0)

        def plain(messages: Any, tools: Any) -> Any:
            return case.ask(client, messages, tools)

        async def coroutine(messages: Any, tools: Any) -> Any:
            return await case.ask(client, messages, tools)

        answer = await office.run(declared(office, plain if office.book.is_sync else coroutine, [tool]))
        if office.book.is_sync:
            client.close()
        else:
            await client.close()

    assert (answer, paid) == (TEXT, [500])
    assert case.history(provider.requests[1]) == EXPECTED[name]
    assert json.loads(case.result(provider.requests[1]))["result"] == {"id": "re_1"}
    assert "Pay money back." in json.dumps(provider.requests[0]["tools"])


def declared(office: Office, chat: Any, tools: list[Any]) -> Any:
    """A workflow of the office's face around an agent."""
    if office.book.is_sync:
        return office.agent(chat, tools=tools)

    async def support(ctx: Any, task: str) -> str:
        return await agent(ctx, chat, task, tools=tools)

    return office.ledger.workflow(support)


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_blocking_client_under_either_ledger_is_asked_again_when_its_provider_is_busy(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PLN-01, RET-06: under asyncio it is called in a thread; the SDK itself does not retry."""
    settle_in(monkeypatch)
    busy = 503, {"error": {"message": "busy"}}
    with (
        serving(Provider(busy, completion(content=TEXT))) as provider,
        openai.OpenAI(api_key="k", base_url=provider.url, max_retries=0) as client,
    ):
        assert await office.run(office.agent(lambda m, t: ask_chat(client, m, t))) == TEXT

    assert len(provider.requests) == 2
