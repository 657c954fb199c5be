"""OpenAI's chat completions: how a request is read, and how an answer is written, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from holdfast.testing.model.events import Event, cut
from holdfast.testing.model.played import Finish, Played, PlayedCall, Usage
from holdfast.testing.model.reading import (
    Json,
    Unfit,
    check_pairs,
    limit,
    mapping,
    model_of,
    objects,
    plain_text,
    required,
    string,
    strings,
)
from holdfast.testing.model.requests import Api, ModelRequest, Spoken, count_json

FINISHES: Final = {
    Finish.STOP: "stop",
    Finish.CALLS: "tool_calls",
    Finish.LENGTH: "length",
    Finish.SEQUENCE: "stop",
    Finish.REFUSED: "stop",
    Finish.FILTERED: "content_filter",
}
_ROLES: Final = {"developer": "system", "function": "tool"}


def read(body: Mapping[str, Any], text: str) -> ModelRequest:
    """Return what is asked for.

    Raises:
        Unfit: A provider would refuse it.
    """
    model, messages = model_of(body), objects(required(body, "messages"))
    choices = body.get("n")
    if choices is not None and choices != 1:
        raise Unfit("n: a scripted model has one answer", "n")
    conversation = tuple(map(_spoken, messages))
    check_pairs(conversation, "messages")
    return ModelRequest(
        api=Api.CHAT,
        text=text,
        body=body,
        model=model,
        conversation=conversation,
        tools=tuple(string(_function(tool).get("name")) for tool in objects(body.get("tools"))),
        input_tokens=count_json([messages, body.get("tools")]),
        max_tokens=limit(body, "max_completion_tokens", "max_tokens"),
        stops=strings(body.get("stop")),
        streams=body.get("stream") is True,
    )


def direct(messages: list[Json], tools: list[Json], text: str) -> ModelRequest:
    """Return what a call of the model as a function asks for: messages of any provider, and tools."""
    return ModelRequest(
        api=Api.DIRECT,
        text=text,
        body={"messages": messages, "tools": tools},
        conversation=tuple(map(_spoken, messages)),
        tools=tuple(string(_function(tool).get("name")) for tool in tools),
        input_tokens=count_json([messages, tools]),
    )


def _function(tool: Json) -> Json:
    return mapping(tool.get("function")) or tool


def _spoken(message: Json) -> Spoken:
    role = string(message.get("role"))
    return Spoken(
        role=_ROLES.get(role, role),
        text=plain_text(message.get("content")),
        calls=tuple(string(one.get("id")) for one in objects(message.get("tool_calls"))),
        answers=string(message.get("tool_call_id")),
    )


def message(played: Played) -> Json:
    """Return the assistant's message."""
    is_refusal = played.finish is Finish.REFUSED
    said: Json = {
        "role": "assistant",
        "content": None if is_refusal or (played.calls and not played.text) else played.text,
        "refusal": played.text if is_refusal else None,
        "annotations": [],
    }
    return said | ({"tool_calls": list(map(_call, played.calls))} if played.calls else {})


def _call(call: PlayedCall) -> Json:
    function = {"name": call.tool, "arguments": call.arguments}
    return {"id": call_id(call), "type": "function", "function": function}


def call_id(call: PlayedCall) -> str:
    """Return a call's id as OpenAI has it."""
    return f"call_{call.id}"


def whole(played: Played) -> Json:
    """Return the answer as one object."""
    finish = FINISHES[played.finish]
    choice = {"index": 0, "message": message(played), "logprobs": None, "finish_reason": finish}
    usage = {} if played.usage is None else {"usage": _usage(played.usage)}
    return {**_envelope(played, "chat.completion"), "choices": [choice], **usage}


def events(played: Played, body: Mapping[str, Any]) -> Iterator[Event]:
    """Return the answer as a stream; its usage comes last, if it was asked for."""
    with_usage = mapping(body.get("stream_options")).get("include_usage") is True
    rest: Json = {"usage": None} if with_usage else {}
    envelope = {**_envelope(played, "chat.completion.chunk"), **rest}
    for is_text, delta in _deltas(played):
        yield Event(_chunk(envelope, delta, None), delta=is_text)
    yield Event(_chunk(envelope, {}, FINISHES[played.finish]))
    if with_usage and played.usage is not None:
        yield Event({**envelope, "choices": [], "usage": _usage(played.usage)})
    yield Event("[DONE]")


def odd(played: Played) -> list[Event]:
    """Return events that say nothing: an empty delta, and a chunk without a choice."""
    envelope = _envelope(played, "chat.completion.chunk")
    return [Event(_chunk(envelope, {}, None)), Event({**envelope, "choices": [], "new_field": 1})]


def _deltas(played: Played) -> Iterator[tuple[bool, Json]]:
    is_refusal, size = played.finish is Finish.REFUSED, played.stream.size
    yield False, {"role": "assistant", "content": None if is_refusal or played.calls else "", "refusal": None}
    for piece in cut(played.text, size):
        yield True, {"refusal" if is_refusal else "content": piece}
    for n, call in enumerate(played.calls):
        begun = _call(call) | {"function": {"name": call.tool, "arguments": ""}}
        yield False, {"tool_calls": [{"index": n, **begun}]}
        for piece in cut(call.arguments, size):
            yield False, {"tool_calls": [{"index": n, "function": {"arguments": piece}}]}


def _chunk(envelope: Json, delta: Json, finish: str | None) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**envelope, "choices": [choice]}


def _envelope(played: Played, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{played.id}",
        "object": kind,
        "created": played.created,
        "model": played.model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
