"""Executions in memory: what every store has to do, in the fewest words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    Dequeue,
    ExecutionOp,
    ForkExecution,
    HaltExecutions,
    Outrun,
    Progress,
    RestartExecution,
    Send,
    SteerExecution,
    Steering,
    TakeExecution,
)
from holdfast._core.execution import (
    ENDED,
    IDLE,
    ExecutionRecord,
    Halt,
    Message,
    Pause,
    StepRecord,
    StepState,
)
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores.memory_queue import chosen

_Place = tuple[str, str]


class Executions:
    """Executions, their steps and their signals. Not for threads: its store holds the lock."""

    def __init__(self) -> None:
        self._rows: dict[_Place, ExecutionRecord] = {}
        self._steps: dict[_Place, dict[tuple[str, str, int], StepRecord]] = {}
        self._messages: dict[_Place, list[Message]] = {}
        self._halts: dict[_Place, Halt] = {}

    def advance(self, op: ExecutionOp, now: datetime) -> Advanced | Outrun:
        """Apply *op*, if its guard holds."""
        place = op.tenant, op.workflow_id
        found = self._rows.get(place)
        after = self._applied(found, op, now)
        if after is None:
            return Outrun(found=found, now=now)
        self._rows[place] = after
        if after.status in ENDED and found is not None and found.status not in ENDED:
            self.wake(op.tenant, after.parent, op.at, now)
        return Advanced(execution=after, now=now)

    def _applied(
        self, found: ExecutionRecord | None, op: ExecutionOp, now: datetime
    ) -> ExecutionRecord | None:
        if isinstance(op, BeginExecution):
            return self._begun(op, now) if found is None else None
        if isinstance(op, ForkExecution):
            return self._forked(op, now) if found is None else None
        if found is None:
            return None
        match op:
            case TakeExecution():
                return _taken(found, op, now) if found.epoch == op.epoch and _is_free(found, now) else None
            case Progress():
                return self._further(found, op, now)
            case Send():
                return self._told(found, op, now)
            case SteerExecution():
                return _steered(found, op, now)
            case RestartExecution():
                return self._restarted(found, op, now)

    def _begun(self, op: BeginExecution, now: datetime) -> ExecutionRecord:
        halt = self._halt_of(op.tenant, op.actor)
        is_held = op.owner != "" and halt is None
        return ExecutionRecord(
            tenant=op.tenant,
            workflow_id=op.workflow_id,
            function=op.function,
            version=op.version,
            status=WorkflowStatus.RUNNING if is_held else WorkflowStatus.QUEUED,
            input=op.input,
            output=None,
            error=None,
            actor=op.actor,
            queue=op.queue,
            priority=op.priority,
            limit_key=op.limit_key,
            parent=op.parent,
            on_failure=op.on_failure,
            trace=op.trace,
            epoch=1 if is_held else 0,
            owner=op.owner if is_held else "",
            lease_until=now + timedelta(seconds=op.lease_s if is_held else 0),
            crashes=0,
            wake_at=None if is_held else op.start_at or now,
            waits_for="",
            news=0,
            pause=Pause.NO if halt is None else Pause.HALT,
            pause_reason="" if halt is None else halt.reason,
            is_cancelled=False,
            deadline_at=None if op.deadline_s is None else now + timedelta(seconds=op.deadline_s),
            started_at=op.at if is_held else None,
            created_at=op.at,
            updated_at=op.at,
            ended_at=None,
        )

    def _forked(self, op: ForkExecution, now: datetime) -> ExecutionRecord | None:
        source = self._rows.get((op.tenant, op.source))
        if source is None:
            return None
        place = op.tenant, op.workflow_id
        self._messages[place] = list(self._messages.get((op.tenant, op.source), ()))
        self._steps[place] = self._kept((op.tenant, op.source), op.keep, pending=False)
        begun = self._begun(
            BeginExecution(
                tenant=op.tenant,
                workflow_id=op.workflow_id,
                function=source.function,
                version=source.version,
                input=source.input,
                actor=source.actor,
                owner="",
                lease_s=0,
                at=op.at,
                queue=source.queue,
                priority=source.priority,
                limit_key=source.limit_key,
                on_failure=source.on_failure,
            ),
            now,
        )
        return replace(begun, news=source.news)

    def _restarted(
        self, found: ExecutionRecord, op: RestartExecution, now: datetime
    ) -> ExecutionRecord | None:
        if found.epoch != op.epoch or found.status not in ENDED - {WorkflowStatus.SUCCEEDED}:
            return None
        place = op.tenant, op.workflow_id
        self._steps[place] = self._kept(place, op.keep, pending=True)
        halt = self._halt_of(op.tenant, found.actor)
        return replace(
            found,
            status=WorkflowStatus.QUEUED,
            output=None,
            error=None,
            crashes=0,
            wake_at=now,
            waits_for="",
            pause=Pause.NO if halt is None else Pause.HALT,
            pause_reason="" if halt is None else halt.reason,
            is_cancelled=False,
            deadline_at=None if op.deadline_s is None else now + timedelta(seconds=op.deadline_s),
            updated_at=op.at,
            ended_at=None,
        )

    def _kept(self, place: _Place, keep: int, *, pending: bool) -> dict[tuple[str, str, int], StepRecord]:
        return {
            name: step
            for name, step in self._steps.get(place, {}).items()
            if (pending if step.position is None else step.position <= keep)
        }

    def _further(self, found: ExecutionRecord, op: Progress, now: datetime) -> ExecutionRecord | None:
        leave = op.leave
        if (found.epoch, found.status) != (op.epoch, WorkflowStatus.RUNNING):
            return None
        if leave is not None and leave.seen is not None and leave.seen != found.news:
            return None
        steps = self._steps.setdefault((op.tenant, op.workflow_id), {})
        steps.update((step.place, step) for step in op.steps)
        comes_further = leave is not None or any(step.state is not StepState.PENDING for step in op.steps)
        crashes = 0 if comes_further else found.crashes
        if leave is None:
            until = now + timedelta(seconds=op.lease_s)
            return replace(found, lease_until=until, crashes=crashes, updated_at=op.at)
        is_end = leave.to in ENDED
        pause, why = (leave.pause, leave.pause_reason) if leave.pause else (found.pause, found.pause_reason)
        return replace(
            found,
            status=leave.to,
            output=leave.output,
            error=leave.error,
            owner="",
            lease_until=now,
            crashes=crashes,
            wake_at=leave.wake_at,
            waits_for=leave.waits_for,
            pause=Pause.NO if is_end else pause,
            pause_reason=found.pause_reason if is_end else why,
            updated_at=op.at,
            ended_at=op.at if is_end else None,
        )

    def _told(self, found: ExecutionRecord, op: Send, now: datetime) -> ExecutionRecord | None:
        if found.status in ENDED:
            return None
        messages = self._messages.setdefault((op.tenant, op.workflow_id), [])
        if any(message.id == op.id for message in messages):
            return found
        after = _with_news(found, op.at, now)
        messages.append(Message(name=op.name, id=op.id, number=after.news, body=op.body, received_at=op.at))
        return after

    def wake(self, tenant: str, workflow_id: str, at: datetime, now: datetime) -> None:
        """Tell an execution that something happened that it may wait for."""
        found = self._rows.get((tenant, workflow_id))
        if found is not None and found.status not in ENDED:
            self._rows[tenant, workflow_id] = _with_news(found, at, now)

    def dequeue(self, op: Dequeue, now: datetime) -> Sequence[ExecutionRecord]:
        """Take what is due in a queue."""
        rows = [row for row in self._rows.values() if (row.tenant, row.queue) == (op.tenant, op.rule.name)]
        taken = [_taken(row, op, now) for row in chosen(rows, op, now)]
        self._rows.update(((row.tenant, row.workflow_id), row) for row in taken)
        return taken

    def halt(self, op: HaltExecutions, now: datetime) -> int:
        """Stop an actor's executions, or let them go on."""
        if op.is_on:
            self._halts[op.tenant, op.actor] = Halt(
                tenant=op.tenant, actor=op.actor, reason=op.reason, at=op.at
            )
        else:
            self._halts.pop((op.tenant, op.actor), None)
        before = Pause.NO if op.is_on else Pause.HALT
        concerned = [
            row
            for row in self._rows.values()
            if row.tenant == op.tenant and op.actor in {"", row.actor}
            if row.status not in ENDED and row.pause is before
            if op.is_on or self._halt_of(row.tenant, row.actor) is None
        ]
        for row in concerned:
            self._rows[row.tenant, row.workflow_id] = (
                replace(row, pause=Pause.HALT, pause_reason=op.reason, updated_at=op.at)
                if op.is_on
                else _resumed(row, op.at, now)
            )
        return len(concerned)

    def halts(self, tenant: str) -> Sequence[Halt]:
        """Return who is stopped."""
        return sorted((h for h in self._halts.values() if h.tenant == tenant), key=lambda h: h.actor)

    def _halt_of(self, tenant: str, actor: str) -> Halt | None:
        return self._halts.get((tenant, actor)) or self._halts.get((tenant, ""))

    def renewed(self, lease: Lease, until: datetime) -> bool:
        """Extend the lease on an execution, if it is still held."""
        place = lease.tenant, lease.key
        found = self._rows.get(place)
        if found is None or (found.epoch, found.status) != (lease.fence, WorkflowStatus.RUNNING):
            return False
        self._rows[place] = replace(found, lease_until=until)
        return True

    def reap(
        self, tenant: str, before: datetime, limit: int, forgets: Callable[[str, str], None] = lambda *_: None
    ) -> int:
        """Forget executions that ended before then, with their steps and signals; tell *forgets* of each."""
        old = [
            place
            for place, row in self._rows.items()
            if place[0] == tenant and row.ended_at is not None and row.ended_at < before
        ][:limit]
        for place in old:
            del self._rows[place]
            self._steps.pop(place, None)
            self._messages.pop(place, None)
            forgets(*place)
        return len(old)

    def ended_at(self, tenant: str, workflow_id: str) -> datetime | None:
        """Return when an execution ended; ``None`` while it has not, or if there is none."""
        found = self._rows.get((tenant, workflow_id))
        return None if found is None else found.ended_at

    def is_open(self, tenant: str, workflow_id: str) -> bool:
        """Whether there is an execution that has not ended: it may yet ask for its effects."""
        found = self._rows.get((tenant, workflow_id))
        return found is not None and found.status not in ENDED

    def known(
        self, tenant: str, workflow_id: str, after: int
    ) -> (
        tuple[ExecutionRecord, tuple[StepRecord, ...], dict[str, ExecutionRecord], tuple[Message, ...]] | None
    ):
        """Return an execution with its journal."""
        place = tenant, workflow_id
        found = self._rows.get(place)
        if found is None:
            return None
        steps = sorted(
            (
                step
                for step in self._steps.get(place, {}).values()
                if step.position is None or step.position > after
            ),
            key=lambda step: (step.position is None, step.position or 0, step.place),
        )
        children = {
            step.child: self._rows[tenant, step.child]
            for step in steps
            if step.position is None and step.child is not None and (tenant, step.child) in self._rows
        }
        return found, tuple(steps), children, tuple(self._messages.get(place, ()))

    def listed(self, query: ExecutionQuery, now: datetime) -> Sequence[ExecutionRecord]:
        """Return the executions that *query* asks for."""
        rows = [row for row in self._rows.values() if _matches(query, row, now)]
        if query.is_due:
            rows.sort(key=lambda row: (row.wake_at or row.lease_until, row.workflow_id))
        else:
            rows.sort(key=lambda row: (row.updated_at, row.workflow_id), reverse=True)
        return rows[: query.limit]


