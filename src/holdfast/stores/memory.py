"""The oracle: the meaning of every op in plain Python. Not durable, and says so."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from holdfast._core.advance import Advanced, Dequeue, ExecutionOp, HaltExecutions, Outrun
from holdfast._core.audit import AuditEntry
from holdfast._core.budget import HoldOp, PlaceHold, Refused, SettleHold, demanded
from holdfast._core.change import (
    Admission,
    AppendAudit,
    ApprovalOp,
    Change,
    Committed,
    Company,
    Conflict,
    InsertEffect,
    MoveApproval,
    MoveEffect,
    Op,
    OpenApproval,
    ReviewWorkflow,
)
from holdfast._core.dependency import BreakerState, DependencyRecord
from holdfast._core.execution import ExecutionRecord, Halt, Journal
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import FINISHED, State, WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.ports import (
    ExecutionQuery,
    Found,
    FoundDependency,
    Lease,
    LocalTransaction,
    Query,
    Signal,
    WorkflowRecord,
)
from holdfast.stores.memory_approvals import MemoryApprovals
from holdfast.stores.memory_budgets import MemoryBudgets, Undo
from holdfast.stores.memory_effects import guard_holds, inserted, matches, moved
from holdfast.stores.memory_executions import Executions
from holdfast.stores.memory_notes import MemoryNotes
from holdfast.stores.memory_views import Contents, MemoryViews

log = logging.getLogger("holdfast")
_Key = tuple[str, str]


class MemoryStore:
    """A ledger in this process's memory: for tests, and to say what the other stores must mean.

    Args:
        clock: The time by which leases are measured.

    Attributes:
        rows: What the handlers of local effects wrote.
    """

    durable = False
    poll_s = (0.05, 0.1)

    def __init__(
        self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC), is_test: bool = False
    ) -> None:
        self._clock = clock
        self._effects: dict[_Key, Record] = {}
        self._trails: dict[_Key, list[AuditEntry]] = {}
        self._workflows: dict[_Key, WorkflowRecord] = {}
        self._dependencies: dict[_Key, DependencyRecord] = {}
        self._signals: dict[tuple[str, str, str, str], Signal] = {}
        self._executions = Executions()
        self.rows: dict[Any, Any] = {}
        self._rings: list[Callable[[str], None]] = []
        self._lock = threading.Lock()  # one change at a time
        self.notes = MemoryNotes(self._lock, self._executions.ended_at)
        self.approvals = MemoryApprovals(self._lock, self._executions.ended_at)
        self._written = 0
        self.budgets = MemoryBudgets(self._lock, clock, self._effects)
        self.views = MemoryViews(self._contents, self.budgets.all)
        self._warned = is_test  # who tests knows that it forgets

    async def open(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning("this ledger lives in memory: it forgets everything when the process ends")

    async def commit(self, change: Change) -> Committed | Conflict:
        return self.apply(change)

    def apply(self, change: Change) -> Committed | Conflict:
        """Apply *change*; blocking."""
        with self._writing():
            now = self._clock()
            undo: Undo = []
            places: list[Any] = []
            for op in change.ops:
                answer = self._apply(op, now, undo, places)
                if answer is not True:
                    for step in reversed(undo):
                        step()
                    self._executions.bells.clear()
                    found = self._present(change.ops[0])
                    return Conflict(change.ops[0], found, now, answer or None)
            return Committed(now, self.budgets.now_at(places))

    @contextmanager
    def _writing(self) -> Generator[None]:
        """Hold the lock; ring once it is free, for whoever is rung may ask this store."""
        with self._lock:
            self._written += 1
            self._executions.bells.clear()  # of what was taken back
            yield
            bells = tuple(self._executions.bells)
        for ring in tuple(self._rings):
            for bell in bells:
                ring(bell)

    def _present(self, op: Op) -> Record | None:
        match op:
            case InsertEffect(tenant=tenant, key=key) | MoveEffect(tenant=tenant, key=key):
                return self._effects.get((tenant, key))
            case _:
                return None

    def _apply(self, op: Op, now: datetime, undo: Undo, places: list[Any]) -> bool | Refused:
        match op:
            case InsertEffect(tenant=tenant, key=key):
                if (tenant, key) in self._effects or not self._may_insert(op):
                    return False
                self._effects[tenant, key] = inserted(op, now)
                undo.append(lambda: self._effects.pop((tenant, key)))
            case MoveEffect(tenant=tenant, key=key):
                record = self._effects.get((tenant, key))
                if record is None or not guard_holds(op, record, now):
                    return False
                if not self._admits(op.admission, tenant, record.workflow_id):
                    return False
                self._effects[tenant, key] = moved(op, record, now)
                undo.append(lambda: self._effects.update({(tenant, key): record}))
            case _:
                return self._apply_company(op, now, undo, places)
        return True

    def _apply_company(self, op: Company, now: datetime, undo: Undo, places: list[Any]) -> bool | Refused:
        """Apply what goes along with an effect's own op."""
        match op:
            case PlaceHold() | SettleHold():
                return self._apply_hold(op, now, undo, places)
            case OpenApproval() | MoveApproval():
                return self._apply_approval(op, now, undo)
            case ReviewWorkflow():
                undo += self._review(op, now)
            case AppendAudit(entry):
                self._append(entry, undo)
            case _:
                assert_never(op)
        return True

    def _apply_hold(self, op: HoldOp, now: datetime, undo: Undo, places: list[Any]) -> bool | Refused:
        if isinstance(op, SettleHold):
            places += self.budgets.settle(op, now, undo)
            return True
        places += demanded(op)
        try:
            return self.budgets.place(op, now, undo) or True
        except StoreInvariant:
            for step in reversed(undo):
                step()
            raise

    def _append(self, entry: AuditEntry, undo: list[Callable[[], object]]) -> None:
        trail = self._trails.setdefault((entry.tenant, entry.key), [])
        if entry.seq < 1 or any(known.seq == entry.seq for known in trail):
            for step in reversed(undo):
                step()
            raise StoreInvariant("append an audit entry", f"entry {entry.seq} is no new one", entry.key)
        trail.append(entry)

    def _apply_approval(self, op: ApprovalOp, now: datetime, undo: list[Callable[[], object]]) -> bool:
        try:
            is_applied = self.approvals.apply(op, now, undo)
        except StoreInvariant:
            for step in reversed(undo):
                step()
            raise
        if is_applied and isinstance(op, MoveApproval) and op.wakes:
            of = op.after
            undo.append(self._executions.wake(of.tenant, of.workflow_id, of.updated_at, now))
        return is_applied

    def _admits(self, admission: Admission | None, tenant: str, workflow_id: str) -> bool:
        if admission is None:
            return True
        workflow = self._workflows.get((tenant, workflow_id))
        if admission.obeys and workflow is not None and workflow.stopped is not None:
            return False
        epoch = admission.epoch
        if epoch is not None and not self._executions.is_under_way(tenant, workflow_id, epoch):
            return False
        known = (
            None if admission.dependency is None else self._dependencies.get((tenant, admission.dependency))
        )
        return known is None or known.state is BreakerState.CLOSED

    def _may_insert(self, op: InsertEffect) -> bool:
        told = (op.tenant, op.key, "done")
        if op.untold and any((tenant, of, what) == told for tenant, of, _, what in self._signals):
            return False
        return self._admits(op.admission, op.tenant, op.workflow_id)

    def _review(self, op: ReviewWorkflow, now: datetime) -> list[Callable[[], object]]:
        """Count doubt, and wake the execution that some of it ended for; return how to take that back."""
        place = op.tenant, op.workflow_id
        known = self._workflows.get(place)
        count = op.delta + (known.open_reviews if known else 0)
        status = known.status if known else WorkflowStatus.RUNNING
        stopped, stopped_by = (known.stopped, known.stopped_by) if known else (None, None)
        if op.stop is not None:
            if op.stop != stopped:  # said again for the same reason, it stays with who said it first
                stopped_by = op.stopped_by
            stopped = op.stop
        elif op.resumes:
            stopped = stopped_by = None
        if count > 0 or stopped is not None:
            status = WorkflowStatus.NEEDS_REVIEW
        elif status is WorkflowStatus.NEEDS_REVIEW:
            status = WorkflowStatus.RUNNING
        self._workflows[place] = WorkflowRecord(
            tenant=op.tenant,
            workflow_id=op.workflow_id,
            status=status,
            open_reviews=max(count, 0),
            updated_at=op.at,
            stopped=stopped,
            stopped_by=stopped_by,
        )
        undo: list[Callable[[], object]] = [
            lambda: self._workflows.update({place: known}) if known else self._workflows.pop(place)
        ]
        if op.delta < 0 or op.resumes:
            undo.append(self._executions.wake(op.tenant, op.workflow_id, op.at, now))
        return undo

    async def find(self, tenant: str, key: EffectKey) -> Found:
        with self._lock:
            return Found(self._effects.get((tenant, key)), self._clock())

    async def effects(self, query: Query) -> Sequence[Record]:
        with self._lock:
            found = [record for record in self._effects.values() if matches(query, record)]
        if query.due is None and query.lapsed is None:
            found.sort(key=lambda record: (record.created_at, record.key), reverse=True)
        else:
            found.sort(key=lambda record: (record.not_before or record.created_at, record.key))
        return found[: query.limit]

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        with self._lock:
            return tuple(self._trails.get((tenant, key), ()))

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        with self._lock:
            known = sorted(self._effects.keys() | self._trails.keys())
        return [(t, EffectKey(k)) for t, k in known if (t, k) > after and tenant in {None, t}][:limit]

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        with self._lock:
            return self._workflows.get((tenant, workflow_id))

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        with self._lock:
            known = [w for w in self._workflows.values() if w.tenant == tenant and status in {None, w.status}]
        known.sort(key=lambda workflow: (workflow.updated_at, workflow.workflow_id), reverse=True)
        return known[:limit]

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        with self._lock:
            return FoundDependency(self._dependencies.get((tenant, name)), self._clock())

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        with self._lock:
            return [known for (t, _), known in sorted(self._dependencies.items()) if t == tenant]

    async def put_dependency(self, record: DependencyRecord) -> bool:
        with self._lock:
            known = self._dependencies.get((record.tenant, record.name))
            if (0 if known is None else known.version) != record.version - 1:
                return False
            self._dependencies[record.tenant, record.name] = record
            self._written += 1
            return True

    async def put_signal(self, signal: Signal) -> bool:
        with self._lock:
            place = signal.tenant, signal.subject, signal.id, signal.outcome
            if place in self._signals:
                return False
            self._signals[place] = signal
            self._written += 1
            return True

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        with self._lock:
            known = [s for (t, of, *_), s in self._signals.items() if (t, of) == (tenant, subject)]
        return sorted(known, key=lambda signal: (signal.received_at, signal.id, signal.outcome))

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        with self._writing():
            return self._executions.advance(op, self._clock())

    async def dequeue(self, op: Dequeue) -> Sequence[ExecutionRecord]:
        with self._writing():
            return self._executions.dequeue(op, self._clock())

    async def halt(self, op: HaltExecutions) -> Sequence[str]:
        with self._writing():
            return self._executions.halt(op, self._clock())

    async def halts(self, tenant: str) -> Sequence[Halt]:
        with self._lock:
            return self._executions.halts(tenant)

    async def journal(self, tenant: str, workflow_id: str, after: int = 0) -> Journal | None:
        with self._lock:
            known = self._executions.known(tenant, workflow_id, after)
            if known is None:
                return None
            execution, steps, children, messages = known
            keys = [step.effect for step in steps if step.effect is not None]
            found = {key: self._effects.get((tenant, key)) for key in keys}
        effects = {key: record for key, record in found.items() if record is not None}
        return Journal(
            execution=execution,
            steps=steps,
            effects=effects,
            children=children,
            messages=messages,
            now=self._clock(),
        )

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        with self._lock:
            return self._executions.listed(query, self._clock())

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        query = Query(tenant=tenant, before=before, since=since)
        with self._lock:
            return Counter(record.state for record in self._effects.values() if matches(query, record))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        with self._lock:
            kept = self._stoppers(tenant)
            old = sorted(
                (record.updated_at, key)
                for key, record in self._effects.items()
                if record.tenant == tenant
                and record.state in FINISHED
                and record.updated_at < before
                and record.key not in kept
                and not self._executions.is_open(tenant, record.workflow_id)
            )
            self._written += 1
            for _, key in old[:limit]:
                del self._effects[key]
                self._trails.pop(key, None)
            return len(old[:limit])

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        with self._lock:
            self._written += 1
            kept = self._stoppers(tenant)
            past = [
                place
                for place, signal in self._signals.items()
                if signal.tenant == tenant and signal.received_at < before
                if signal.subject not in kept and not self._is_open(place)
            ]
            for place in past[:limit]:
                del self._signals[place]
            idle = [
                place
                for place, of in self._dependencies.items()
                if of.tenant == tenant and of.state is BreakerState.CLOSED and of.updated_at < before
            ]
            for system in idle[:limit]:
                del self._dependencies[system]
            noted = self.notes.reap(tenant, before, self._clock(), limit)
            noted += self.approvals.reap(tenant, before, limit, lambda key: (tenant, key) in self._effects)
            noted += self.budgets.reap(tenant, before, limit, self._executions.is_open)
            ended = self._executions.reap(tenant, before, limit, self.notes.forget_run)
            return len(past[:limit]) + len(idle[:limit]) + noted + ended

    def _stoppers(self, tenant: str) -> set[str | None]:
        """Return the effects that stopped a workflow which is stopped still: they are kept for a person."""
        return {workflow.stopped_by for workflow in self._workflows.values() if workflow.tenant == tenant}

    def _is_open(self, place: tuple[str, str, str, str]) -> bool:
        """Whether a signal is about unfinished business, for which it may be the only evidence."""
        record = self._effects.get(place[:2])
        return record is not None and record.state not in FINISHED

    def _contents(self) -> Contents:
        with self._lock:
            return Contents(
                version=self._written,
                effects=tuple(self._effects.values()),
                workflows=tuple(self._workflows.values()),
                executions=self._executions.all(),
                approvals=self.approvals.all(),
            )

    async def joining(self, tenant: str, key: EffectKey) -> None:
        """Waiters are in this process: the bus rings for them."""

    def subscribe(self, ring: Callable[[str], None]) -> None:
        """Ring for executions only: no other process can move an effect."""
        self._rings.append(ring)

    def renewer(self) -> _MemoryRenewer:
        return _MemoryRenewer(self)

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """See :meth:`holdfast.ports.Renewer.renew`."""
        with self._lock:
            self._written += 1
            now = self._clock()
            until = now + timedelta(seconds=lease_s)
            held: set[Lease] = set()
            for lease in leases:
                if lease.is_execution:
                    held.update({lease} if self._executions.renewed(lease, now, until) else ())
                    continue
                record = self._effects.get((lease.tenant, EffectKey(lease.key)))
                if record is not None and record.state is State.PENDING and record.fence == lease.fence:
                    self._effects[lease.tenant, lease.key] = replace(record, lease_until=until)
                    held.add(lease)
            return held

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        """Hand out a dict in place of a connection; its items reach :attr:`rows` with the record."""
        yield _MemoryTransaction(self)

    async def close(self) -> None:
        """Keep everything: another ledger in this process may hold the same store."""


class _MemoryRenewer:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def renew(self, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        return self._store.renew(leases, lease_s)

    def close(self) -> None:
        """Nothing is held."""


class _MemoryTransaction:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.connection: dict[Any, Any] = {}

    @property
    def is_open(self) -> bool:
        return True

    async def commit(self, change: Change) -> Committed | Conflict:
        answer = self._store.apply(change)
        if isinstance(answer, Committed):
            self._store.rows.update(self.connection)
        return answer
