"""What the runtime needs from the outside world. Implement these to extend holdfast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from holdfast._core.audit import AuditEntry
from holdfast._core.budget import PlaceHold
from holdfast._core.change import Change, Committed, Conflict
from holdfast._core.dependency import DependencyRecord
from holdfast._core.execution import ExecutionQuery
from holdfast._core.model import JSON, EffectKey, Finding, Record
from holdfast._core.notes import ItemRecord, MemoryQuery, MemoryRecord
from holdfast._core.purse import Purse
from holdfast._core.states import State, WorkflowStatus
from holdfast.ports.alerts import AlertSink
from holdfast.ports.approvals import ApprovalQuery, ApprovalStore
from holdfast.ports.budgets import (
    AccountQuery,
    BudgetStore,
    CapChange,
    CostBy,
    CostQuery,
    CostRow,
    HoldQuery,
)
from holdfast.ports.channels import Channel, Heard, Message, Telling
from holdfast.ports.executions import ExecutionStore
from holdfast.ports.leases import Lease, Renewer
from holdfast.ports.notes import NoteStore, SearchableCodec
from holdfast.ports.policies import Allow, Ask, Deny, Facts, Policy, Verdict, Window
from holdfast.ports.runtime import Bell, Caller, Handler, Runtime
from holdfast.ports.signing import Signatures
from holdfast.ports.spending import (
    BurnQuery,
    Fullest,
    FullestQuery,
    SpendingStore,
    SpreadBy,
    SpreadQuery,
    SpreadRow,
)
from holdfast.ports.views import Attention, ViewStore, WorkflowQuery, WorkflowSummary

__all__ = [
    "AccountQuery",
    "AlertSink",
    "Allow",
    "ApprovalQuery",
    "ApprovalStore",
    "Ask",
    "Attention",
    "Bell",
    "BudgetStore",
    "BurnQuery",
    "Caller",
    "CapChange",
    "Channel",
    "Codec",
    "CostBy",
    "CostQuery",
    "CostRow",
    "Deny",
    "ExecutionQuery",
    "ExecutionStore",
    "Facts",
    "Found",
    "FoundDependency",
    "Fullest",
    "FullestQuery",
    "Guard",
    "Handler",
    "Heard",
    "HoldQuery",
    "Interceptor",
    "ItemRecord",
    "Lease",
    "LocalTransaction",
    "MemoryQuery",
    "MemoryRecord",
    "Message",
    "NoteStore",
    "Policy",
    "Pricer",
    "Query",
    "Renewer",
    "Runtime",
    "SearchableCodec",
    "Signal",
    "Signatures",
    "SpendingStore",
    "SpreadBy",
    "SpreadQuery",
    "SpreadRow",
    "Store",
    "Telling",
    "Verdict",
    "ViewStore",
    "Window",
    "WorkflowQuery",
    "WorkflowRecord",
    "WorkflowSummary",
]


@dataclass(frozen=True, slots=True)
class Found:
    """An effect as the store has it (``None`` when it has none) and the store's clock."""

    record: Record | None
    now: datetime


