"""What a scripted model says in one turn: text and calls, or an error, or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypedDict

from holdfast.errors import InvalidCall

__all__ = [
    "Call",
    "Ending",
    "Failure",
    "Said",
    "Silence",
    "Streaming",
    "Turn",
    "UsageGiven",
    "call",
    "fails",
    "filtered",
    "overloaded",
    "rate_limited",
    "refuses",
    "says",
    "times_out",
]

_LOWEST_ERROR: Final = 400
_HIGHEST_ERROR: Final = 599


class UsageGiven(TypedDict, total=False):
    """Counts that a script gives itself; what it leaves out is counted. All in tokens.

    Attributes:
        input_tokens: Of the request, with those from the cache and those written to it.
        output_tokens: Of the answer, with the reasoning.
        cached_tokens: Of the input, what was read from the cache.
        cache_write_tokens: Of the input, what was written to the cache.
        reasoning_tokens: Of the output, what nobody sees.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


class Ending(StrEnum):
    """Why a model stopped by itself."""

    NATURAL = "natural"  #: it has said everything; or it waits for the results of its calls
    REFUSED = "refused"  #: it will not do that; the text says so
    FILTERED = "filtered"  #: what it began to say was withheld


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. Each time it is played it has a new id, as with any real model.

    Attributes:
        tool: The tool's name, offered or not.
        arguments: JSON, to the letter; may be broken on purpose.
    """

    tool: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in place of an answer.

    Attributes:
        status: Of HTTP, 400 to 599.
        message: For people.
        code: What the provider calls it, e.g. ``insufficient_quota``; empty for what goes with the status.
        retry_after_s: What ``Retry-After`` says; ``None`` for no such header.
    """

    status: int
    message: str = ""
    code: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """How an answer is cut into a stream, if one is asked for, and what goes wrong with it.

    Attributes:
        size: Characters in one delta.
        repeats: Whether each delta of text comes twice, as after a proxy's retry.
        odd: Whether there are empty deltas, comments, and events that no client knows.
        chunk_bytes: The HTTP chunks have so many bytes, wherever that cuts; 0 for one event in each.
        ends_after: The stream ends after so many events; ``None`` for all of them.
        failure: What it ends in then, told inside of the stream; ``None`` for a connection that breaks.
    """

    size: int = 12
    repeats: bool = False
    odd: bool = False
    chunk_bytes: int = 0
    ends_after: int | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer.

    Attributes:
        text: What it says.
        calls: What it wants to be called.
        reasoning: What it thought before; seen in Anthropic's thinking, and a summary in OpenAI's responses.
        ending: Why it stopped.
        usage: Counts that are given, the others are counted; ``None`` for a provider that reports none.
        delay_s: How long it takes; told to the model's ``delay``.
        stream: How it is streamed.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    ending: Ending = Ending.NATURAL
    usage: UsageGiven | None = field(default_factory=UsageGiven)
    delay_s: float = 0.0
    stream: Streaming = field(default_factory=Streaming)


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all: a server says nothing until the client leaves, a function raises ``TimeoutError``."""


Turn: TypeAlias = Said | Failure | Silence


def call(tool: str, /, **args: Any) -> Call:
    """Return a call of *tool* with *args*.

    Raises:
        InvalidCall: They are no JSON; give ``Call(tool, text)`` the text of what is none.
    """
    try:
        return Call(tool, json.dumps(args, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError):
        raise InvalidCall(f"arguments of {tool!r} that are no JSON", "pass JSON values") from None


def says(
    *parts: str | Call,
    reasoning: str = "",
    usage: UsageGiven | None = UsageGiven(),  # noqa: B008 - never changed
    delay_s: float = 0.0,
    stream: Streaming | None = None,
) -> Said:
    """Return a turn of text and calls: ``says("Let me look.", call("search", query="x"))``.

    Args:
        parts: Texts, which are joined, and calls.
        reasoning: What was thought before.
        usage: Counts in place of counted ones; ``None`` to report none.
        delay_s: Seconds that it takes, told to the model's ``delay``; nobody waits for them.
        stream: How it is streamed.
    """
    return Said(
        text="".join(part for part in parts if isinstance(part, str)),
        calls=tuple(part for part in parts if isinstance(part, Call)),
        reasoning=reasoning,
        usage=usage,
        delay_s=delay_s,
        stream=stream or Streaming(),
    )


def refuses(text: str = "I cannot help with that.") -> Said:
    """Return a turn in which the model refuses, as the provider has it, and the status is 200."""
    return Said(text=text, ending=Ending.REFUSED)


def filtered(text: str = "") -> Said:
    """Return a turn of which a filter let through no more than *text*."""
    return Said(text=text, ending=Ending.FILTERED)


def fails(status: int, message: str = "", *, code: str = "", retry_after_s: float | None = None) -> Failure:
    """Return a turn in which the provider answers with an error.

    Raises:
        InvalidCall: The status is not one of an error.
    """
    if not _LOWEST_ERROR <= status <= _HIGHEST_ERROR:
        raise InvalidCall(f"an error with status {status}", "give one from 400 to 599")
    return Failure(status=status, message=message, code=code, retry_after_s=retry_after_s)


def rate_limited(retry_after_s: float | None = None) -> Failure:
    """Return a turn of too many requests: 429."""
    return fails(429, retry_after_s=retry_after_s)


def overloaded() -> Failure:
    """Return a turn of a provider that has too much to do: 529, Anthropic's ``overloaded_error``."""
    return fails(529)


def times_out() -> Silence:
    """Return a turn that never comes."""
    return Silence()


def arguments_of(call: Call) -> Mapping[str, Any] | None:
    """Return the arguments of *call* as an object, ``None`` if they are none."""
    try:
        read: object = json.loads(call.arguments)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None  # pyright: ignore[reportUnknownVariableType] - JSON's keys are strings
