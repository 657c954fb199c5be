"""Reads usage from what providers send: OpenAI's Chat Completions and Responses, Anthropic's Messages.

The three count differently. OpenAI's input *includes* what came from a cache and went to one, Anthropic's
``input_tokens`` *excludes* both; output includes reasoning everywhere. What does not add up is unknown: a
call whose use is not known settles at its bound, so nothing here guesses low, and nothing is zero by silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.usage import Reading, UnknownUsage, Usage, is_count
from holdfast._core.wire import Object, is_object, object_of, objects_of

WireFormat: TypeAlias = Literal["chat", "responses", "messages"]
"""OpenAI's Chat Completions, OpenAI's Responses, Anthropic's Messages."""

_PLAIN_TIERS: Final = frozenset({"", "auto", "default", "standard"})
_ELSEWHERE: Final = frozenset({"", "global", "not_available"})
_OWN_ITERATIONS: Final = frozenset({"message", "compaction"})
# Fetching a page costs its tokens, which are in the input, and nothing else.
_ANTHROPIC_TOOLS: Final = frozenset({"web_search_requests", "web_fetch_requests", "code_execution_requests"})
_FREE_CALLS: Final = frozenset(
    # Executed by whoever asked, or paid for by their tokens alone.
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "apply_patch_call"}
    | {"tool_search_call", "mcp_call"}
)
_CALLS: Final = {
    "web_search_call": "web_searches",
    "file_search_call": "file_searches",
    "code_interpreter_call": "code_executions",
}
_LONGEST_NAME: Final = 64


class _Odd(Exception):
    """A field is missing or cannot be; only ever seen in this module."""


def usage_of(wire: WireFormat, response: Any, *, batch: bool = False) -> Reading:
    """Read what a response used.

    Args:
        wire: The format that it is in.
        response: Its body as parsed from JSON.
        batch: Whether it was asked for in a batch; Anthropic says so by itself.

    Returns:
        The usage, or why it is unknown: a field that has to be there is missing, is no count, or does
        not fit the others; or there is output, and yet none was counted.
    """
    try:
        return _READERS[wire](_mapping(response, "the response"), batch)
    except _Odd as odd:
        return UnknownUsage(str(odd))
    except ValueError as error:  # parts that are larger than their whole
        return UnknownUsage(f"usage does not add up: {error}")


def usage_of_stream(wire: WireFormat, events: Iterable[Any], *, batch: bool = False) -> Reading:
    """Read what a streamed response used, from its events as parsed from JSON, in order.

    A stream that broke off, or that was not asked for its usage, has none: unknown, not zero.
    """
    try:
        return usage_of(wire, _GATHERERS[wire](events), batch=batch)
    except _Odd as odd:
        return UnknownUsage(str(odd))


def _chat(response: Object, batch: bool) -> Usage:  # noqa: FBT001 - one table of readers
    usage = _mapping(response.get("usage"), "usage")
    read = _details(usage, "prompt_tokens_details")
    written = _details(usage, "completion_tokens_details")
    choices = response.get("choices")
    texts = [choice.get("message") for choice in objects_of(choices)]
    searched = any(objects_of(text.get("annotations")) for text in objects_of(texts))
    return _openai(
        response,
        (usage, "prompt_tokens", "completion_tokens"),
        spoke=any(text.get("content") or text.get("tool_calls") for text in objects_of(texts)),
        batch=batch,
        cached=_count(read, "cached_tokens", 0),
        kept=(_count(read, "cache_write_tokens", 0), 0),
        parts={
            "reasoning": _count(written, "reasoning_tokens", 0),
            "input_audio": _count(read, "audio_tokens", 0),
            "output_audio": _count(written, "audio_tokens", 0),
            # Models that search do so once a request here, and say so by citing only.
            "web_searches": 1 if searched else 0,
        },
    )