@dataclass(frozen=True, slots=True)
class FoundDependency:
    """A dependency as the store has it (``None`` when it has none) and the store's clock."""

    record: DependencyRecord | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What the outside told of an effect.

    Attributes:
        subject: The effect's key, or what the system outside calls it.
        id: Names the signal: one that comes again under the same id with the same outcome is the same one.
        outcome: ``done``, ``not_done`` or ``still_unknown``.
        body: JSON text, possibly in a codec's envelope.
        received_at: When it came, by the store's clock (aware, UTC).
    """

    tenant: str
    subject: str
    id: str
    outcome: Literal["done", "not_done", "still_unknown"]
    body: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which effects to list: newest first; with *due* or *lapsed*, what has waited longest first.

    ``None`` means any. What has waited longest is what is due first; what nothing was said of is due since
    it was created.

    Attributes:
        key_prefix: Start of the key.
        external_id: What the system outside calls it.
        due: Whose next attempt or look is due by then (aware).
        lapsed: Whose claim's lease is over by then (aware).
        since: Created at or after (aware).
        before: Last touched before (aware).
        limit: At most this many.
    """

    tenant: str
    workflow_id: str | None = None
    tool: str | None = None
    intent: str | None = None
    state: State | None = None
    key_prefix: str | None = None
    external_id: str | None = None
    due: datetime | None = None
    lapsed: datetime | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRecord:
    """A workflow as the ledger knows it.

    Attributes:
        open_reviews: How many of its effects are in doubt.
        stopped: Why its next calls are refused; ``None`` when they are not.
        stopped_by: The effect that stopped it.
    """

    tenant: str
    workflow_id: str
    status: WorkflowStatus
    open_reviews: int
    updated_at: datetime
    stopped: str | None = None
    stopped_by: EffectKey | None = None


class LocalTransaction(Protocol):
    """A transaction on the ledger's own database that a handler's rows and our record share."""

    @property
    def connection(self) -> Any:
        """What the handler gets as ``effect.tx``: the driver's own connection."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether nobody has ended the transaction."""
        ...

    async def commit(self, change: Change) -> Committed | Conflict:
        """Apply *change* and commit everything; on a conflict roll everything back."""
        ...


