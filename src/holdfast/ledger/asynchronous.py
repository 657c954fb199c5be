"""The ledger for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from holdfast._core.budgeting import Budget
from holdfast._core.compensation import CompensationReport
from holdfast._core.contract import Reconciler
from holdfast._core.duration import Duration
from holdfast._core.model import JSON, Evidence, Receipt
from holdfast._core.people import Directory
from holdfast._core.states import State
from holdfast._runtime.budgeting import within
from holdfast._runtime.embedding import Embed
from holdfast._runtime.purses import opened_reserve
from holdfast._runtime.sweep import SweepReport
from holdfast.errors import NotDone
from holdfast.ledger.alerts import AlertTarget
from holdfast.ledger.asynchronous_budgets import Budgets
from holdfast.ledger.asynchronous_workflows import Workflows
from holdfast.ledger.care import DependencyState, Observation
from holdfast.ledger.claims import Beginning
from holdfast.ledger.engine import Engine, ToolOptions, make_engine
from holdfast.ledger.handoff import HandoffBook
from holdfast.ledger.loops import LoopWatch
from holdfast.ledger.memory import AgentMemory
from holdfast.ledger.models import ModelOptions, model
from holdfast.ledger.tools import ToolDecorator
from holdfast.ledger.views import AuditEvent, EffectRecord, ReapReport, VerifyReport
from holdfast.ports import Channel, Codec, Handler, Policy, Signatures, Store
from holdfast.ports.engine import Engine as EnginePort
from holdfast.prices.book import PriceBook
from holdfast.settings import Settings

T = TypeVar("T")


class Ledger(Workflows, Budgets):
    """Runs tool calls at most once and answers from the record ever after. For asyncio.

    Args:
        url: ``sqlite:///file.db``, ``postgresql://…``, ``memory://``, or a store of your own; default
            ``$HOLDFAST_URL``, else ``sqlite:///holdfast.db`` in the working directory.
        tenant: Part of every key and of every query; tenants never see each other's effects.
        actor: Who acts, for the audit trail.
        settings: Tuning; default what the environment says.
        codec: Seals payloads before they are stored.
        migrate: Create or upgrade PostgreSQL tables on first use (SQLite always does).
        on_alert: Told what people should hear of now: functions, and sinks such as
            :class:`holdfast.channels.AlertWebhook`, one or several; the log (``holdfast.alerts``) is told in
            any case.
        engine: Who drives the workflows that are enqueued, where that is not a worker of ours.
        policy: Rules that say of every call whether it may go ahead, must not, or is for people to decide.
        people: Who may decide what; without it, whoever calls :meth:`approve` vouches for them.
        signatures: Proves answers to those who act on them; with it, an answer counts only if it is signed.
        channels: Where people are told of questions; the same in every process of a ledger.
        budgets: Caps by whose they are: ``global``, ``tenant``, ``agent`` or ``workflow`` (each of them its
            own), ``agent:<id>``, ``workflow:<id>``.
        prices: What models cost; by default what the installed genai-prices says.

    Raises:
        InvalidURL: No store can be named like this.
        MissingExtra: The store's driver is not installed.
    """

    def __init__(
        self,
        url: str | Store | None = None,
        *,
        tenant: str = "default",
        actor: str = "agent",
        settings: Settings | None = None,
        codec: Codec | None = None,
        migrate: bool = False,
        on_alert: AlertTarget | Sequence[AlertTarget] | None = None,
        engine: EnginePort | None = None,
        policy: Policy | None = None,
        people: Directory | None = None,
        signatures: Signatures | None = None,
        channels: Sequence[Channel] = (),
        budgets: Mapping[str, Budget] | None = None,
        prices: PriceBook | None = None,
    ) -> None:
        self._engine: Engine = make_engine(
            url,
            tenant=tenant,
            actor=actor,
            settings=settings,
            codec=codec,
            migrate=migrate,
            mode="async",
            on_alert=on_alert,
            driver=engine,
            policy=policy,
            people=people,
            signatures=signatures,
            channels=channels,
            budgets=budgets or {},
            prices=prices,
        )

    def scoped(self, *, tenant: str | None = None, actor: str | None = None) -> Ledger:
        """Return this ledger for another tenant or actor; it shares connections, tools and ``close``."""
        other = object.__new__(Ledger)
        other._engine = self._engine.scoped(tenant, actor)
        return other

    def tool(self, name: str | None = None, **options: Unpack[ToolOptions]) -> ToolDecorator:
        """Declare a function as a tool, with its contract.

        Args:
            name: Its name in the ledger; the function's own by default.
            options: The contract: see docs/reference/contract.md.

        Raises:
            InvalidTool: The declaration promises what cannot be held.
        """
        return ToolDecorator(self._engine, name, options)

    async def run(
        self,
        call: object,
        handler: Handler | None = None,
        *,
        workflow_id: str | None = None,
        wait: Duration | None = None,
        **options: Unpack[ToolOptions],
    ) -> Any:
        """Run *handler* once for this call, or answer from the record; return the result as JSON.

        Args:
            call: A :class:`ToolCall`, or any provider's own tool call, object or dict.
            handler: The unchanged function; may be left out for a declared tool.
            workflow_id: The execution that the call belongs to, when *call* does not say.
            wait: How long to wait while another worker executes it; default until its lease ends. Bounds the
                rests between one's own attempts as well.
            options: A contract for this one call, when the tool is not declared.

        Raises:
            InvalidCall: It cannot be understood; nothing ran.
            PayloadConflict: The key was used with another payload; nothing ran.
            InProgress: Another worker is at it, for longer than *wait*; nothing ran here.
            OutcomeUnknown: Nobody knows whether it happened; it is not repeated.
            EffectFailed: The recorded failure; nothing ran.
            ApprovalRequired: A person has to decide first; nothing ran.
            StoreUnavailable: The database is away; nothing ran.
            Exception: Whatever the handler raised, with a note on what was recorded.
        """
        return (await self._engine.call(call, handler, workflow_id, wait, options)).result

    async def call(
        self,
        call: object,
        handler: Handler | None = None,
        *,
        workflow_id: str | None = None,
        wait: Duration | None = None,
        **options: Unpack[ToolOptions],
    ) -> Receipt:
        """Do what :meth:`run` does and return everything that a caller may want to know."""
        return await self._engine.call(call, handler, workflow_id, wait, options)

    async def turn(
        self,
        tool_calls: Sequence[object],
        *,
        handlers: Mapping[str, Handler] | None = None,
        workflow_id: str | None = None,
        distinct: bool = False,
        wait: Duration | None = None,
        loops: LoopWatch | None = None,
    ) -> list[Receipt]:
        """Run all tool calls of one model turn; return their receipts in order.

        Equal intents run once and say so (finding ``duplicate_intent``). An error does not stop the
        others: it is in its receipt's ``error``, and ``receipt.for_model()`` tells the model.

        Args:
            handlers: By tool name, for tools that are not declared.
            distinct: Equal intents are meant: each counts, by its position.
            loops: Watches the turns of one agent: what it finds is told by the last receipt.

        Raises:
            InvalidCall: One of the calls cannot be understood; none ran.
            LoopDetected: The agent goes on in a loop although it was told. All calls ran.
        """
        return await self._engine.turn(tool_calls, handlers or {}, workflow_id, distinct, wait, loops)

    def begin(
        self,
        call: object,
        *,
        workflow_id: str | None = None,
        wait: Duration | None = None,
        **options: Unpack[ToolOptions],
    ) -> Beginning:
        """Claim an effect and execute it yourself: ``async with ledger.begin(call) as claim``.

        The block gets ``Replayed`` when it is settled already, else ``Claimed``; leaving the block without
        ``claim.succeed``, ``claim.fail`` or ``claim.doubt`` records doubt.
        """
        return Beginning(self._engine.parts, self._engine.request(call, None, workflow_id, wait, options))

    def budget(self, name: str, budget: Budget) -> AbstractContextManager[None]:
        """Let all that is called inside of a ``with`` block share a budget, whatever runs there at once.

        Args:
            name: Names it on record: blocks of one name, in any process, share it.

        Raises:
            InvalidTool: It is no budget, or has no name.
        """
        return within(self._engine.tenant, name, budget)

    def model(self, client: T, **options: Unpack[ModelOptions]) -> T:
        """Return *client* with every model call made through this ledger: once, on record, within budgets.

        In a workflow that goes on after a crash no model is paid twice. The client's own retries are off: the
        ledger tries again. A request that does not fit asks for a shorter answer; if that would be too short,
        it is not sent.

        Args:
            client: ``AsyncOpenAI`` or ``AsyncAnthropic``, or an async function that asks a model.
            options: See :class:`holdfast.ledger.models.ModelOptions`.

        Raises:
            InvalidTool: It is no such client.
        """
        return model(self._engine, client, options)

    def reserve(self) -> AbstractContextManager[None]:
        """Let what is called inside of a ``with`` block spend what the budgets around it reserve.

        A workflow cannot spend what those that began it reserve.
        """
        return opened_reserve()

    async def effect(self, key: str) -> EffectRecord:
        """Return one effect.

        Raises:
            EffectNotFound: This tenant has no such effect.
        """
        return await self._engine.records.effect(key)

    async def effects(
        self,
        *,
        workflow_id: str | None = None,
        tool: str | None = None,
        intent: str | None = None,
        state: str | None = None,
        since: datetime | Duration | None = None,
        key_prefix: str | None = None,
        limit: int = 100,
    ) -> list[EffectRecord]:
        """Return this tenant's effects, newest first; *since* is a moment or a length of time ago."""
        return await self._engine.records.effects(workflow_id, tool, intent, state, since, limit, key_prefix)

    async def audit(self, key: str) -> list[AuditEvent]:
        """Return the story of one effect, entry by entry.

        Raises:
            EffectNotFound: This tenant has no such effect.
        """
        return await self._engine.records.audit(key)

    async def verify(
        self, *, all_tenants: bool = False, progress: Callable[[int], None] | None = None
    ) -> VerifyReport:
        """Check the audit chains of this tenant's effects, and the records against them.

        Args:
            progress: Told how many effects were checked so far, now and then.
        """
        return await self._engine.records.verify(all_tenants=all_tenants, progress=progress)

    async def reconcile(self, key: str, reconciler: Reconciler | None = None) -> EffectRecord:
        """Look for evidence about an effect in doubt; return it as it stands afterwards.

        Args:
            reconciler: Default: that of the declared tool.

        Raises:
            NotResolvable: It is not in doubt.
            InvalidTool: There is no reconciler for its tool.
        """
        return await self._engine.records.reconcile(key, reconciler)

    async def resolve(
        self, key: str, evidence: Evidence | type[NotDone], *, by: str, reason: str
    ) -> EffectRecord:
        """Settle an effect in doubt by a person's word; audited.

        Args:
            evidence: ``Done(result)``, ``NotDone()`` (it may be tried again) or ``StillUnknown(why)``.
            by: Who says so.
            reason: What was seen.

        Raises:
            NotResolvable: It is not in doubt.
        """
        return await self._engine.records.resolve(key, evidence, by, reason)

    async def observe(
        self,
        subject: str,
        outcome: Evidence | type[NotDone] | str,
        *,
        evidence: JSON = None,
        signal_id: str | None = None,
    ) -> Observation:
        """Take what the outside tells of an effect, e.g. in a webhook; keep it once, settle doubt by it.

        Out of order, repeated or late, a signal never moves an effect backwards. A "done" counts whenever
        it came; a "not done" only if it came first when the only attempt could not act any more: told
        earlier, it has to be told again, as another signal. Verify a webhook's signature first: whoever calls
        this is believed.

        Args:
            subject: The effect's key, its idempotency key, or what the system outside calls it
                (``external_id``).
            outcome: ``Done(result)``, ``NotDone()``, ``StillUnknown(why)``, or ``"done"``, ``"not_done"``,
                ``"still_unknown"`` (for example: processing).
            evidence: What was received, as JSON; kept, sealed if the ledger has a codec.
            signal_id: The signal's own id, so that each outcome under it counts once; default a hash of what
                it says.

        Raises:
            InvalidCall: Several effects go by that name, or it is no name. Nothing was recorded.
        """
        return await self._engine.care.observe(subject, outcome, evidence, signal_id)

    async def sweep(self, *, limit: int = 100) -> SweepReport:
        """Look after what nobody calls for any more, once: dead workers' claims, and effects in doubt.

        Doubt is put to the declared tools' probes and reconcilers, and to the signals that came; what stays
        in doubt is looked at again after 30 seconds, then ever later, up to an hour. Call it now and then,
        from any number of processes, or let ``holdfast sweep --app`` do so.

        Args:
            limit: How many effects of each kind are looked at, what has waited longest first.
        """
        return await self._engine.care.sweep(limit)

    async def compensate(self, workflow_id: str, *, reason: str) -> CompensationReport:
        """Undo a workflow's effects, newest first, by their tools' compensations; say what stands.

        Each undo is an effect of its own and happens once; interrupted, the same call goes on. The workflow
        is stopped meanwhile, and stays stopped for a person when something could not be undone.

        Raises:
            InvalidCall: The workflow has no effects.
            LedgerClosed: It was closed meanwhile; call again on another to go on.
            StoreUnavailable: The database is away; call again to go on.
        """
        return await self._engine.care.compensate(workflow_id, reason)

    async def retry(self, key: str, *, by: str, reason: str) -> EffectRecord:
        """Grant a retryable effect a new budget of retries; audited. The next call of it tries again.

        Raises:
            InvalidCall: It is not retryable, or nobody says so.
        """
        return await self._engine.care.retry(key, by, reason)

    async def dependencies(self) -> list[DependencyState]:
        """Return how the systems are that tools depend on: circuit, outcomes, retries that are left."""
        return await self._engine.care.dependencies()

    def memory(self, namespace: str | None = None, *, embed: Embed | None = None) -> AgentMemory:
        """Return what an agent remembers outside of its context, in this ledger's database.

        Args:
            namespace: Whose memories; default the ledger's actor.
            embed: Returns a vector for each of a list of texts, to find by likeness what no word finds.

        Raises:
            InvalidTool: The ledger's codec, or *embed*, cannot be used for it.
        """
        return AgentMemory(self._engine, namespace, embed)

    def handoff(self, project: str) -> HandoffBook:
        """Return what the sessions of a project hand on: done, in progress, next, and decisions.

        Raises:
            InvalidTool: The ledger's codec cannot be used for it.
        """
        return HandoffBook(self._engine, project)

    async def counts(self) -> Mapping[State, int]:
        """Return how many of this tenant's effects are in each state."""
        return await self._engine.records.counts()

    async def reap(self, *, older_than: Duration, dry_run: bool = False) -> ReapReport:
        """Delete finished effects last touched longer ago, with their trails.

        Unfinished effects and doubt are never deleted: they are listed in the report. A deleted key is
        forgotten: the same call would run again.
        """
        return await self._engine.records.reap(older_than, dry_run=dry_run)

    async def close(self, *, drain: Duration | None = None) -> None:
        """Let running handlers finish for *drain*, stop the rest (their doubt is recorded), disconnect.

        What cannot be stopped, a plain handler or a block, keeps its claim and the connections until it ends,
        and is recorded then. Nothing new begins: no attempt, no block, no undo.
        """
        await self._engine.close(drain)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
