"""A turn as it goes out: with ids, cut to what the request allows, its tokens counted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from holdfast.testing.model.requests import CHARACTERS_PER_TOKEN, ModelRequest, count_text
from holdfast.testing.model.turns import Call, Ending, Said, Streaming

_ID_LENGTH: Final = 24


class Finish(StrEnum):
    """Why an answer ends."""

    STOP = "stop"
    CALLS = "calls"
    LENGTH = "length"
    SEQUENCE = "sequence"
    REFUSED = "refused"
    FILTERED = "filtered"


_ENDINGS: Final = {Ending.REFUSED: Finish.REFUSED, Ending.FILTERED: Finish.FILTERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an answer used, in tokens.

    Attributes:
        input_tokens: All of the request, cached and written ones included.
        output_tokens: All of the answer, the reasoning included.
        cached_tokens: Of the input, read from the cache.
        cache_write_tokens: Of the input, written to the cache.
        reasoning_tokens: Of the output, unseen.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedCall:
    """A call that goes out.

    Attributes:
        id: New each time, without a provider's prefix.
        tool: Its name.
        arguments: JSON; cut off in the middle where the answer had to end.
    """

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An answer that goes out.

    Attributes:
        id: New each time, without a provider's prefix.
        model: The name that was asked for.
        created: When, in seconds since 1970.
        text: What is said.
        calls: What is to be called.
        reasoning: What was thought.
        finish: Why it ends.
        sequence: The stop sequence that ended it; ``None`` if none did.
        usage: What it used; ``None`` if nobody says.
        stream: How it is streamed.
    """

    id: str
    model: str
    created: int
    text: str
    calls: tuple[PlayedCall, ...]
    reasoning: str
    finish: Finish
    sequence: str | None
    usage: Usage | None
    stream: Streaming


class Ids:
    """Makes the ids of one answer: another answer has others, the same answer of the same seed the same.

    Args:
        seed: Of the model.
        number: Of the request.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._of = f"{seed}/{number}"

    def make(self, what: str) -> str:
        """Return the id of *what*: 24 characters."""
        return hashlib.sha256(f"{self._of}/{what}".encode()).hexdigest()[:_ID_LENGTH]


def play(said: Said, request: ModelRequest, ids: Ids, created: int) -> Played:
    """Return *said* as it answers *request*: cut at its stop sequences and at its ``max_tokens``."""
    given = said.usage or {}
    text, sequence = _stopped(said.text, request.stops)
    left = _Left(request.max_tokens)
    reasoning_tokens = left.take(given.get("reasoning_tokens", count_text(said.reasoning)))
    text = left.cut(text)
    calls = _calls(() if sequence else said.calls, left, ids)
    usage = {
        "input_tokens": request.input_tokens,
        "output_tokens": left.taken,
        "reasoning_tokens": reasoning_tokens,
    }
    return Played(
        id=ids.make("answer"),
        model=request.model,
        created=created,
        text=text,
        calls=calls,
        reasoning=said.reasoning,
        finish=_finish(said, calls, left, sequence),
        sequence=sequence if left.is_enough else None,
        usage=None if said.usage is None else replace(Usage(**usage), **given),
        stream=said.stream,
    )


def _finish(said: Said, calls: tuple[PlayedCall, ...], left: _Left, sequence: str | None) -> Finish:
    if not left.is_enough:
        return Finish.LENGTH
    if sequence is not None:
        return Finish.SEQUENCE
    return _ENDINGS.get(said.ending, Finish.CALLS if calls else Finish.STOP)


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """Return what comes before the first of *stops*, and which one that is."""
    found = min(((at, stop) for stop in stops if (at := text.find(stop)) >= 0), default=None)
    return (text, None) if found is None else (text[: found[0]], found[1])


def _calls(calls: tuple[Call, ...], left: _Left, ids: Ids) -> tuple[PlayedCall, ...]:
    played: list[PlayedCall] = []
    for n, one in enumerate(calls):
        if not left.is_enough or left.cut(one.tool) != one.tool:
            break  # a name that is cut off is no call
        arguments = left.cut(one.arguments)
        played.append(PlayedCall(id=ids.make(f"call/{n}"), tool=one.tool, arguments=arguments))
    return tuple(played)


class _Left:
    """What is left of the tokens that an answer may have."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self.taken = 0
        self.is_enough = True

    def take(self, tokens: int) -> int:
        """Take as many of *tokens* as are left; return how many that were."""
        taken = tokens if self._most is None else min(tokens, self._most - self.taken)
        self.taken += taken
        self.is_enough = self.is_enough and taken == tokens
        return taken

    def cut(self, text: str) -> str:
        """Take what *text* needs; return as much of it as that was enough for."""
        if not self.is_enough:
            return ""
        tokens = count_text(text)
        return text[: self.take(tokens) * CHARACTERS_PER_TOKEN]