def _responses(response: Object, batch: bool) -> Usage:  # noqa: FBT001 - one table of readers
    usage = _mapping(response.get("usage"), "usage")
    read, written = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    kept = _count(read, "cache_write_tokens", 0)
    hours = _count(_details(read, "cache_write_tokens_details"), "ttl_12h_tokens", 0)
    if hours > kept:
        raise _Odd("usage.input_tokens_details: a part is larger than the whole")
    output = objects_of(response.get("output"))
    counts = {"web_searches": 0, "file_searches": 0, "code_executions": 0}
    others: dict[str, int] = {}
    for item in output:
        kind = str(item.get("type"))
        if kind in _CALLS:
            counts[_CALLS[kind]] += 1
        elif kind.endswith("_call") and kind not in _FREE_CALLS:
            kind = _name(kind, "an item's type")
            others[kind] = others.get(kind, 0) + 1
    return _openai(
        response,
        (usage, "input_tokens", "output_tokens"),
        spoke=bool(output),
        batch=batch,
        cached=_count(read, "cached_tokens", 0),
        kept=(kept - hours, hours),
        parts=counts | {"reasoning": _count(written, "reasoning_tokens", 0)},
        others=tuple(sorted(others.items())),
    )


def _openai(
    response: Object,
    totals: tuple[Object, str, str],
    *,
    spoke: bool,
    batch: bool,
    cached: int,
    kept: tuple[int, int],
    parts: Mapping[str, Any],
    others: tuple[tuple[str, int], ...] = (),
) -> Usage:
    usage, read_name, written_name = totals
    read, written = _count(usage, read_name), _count(usage, written_name)
    total = _count(usage, "total_tokens", read + written)
    if total < read + written:
        raise _Odd("usage.total_tokens is less than its parts")
    # Servers that speak this format leave reasoning out of the output, and in the total.
    written = total - read
    fresh = read - cached - sum(kept)
    if fresh < 0:
        raise _Odd(f"usage.{read_name} is less than what came from a cache or went to one")
    _plausible(read, written, spoke=spoke)
    whole = Usage(
        uncached_input=fresh,
        cache_read=cached,
        cache_write_short=kept[0],
        cache_write_long=kept[1],
        output=written,
        batch=batch,
        service_tier=_tier(response.get("service_tier")),
        other_tools=others,
    )
    return replace(whole, **parts)


def _messages(response: Object, batch: bool) -> Usage:  # noqa: FBT001 - one table of readers
    usage = _mapping(response.get("usage"), "usage")
    parts = [_messages_part(usage), *_compactions(usage)]
    fresh, read, short, hours, written, reasoning = (sum(column) for column in zip(*parts, strict=True))
    _plausible(fresh + read + short + hours, written, spoke=bool(response.get("content")))
    tools = _details(usage, "server_tool_use")
    named = [_name(name, "server_tool_use") for name in sorted(tools) if name not in _ANTHROPIC_TOOLS]
    others = tuple((name, _count(tools, name, 0)) for name in named)
    tier, speed = usage.get("service_tier"), usage.get("speed")
    region = usage.get("inference_geo")
    return Usage(
        uncached_input=fresh,
        cache_read=read,
        cache_write_short=short,
        cache_write_long=hours,
        output=written,
        reasoning=reasoning,
        other_tools=others,
        batch=batch or tier == "batch",
        # Their priority tier is paid for beforehand: a request in it has the list price here.
        service_tier="fast" if speed == "fast" else "standard",
        region=_name(region, "inference_geo") if isinstance(region, str) and region not in _ELSEWHERE else "",
        web_searches=_count(tools, "web_search_requests", 0),
        code_executions=_count(tools, "code_execution_requests", 0),
    )


def _messages_part(usage: Object) -> tuple[int, int, int, int, int, int]:
    kept = _count(usage, "cache_creation_input_tokens", 0)
    by_life = _details(usage, "cache_creation")
    hours = _count(by_life, "ephemeral_1h_input_tokens", 0)
    short = _count(by_life, "ephemeral_5m_input_tokens", 0 if by_life else kept)
    if by_life and short + hours != kept and usage.get("cache_creation_input_tokens") is not None:
        raise _Odd("usage.cache_creation does not add up to cache_creation_input_tokens")
    return (
        _count(usage, "input_tokens"),
        _count(usage, "cache_read_input_tokens", 0),
        short,
        hours,
        _count(usage, "output_tokens"),
        _count(_details(usage, "output_tokens_details"), "thinking_tokens", 0),
    )


