"""The state machine, as data: which states exist and what moves an effect between them.

The table is the specification. The docs' diagram and the databases' CHECK constraints are tested
against it, and a test walks every (state, event) pair.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Life of an effect. The one vocabulary of code, database, spans, CLI and console."""

    WAITING = "waiting"  #: a person has to decide first; not executed
    PENDING = "pending"  #: claimed: intent recorded, no outcome yet
    RETRYABLE = "retryable"  #: may be claimed again: known not done, or safe to send again
    UNKNOWN = "unknown"  #: may or may not be done; only evidence moves it
    SUCCEEDED = "succeeded"  #: done, outcome recorded
    FAILED = "failed"  #: known not done, no more attempts
    DENIED = "denied"  #: a person or a rule decided against it
    CANCELLED = "cancelled"  #: called off before it was executed
    COMPENSATED = "compensated"  #: done, then undone by another effect


class WorkflowStatus(StrEnum):
    """Life of a workflow."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NEEDS_REVIEW = "needs_review"
    CANCELLED = "cancelled"


class Safety(StrEnum):
    """What the author of a tool promises about executing it twice."""

    UNSAFE = "unsafe"  #: twice would hurt: when in doubt, do not
    IDEMPOTENT = "idempotent"  #: the same idem_key may be sent again
    READ = "read"  #: changes nothing
    LOCAL = "local"  #: rows in the ledger's own database, committed together with the record


class Event(StrEnum):
    """What can happen to an effect."""

    ASK = "ask"  #: recorded; a person has to decide
    CLAIM = "claim"  #: a worker won the right to execute it
    TAKE_OVER = "take_over"  #: the worker died; another executes it again under the same idem_key
    SUCCEED = "succeed"  #: the handler returned
    FAIL = "fail"  #: the handler says: not done, never will be
    RELEASE = "release"  #: known not done
    DOUBT = "doubt"  #: ended, or its worker died, without evidence
    RESOLVE_DONE = "resolve_done"  #: evidence that it happened
    RESOLVE_NOT_DONE = "resolve_not_done"  #: evidence that it did not
    OBSERVE = "observe"  #: a read was executed; no claim is needed for one
    DENY = "deny"  #: a person or a rule said no
    CANCEL = "cancel"  #: called off
    COMPENSATE = "compensate"  #: undone by another effect
    NOTE = "note"  #: evidence was kept; nothing moves


_ROWS: Final = """
                  ask      claim    take_over succeed   fail    release   doubt   resolve_done resolve_not_done observe   deny   cancel    compensate  note
-                 waiting  pending  -         -         -       retryable -       -            -                succeeded denied -         -           -
waiting           -        pending  -         -         -       -         -       -            -                -         denied cancelled -           waiting
pending           -        -        pending   succeeded failed  retryable unknown -            -                -         -      -         -           pending
retryable         waiting  pending  -         -         failed  retryable unknown succeeded    -                succeeded denied cancelled -           retryable
unknown           -        -        -         -         -       -         -       succeeded    retryable        -         -      -         -           unknown
succeeded         -        -        -         -         -       -         -       -            -                succeeded -      -         compensated succeeded
failed            -        -        -         -         -       -         -       -            -                -         -      -         -           failed
denied            -        -        -         -         -       -         -       -            -                -         -      -         -           denied
cancelled         -        -        -         -         -       -         -       -            -                -         -      -         -           cancelled
compensated       -        -        -         -         -       -         -       -            -                -         -      -         -           compensated
"""  # noqa: E501 - a table is read across; `-` left is "not in the ledger yet", inside "refused"


def _read_table() -> dict[tuple[State | None, Event], State | None]:
    header, *rows = [line.split() for line in _ROWS.strip().splitlines()]
    events = [Event(name) for name in header]
    return {
        (None if name == "-" else State(name), event): None if cell == "-" else State(cell)
        for name, *cells in rows
        for event, cell in zip(events, cells, strict=True)
    }


DECIDED: Final = _read_table()
"""Every (state, event) pair: the state it leads to, or ``None`` when it is refused."""

TRANSITIONS: Final[dict[tuple[State | None, Event], State]] = {
    pair: state for pair, state in DECIDED.items() if state is not None
}

TERMINAL: Final = frozenset({State.FAILED, State.DENIED, State.CANCELLED, State.COMPENSATED})
"""States that nothing leaves. (``succeeded`` may still be compensated.)"""

FINISHED: Final = TERMINAL | {State.SUCCEEDED}
"""States that retention may remove; all others are unfinished business."""


def step(state: State | None, event: Event) -> State:
    """Return the state after *event*.

    Args:
        state: The present state; ``None`` when the effect is not in the ledger yet.
        event: What happened.

    Raises:
        ValueError: The table refuses this; always a bug in the caller.
    """
    after = DECIDED[state, event]
    if after is None:
        msg = f"no transition from {state} by {event}"
        raise ValueError(msg)
    return after
