"""OpenAI's responses: how a request is read, and how an answer is written, whole or as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from holdfast.testing.model.chat import call_id
from holdfast.testing.model.events import Event, cut
from holdfast.testing.model.played import Finish, Played, PlayedCall, Usage
from holdfast.testing.model.reading import (
    Json,
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

_REASONS: Final = {Finish.LENGTH: "max_output_tokens", Finish.FILTERED: "content_filter"}
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_ROLES: Final = {"developer": "system"}
_ECHOED: Final = ("instructions", "max_output_tokens", "metadata", "previous_response_id", "user")
_ENCRYPTED: Final = "reasoning.encrypted_content"


def given(body: Mapping[str, Any]) -> list[Json]:
    """Return the items that a request brings; a plain text is one of the user's."""
    content = body.get("input")
    if isinstance(content, str):
        return [{"type": "message", "role": "user", "content": content}]
    return objects(content)


def read(body: Mapping[str, Any], text: str, before: Sequence[Json]) -> ModelRequest:
    """Return what is asked for.

    Args:
        body: The request.
        text: The same to the letter.
        before: The items of the responses that it goes on from.

    Raises:
        Unfit: A provider would refuse it.
    """
    model = model_of(body)
    required(body, "input")
    items = [*before, *given(body)]
    spoken = _conversation(items)
    check_pairs(spoken, "input", in_order=False)
    instructions = string(body.get("instructions"))
    system = [Spoken(role="system", text=instructions)] if instructions else []
    return ModelRequest(
        api=Api.RESPONSES,
        text=text,
        body=body,
        model=model,
        conversation=(*system, *spoken),
        tools=tuple(string(tool.get("name")) for tool in objects(body.get("tools"))),
        input_tokens=count_json([instructions, items, body.get("tools")]),
        max_tokens=limit(body, "max_output_tokens"),
        streams=body.get("stream") is True,
    )


def _conversation(items: Sequence[Json]) -> list[Spoken]:
    """Items that an assistant said one after the other are one turn."""
    spoken: list[Spoken] = []
    for item in items:
        one = _spoken(item)
        last = spoken[-1] if spoken else None
        if one.role == "assistant" and last is not None and last.role == "assistant":
            calls = (*last.calls, *one.calls)
            spoken[-1] = Spoken(role="assistant", text=last.text + one.text, calls=calls)
        else:
            spoken.append(one)
    return spoken


def _spoken(item: Json) -> Spoken:
    kind, role = string(item.get("type")), string(item.get("role"))
    if kind in _CALLS:
        return Spoken(role="assistant", calls=(string(item.get("call_id")),))
    if kind in _RESULTS:
        return Spoken(role="tool", text=plain_text(item.get("output")), answers=string(item.get("call_id")))
    if kind == "reasoning" or not role:
        return Spoken(role="assistant")
    return Spoken(role=_ROLES.get(role, role), text=plain_text(item.get("content")))


def whole(played: Played, body: Mapping[str, Any]) -> Json:
    """Return the answer as one object."""
    return _response(played, body, [item for item, _ in _items(played, body)], _status(played))


def output(played: Played, body: Mapping[str, Any]) -> list[Json]:
    """Return the items of the answer, as they are sent back or gone on from."""
    return [item for item, _ in _items(played, body)]


def events(played: Played, body: Mapping[str, Any]) -> list[Event]:
    """Return the answer as a stream."""
    return [
        Event(
            {"type": kind, "sequence_number": n, **fields},
            kind,
            kind.endswith(("text.delta", "refusal.delta")),
        )
        for n, (kind, fields) in enumerate(_stream(played, body))
    ]


def odd() -> list[Event]:
    """Return an event that no client knows."""
    return [
        Event(
            {"type": "response.weather_report", "sequence_number": 0, "outlook": "fair"},
            "response.weather_report",
        )
    ]


