"""What is written of executions: each op is applied wholly, or not at all. Pure.

An op names its guard. Whoever is told that it did not hold learns what is so instead.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from holdfast._core.execution import ENDED, IDLE, ExecutionRecord, Message, Pause, StepRecord
from holdfast._core.states import WorkflowStatus
from holdfast._core.value import value


@value
class BeginExecution:
    """Put a new execution into the ledger. Guard: its workflow has none, and its parent has room for it.

    While its actor is halted (:class:`HaltExecutions`) it is queued and paused, whoever wanted to work on it.

    Attributes:
        owner: Who works on it at once; empty for one that is queued.
        lease_s: For so long, from the store's *now*.
        start_at: A queued one is due then; ``None``: at once.
        deadline_s: It fails unless it has ended so long after the store's *now*; ``None``: whenever.
        fan_out: Of its parent's children as many at most have not ended, this one among them; looked at after
            the other guard, and exact whoever begins at once. ``None`` for any number.
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
    queue: str = ""
    priority: int = 0
    limit_key: str = ""
    parent: str = ""
    on_failure: str = "leave"
    trace: str = ""
    start_at: datetime | None = None
    deadline_s: float | None = None
    purses: str = ""
    fan_out: int | None = None


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
class QueueRule:
    """What holds for the executions of a queue, over all workers.

    Attributes:
        concurrency: So many at most are running; those that wait are not counted, nor those that are paused
            under a lease that has run out.
        per_key: So many at most of one limit key; those without a key are not bounded by it.
        rate: So many at most are started within *rate_s*; going on with one is not a start.
    """

    name: str
    concurrency: int | None = None
    per_key: int | None = None
    rate: int | None = None
    rate_s: float = 1.0


@value
class Dequeue:
    """Take what is due in a queue, as :class:`TakeExecution` does, in one transaction: at most *limit*.

    Those whose worker died come first, by the end of their leases; then the others by priority, the highest
    first, then what has been due longest; then by workflow id. Whoever dequeues at once is never given the
    same one, and together they keep the queue's rule. The dead ones are bounded by nothing but *limit*: they
    count as running until they are taken, and after. Those that are paused have no place once their leases
    have run out, and get none back: no writer extends such a lease. Of the others these are left out, one
    after the other:

    1. what is more than ``per_key`` of its limit key, with those that run;
    2. of those that nobody ever worked on, what is more than ``rate``, with those started within ``rate_s``;
    3. what is more than ``concurrency``, with those that run;
    4. what is more than *limit*, with the dead ones.

    Attributes:
        functions: Only those whose code is one of these.
    """

    tenant: str
    rule: QueueRule
    functions: tuple[str, ...]
    owner: str
    limit: int
    lease_s: float
    at: datetime


@value
class Leave:
    """How a worker leaves an execution.

    An end wakes the parent. What is left while it is to be paused, or is cancelled, stays so.

    Attributes:
        seen: How much news it knew of. Guard: there is no more; ``None`` when that does not matter.
        wake_at: When it is to be looked at again; ``None``: when something happens.
        pause: Nobody may go on with it; for a dead letter, or a record that its code does not fit.
    """

    to: WorkflowStatus
    seen: int | None = None
    output: str | None = None
    error: str | None = None
    wake_at: datetime | None = None
    waits_for: str = ""
    pause: Pause = Pause.NO
    pause_reason: str = ""


@value
class Progress:
    """Keep *steps*, and leave the execution or hold it for *lease_s* more.

    Guard: it is at *epoch* and running. A step that is on record under its place is replaced, but one that
    has ended by none that has not: a write that its writer gave up may be applied after what came later.
    Whoever comes further is no crashing worker: an ended step, or leaving, sets what is counted of those back
    to 0. What is paused under a lease that has run out is held no longer: its steps are kept, its lease stays
    as it is.

    Attributes:
        is_note: It has to outlive the process, and need not outlive the machine: that a step has begun.
        known: The row as the writer knows it; what nobody but the writer changes need not be told again.
    """

    tenant: str
    workflow_id: str
    epoch: int
    lease_s: float
    at: datetime
    steps: tuple[StepRecord, ...] = ()
    leave: Leave | None = None
    is_note: bool = False
    known: ExecutionRecord | None = None


@value
class Send:
    """Keep a signal, and wake its workflow. Guard: there is an execution that has not ended.

    One that was kept before under its id changes nothing, and the answer says so. Whoever waits is due at
    once. Its number is that of the news it makes.
    """

    tenant: str
    workflow_id: str
    name: str
    id: str
    body: str
    at: datetime


