"""What a model was asked: the exact JSON, and what all providers' requests have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

CHARACTERS_PER_TOKEN: Final = 4


class Api(StrEnum):
    """How a model was asked."""

    CHAT = "chat"  #: OpenAI's chat completions
    RESPONSES = "responses"  #: OpenAI's responses
    MESSAGES = "messages"  #: Anthropic's messages
    DIRECT = "direct"  #: called as a function


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One entry of a conversation, the same for all providers.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        text: What was said, or what a tool returned.
        calls: The ids of calls that an assistant made.
        answers: The id of the call that a tool answers.
    """

    role: str
    text: str = ""
    calls: tuple[str, ...] = ()
    answers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One request to a scripted model.

    Attributes:
        number: Which it is, from 1, in the order of arrival.
        api: How it was asked.
        text: The request, to the letter as it was sent.
        body: The same, read.
        headers: By names in small letters, without credentials. Empty for a direct call.
        model: The model's name; empty for a direct call.
        conversation: What was said before, oldest first.
        tools: The names of the tools on offer.
        input_tokens: How long it is; a token is four characters of JSON here.
        max_tokens: How long the answer may be, ``None`` for as long as it likes.
        stops: Texts before which the answer ends.
        streams: Whether the answer is to come as a stream.
    """

    number: int = 0
    api: Api
    text: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    model: str = ""
    conversation: tuple[Spoken, ...] = ()
    tools: tuple[str, ...] = ()
    input_tokens: int = 0
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    streams: bool = False

    @property
    def key(self) -> str | None:
        """The ``Idempotency-Key``, ``None`` when there is none."""
        return self.headers.get("idempotency-key")

    @property
    def turns(self) -> int:
        """How often the model has spoken in this conversation."""
        return sum(one.role == "assistant" for one in self.conversation)

    @property
    def question(self) -> str:
        """What the user said last; empty if nothing."""
        return next((one.text for one in reversed(self.conversation) if one.role == "user"), "")

    @property
    def results(self) -> tuple[str, ...]:
        """What tools returned since the model spoke last."""
        last = max((n for n, one in enumerate(self.conversation) if one.role == "assistant"), default=-1)
        return tuple(one.text for one in self.conversation[last + 1 :] if one.role == "tool")


def count_text(text: str) -> int:
    """Return how many tokens *text* is: one for four characters."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def count_json(value: object) -> int:
    """Return how many tokens *value* is as JSON."""
    return count_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
