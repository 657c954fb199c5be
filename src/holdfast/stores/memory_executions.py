"""Executions in memory: what every store has to do, in the fewest words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

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
    TakeExecution,
    bells_of,
    bells_of_due,
)
from holdfast._core.execution import ENDED, ExecutionRecord, Halt, Message, Pause, StepKind, StepRecord
from holdfast._core.states import WorkflowStatus
from holdfast.ports import ExecutionQuery, Lease
from holdfast.stores import memory_rows as rows
from holdfast.stores.memory_queue import chosen

_Place = tuple[str, str]


class Executions:
    """Executions, their steps and their signals. Not for threads: its store holds the lock.

    Attributes:
        bells: What is to ring once the lock is free.
    """

    def __init__(self) -> None:
        self._rows: dict[_Place, ExecutionRecord] = {}
        self._steps: dict[_Place, dict[tuple[str, str, int], StepRecord]] = {}
        self._messages: dict[_Place, list[Message]] = {}
        self._halts: dict[_Place, Halt] = {}
        self.bells: list[str] = []

    def all(self) -> tuple[ExecutionRecord, ...]:
        """Return the executions of all tenants."""
        return tuple(self._rows.values())

    def advance(self, op: ExecutionOp, now: datetime) -> Advanced | Outrun:
        """Apply *op*, if its guard holds."""
        place = op.tenant, op.workflow_id
        found = self._rows.get(place)
        after = self._applied(found, op, now)
        if after is None:
            return Outrun(found=found, now=now, siblings=None if found else self._crowd(op))
        self._rows[place] = after
        self.bells += bells_of(op, after, now)
        if after.status in ENDED and after.parent:
            self.wake(op.tenant, after.parent, op.at, now)
        # What changes nothing leaves the row as it was, itself.
        return Advanced(execution=after, now=now, is_new=after is not found)

    def _applied(
        self, found: ExecutionRecord | None, op: ExecutionOp, now: datetime
    ) -> ExecutionRecord | None:
        if isinstance(op, BeginExecution):
            is_refused = found is not None or self._crowd(op) is not None
            return None if is_refused else rows.begun(op, self._halt_of(op.tenant, op.actor), now)
        if isinstance(op, ForkExecution):
            return None if found else self._forked(op, now)
        if found is None:
            return None
        match op:
            case TakeExecution():
                is_free = found.epoch == op.epoch and rows.is_free(found, now)
                return rows.taken(found, op, now) if is_free else None
            case Progress():
                return self._further(found, op, now)
            case Send():
                return self._told(found, op, now)
            case SteerExecution():
                return rows.steered(found, op, now)
            case RestartExecution():
                return self._restarted(found, op, now)

    def _crowd(self, op: ExecutionOp) -> int | None:
        """Return how many children of its parent leave no room for the execution that *op* begins."""
        if not isinstance(op, BeginExecution) or op.fan_out is None or op.parent == "":
            return None
        whose = op.tenant, op.parent
        siblings = sum(
            (row.tenant, row.parent) == whose and row.ended_at is None for row in self._rows.values()
        )
        return siblings if siblings >= op.fan_out else None

    def _forked(self, op: ForkExecution, now: datetime) -> ExecutionRecord | None:
        source, own = self._rows.get((op.tenant, op.source)), op.resealed
        if source is None:
            return None
        place = op.tenant, op.workflow_id
        steps = self._kept((op.tenant, op.source), op.keep, pending=False)
        messages = self._messages.get((op.tenant, op.source), [])
        if own is not None:
            if (source.epoch, source.news, len(steps)) != (own.epoch, own.news, len(own.steps)):
                return None
            steps, messages = {step.place: step for step in own.steps}, list(own.messages)
        self._steps[place], self._messages[place] = steps, list(messages)
        return rows.forked(source, op, self._halt_of(op.tenant, source.actor), now)

    def _restarted(
        self, found: ExecutionRecord, op: RestartExecution, now: datetime
    ) -> ExecutionRecord | None:
        after = rows.restarted(found, op, self._halt_of(op.tenant, found.actor), now)
        if after is not None:
            place = op.tenant, op.workflow_id
            self._steps[place] = self._kept(place, op.keep, pending=True)
        return after

    def _kept(self, place: _Place, keep: int, *, pending: bool) -> dict[tuple[str, str, int], StepRecord]:
        return {
            name: step
            for name, step in self._steps.get(place, {}).items()
            if (
                pending and step.kind is not StepKind.STEP if step.position is None else step.position <= keep
            )
        }

    def _further(self, found: ExecutionRecord, op: Progress, now: datetime) -> ExecutionRecord | None:
        after = rows.further(found, op, now)
        if after is not None:
            steps = self._steps.setdefault((op.tenant, op.workflow_id), {})
            for step in op.steps:
                known = steps.get(step.place)
                if known is None or known.position is None or step.position is not None:
                    steps[step.place] = step
        return after

    def _told(self, found: ExecutionRecord, op: Send, now: datetime) -> ExecutionRecord | None:
        if found.status in ENDED:
            return None
        messages = self._messages.setdefault((op.tenant, op.workflow_id), [])
        if any(message.id == op.id for message in messages):
            return found
        after = rows.with_news(found, op.at, now)
        messages.append(Message(name=op.name, id=op.id, number=after.news, body=op.body, received_at=op.at))
        return after

    def wake(self, tenant: str, workflow_id: str, at: datetime, now: datetime) -> Callable[[], object]:
        """Tell an execution that something happened that it may wait for; return how to take that back."""
        place = tenant, workflow_id
        found = self._rows.get(place)
        if found is None or found.status in ENDED:
            return lambda: None
        after = self._rows[place] = rows.with_news(found, at, now)
        self.bells += bells_of_due(after, now)
        return lambda: self._rows.update({place: found})

    def dequeue(self, op: Dequeue, now: datetime) -> Sequence[ExecutionRecord]:
        """Take what is due in a queue."""
        queued = [row for row in self._rows.values() if (row.tenant, row.queue) == (op.tenant, op.rule.name)]
        taken = [rows.taken(row, op, now) for row in chosen(queued, op, now)]
        self._rows.update(((row.tenant, row.workflow_id), row) for row in taken)
        return taken

    def halt(self, op: HaltExecutions, now: datetime) -> Sequence[str]:
        """Stop an actor's executions, or let them go on; return which."""
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
            after = (
                replace(row, pause=Pause.HALT, pause_reason=op.reason, updated_at=op.at)
                if op.is_on
                else rows.resumed(row, op.at, now)
            )
            self._rows[row.tenant, row.workflow_id] = after
            self.bells += bells_of_due(after, now)
        return sorted(row.workflow_id for row in concerned)

    def halts(self, tenant: str) -> Sequence[Halt]:
        """Return who is stopped."""
        return sorted((h for h in self._halts.values() if h.tenant == tenant), key=lambda h: h.actor)

    def _halt_of(self, tenant: str, actor: str) -> Halt | None:
        return self._halts.get((tenant, actor)) or self._halts.get((tenant, ""))

    def is_under_way(self, tenant: str, workflow_id: str, epoch: int) -> bool:
        """Whether an execution is worked on under *epoch*."""
        found = self._rows.get((tenant, workflow_id))
        return found is not None and (found.epoch, found.status) == (epoch, WorkflowStatus.RUNNING)

    def renewed(self, lease: Lease, now: datetime, until: datetime) -> bool:
        """Extend the lease on an execution, if it is still held."""
        place = lease.tenant, lease.key
        found = self._rows.get(place)
        if found is None or (found.epoch, found.status) != (lease.fence, WorkflowStatus.RUNNING):
            return False
        if rows.is_abandoned(found, now):
            return False
        self._rows[place] = replace(found, lease_until=until)
        return True

    def reap(
        self, tenant: str, before: datetime, limit: int, forgets: Callable[[str, str], None] | None = None
    ) -> int:
        """Forget executions that ended before then, with their steps and signals; tell *forgets* of each.

        Those whose parent has not ended stay: it may yet ask how they ended.
        """
        old = [
            place
            for place, row in self._rows.items()
            if place[0] == tenant and row.ended_at is not None and row.ended_at < before
            if row.parent == "" or not self.is_open(tenant, row.parent)
        ][:limit]
        for place in old:
            del self._rows[place]
            self._steps.pop(place, None)
            self._messages.pop(place, None)
            if forgets is not None:
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
        found = [row for row in self._rows.values() if rows.matches(query, row, now)]
        if query.is_due:
            found.sort(key=lambda row: (row.wake_at or row.lease_until, row.workflow_id))
        else:
            found.sort(key=lambda row: (row.updated_at, row.workflow_id), reverse=True)
        return found[: query.limit]