class Steering(StrEnum):
    """What a person may want of an execution."""

    PAUSE = "pause"  #: nobody goes on with it; who works on it leaves it at its next step
    RESUME = "resume"  #: whoever may, goes on with it: at once, if nobody works on it; crashes are forgotten
    CANCEL = "cancel"  #: it ends: at once when nobody works on it and nothing is to be compensated


@value
class SteerExecution:
    """Steer an execution. Guard: there is one that has not ended.

    A cancelled one that nobody works on and that is to be compensated, or reviewed, is due at once instead of
    ended: that takes its code. Cancelling ends a pause. One that was paused under a lease that has run out is
    queued when it is resumed, or cancelled: its place was given away. An end wakes the parent.

    Attributes:
        reason: Who wants it, and what for.
    """

    tenant: str
    workflow_id: str
    to: Steering
    reason: str
    at: datetime


@value
class RestartExecution:
    """Go on with an execution that has ended otherwise than well, from its record. Guard: it has, at *epoch*.

    It is queued, and due at once; its output, error and cancellation are forgotten.

    Attributes:
        keep: Steps that ended at a later position than this one are forgotten, and so are pending ones that
            change nothing: they begin anew, or code that has come another way does not ask for them.
        deadline_s: As of :class:`BeginExecution`.
    """

    tenant: str
    workflow_id: str
    epoch: int
    keep: int
    at: datetime
    deadline_s: float | None = None


@value
class Resealed:
    """What a fork has in place of texts that are sealed to its source; all else of it is as the source's.

    Attributes:
        epoch: Of the source, when it was read; so is *news*.
        steps: All of the source that ended at *keep* or before.
        messages: All of the source.
    """

    epoch: int
    news: int
    input: str
    steps: tuple[StepRecord, ...]
    messages: tuple[Message, ...]


@value
class ForkExecution:
    """Begin an execution from the record of another one. Guard: its workflow has none; *source* has.

    It is queued, and due at once; it has the source's function, version, input, actor, queue, priority, limit
    key, on_failure and purses, its signals, and its steps that ended at *keep* or before. It has no parent,
    no deadline and no trace.

    Attributes:
        resealed: The input, the signals and the steps that it has instead. Guard: such is the source;
            it is at that epoch, knows of that news, and has as many steps that ended at *keep* or before.
    """

    tenant: str
    workflow_id: str
    source: str
    keep: int
    at: datetime
    resealed: Resealed | None = None


ExecutionOp: TypeAlias = (
    BeginExecution | TakeExecution | Progress | Send | SteerExecution | RestartExecution | ForkExecution
)


@value
class HaltExecutions:
    """Stop all executions of an actor that have not ended, and those that it begins; or let them go on.

    Those that are paused for another reason stay as they are, either way; so do those that another halt
    holds. Letting one go on is :attr:`Steering.RESUME`.

    Attributes:
        actor: Whose; empty for all of the tenant.
        is_on: Stop them; else let go on those that this halt stopped.
    """

    tenant: str
    actor: str
    is_on: bool
    reason: str
    at: datetime


def bell_of_end(tenant: str, workflow_id: str) -> str:
    """Name what rings when an execution is left."""
    return f"left {tenant} {workflow_id}"


def bell_of_queue(tenant: str, queue: str) -> str:
    """Name what rings when an execution of a queue becomes due at once."""
    return f"due {tenant} {queue}"


def bells_of_due(record: ExecutionRecord, now: datetime) -> list[str]:
    """Return what rings when an execution may have become due: its queue, if it is."""
    is_due = record.status in IDLE and record.wake_at is not None and record.wake_at <= now
    return [bell_of_queue(record.tenant, record.queue)] if is_due and record.pause is Pause.NO else []


def bells_of(op: ExecutionOp, after: ExecutionRecord, now: datetime) -> list[str]:
    """Return what rings once *op* was applied and *after* is what it made; not what rings for the parent."""
    is_left = after.status in ENDED or (isinstance(op, Progress) and op.leave is not None)
    bells = [bell_of_end(op.tenant, op.workflow_id)] if is_left else []
    return bells + bells_of_due(after, now)


@value
class Advanced:
    """It was applied, durably.

    Attributes:
        execution: The row as it is now.
        now: The store's clock.
        is_new: Whether anything was written; ``False`` for a signal that was kept before under its id.
    """

    execution: ExecutionRecord
    now: datetime
    is_new: bool = True


@value
class Outrun:
    """Nothing was applied: the guard did not hold.

    Attributes:
        found: The execution as it is instead; ``None`` when there is none.
        siblings: How many children of its parent have not ended, when these leave no room for another one.
    """

    found: ExecutionRecord | None
    now: datetime
    siblings: int | None = None