def _compactions(usage: Object) -> list[tuple[int, int, int, int, int, int]]:
    """What the totals leave out: the requests that summarised the context."""
    iterations = objects_of(usage.get("iterations"))
    foreign = sorted({str(part.get("type")) for part in iterations} - _OWN_ITERATIONS)
    if foreign:  # another model's tokens have another price
        raise _Odd(f"usage.iterations has parts of other models: {', '.join(foreign)[:100]}")
    return [_messages_part(part) for part in iterations if part.get("type") == "compaction"]


def _chat_stream(events: Iterable[Any]) -> dict[str, Any]:
    """The last chunk that has usage; it comes when ``stream_options.include_usage`` asked for it."""
    found: dict[str, Any] = {}
    spoke = searched = False
    for event in _events(events):
        for choice in objects_of(event.get("choices")):
            delta = object_of(choice.get("delta"))
            spoke = spoke or bool(delta.get("content") or delta.get("tool_calls"))
            searched = searched or bool(delta.get("annotations"))
        found |= {name: event[name] for name in ("usage", "service_tier") if event.get(name) is not None}
    message: dict[str, Any] = {"content": "spoke" if spoke else "", "annotations": [{}] if searched else []}
    return found | {"choices": [{"message": message}]}


def _responses_stream(events: Iterable[Any]) -> Any:
    ends = ("response.completed", "response.incomplete", "response.failed")
    found = [event.get("response") for event in _events(events) if event.get("type") in ends]
    if not found:
        raise _Odd("the stream broke off: it has no response.completed")
    return found[-1]


def _messages_stream(events: Iterable[Any]) -> dict[str, Any]:
    """What the start says, and over it what the deltas say: their counts are running totals."""
    usage: dict[str, Any] | None = None
    ended = spoke = False
    for event in _events(events):
        match event.get("type"):
            case "message_start":
                message = _mapping(event.get("message"), "message_start.message")
                usage = dict(_mapping(message.get("usage"), "message_start.message.usage"))
            case "content_block_start":
                spoke = True
            case "message_delta":
                latest = _mapping(event.get("usage"), "message_delta.usage")
                usage = _later(usage or {}, latest)
                ended = "output_tokens" in latest
            case _:  # the words themselves
                pass
    if usage is None or not ended:
        raise _Odd("the stream broke off: it has no message_start, or no message_delta with usage")
    return {"usage": usage, "content": ["spoke"] if spoke else []}


def _later(usage: dict[str, Any], latest: Object) -> dict[str, Any]:
    merged = usage | {name: value for name, value in latest.items() if value is not None}
    kept = latest.get("cache_creation_input_tokens")
    if (
        "cache_creation" not in latest
        and kept is not None
        and kept != usage.get("cache_creation_input_tokens")
    ):
        # The start's split is out of date: what is kept longest costs most.
        merged["cache_creation"] = {"ephemeral_1h_input_tokens": kept, "ephemeral_5m_input_tokens": 0}
    return merged


def _plausible(read: int, written: int, *, spoke: bool) -> None:
    if read == 0:
        raise _Odd("no input was counted, and no request is without any")
    if spoke and written == 0:
        raise _Odd("there is output, and none was counted")


def _tier(named: Any) -> str:
    return "standard" if not isinstance(named, str) or named in _PLAIN_TIERS else _name(named, "service_tier")


def _name(given: str, where: str) -> str:
    """Return a name that goes on record; what looks like none is not understood."""
    if len(given) > _LONGEST_NAME or not given.isprintable():
        raise _Odd(f"{where} is no name")
    return given


def _events(events: Iterable[Any]) -> Iterable[Object]:
    return (event for event in events if is_object(event))


def _mapping(value: Any, where: str) -> Object:
    if not is_object(value):
        raise _Odd(f"{where} is missing or no object")
    return value


def _details(usage: Object, name: str) -> Object:
    value = usage.get(name)
    return {} if value is None else _mapping(value, name)


def _count(usage: Object, name: str, otherwise: int | None = None) -> int:
    """Return a count; ``null`` and absence mean *otherwise*, if that is allowed."""
    value: Any = usage.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if not is_count(value):
        raise _Odd(f"usage.{name} is {'missing' if value is None else 'no count'}")
    return value


_READERS: Final = {"chat": _chat, "responses": _responses, "messages": _messages}
_GATHERERS: Final = {"chat": _chat_stream, "responses": _responses_stream, "messages": _messages_stream}
