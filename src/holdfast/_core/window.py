"""Which messages of a history may be parted: a call and its result never are.

Understood are plain dicts as OpenAI (chat completions and responses) and Anthropic have them. What is not
understood is a message like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Message = Mapping[str, Any]
_FIRST: Final = frozenset({"system", "developer"})
_CALL_TYPES: Final = frozenset({"function_call", "custom_tool_call", "computer_call"})
_RESULT_TYPES: Final = frozenset({"function_call_output", "custom_tool_call_output", "computer_call_output"})


def head_length(messages: Sequence[Message]) -> int:
    """Return how many messages at the start are the system's."""
    return next((n for n, each in enumerate(messages) if each.get("role") not in _FIRST), len(messages))


def units(messages: Sequence[Message]) -> list[int]:
    """Return where the units begin: runs of messages that stay together.

    A unit reaches from a call to the last result of any call in it, whatever lies between.
    """
    called: dict[str, int] = {}
    joined = [False] * len(messages)  # whether a message belongs to the unit of the one before
    for n, message in enumerate(messages):
        for name in results_in(message):
            first = called.get(name, n)
            joined[first + 1 : n + 1] = [True] * (n - first)
        for name in calls_in(message):
            called[name] = n  # of calls with one id, a result belongs to the latest
    # In responses what a model thought is an item of its own: it stays with what came of it.
    for n in range(1, len(messages)):
        if messages[n - 1].get("type") == "reasoning":
            joined[n] = True
    return [n for n, is_joined in enumerate(joined) if not is_joined]


def calls_in(message: Message) -> Iterator[str]:
    """Return the ids of the tool calls that *message* makes."""
    if message.get("type") in _CALL_TYPES:
        yield str(message.get("call_id"))
    for call in _dicts(message.get("tool_calls")):
        yield str(call.get("id"))
    for block in _dicts(message.get("content")):
        if str(block.get("type")).endswith("tool_use"):
            yield str(block.get("id"))


def results_in(message: Message) -> Iterator[str]:
    """Return the ids of the tool calls whose results *message* brings."""
    if message.get("type") in _RESULT_TYPES:
        yield str(message.get("call_id"))
    if message.get("role") == "tool":
        yield str(message.get("tool_call_id"))
    for block in _dicts(message.get("content")):
        if str(block.get("type")).endswith("tool_result"):
            yield str(block.get("tool_use_id"))


def _dicts(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield from (each for each in value if isinstance(each, Mapping))  # pyright: ignore[reportUnknownVariableType]
