"""How each state looks: a glyph, a word and a meaning, never a colour alone."""

from __future__ import annotations

from typing import Final

from holdfast._core.approval import ApprovalState
from holdfast._core.execution import Pause, StepState
from holdfast._core.spending import Fullness
from holdfast._core.states import State, WorkflowStatus

GOOD, BAD, DOUBT, BUSY, IDLE = "good", "bad", "doubt", "busy", "idle"

LOOKS: Final[dict[str, tuple[str, str]]] = {
    State.WAITING: ("◇", DOUBT),
    State.PENDING: ("◐", BUSY),
    State.RETRYABLE: ("↻", IDLE),
    State.UNKNOWN: ("?", DOUBT),
    State.SUCCEEDED: ("✓", GOOD),
    State.FAILED: ("✕", BAD),
    State.DENIED: ("⊘", BAD),
    State.CANCELLED: ("⊖", IDLE),
    State.COMPENSATED: ("↩", IDLE),
    WorkflowStatus.QUEUED: ("○", IDLE),
    WorkflowStatus.RUNNING: ("◐", BUSY),
    WorkflowStatus.NEEDS_REVIEW: ("!", DOUBT),
    ApprovalState.APPROVED: ("✓", GOOD),
    ApprovalState.CONSUMED: ("●", GOOD),
    ApprovalState.EXPIRED: ("◌", BAD),
    ApprovalState.WITHDRAWN: ("⊖", IDLE),
    Pause.PERSON: ("‖", IDLE),
    Pause.HALT: ("■", BAD),
    Pause.DEAD: ("†", BAD),
    Pause.DIVERGED: ("≠", BAD),
    Fullness.ROOM: ("✓", GOOD),
    Fullness.HALF: ("◐", BUSY),
    Fullness.NEAR: ("!", DOUBT),
    Fullness.FULL: ("✕", BAD),
}
"""Glyph and meaning by the word of the state."""

NODES: Final[dict[str, tuple[int, int]]] = {
    "new": (40, 135),
    State.WAITING: (170, 60),
    State.PENDING: (300, 135),
    State.RETRYABLE: (170, 210),
    State.UNKNOWN: (450, 210),
    State.SUCCEEDED: (590, 135),
    State.COMPENSATED: (730, 135),
    State.FAILED: (590, 260),
    State.DENIED: (450, 60),
    State.CANCELLED: (590, 20),
}
"""Where the states of an effect are drawn."""

KINDS: Final = (State, WorkflowStatus, ApprovalState, StepState, Pause, Fullness)


def look(word: str) -> tuple[str, str]:
    """Return the glyph and the meaning of a state; a word that is none has neither."""
    return LOOKS.get(word, ("·", IDLE))