class Store(ExecutionStore, Protocol):
    """Durable home of effects. One method is one transaction; nothing here decides anything.

    Prove an implementation with ``holdfast.testing.conformance``.
    """

    @property
    def durable(self) -> bool:
        """Whether what it holds survives the process."""
        ...

    @property
    def poll_s(self) -> tuple[float, float]:
        """How soon and how late a waiter looks again when no notification came (seconds)."""
        ...

    @property
    def notes(self) -> NoteStore:
        """What agents note: memories and hand-offs, in the same database."""
        ...

    @property
    def approvals(self) -> ApprovalStore:
        """What people are asked, in the same database."""
        ...

    @property
    def views(self) -> ViewStore:
        """What people look at, over several tables of the same database."""
        ...

    @property
    def budgets(self) -> BudgetStore:
        """What may be spent and was, in the same database."""
        ...

    async def open(self) -> None:
        """Connect and check the schema; called again it does nothing.

        Raises:
            StoreUnavailable: The database cannot be reached.
            SchemaOutdated: Its tables are older or newer than this library.
        """
        ...

    async def commit(self, change: Change) -> Committed | Conflict:
        """Apply *change* wholly and durably, or not at all.

        Raises:
            StoreUnavailable: Nothing is known: it may have been applied.
            StoreInvariant: A constraint refused it; nothing was applied.
        """
        ...

    async def find(self, tenant: str, key: EffectKey) -> Found:
        """Return one effect."""
        ...

    async def effects(self, query: Query) -> Sequence[Record]:
        """Return the effects that *query* asks for, newest first."""
        ...

    async def trail(self, tenant: str, key: EffectKey) -> Sequence[AuditEntry]:
        """Return the audit entries of one effect by ``seq``."""
        ...

    async def keys(
        self, tenant: str | None, after: tuple[str, str], limit: int
    ) -> Sequence[tuple[str, EffectKey]]:
        """Return (tenant, key) of every effect or orphaned trail in order, past *after*."""
        ...

    async def workflow(self, tenant: str, workflow_id: str) -> WorkflowRecord | None:
        """Return one workflow; ``None`` when nothing about it was ever recorded."""
        ...

    async def workflows(
        self, tenant: str, status: WorkflowStatus | None, limit: int
    ) -> Sequence[WorkflowRecord]:
        """Return workflows that something was recorded of, last touched first."""
        ...

    async def dependency(self, tenant: str, name: str) -> FoundDependency:
        """Return what is known of a dependency."""
        ...

    async def dependencies(self, tenant: str) -> Sequence[DependencyRecord]:
        """Return every dependency by name."""
        ...

    async def put_dependency(self, record: DependencyRecord) -> bool:
        """Write *record* if the version on record is the one before its own; return whether it was.

        Statistics: it need not outlive a crash of the machine.
        """
        ...

    async def put_signal(self, signal: Signal) -> bool:
        """Keep *signal*, durably; return whether it is a new one."""
        ...

    async def signals(self, tenant: str, subject: str) -> Sequence[Signal]:
        """Return what was told of *subject*, oldest first."""
        ...

    async def counts(
        self, tenant: str, before: datetime | None = None, since: datetime | None = None
    ) -> Mapping[State, int]:
        """Count the effects in each state that has any: last touched before *before*, made *since*."""
        ...

    async def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete at most *limit* old signals, but of effects that stay, as many dependencies, and notes.

        Of approvals, and of what attempts cost, those of effects that are gone; the budgets of workflows
        that nothing has touched since and that are under way no more. Of notes what has expired, and the
        working memory of executions that ended before *before*. As many of those executions go as well, with
        their steps and signals; none whose parent has not ended.

        Returns:
            How many there were.
        """
        ...

    async def reap(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete up to *limit* finished effects last updated before *before*, with their trails.

        An effect that stopped its workflow stays while it is stopped, and one whose workflow has an execution
        that has not ended stays until it has. As many signals that came before then go as well, unless they
        are about unfinished business; the number returned is that of the effects.
        """
        ...

    async def joining(self, tenant: str, key: EffectKey) -> None:
        """Ask to be told, through :meth:`subscribe`, when the effect gets its outcome."""
        ...

    def subscribe(self, ring: Callable[[str], None]) -> None:
        """Call *ring* with an effect's key when another process moved it; may be called from any thread.

        With :func:`~holdfast._core.advance.bell_of_end` as well when an execution is left, and with
        :func:`~holdfast._core.advance.bell_of_queue` when one is due at once, by this process or, where the
        store can tell, by another one. A hint: whoever waits looks again by itself.
        """
        ...

    def renewer(self) -> Renewer:
        """Return a new renewer."""
        ...

    def local(self) -> AbstractAsyncContextManager[LocalTransaction]:
        """Open a transaction for a handler with ``safety="local"``; leaving uncommitted rolls back."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class Codec(Protocol):
    """Seals payloads before they are stored, e.g. by encryption."""

    def seal(self, text: str, *, context: str) -> str:
        """Return what is stored instead of *text*: JSON text that names codec and key.

        Args:
            context: Where it will sit (``tenant/key/column``); opening it elsewhere must fail.
        """
        ...

    def open(self, text: str, *, context: str) -> str:
        """Return the text again.

        Raises:
            ValueError: Wrong key, wrong context, or altered.
        """
        ...


class Interceptor(Protocol):
    """Stands around a handler, at its one place in the pipeline: for tracing, recording, disturbing."""

    def around(self, handler: Handler, facts: Facts) -> Handler:
        """Return what is called in place of *handler*, plain if it is, async if it is.

        It touches no state of the ledger. What it returns or raises counts as the handler's own.
        """
        ...


class Guard(Protocol):
    """Looks at content on its way in (arguments) or out (a result)."""

    def inspect(self, content: JSON, facts: Facts) -> Sequence[Finding]:
        """Return findings: note, redact (of its paths in what is stored and returned), or deny.

        Pure. A guard that raises denies.
        """
        ...


class Pricer(Protocol):
    """Says what a claim has to reserve."""

    def hold(self, facts: Facts, attempt: int, at: datetime, *, is_spent: bool = False) -> PlaceHold | None:
        """Return what an attempt holds, committed together with its claim; ``None`` when it holds nothing.

        Args:
            at: When, by the clock of this process (aware).
            is_spent: It is over when it is recorded, as a read is.
        """
        ...

    def of_workflow(self, tenant: str, workflow_id: str) -> Sequence[Purse]:
        """Return the budgets that a workflow has besides the one that its code declares."""
        ...