def _is_dead(row: ExecutionRecord, now: datetime) -> bool:
    return row.status is WorkflowStatus.RUNNING and row.lease_until <= now


def _is_free(row: ExecutionRecord, now: datetime) -> bool:
    return row.pause is Pause.NO and (_is_dead(row, now) or row.status in IDLE)


def _taken(found: ExecutionRecord, op: TakeExecution | Dequeue, now: datetime) -> ExecutionRecord:
    return replace(
        found,
        status=WorkflowStatus.RUNNING,
        epoch=found.epoch + 1,
        owner=op.owner,
        lease_until=now + timedelta(seconds=op.lease_s),
        crashes=found.crashes + _is_dead(found, now),
        wake_at=None,
        waits_for="",
        started_at=found.started_at or op.at,
        updated_at=op.at,
    )


def _with_news(found: ExecutionRecord, at: datetime, now: datetime) -> ExecutionRecord:
    wake_at = now if found.status in IDLE else found.wake_at
    return replace(found, news=found.news + 1, wake_at=wake_at, updated_at=at)


def _resumed(found: ExecutionRecord, at: datetime, now: datetime) -> ExecutionRecord:
    return replace(_with_news(found, at, now), pause=Pause.NO, pause_reason="", crashes=0)


def _steered(found: ExecutionRecord, op: SteerExecution, now: datetime) -> ExecutionRecord | None:
    if found.status in ENDED:
        return None
    match op.to:
        case Steering.PAUSE:
            return replace(found, pause=Pause.PERSON, pause_reason=op.reason, updated_at=op.at)
        case Steering.RESUME:
            return _resumed(found, op.at, now)
        case Steering.CANCEL:
            wanted = replace(
                _with_news(found, op.at, now), pause=Pause.NO, pause_reason=op.reason, is_cancelled=True
            )
            if found.status not in IDLE or found.on_failure != "leave":
                return wanted
            return replace(
                wanted, status=WorkflowStatus.CANCELLED, wake_at=None, waits_for="", ended_at=op.at
            )


def _matches(query: ExecutionQuery, row: ExecutionRecord, now: datetime) -> bool:
    wanted: Iterable[tuple[object, object]] = (
        (query.workflow_id, row.workflow_id),
        (query.status, row.status),
        (query.queue, row.queue),
        (query.parent, row.parent),
        (query.is_paused, row.pause is not Pause.NO),
    )
    if row.tenant != query.tenant or any(want not in {None, have} for want, have in wanted):
        return False
    if query.functions is not None and row.function not in query.functions:
        return False
    if not query.is_due:
        return True
    is_due = row.wake_at is not None and row.wake_at <= now
    return _is_free(row, now) and (row.status is WorkflowStatus.RUNNING or is_due)
