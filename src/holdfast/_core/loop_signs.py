"""Is an agent in a loop? A window of its turns goes in, signs come out: the same ones for the same turns.

Nothing here keeps time, asks anybody or remembers by itself: who goes on with an agent after a crash feeds
the window with the turns on record, and has the same answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias, get_args

from holdfast._core.loop import (
    LONGEST_PERIOD,
    LoopKind,
    LoopLimit,
    LoopRules,
    LoopSign,
    LoopStage,
    ObservedTurn,
)
from holdfast._core.loop_window import Seen, active, last_of, see, streak
from holdfast._core.loop_words import evidence
from holdfast._core.pattern import Spawn
from holdfast._core.states import Safety
from holdfast._core.value import value

MOST_SIGNS: Final = 8
"""So many signs of one turn at most are told, those that end the work first."""

_ORDER: Final[tuple[LoopKind, ...]] = get_args(LoopKind)


@value
class Found:
    """How often something was so.

    Attributes:
        about: The tool concerned; empty when it is the turns as such.
    """

    kind: LoopKind
    subject: str
    about: str
    count: int


_Finds: TypeAlias = Iterator[Found]


@value
class Watch:
    """A window of an agent's turns; turns are added, and make another watch.

    Attributes:
        rules: How often is too often.
        window: The last turns, the newest last; never more than ``rules.window``.
        spawned: How many agents were begun in all.
    """

    rules: LoopRules
    window: tuple[Seen, ...] = ()
    spawned: int = 0

    def signs(self, turn: ObservedTurn) -> tuple[LoopSign, ...]:
        """Return the signs that *turn* shows, if it comes next; nothing is changed."""
        turns = (*self.window, see(self.window, turn))
        found = [
            *_calls_again(turns),
            *_same_errors(turns),
            *_down(turns),
            *_ping_pong(turns),
            *_no_progress(turns),
            *_growth(turns, self.rules.growth),
            *_duplicates(turn),
            *self._fan_out(turn),
        ]
        signs = [sign for each in found if (sign := self._sign(each)) is not None]
        signs.sort(key=lambda sign: (sign.stage != "stop", _ORDER.index(sign.kind), -sign.count))
        return tuple(signs[:MOST_SIGNS])

    def after(self, turn: ObservedTurn, signs: Sequence[LoopSign]) -> Watch:
        """Return the watch that has seen *turn* as well.

        Args:
            signs: Of which the model was told.
        """
        seen = see(self.window, turn)
        told = frozenset((sign.kind, sign.subject) for sign in signs)
        kept = Seen(
            calls=seen.calls,
            steps=seen.steps,
            tokens=seen.tokens,
            is_news=seen.is_news,
            is_idle=seen.is_idle,
            told=told,
        )
        window = (*self.window, kept)[-self.rules.window :]
        return Watch(rules=self.rules, window=window, spawned=self.spawned + self._spawning(turn))

    def _sign(self, found: Found) -> LoopSign | None:
        limit = self.rules.limit(found.kind)
        stage = None if limit is None else self._stage(limit, found)
        if stage is None:
            return None
        return LoopSign(
            kind=found.kind,
            subject=found.subject,
            count=found.count,
            stage=stage,
            evidence=evidence(found.kind, found.about, found.count),
        )

    def _stage(self, limit: LoopLimit, found: Found) -> LoopStage | None:
        is_told = any((found.kind, found.subject) in seen.told for seen in self.window)
        may_stop = is_told or limit.tell is None  # nobody is stopped who could not have reacted
        if limit.stop is not None and found.count >= limit.stop and may_stop:
            return "stop"
        return "tell" if limit.tell is not None and found.count >= limit.tell else None

    def _fan_out(self, turn: ObservedTurn) -> _Finds:
        if new := self._spawning(turn):
            yield Found(kind="fan_out", subject="", about="", count=self.spawned + new)

    def _spawning(self, turn: ObservedTurn) -> int:
        """Return how many agents *turn* began: what was called before was answered from the record."""
        begun = {(each.tool, each.args) for each in turn.calls if isinstance(each.pattern, Spawn)}
        return sum(last_of(self.window, call) is None for call in begun)


def _calls_again(turns: Sequence[Seen]) -> _Finds:
    """Find calls that are made again, those with the same answer apart from those with any."""
    now = turns[-1]
    since = list(streak(turns))
    for call, kept in now.calls.items():
        tool, subject = call[0], "\n".join(call)
        same = [other for seen in since if (other := seen.calls.get(call)) and other.answer == kept.answer]
        if not kept.is_poll:
            times = sum(call in seen.calls for seen in turns)
            yield Found(kind="identical_call", subject=subject, about=tool, count=times)
        if kept.is_poll:
            yield Found(kind="poll_no_change", subject=subject, about=tool, count=len(same))
        if not kept.is_patient:
            hurried = sum(not other.is_patient for other in same)
            yield Found(kind="identical_result", subject=subject, about=tool, count=hurried)


def _same_errors(turns: Sequence[Seen]) -> _Finds:
    """Find tools that fail in the same way again. A turn counts once: its calls do not know of each other."""
    for tool, errors in _failing(turns[-1]).items():
        count, common = 0, errors
        for seen in streak(turns):
            if not any(name == tool for name, _ in seen.calls):
                continue
            common = common & _failing(seen).get(tool, frozenset())
            if not common:
                break
            count += 1
        yield Found(kind="same_error", subject=tool, about=tool, count=count)


def _down(turns: Sequence[Seen]) -> _Finds:
    """Find systems in trouble that are asked for again: news of anything else does not mend them."""
    for name in sorted({kept.down for kept in turns[-1].calls.values() if kept.down}):
        count, tools = 0, set[str]()
        for seen in reversed(turns):
            unsent = {tool for (tool, _), kept in seen.calls.items() if kept.down == name}
            if not unsent and any(tool in tools for tool, _ in seen.calls):
                break  # it was sent then
            tools |= unsent
            count += bool(unsent)
        yield Found(kind="dependency_open", subject=name, about=name, count=count)


def _failing(seen: Seen) -> dict[str, frozenset[str]]:
    """Return the tools none of whose calls brought a result, and how they failed."""
    errors: dict[str, set[str]] = {}
    for (tool, _), kept in seen.calls.items():
        if kept.is_error:
            errors.setdefault(tool, set()).add(kept.answer)
    well = {tool for (tool, _), kept in seen.calls.items() if not kept.is_error}
    return {tool: frozenset(found) for tool, found in errors.items() if tool not in well}


def _ping_pong(turns: Sequence[Seen]) -> _Finds:
    """Find the shortest period of different steps that comes again and again."""
    if turns[-1].is_idle:
        return
    steps = [seen.steps for seen in active(turns)]
    for period in range(2, LONGEST_PERIOD + 1):
        tail = steps[-period:]
        if None in tail or len(set(tail)) < 2:  # noqa: PLR2004 - one step alone goes nowhere and back
            continue
        again = 0
        for at in range(len(steps) - 1, period - 1, -1):
            if steps[at] is None or steps[at] != steps[at - period]:
                break
            again += 1
        if again >= period:
            yield Found(kind="ping_pong", subject="", about="", count=again // period + 1)
            return


def _no_progress(turns: Sequence[Seen]) -> _Finds:
    if not turns[-1].is_idle:
        count = sum(not seen.is_news for seen in active(streak(turns)))
        yield Found(kind="no_progress", subject="", about="", count=count)


def _growth(turns: Sequence[Seen], growth: float) -> _Finds:
    """Find that the model has to read more and more for nothing new."""
    if turns[-1].is_idle:
        return
    since = [seen.tokens for seen in active(streak(turns))]  # the last one brought news: what was before
    count = 0
    for newer, older in pairwise(since):
        if newer is None or older is None or newer <= older:
            break
        count += 1
    newest, first = since[0], since[count]
    if count and newest is not None and first is not None and newest >= first * growth:
        yield Found(kind="context_growth", subject="", about="", count=count)


def _duplicates(turn: ObservedTurn) -> _Finds:
    changes = Counter((each.tool, each.args) for each in turn.calls if each.safety is not Safety.READ)
    for call, count in changes.items():
        if count > 1:
            yield Found(kind="duplicate_intent", subject="\n".join(call), about=call[0], count=count)
