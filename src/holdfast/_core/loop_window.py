"""What is remembered of an agent's turns: the last ones, and of each whether it brought news."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from holdfast._core.loop import Observed, ObservedTurn
from holdfast._core.pattern import Poll
from holdfast._core.value import value

MOST_CALLS: Final = 100
"""So many different calls of a turn are remembered: one that makes more is not in a loop for those beyond."""

Call: TypeAlias = tuple[str, str]
"""A tool and its arguments."""


@value
class Kept:
    """What is remembered of a call.

    Attributes:
        is_poll: It looks whether something has changed meanwhile, as its tool is meant to.
        is_patient: It is such a look, and did not come too soon after the one before.
        down: The system in trouble for which it was not sent; empty when it was.
    """

    answer: str
    is_error: bool
    is_poll: bool
    is_patient: bool
    at_s: float | None
    down: str = ""


@value
class Seen:
    """What is remembered of a turn.

    Attributes:
        steps: What a period of going back and forth is made of; ``None`` when the turn cannot be part of one.
        is_news: It brought something new.
        is_idle: It did nothing but wait: it says nothing of whether the agent gets on.
        told: Of which signs the model was told after it.
    """

    calls: Mapping[Call, Kept]
    steps: frozenset[tuple[str, str, str]] | None
    tokens: int | None
    is_news: bool
    is_idle: bool
    told: frozenset[tuple[str, str]] = frozenset()


def see(window: Sequence[Seen], turn: ObservedTurn) -> Seen:
    """Return what is to be remembered of *turn*, which comes after *window*."""
    calls: dict[Call, Kept] = {}
    for each in turn.calls:
        if len(calls) < MOST_CALLS or (each.tool, each.args) in calls:
            calls[each.tool, each.args] = _kept(window, each)
    is_news = turn.has_other_news or any(_is_news(window, call, kept) for call, kept in calls.items())
    active = [(*call, kept.answer) for call, kept in calls.items() if not kept.is_patient]
    return Seen(
        calls=calls,
        steps=frozenset(active) if active and not turn.has_other_news else None,
        tokens=turn.tokens,
        is_news=is_news,
        is_idle=not active and not turn.has_other_news,
    )


def last_of(window: Sequence[Seen], call: Call) -> Kept | None:
    """Return what is remembered of the last time that *call* was made."""
    return next((seen.calls[call] for seen in reversed(window) if call in seen.calls), None)


def streak(turns: Sequence[Seen]) -> Iterator[Seen]:
    """Yield the turns since there was news, the newest first; the one that brought it is the last."""
    for seen in reversed(turns):
        yield seen
        if seen.is_news:
            return


def active(turns: Iterable[Seen]) -> list[Seen]:
    """Return the turns that did more than wait."""
    return [seen for seen in turns if not seen.is_idle]


def _kept(window: Sequence[Seen], each: Observed) -> Kept:
    is_poll = isinstance(each.pattern, Poll)
    return Kept(
        answer=each.answer,
        is_error=each.is_error,
        is_poll=is_poll,
        is_patient=is_poll and not each.is_error and not _is_hurried(window, each),
        at_s=each.at_s,
        down=each.down,
    )


def _is_hurried(window: Sequence[Seen], each: Observed) -> bool:
    """Whether a look comes sooner after the one before than its tool asks for."""
    every_s = each.pattern.every_s if isinstance(each.pattern, Poll) else None
    before = last_of(window, (each.tool, each.args))
    if every_s is None or each.at_s is None or before is None or before.at_s is None:
        return False
    return each.at_s - before.at_s < every_s


def _is_news(window: Sequence[Seen], call: Call, kept: Kept) -> bool:
    if kept.is_error:  # that a tool fails in this way is learnt once, whatever it is called with
        return not any(
            other.is_error and other.answer == kept.answer
            for seen in window
            for (tool, _), other in seen.calls.items()
            if tool == call[0]
        )
    before = last_of(window, call)
    return before is None or before.answer != kept.answer
