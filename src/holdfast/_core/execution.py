"""A durable execution and its journal, as values; what is written of them is in ``advance``. Pure.

An execution is a workflow's row: who works on it, and what it waits for. Its journal has a row per step. Both
are apart from effects: what is written here never touches an effect, so that a bare call pays nothing for it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from holdfast._core.model import EffectKey, Record
from holdfast._core.states import WorkflowStatus
from holdfast._core.value import value

ENDED: Final = frozenset({WorkflowStatus.SUCCEEDED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})
"""Statuses that only a restart leaves."""

IDLE: Final = frozenset({WorkflowStatus.QUEUED, WorkflowStatus.WAITING, WorkflowStatus.NEEDS_REVIEW})
"""Statuses in which nobody works on it, and somebody may."""


class StepKind(StrEnum):
    """What a recorded position in a workflow is."""

    STEP = "step"  #: a function that changes nothing, e.g. a model call
    EFFECT = "effect"  #: a tool call; its result is in the ledger's own record
    SLEEP = "sleep"  #: a length of time
    WAIT = "wait"  #: a signal
    VALUE = "value"  #: what code must not make itself: the time, a random number
    GATE = "gate"  #: whether the code has a patch
    CHILD = "child"  #: another workflow that it began, and whose output it waits for


class Pause(StrEnum):
    """Why nobody may go on with an execution."""

    NO = ""  #: somebody may
    PERSON = "paused"  #: a person wants it
    HALT = "halted"  #: a person stopped all of its actor's
    DEAD = "dead_letter"  #: too many workers died at it
    DIVERGED = "diverged"  #: its code does not fit its record


class StepState(StrEnum):
    """Life of a step."""

    PENDING = "pending"  #: begun; its end is not on record
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@value
class StepRecord:
    """One position in a workflow's journal.

    Attributes:
        occurrence: Which one it is among steps with the same name and the same fingerprint, from 0.
        fingerprint: Of its kind, its arguments and the branch of the code that asked for it.
        position: Which end it is of all that the workflow's code was told, from 1; ``None`` while pending.
        attempt: How often it was tried.
        args: What it was called with: JSON text, possibly in a codec's envelope. So are *result* and *error*.
        due_at: When a wait is over.
        effect: The effect that it was answered from.
        child: The workflow whose output it is.
    """

    name: str
    occurrence: int
    kind: StepKind
    fingerprint: str
    state: StepState
    position: int | None
    attempt: int
    started_at: datetime
    ended_at: datetime | None = None
    args: str | None = None
    result: str | None = None
    error: str | None = None
    due_at: datetime | None = None
    effect: EffectKey | None = None
    child: str | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """What tells it from the other steps of its workflow."""
        return self.name, self.fingerprint, self.occurrence


@value
class Message:
    """A signal to a workflow.

    Attributes:
        id: Names it: one that comes again under the same id is the same one.
        number: Grows in the order in which this workflow's were kept.
        body: JSON text, possibly in a codec's envelope.
    """

    name: str
    id: str
    number: int
    body: str
    received_at: datetime


@value
class ExecutionRecord:
    """A workflow's execution as the ledger knows it.

    Attributes:
        function: The name under which its code is registered.
        version: Of the code that began it.
        input: JSON text, possibly in a codec's envelope. So are *output* and *error*.
        queue: Whose workers take it; empty for one that was begun by who runs it.
        priority: Of two that are due in a queue, the higher one goes first.
        limit_key: What it shares a queue's limit per key with; empty for nothing.
        parent: The workflow that began it and waits for it; empty for none.
        on_failure: What is done when it fails or is cancelled: ``compensate``, ``review`` or ``leave``.
        trace: The W3C ``traceparent`` of where it was begun; empty when nobody traced.
        epoch: Grows whenever somebody takes it; a writer names the one it has.
        owner: Who works on it; empty when nobody does.
        lease_until: Until when nobody else may.
        crashes: How many workers died at it since it last came further.
        wake_at: When it is to be looked at again, while nobody works on it; ``None``: when something happens.
        waits_for: What it waits for, for people.
        news: How many things happened that it may wait for: signals, ends of children, doubt that was ended.
        pause: Why nobody may go on with it.
        pause_reason: The same for people: who wants it, and what for.
        is_cancelled: Somebody wants it to end; whoever works on it ends it at its next step.
        deadline_at: When it fails unless it has ended.
        started_at: When somebody first worked on it, by the store's clock: rates are measured by it.
        purses: The budgets that it falls under besides its own: those around whoever began it, as JSON text;
            empty for none. Never changed.
    """

    tenant: str
    workflow_id: str
    function: str
    version: str
    status: WorkflowStatus
    input: str
    output: str | None
    error: str | None
    actor: str
    queue: str
    priority: int
    limit_key: str
    parent: str
    on_failure: str
    trace: str
    epoch: int
    owner: str
    lease_until: datetime
    crashes: int
    wake_at: datetime | None
    waits_for: str
    news: int
    pause: Pause
    pause_reason: str
    is_cancelled: bool
    deadline_at: datetime | None
    started_at: datetime | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    purses: str = ""


@value
class Journal:
    """All that is known of one execution, read at one moment.

    Attributes:
        steps: By position; pending ones last, by name, fingerprint and occurrence.
        effects: Those that steps were answered from, by key.
        children: Those that pending steps wait for, by workflow id.
        messages: By number.
    """

    execution: ExecutionRecord
    steps: tuple[StepRecord, ...]
    effects: dict[EffectKey, Record]
    children: dict[str, ExecutionRecord]
    messages: tuple[Message, ...]
    now: datetime


@value
class Halt:
    """A person stopped all workflows of an actor, or of a whole tenant.

    Attributes:
        actor: Whose; empty for all.
        reason: Who wants it, and what for.
    """

    tenant: str
    actor: str
    reason: str
    at: datetime


@value
class ExecutionQuery:
    """Which executions to list. ``None`` means any.

    Attributes:
        functions: Whose code is one of these.
        is_paused: Whether nobody may go on with it.
        is_due: That somebody should work on now, by the store's clock: queued or waiting, and due; or running
            under a lease that has run out. Paused ones are not among them.
        limit: At most this many.
    """

    tenant: str
    workflow_id: str | None = None
    status: WorkflowStatus | None = None
    functions: tuple[str, ...] | None = None
    queue: str | None = None
    parent: str | None = None
    is_paused: bool | None = None
    is_due: bool = False
    limit: int = 100
