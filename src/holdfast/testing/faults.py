"""Kill a process at a chosen boundary: a point before and after every transaction and every handler."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

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
)
from holdfast._core.audit import AuditEntry
from holdfast._core.change import AppendAudit, Change, Committed, Conflict
from holdfast._core.dependency import DependencyRecord
from holdfast._core.execution import ExecutionRecord, Halt, Journal
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State, WorkflowStatus
from holdfast.ports import (
    ApprovalStore,
    Bell,
    BudgetStore,
    Caller,
    ExecutionQuery,
    Found,
    FoundDependency,
    Handler,
    LocalTransaction,
    NoteStore,
    Query,
    Renewer,
    Runtime,
    Signal,
    Store,
    ViewStore,
    WorkflowRecord,
)
from holdfast.testing.faulty_approvals import FaultyApprovals
from holdfast.testing.faulty_budgets import FaultyBudgets
from holdfast.testing.faulty_notes import FaultyNotes
from holdfast.testing.faulty_views import FaultyViews

T = TypeVar("T")
Late = Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]
_NAMES: Final = {
    BeginExecution: "begin execution",
    TakeExecution: "take execution",
    Progress: "progress",
    Send: "send",
    SteerExecution: "steer execution",
    RestartExecution: "restart execution",
    ForkExecution: "fork execution",
}


class Crash(BaseException):
    """The death of the process. Not an ``Exception``: nothing may tidy up after it."""


class Points(Protocol):
    """Decides what happens at the boundaries of transactions and handlers."""

    async def reach(self, name: str) -> None:
        """Go past the boundary *name* (``before …`` or ``after …``), suspend there, or raise."""
        ...


class Faults:
    """Counts boundaries and dies at the chosen one; a dead process does nothing any more.

    Args:
        die_at: The boundary's number, from 0, or its name; ``None`` to live on.

    Attributes:
        trace: The boundaries that were passed.
        died_at: Name of the one where the process died, else ``None``.
    """

    def __init__(self, die_at: int | str | None = None) -> None:
        self.trace: list[str] = []
        self.died_at: str | None = None
        self._die_at = die_at

    async def reach(self, name: str) -> None:
        self.pass_by(name)

    def pass_by(self, name: str) -> None:
        """Do what :meth:`reach` does, for handlers that have boundaries of their own."""
        if self.died_at is not None:  # code that runs on while the stack unwinds is dead as well
            raise Crash(self.died_at)
        if self._die_at in {name, len(self.trace)}:
            self.died_at = name
            raise Crash(name)
        self.trace.append(name)


def event_of(change: Change) -> str:
    """Return the name of the transition that *change* makes, e.g. ``claim``."""
    for op in change.ops:
        if isinstance(op, AppendAudit):
            return str(op.entry.event)
    return "commit"


class FaultyStore:
    """A store whose every transaction has a point before and a point after it."""

    def __init__(self, inner: Store, points: Points) -> None:
        self._inner = inner
        self._points = points

    @property
    def durable(self) -> bool:
        return self._inner.durable

    @property
    def poll_s(self) -> tuple[float, float]:
        return self._inner.poll_s

    async def open(self) -> None:
        await self._inner.open()

    async def commit(self, change: Change) -> Committed | Conflict:
        return await self._around(event_of(change), self._inner.commit(change))

    async def find(self, tenant: str, key: EffectKey) -> Found:
        return await self._around("find", self._inner.find(tenant, key))

    async def effects(self, query: Query) -> Sequence[Record]:
        return await self._around("effects", self._inner.effects(query))

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        return await self._around("trail", self._inner.trail(tenant, key))

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        return await self._around("keys", self._inner.keys(tenant, after, limit))

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        return await self._around("workflow", self._inner.workflow(tenant, workflow_id))

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        return await self._around("workflows", self._inner.workflows(tenant, status, limit))

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        return await self._around("dependency", self._inner.dependency(tenant, name))

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        return await self._around("dependencies", self._inner.dependencies(tenant))

    async def put_dependency(self, record: DependencyRecord) -> bool:
        return await self._around("put dependency", self._inner.put_dependency(record))

    async def put_signal(self, signal: Signal) -> bool:
        return await self._around("put signal", self._inner.put_signal(signal))

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        return await self._around("signals", self._inner.signals(tenant, subject))

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        return await self._around(_NAMES[type(op)], self._inner.advance(op))

    async def journal(self, tenant: str, workflow_id: str, after: int = 0) -> Journal | None:
        return await self._around("journal", self._inner.journal(tenant, workflow_id, after))

    async def dequeue(self, op: Dequeue) -> Sequence[ExecutionRecord]:
        return await self._around("dequeue", self._inner.dequeue(op))

    async def halt(self, op: HaltExecutions) -> Sequence[str]:
        return await self._around("halt", self._inner.halt(op))

    async def halts(self, tenant: str) -> Sequence[Halt]:
        return await self._around("halts", self._inner.halts(tenant))

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        return await self._around("executions", self._inner.executions(query))

    @property
    def notes(self) -> NoteStore:
        return FaultyNotes(self._inner.notes, self._around)

    @property
    def approvals(self) -> ApprovalStore:
        return FaultyApprovals(self._inner.approvals, self._around)

    @property
    def views(self) -> ViewStore:
        return FaultyViews(self._inner.views, self._around)

    @property
    def budgets(self) -> BudgetStore:
        return FaultyBudgets(self._inner.budgets, self._around)

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        return await self._around("counts", self._inner.counts(tenant, before, since))

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        return await self._around("reap", self._inner.reap_rest(tenant, before, limit))

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        return await self._around("reap", self._inner.reap(tenant, before, limit))

    async def joining(self, tenant: str, key: EffectKey) -> None:
        await self._around("joining", self._inner.joining(tenant, key))

    def subscribe(self, ring: Callable[[str], None]) -> None:
        self._inner.subscribe(ring)

    def renewer(self) -> Renewer:
        return self._inner.renewer()

    @asynccontextmanager
    async def local(self) -> AsyncGenerator[LocalTransaction]:
        await self._points.reach("before local")
        async with self._inner.local() as transaction:
            yield _FaultyTransaction(transaction, self._points)

    async def close(self) -> None:
        await self._inner.close()

    async def _around(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        try:
            await self._points.reach(f"before {name}")
        except BaseException:
            work.close()
            raise
        answer = await work
        await self._points.reach(f"after {name}")
        return answer


class _FaultyTransaction:
    def __init__(self, inner: LocalTransaction, points: Points) -> None:
        self._inner = inner
        self._points = points

    @property
    def connection(self) -> Any:
        return self._inner.connection

    @property
    def is_open(self) -> bool:
        return self._inner.is_open

    async def commit(self, change: Change) -> Committed | Conflict:
        await self._points.reach(f"before local {event_of(change)}")
        answer = await self._inner.commit(change)
        await self._points.reach(f"after local {event_of(change)}")
        return answer


class FaultyRuntime:
    """A runtime whose every handler has a point before and a point after it."""

    def __init__(self, inner: Runtime, points: Points) -> None:
        self._inner = inner
        self._points = points

    @property
    def stops(self) -> tuple[type[BaseException], ...]:
        return self._inner.stops

    @property
    def blocking(self) -> bool:
        return self._inner.blocking

    def now(self) -> datetime:
        return self._inner.now()

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def token(self) -> bytes:
        return self._inner.token()

    def bell(self) -> Bell:
        return self._inner.bell()

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def shielded(self, work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
        return await self._inner.shielded(work)

    async def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        return await self._inner.together(works)

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._inner.aside(work)

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: Late
    ) -> Any:
        await self._points.reach("before handler")
        try:
            returned = await self._inner.invoke(handler, kwargs, timeout_s=timeout_s, late=late)
        except Exception:
            await self._points.reach("after handler")
            raise
        await self._points.reach("after handler")
        return returned

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        return await self._inner.ask(source, subject, timeout_s=timeout_s)

    async def close(self, drain_s: float) -> None:
        await self._inner.close(drain_s)
