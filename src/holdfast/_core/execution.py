"""A durable execution and its journal, and what is written of them together, as values. Pure.

An execution is a workflow's row: who works on it, and what it waits for. Its journal has a row per step. Both
are apart from effects: what is written here never touches an effect, so that a bare call pays nothing for it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

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
        fingerprint: Of the function's name and its arguments.
        position: Which end it is of all that the workflow's code was told, from 1; ``None`` while pending.
        attempt: How often it was tried.
        args: What it was called with: JSON text, possibly in a codec's envelope. So are *result* and *error*.
        due_at: When a wait is over.
        effect: The effect that it was answered from.
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

    @property
    def place(self) -> tuple[str, str, int]:
        """What tells it from the other steps of its workflow."""
        return self.name, self.fingerprint, self.occurrence


@value
class Message:
    """A signal to a workflow.

    Attributes:
        id: Names it: one that comes again under the same id is the same one.
        number: Which one it is of this workflow's, from 1, in the order in which they were kept.
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
        epoch: Grows whenever somebody takes it; a writer names the one it has.
        owner: Who works on it; empty when nobody does.
        lease_until: Until when nobody else may.
        crashes: How many workers died at it since it last came further.
        wake_at: When it is to be looked at again, while nobody works on it; ``None``: when something happens.
        waits_for: What it waits for, for people.
        messages: How many signals were sent to it.
        is_paused: A person wants nobody to go on with it.
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
    epoch: int
    owner: str
    lease_until: datetime
    crashes: int
    wake_at: datetime | None
    waits_for: str
    messages: int
    is_paused: bool
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


@value
class BeginExecution:
    """Put a new execution into the ledger. Guard: its workflow has none.

    Attributes:
        owner: Who works on it at once; empty for one that is queued.
        lease_s: For so long, from the store's *now*.
    """

    tenant: str
    workflow_id: str
    function: str
    version: str
    input: str
    actor: str
    owner: str
    lease_s: float
    at: datetime


@value
class TakeExecution:
    """Work on an execution. Guard: nobody does, or a lease has run out; it is at *epoch*, and not paused.

    The epoch grows by one. Taking one whose worker died counts as a crash.
    """

    tenant: str
    workflow_id: str
    epoch: int
    owner: str
    lease_s: float
    at: datetime


@value
class Leave:
    """How a worker leaves an execution.

    Attributes:
        seen: How many signals it knew of. Guard: there are no more; ``None`` when they do not matter.
        wake_at: When it is to be looked at again; ``None``: when something happens.
    """

    to: WorkflowStatus
    seen: int | None = None
    output: str | None = None
    error: str | None = None
    wake_at: datetime | None = None
    waits_for: str = ""


@value
class Progress:
    """Keep *steps*, and leave the execution or hold it for *lease_s* more.

    Guard: it is at *epoch* and running. A step that is on record under its place is replaced. Whoever comes
    further is no crashing worker: an ended step, or leaving, sets what is counted of those back to 0.
    """

    tenant: str
    workflow_id: str
    epoch: int
    lease_s: float
    at: datetime
    steps: tuple[StepRecord, ...] = ()
    leave: Leave | None = None


@value
class Send:
    """Keep a signal, and wake its workflow. Guard: there is an execution that has not ended.

    One that was kept before under its id changes nothing. Whoever waits is due at once.
    """

    tenant: str
    workflow_id: str
    name: str
    id: str
    body: str
    at: datetime


ExecutionOp: TypeAlias = BeginExecution | TakeExecution | Progress | Send


@value
class Advanced:
    """It was applied, durably.

    Attributes:
        execution: The row as it is now.
        now: The store's clock.
    """

    execution: ExecutionRecord
    now: datetime


@value
class Outrun:
    """Nothing was applied: the guard did not hold.

    Attributes:
        found: The execution as it is instead; ``None`` when there is none.
    """

    found: ExecutionRecord | None
    now: datetime


@value
class Journal:
    """All that is known of one execution, read at one moment.

    Attributes:
        steps: By position; pending ones last, by name and occurrence.
        effects: Those that steps were answered from, by key.
        messages: By number.
    """

    execution: ExecutionRecord
    steps: tuple[StepRecord, ...]
    effects: dict[EffectKey, Record]
    messages: tuple[Message, ...]
    now: datetime
