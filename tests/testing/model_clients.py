"""The official SDKs of OpenAI and Anthropic, blocking and async, whole and streaming: each as a function that asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import anthropic
import httpx2
import openai

from holdfast.testing.model import Api, ModelServer

PATIENCE_S: Final = 30.0
PARAMETERS: Final = {"type": "object", "properties": {"amount": {"type": "integer"}}}
TASK: Final = [{"role": "user", "content": "Charge order 7."}]


@dataclass(frozen=True)
class Heard:
    """An answer as its SDK gave it, in words that all have in common.

    ``usage`` is input, output, cached and reasoning tokens; the input with the cached ones.
    """

    id: str
    text: str
    calls: list[tuple[str, str, Any]]
    finish: str
    usage: tuple[int, int, int, int] | None
    reasoning: str = ""
    refusal: str = ""
    events: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """One way to ask a model."""

    api: Api
    is_async: bool
    streams: bool

    def __str__(self) -> str:
        face = "async" if self.is_async else "sync"
        return f"{self.api}-{face}-{'stream' if self.streams else 'whole'}"

    @property
    def is_anthropic(self) -> bool:
        return self.api is Api.MESSAGES

    @property
    def connection_error(self) -> type[Exception]:
        return anthropic.APIConnectionError if self.is_anthropic else openai.APIConnectionError

    def client(self, server: ModelServer, **options: Any) -> Any:
        """A client that tries once, unless told otherwise."""
        module: Any = httpx2
        # To read a machine's certificates takes longer than all the rest, and nothing is encrypted here.
        http = (module.AsyncClient if self.is_async else module.Client)(verify=False, trust_env=False)
        given = {"api_key": "k", "max_retries": 0, "timeout": PATIENCE_S, "http_client": http, **options}
        if self.is_anthropic:
            kind: Any = anthropic.AsyncAnthropic if self.is_async else anthropic.Anthropic
            return kind(base_url=server.anthropic_url, **given)
        kind = openai.AsyncOpenAI if self.is_async else openai.OpenAI
        return kind(base_url=server.openai_url, **given)

    def ask(self, server: ModelServer, messages: Any = None, *, client: Any = None, **options: Any) -> Heard:
        """Ask once, and read the answer."""
        if self.is_async:
            return asyncio.run(self._ask_async(server, messages, client or {}, options))
        with self.client(server, **(client or {})) as sdk:
            return self.hear(sdk, messages, **options)

    def hear(self, sdk: Any, messages: Any = None, **options: Any) -> Heard:
        """Ask once by a client that waits."""
        arguments = _arguments(self.api, messages or TASK, options)
        create, manage = _methods(self.api, sdk)
        if not self.streams:
            return _READ[self.api](create(**arguments), [])
        with manage(**_streamed(self.api, arguments)) as stream:
            events = list(stream)
            return _READ[self.api](_final(self.api, stream, events), events)

    async def hear_async(self, sdk: Any, messages: Any = None, **options: Any) -> Heard:
        """Ask once by a client that is awaited."""
        arguments = _arguments(self.api, messages or TASK, options)
        create, manage = _methods(self.api, sdk)
        if not self.streams:
            return _READ[self.api](await create(**arguments), [])
        async with manage(**_streamed(self.api, arguments)) as stream:
            events = [event async for event in stream]
            return _READ[self.api](_final(self.api, stream, events), events)

    async def _ask_async(self, server: ModelServer, messages: Any, client: Any, options: Any) -> Heard:
        async with self.client(server, **client) as sdk:
            return await self.hear_async(sdk, messages, **options)

    async def ask_with(self, sdk: Any, messages: Any = None, **options: Any) -> Heard:
        """Ask once with a client of this kind, and close it; one that waits is asked in a thread."""
        if self.is_async:
            async with sdk:
                return await self.hear_async(sdk, messages, **options)

        def plain() -> Heard:
            with sdk:
                return self.hear(sdk, messages, **options)

        return await asyncio.to_thread(plain)

    async def leave_with(self, sdk: Any, messages: Any = None, **options: Any) -> None:
        """Ask for a stream, and leave it after its first event."""
        arguments = _streamed(self.api, _arguments(self.api, messages or TASK, options))
        if not self.is_async:
            await asyncio.to_thread(self._leave, sdk, arguments)
            return
        async with sdk, _methods(self.api, sdk)[1](**arguments) as stream:
            await anext(aiter(stream))

    def _leave(self, sdk: Any, arguments: Any) -> None:
        with sdk, _methods(self.api, sdk)[1](**arguments) as stream:
            next(iter(stream))


def _arguments(api: Api, messages: Any, options: dict[str, Any]) -> dict[str, Any]:
    about = "Charges a card."
    match api:
        case Api.CHAT:
            function = {"name": "charge", "description": about, "parameters": PARAMETERS}
            rest = {"messages": messages, "tools": [{"type": "function", "function": function}]}
        case Api.RESPONSES:
            tool = {"type": "function", "name": "charge", "description": about, "parameters": PARAMETERS}
            rest = {"input": messages, "tools": [{**tool, "strict": False}]}
        case _:
            tool = {"name": "charge", "description": about, "input_schema": PARAMETERS}
            rest = {"messages": messages, "tools": [tool], "max_tokens": 10_000}
    return {"model": "m", **rest, **options}


def _streamed(api: Api, arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, **({"stream_options": {"include_usage": True}} if api is Api.CHAT else {})}


def _methods(api: Api, sdk: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    place = {Api.CHAT: lambda: sdk.chat.completions, Api.RESPONSES: lambda: sdk.responses}
    found = place.get(api, lambda: sdk.messages)()
    return found.create, found.stream


def _final(api: Api, stream: Any, events: list[Any]) -> Any:
    """What an SDK has put together from a stream; unlike its getters, for answers that were cut off as well."""
    match api:
        case Api.CHAT:
            return stream.current_completion_snapshot
        case Api.RESPONSES:
            return events[-1].response
        case _:
            return stream.current_message_snapshot


def _read_chat(completion: Any, events: list[Any]) -> Heard:
    [choice] = completion.choices
    used = completion.usage
    calls = choice.message.tool_calls or []
    return Heard(
        id=completion.id,
        text=choice.message.content or "",
        calls=[(call.id, call.function.name, loaded(call.function.arguments)) for call in calls],
        finish=choice.finish_reason,
        usage=None
        if used is None
        else (
            used.prompt_tokens,
            used.completion_tokens,
            used.prompt_tokens_details.cached_tokens,
            used.completion_tokens_details.reasoning_tokens,
        ),
        refusal=choice.message.refusal or "",
        events=events,
    )


def _read_response(response: Any, events: list[Any]) -> Heard:
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
    calls = [item for item in response.output if item.type == "function_call"]
    details = response.incomplete_details
    used = response.usage
    return Heard(
        id=response.id,
        text=response.output_text,
        calls=[(call.call_id, call.name, loaded(call.arguments)) for call in calls],
        finish=response.status if details is None else details.reason,
        usage=None
        if used is None
        else (
            used.input_tokens,
            used.output_tokens,
            used.input_tokens_details.cached_tokens,
            used.output_tokens_details.reasoning_tokens,
        ),
        reasoning="".join(thoughts),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        events=events,
    )


def _read_message(message: Any, events: list[Any]) -> Heard:
    blocks = message.content
    used = message.usage
    return Heard(
        id=message.id,
        text="".join(block.text for block in blocks if block.type == "text"),
        calls=[(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"],
        finish=message.stop_reason,
        usage=(
            used.input_tokens + used.cache_read_input_tokens + used.cache_creation_input_tokens,
            used.output_tokens,
            used.cache_read_input_tokens,
            used.output_tokens_details.thinking_tokens,
        ),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        events=events,
    )


def loaded(arguments: str) -> Any:
    """Arguments as an object, or as they are when they are cut off."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


_READ: Final = {Api.CHAT: _read_chat, Api.RESPONSES: _read_response, Api.MESSAGES: _read_message}
WAYS: Final = [
    Way(api, is_async, streams)
    for api in (Api.CHAT, Api.RESPONSES, Api.MESSAGES)
    for is_async in (False, True)
    for streams in (False, True)
]
PLAIN: Final = [way for way in WAYS if not way.streams]
STREAMS: Final = [way for way in WAYS if way.streams]