def _stream(played: Played, body: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    begun = _response(played, body, [], "in_progress") | {"usage": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, (item, empty) in enumerate(_items(played, body)):
        place: Json = {"item_id": item["id"], "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": empty}
        yield from _STREAMS[item["type"]](item, place, played.stream.size)
        yield "response.output_item.done", {"output_index": index, "item": item}
    status = _status(played)
    yield f"response.{status}", {"response": whole(played, body)}


def _stream_reasoning(item: Json, place: Json, size: int) -> Iterator[tuple[str, Json]]:
    place = {**place, "summary_index": 0}
    for part in item["summary"]:
        empty = {**part, "text": ""}
        yield "response.reasoning_summary_part.added", {**place, "part": empty}
        for piece in cut(part["text"], size):
            yield "response.reasoning_summary_text.delta", {**place, "delta": piece}
        yield "response.reasoning_summary_text.done", {**place, "text": part["text"]}
        yield "response.reasoning_summary_part.done", {**place, "part": part}


def _stream_message(item: Json, place: Json, size: int) -> Iterator[tuple[str, Json]]:
    [part] = item["content"]
    kind = part["type"]
    field = "refusal" if kind == "refusal" else "text"
    place = {**place, "content_index": 0}
    logprobs: Json = {} if kind == "refusal" else {"logprobs": []}
    yield "response.content_part.added", {**place, "part": {**part, field: ""}}
    for piece in cut(part[field], size):
        yield f"response.{kind}.delta", {**place, **logprobs, "delta": piece}
    yield f"response.{kind}.done", {**place, **logprobs, field: part[field]}
    yield "response.content_part.done", {**place, "part": part}


def _stream_call(item: Json, place: Json, size: int) -> Iterator[tuple[str, Json]]:
    kind = "response.function_call_arguments"
    for piece in cut(item["arguments"], size):
        yield f"{kind}.delta", {**place, "delta": piece}
    yield f"{kind}.done", {**place, "name": item["name"], "arguments": item["arguments"]}


_STREAMS: Final = {
    "reasoning": _stream_reasoning,
    "message": _stream_message,
    "function_call": _stream_call,
}


def _items(played: Played, body: Mapping[str, Any]) -> Iterator[tuple[Json, Json]]:
    """The items of the output, each with what it is before anything of it was said."""
    if played.reasoning:
        summary = [{"type": "summary_text", "text": played.reasoning}]
        thought: Json = {"id": f"rs_{played.id}", "type": "reasoning", "summary": summary}
        if _ENCRYPTED in strings(body.get("include")):
            thought["encrypted_content"] = f"enc{played.id}"
        yield thought, {**thought, "summary": []}
    if played.text or not played.calls:
        said = _message(played)
        yield said, {**said, "content": [], "status": "in_progress"}
    for call in played.calls:
        item = _call(call, played)
        yield item, {**item, "arguments": "", "status": "in_progress"}


def _message(played: Played) -> Json:
    if played.finish is Finish.REFUSED:
        part: Json = {"type": "refusal", "refusal": played.text}
    else:
        part = {"type": "output_text", "text": played.text, "annotations": [], "logprobs": []}
    is_last = not played.calls
    status = _status(played) if is_last else "completed"
    return {
        "id": f"msg_{played.id}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [part],
    }


def _call(call: PlayedCall, played: Played) -> Json:
    is_last = call is played.calls[-1]
    return {
        "id": f"fc_{call.id}",
        "type": "function_call",
        "status": _status(played) if is_last else "completed",
        "call_id": call_id(call),
        "name": call.tool,
        "arguments": call.arguments,
    }


def _status(played: Played) -> str:
    return "incomplete" if played.finish in _REASONS else "completed"


def _response(played: Played, body: Mapping[str, Any], items: list[Json], status: str) -> Json:
    reason = _REASONS.get(played.finish) if status == "incomplete" else None
    return {
        "id": response_id(played),
        "object": "response",
        "created_at": played.created,
        "completed_at": played.created if status == "completed" else None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": played.model,
        "output": items,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "reasoning": {"effort": None, "summary": None, **mapping(body.get("reasoning"))},
        "service_tier": "default",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature") or 1.0,
        "text": mapping(body.get("text")) or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": objects(body.get("tools")),
        "top_p": body.get("top_p") or 1.0,
        "truncation": body.get("truncation") or "disabled",
        "usage": None if played.usage is None else _usage(played.usage),
        **{name: body.get(name) for name in _ECHOED},
    }


def response_id(played: Played) -> str:
    """Return the id by which a later request goes on from this answer."""
    return f"resp_{played.id}"


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
