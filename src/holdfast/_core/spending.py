"""What is read out of budgets and costs: how full a budget is, and what a cost came to. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, TypeAlias

from holdfast._core.budget import MOST, HoldState, Level
from holdfast._core.budgeting import CONCURRENCY
from holdfast._core.states import State

FULL: Final = 1000
"""How full a budget is that admits nothing more, in thousandths."""
NEAR: Final = 800
"""From here on people should know."""

HALF: Final = 500


class Fullness(StrEnum):
    """How full a budget is, in words."""

    ROOM = "has room"
    HALF = "half used"
    NEAR = "near its cap"
    FULL = "used up"


Fate: TypeAlias = Literal["", "held", "failed", "superseded", "assumed"]
"""What the money of an attempt came to: nothing against it, or it is under way; or it is lost, because the
attempt failed, because another one did the same again, or because nobody knows what it did."""

BOUGHT_NOTHING: Final = frozenset({State.FAILED, State.DENIED, State.CANCELLED, State.RETRYABLE})


def filled(level: Level) -> int:
    """Return how much of a budget is spent or held, in thousandths rounded down; a cap of nothing is full."""
    if level.cap <= 0:
        return MOST
    return min(level.spent + level.held, MOST) * FULL // level.cap


def fullness(level: Level) -> Fullness:
    """Return how full a budget is, in words."""
    thousandths = filled(level)
    if thousandths >= FULL:
        return Fullness.FULL
    if thousandths >= NEAR:
        return Fullness.NEAR
    return Fullness.HALF if thousandths >= HALF else Fullness.ROOM


def is_near(level: Level) -> bool:
    """Whether people should know of it. Seats that are all taken are at work: nothing runs out."""
    return level.unit != CONCURRENCY and filled(level) >= NEAR


def fate_of(state: str, attempt: int, effect: tuple[State, int] | None) -> Fate:
    """Return what the money of an attempt came to.

    Args:
        state: Of its hold.
        effect: State and newest attempt of its effect; ``None`` when that is no longer on record.
    """
    if state == HoldState.HELD:
        return "held"
    if state == HoldState.ASSUMED:
        return "assumed"
    if effect is None:
        return ""
    if attempt < effect[1]:
        return "superseded"
    return "failed" if effect[0] in BOUGHT_NOTHING else ""
