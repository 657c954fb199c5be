"""Makes a history fit into a model's window: what is old becomes a summary, a call keeps its result."""

from __future__ import annotations

import inspect
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from holdfast._core.window import head_length, units
from holdfast.errors import InvalidCall, InvalidTool, WindowExceeded

Messages: TypeAlias = "list[dict[str, Any]]"
Summarise: TypeAlias = "Callable[[Messages], str | Awaitable[str]]"

_TITLE: Final = "Summary of the conversation so far:\n\n"
_CUT: Final = " […]"
_FOR_SUMMARY: Final = 4
"""One part in so many of what the system message leaves is kept free for the summary."""


async def fit(
    messages: Sequence[Mapping[str, Any]],
    *,
    limit: int,
    count: Callable[[Messages], int],
    summarise: Summarise,
) -> Messages:
    """Return *messages* so that they count at most *limit*, the older ones told in a summary if need be.

    What fits is returned as it is, and *summarise* is not asked. Else the system messages at the start and as
    many of the newest messages as fit stay as they are, and one user message with the summary stands between
    them. A tool call is never parted from its results. *messages* and what is in it are not changed.

    Args:
        messages: As dicts of OpenAI (chat completions or responses) or of Anthropic.
        limit: Of the window, in what *count* counts.
        count: Returns how much a list of messages counts: tokens, or characters.
        summarise: Given the older messages, returns what is to be kept of them, plain or awaitable. Too long
            a summary is cut.

    Raises:
        WindowExceeded: The system messages and the newest message, with what belongs to it, are larger alone.
        InvalidCall: *limit* is no count, or *messages* no list of dicts.
        InvalidTool: *summarise* returned no text, or *count* no number.
    """
    history = _checked(messages, limit)
    if _count(count, history) <= limit:
        return history
    start = head_length(history)
    head = history[:start]
    begins = [start + n for n in units(history[start:])]
    if not begins or _count(count, [*head, *history[begins[-1] :]]) > limit:
        newest = history[begins[-1] :] if begins else []
        raise WindowExceeded(_count(count, [*head, *newest]), limit)
    room = limit - (limit - _count(count, head)) // _FOR_SUMMARY
    # The more begins are left out, the less it counts; a history that is one unit has to fit as it is.
    at = bisect_left(begins, 1, 1, key=lambda begin: _count(count, [*head, *history[begin:]]) <= room)
    kept = begins[min(at, len(begins) - 1)]
    older, newest = history[start:kept], history[kept:]
    told = await _summary(summarise, older) if older else ""

    def fits(text: str) -> bool:
        return _count(count, [*head, _as_message(text), *newest]) <= limit

    summary = _longest(told, fits) if older else None
    fitting = [*head, *newest] if summary is None else [*head, _as_message(summary), *newest]
    if _count(count, fitting) > limit:
        raise WindowExceeded(_count(count, fitting), limit)
    return fitting


def _checked(messages: Any, limit: Any) -> Messages:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidCall(f"limit={limit!r} is no count", "give a whole number of at least 1")
    is_list = isinstance(messages, Sequence) and not isinstance(messages, str | bytes)
    found: list[Any] = list(messages) if is_list else [None]  # pyright: ignore[reportUnknownArgumentType]
    if not all(isinstance(each, Mapping) for each in found):
        raise InvalidCall("messages are no list of dicts", "pass the list that goes to the model")
    return [each if isinstance(each, dict) else dict(each) for each in found]  # pyright: ignore[reportUnknownVariableType]


def _count(count: Callable[[Messages], int], messages: Messages) -> int:
    counted: Any = count(list(messages))
    if isinstance(counted, bool) or not isinstance(counted, int) or counted < 0:
        raise InvalidTool(f"count returned {type(counted).__name__}", "return a whole number, at least 0")
    return counted


async def _summary(summarise: Summarise, older: Messages) -> str:
    told: Any = summarise(list(older))
    if inspect.isawaitable(told):
        told = await told
    if not isinstance(told, str):
        raise InvalidTool(f"summarise returned {type(told).__name__}", "return text")
    return told


def _as_message(summary: str) -> dict[str, Any]:
    return {"role": "user", "content": f"{_TITLE}{summary}"}


def _longest(text: str, fits: Callable[[str], bool]) -> str | None:
    """Return *text*, or as much of it as fits; ``None`` when there is no room even for its title."""
    if fits(text):
        return text
    if not fits(""):
        return None
    low, high = 0, len(text)  # so much fits, so much does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle] + _CUT) else (low, middle)
    return text[:low] + _CUT if low else ""
