"""Anthropic's messages: how a request is read, and how an answer is written, whole or as a stream."""

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
    model_of,
    objects,
    plain_text,
    required,
    string,
    strings,
)
from holdfast.testing.model.requests import Api, ModelRequest, Spoken, count_json
from holdfast.testing.model.turns import Call, arguments_of

_FINISHES: Final = {
    Finish.STOP: "end_turn",
    Finish.CALLS: "tool_use",
    Finish.LENGTH: "max_tokens",
    Finish.SEQUENCE: "stop_sequence",
    Finish.REFUSED: "refusal",
    Finish.FILTERED: "refusal",
}


def read(body: Mapping[str, Any], text: str, *, counts: bool = False) -> ModelRequest:
    """Return what is asked for; *counts* says that it is to be counted only.

    Raises:
        Unfit: A provider would refuse it.
    """
    model, messages = model_of(body), objects(required(body, "messages"))
    most = limit(body, "max_tokens")
    if most is None and not counts:
        raise Unfit("max_tokens: this field is required", "max_tokens")
    spoken = [one for message in messages for one in _spoken(message)]
    check_pairs(spoken, "messages")
    system = [Spoken(role="system", text=plain_text(body["system"]))] if body.get("system") else []
    return ModelRequest(
        api=Api.MESSAGES,
        text=text,
        body=body,
        model=model,
        conversation=(*system, *spoken),
        tools=tuple(string(tool.get("name")) for tool in objects(body.get("tools"))),
        input_tokens=count_json([body.get("system"), messages, body.get("tools")]),
        max_tokens=most,
        stops=strings(body.get("stop_sequences")),
        streams=body.get("stream") is True,
    )


def _spoken(message: Json) -> Iterator[Spoken]:
    """The results in a message, each by itself, and the rest."""
    role, content = string(message.get("role")), message.get("content")
    blocks = objects(content)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        answers = string(block.get("tool_use_id"))
        yield Spoken(role="tool", text=plain_text(block.get("content")), answers=answers)
    others = [block for block in blocks if block.get("type") != "tool_result"]
    if others or not results:
        calls = tuple(string(one.get("id")) for one in others if one.get("type") == "tool_use")
        yield Spoken(role=role, text=plain_text(others or content), calls=calls)


def whole(played: Played) -> Json:
    """Return the answer as one object."""
    return {
        **_envelope(played),
        "content": [block for block, _ in _blocks(played)],
        **_stop(played),
        "usage": _usage(played.usage),
    }


def counted(request: ModelRequest) -> Json:
    """Return how long a request is."""
    return {"input_tokens": request.input_tokens}


def events(played: Played) -> Iterator[Event]:
    """Return the answer as a stream."""
    usage = _usage(played.usage) | {"output_tokens": min(1, _usage(played.usage)["output_tokens"])}
    begun: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield _event("message_start", message={**_envelope(played), **begun, "usage": usage})
    for n, (block, deltas) in enumerate(_blocks(played)):
        yield _event("content_block_start", index=n, content_block=_begun(block))
        if n == 0:
            yield _event("ping")
        for delta in deltas:
            is_text = delta["type"] == "text_delta"
            yield _event("content_block_delta", is_delta=is_text, index=n, delta=delta)
        yield _event("content_block_stop", index=n)
    yield _event("message_delta", delta=_stop(played), usage=_usage(played.usage))
    yield _event("message_stop")


def odd() -> list[Event]:
    """Return events that say nothing: a ping, and one that no client knows."""
    return [_event("ping"), _event("weather_report", outlook="fair")]


def _event(kind: str, *, is_delta: bool = False, **fields: Any) -> Event:
    return Event({"type": kind, **fields}, kind, is_delta)


def _envelope(played: Played) -> Json:
    return {"id": f"msg_{played.id}", "type": "message", "role": "assistant", "model": played.model}


def _stop(played: Played) -> Json:
    is_refusal = _FINISHES[played.finish] == "refusal"
    details = {"type": "refusal", "category": None, "explanation": None} if is_refusal else None
    return {
        "stop_reason": _FINISHES[played.finish],
        "stop_sequence": played.sequence,
        "stop_details": details,
    }


def _blocks(played: Played) -> Iterator[tuple[Json, list[Json]]]:
    """The blocks of content, each with the deltas that it comes in."""
    size = played.stream.size
    if played.reasoning:
        signature = f"sig{played.id}"
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in cut(played.reasoning, size)]
        block = {"type": "thinking", "thinking": played.reasoning, "signature": signature}
        yield block, [*thoughts, {"type": "signature_delta", "signature": signature}]
    if played.text:
        texts = [{"type": "text_delta", "text": piece} for piece in cut(played.text, size)]
        yield {"type": "text", "text": played.text, "citations": None}, texts
    for call in played.calls:
        parts = [{"type": "input_json_delta", "partial_json": part} for part in cut(call.arguments, size)]
        yield _use(call), parts


def _use(call: PlayedCall) -> Json:
    arguments = arguments_of(Call(call.tool, call.arguments))
    whole = {} if arguments is None else dict(arguments)  # what is cut off in the middle is no object
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.tool, "input": whole}


def _begun(block: Json) -> Json:
    empty: Json = {"text": "", "thinking": "", "signature": "", "input": {}}
    return block | {name: value for name, value in empty.items() if name in block}


def _usage(usage: Usage | None) -> Json:
    told = usage or Usage(input_tokens=0, output_tokens=0)
    fresh = told.input_tokens - told.cached_tokens - told.cache_write_tokens
    return {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": told.cache_write_tokens,
        "cache_read_input_tokens": told.cached_tokens,
        "output_tokens": told.output_tokens,
        "output_tokens_details": {"thinking_tokens": told.reasoning_tokens},
        "service_tier": "standard",
    }
