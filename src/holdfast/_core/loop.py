"""What is a loop? The rules as data, what is seen of an agent's turns, and what a sign of a loop is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

from holdfast._core.pattern import Pattern
from holdfast._core.states import Safety
from holdfast._core.value import value
from holdfast.errors import InvalidTool

LoopKind: TypeAlias = Literal[
    "identical_call",
    "identical_result",
    "ping_pong",
    "poll_no_change",
    "same_error",
    "dependency_open",
    "no_progress",
    "duplicate_intent",
    "fan_out",
    "context_growth",
]
LoopStage: TypeAlias = Literal["tell", "stop"]
LONGEST_PERIOD: Final = 4
"""So many turns at most make one period of going back and forth."""


@dataclass(frozen=True, slots=True)
class LoopLimit:
    """From which count on the model is told of a sign, and from which count on the work ends.

    Attributes:
        tell: From this count on the model is told, each time; ``None``: never.
        stop: From this count on the work ends, if the model was told before; ``None``: never. Without *tell*
            it ends untold.
    """

    tell: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        for name in ("tell", "stop"):
            count: Any = getattr(self, name)
            if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
                raise InvalidTool(
                    f"LoopLimit.{name}={count!r} is no count", "give a whole number of at least 1"
                )
        if self.tell is not None and self.stop is not None and self.stop <= self.tell:
            what = f"LoopLimit(tell={self.tell}, stop={self.stop}) ends the work before the model can react"
            raise InvalidTool(what, "give a stop above tell, or tell=None to end it untold")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRules:
    """How often is too often. ``None`` in place of a limit turns that sign off.

    A turn *brings news* when a call has an answer that it did not have when it was made last, or when a tool
    fails in a way that it did not fail before.

    Attributes:
        identical_call: Turns, of those remembered, with the same call, whatever it was answered.
        identical_result: Turns on end without news in which the same call had the same answer.
        ping_pong: Periods on end of two to four turns with the same calls and the same answers.
        poll_no_change: As *identical_result*, of a tool declared as a ``Poll`` that keeps its pace.
        same_error: Turns on end without news in which a tool failed in the same way, whatever its arguments.
        dependency_open: Turns with calls that were not sent, since the system that they depend on is in
            trouble, until one of those tools has another answer; whatever else brought news meanwhile.
        no_progress: Turns on end without news, declared polls aside.
        duplicate_intent: Equal changes in one turn.
        fan_out: Agents begun in all, by tools declared as ``Spawn``.
        context_growth: Turns on end without news in which what the model has to read grew, to *growth* times
            its size at least.
        growth: See *context_growth*.
        window: So many turns are remembered.
    """

    identical_call: LoopLimit | None = LoopLimit(20, None)
    identical_result: LoopLimit | None = LoopLimit(3, 5)
    ping_pong: LoopLimit | None = LoopLimit(2, 4)
    poll_no_change: LoopLimit | None = LoopLimit(10, 30)
    same_error: LoopLimit | None = LoopLimit(4, 8)
    dependency_open: LoopLimit | None = LoopLimit(1, 4)
    no_progress: LoopLimit | None = LoopLimit(8, 12)
    duplicate_intent: LoopLimit | None = LoopLimit(2, None)
    fan_out: LoopLimit | None = LoopLimit(8, 16)
    context_growth: LoopLimit | None = LoopLimit(4, 8)
    growth: float = 1.5
    window: int = 64

    def __post_init__(self) -> None:
        window: Any = self.window
        if not isinstance(window, int) or isinstance(window, bool) or not 1 <= window <= _MOST_TURNS:
            what = f"LoopRules.window={window!r} is no count of turns"
            raise InvalidTool(what, f"give a whole number from 1 to {_MOST_TURNS}")
        growth: Any = self.growth
        if not isinstance(growth, int | float) or isinstance(growth, bool) or not growth > 1:
            raise InvalidTool(f"LoopRules.growth={growth!r} is no growth", "give a number above 1")
        for item in fields(self):
            if item.name in _NO_LIMITS:
                continue
            limit: Any = getattr(self, item.name)
            if limit is not None and not isinstance(limit, LoopLimit):
                what = f"LoopRules.{item.name} is {type(limit).__name__}"
                raise InvalidTool(what, "give LoopLimit(tell=..., stop=...), or None to turn it off")
            self._check_reach(item.name, limit)

    def _check_reach(self, name: str, limit: LoopLimit | None) -> None:
        """Refuse a limit that no count can come to, since older turns are forgotten."""
        if limit is None or name in _UNBOUND:
            return
        turns = LONGEST_PERIOD if name == "ping_pong" else 1
        highest = max(limit.tell or 0, limit.stop or 0) * turns
        if highest > self.window:
            what = f"LoopRules.{name} asks for {highest} turns, and window={self.window} are remembered"
            raise InvalidTool(what, "give a lower limit, or a larger window")

    def limit(self, kind: LoopKind) -> LoopLimit | None:
        """Return the limit of one kind; ``None`` when it is off."""
        found: LoopLimit | None = getattr(self, kind)
        return found


_MOST_TURNS: Final = 1000
_NO_LIMITS: Final = frozenset({"growth", "window"})
_UNBOUND: Final = frozenset({"fan_out", "duplicate_intent"})


@value
class Observed:
    """One call of a turn, and how it ended, without any of its values.

    Attributes:
        tool: The tool's name.
        args: Equal for equal arguments.
        answer: Equal for answers that say the same: results, how far a result says it is, or kinds of errors.
        is_error: It brought no result.
        safety: What making it twice would mean.
        pattern: How the tool is meant to be called; ``None`` when nothing is declared.
        at_s: When the answer was learnt, in seconds since any fixed moment; ``None`` when nobody knows.
        down: The system in trouble for which it was not sent; empty when it was.
    """

    tool: str
    args: str
    answer: str
    is_error: bool = False
    safety: Safety = Safety.UNSAFE
    pattern: Pattern | None = None
    at_s: float | None = None
    down: str = ""


@value
class ObservedTurn:
    """What is seen of one turn: the model was asked, it made calls, and they were answered.

    Attributes:
        calls: What it called, in order.
        tokens: How much the model had to read for it; ``None`` when nobody knows.
        has_other_news: Something else happened that was new: a signal came, a person said something.
    """

    calls: tuple[Observed, ...] = ()
    tokens: int | None = None
    has_other_news: bool = False


@value
class LoopSign:
    """A sign that an agent is in a loop.

    Attributes:
        kind: Which sign.
        subject: What it is about, equal for the same: two signs of one kind and subject are one loop.
        count: How often it was so; what is counted is said in :class:`LoopRules`.
        stage: Whether the model is to be told, or the work to end.
        evidence: What was seen, in plain words for the model: names of tools and counts, no values.
    """

    kind: LoopKind
    subject: str
    count: int
    stage: LoopStage
    evidence: str


def sign_as_json(sign: LoopSign) -> dict[str, Any]:
    """Return a sign as it is put on record and told."""
    return {name: getattr(sign, name) for name in ("kind", "stage", "count", "evidence", "subject")}


def sign_of_json(said: dict[str, Any]) -> LoopSign:
    """Return the sign that :func:`sign_as_json` told of."""
    return LoopSign(
        kind=said["kind"],
        subject=said["subject"],
        count=said["count"],
        stage=said["stage"],
        evidence=said["evidence"],
    )
