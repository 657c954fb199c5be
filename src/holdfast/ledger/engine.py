"""All that a ledger can do, once, for both of its faces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, TypedDict, Unpack

from holdfast._core.advance import QueueRule, Steering
from holdfast._core.approval import Approval
from holdfast._core.chain import Chain
from holdfast._core.contract import (
    ApprovalRule,
    Classifier,
    Contract,
    KeyRule,
    Naming,
    Reconciler,
    Resources,
    ReversalName,
    SafetyName,
)
from holdfast._core.declare import make_contract
from holdfast._core.dependency import Dependency
from holdfast._core.duration import Duration, seconds
from holdfast._core.execution import ENDED
from holdfast._core.model import Receipt, ToolCall
from holdfast._core.model_request import MODEL
from holdfast._core.money import Money
from holdfast._core.pattern import Pattern
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety, WorkflowStatus
from holdfast._core.toolcall import read_tool_call
from holdfast._runtime import context
from holdfast._runtime.answer import replay
from holdfast._runtime.calls import Answering, EffectCall, effect
from holdfast._runtime.closing import close_when_idle, passing
from holdfast._runtime.dependencies import tell_rest
from holdfast._runtime.disturb import Disturber
from holdfast._runtime.flows import Flows
from holdfast._runtime.handler import shape_of
from holdfast._runtime.life import Life
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.pipeline import RESERVED, Request, call, prepare
from holdfast.errors import (
    EngineUnavailable,
    InvalidCall,
    InvalidTool,
    LedgerClosed,
    WorkflowNotFound,
)
from holdfast.errors.approvals import ANSWER
from holdfast.ledger.accounts import Accounts
from holdfast.ledger.agreed import agreed
from holdfast.ledger.care import Care
from holdfast.ledger.cron import Cron
from holdfast.ledger.durable import Durable
from holdfast.ledger.loops import LoopWatch, watched
from holdfast.ledger.model_prices import Prices, checked_prices
from holdfast.ledger.oversight import Oversight, canary
from holdfast.ledger.pages import Pages
from holdfast.ledger.questions import Questions
from holdfast.ledger.records import Records
from holdfast.ledger.turn import Corrections, Turn
from holdfast.ledger.undo import Registered, check_undoing, undoing_of
from holdfast.ledger.wiring import Wiring, make_parts
from holdfast.ports import Handler, Store, WorkflowRecord
from holdfast.ports.engine import Engine as EnginePort
from holdfast.prices.book import PriceBook

log = logging.getLogger("holdfast")
_PAGE = 500


_NAME_LENGTH: Final = 512
_AWAY: Final = 3  # each failure takes as long as an engine tries to reach its servers


class ToolOptions(TypedDict, total=False):
    """What may be declared of a tool; see :func:`holdfast._core.declare.make_contract`."""

    safety: SafetyName
    intent: str
    key: KeyRule
    ignore: Sequence[str]
    timeout: Duration
    retry: RetryPolicy | Literal[False]
    dependency: str | Dependency | Literal[False]
    probe: Reconciler
    reconcile: Reconciler
    classify: Classifier
    requires_approval: ApprovalRule
    external: bool
    supports_key: bool
    compensate: Callable[..., Any]
    reversal: ReversalName
    external_id: Naming
    schema: Any
    max_age: Duration
    version: str
    summary: Callable[[ToolCall], str]
    resources: Resources
    pattern: Pattern
    cost: str | Money


@dataclass(slots=True)
class Shared:
    """What all scopes of one ledger share."""

    tools: dict[str, Registered] = field(default_factory=dict[str, Registered])
    corrections: Corrections = field(default_factory=Corrections)
    plain: dict[str, Contract] = field(default_factory=dict[str, Contract])
    flows: Flows = field(default_factory=Flows)
    rules: dict[str, QueueRule] = field(default_factory=dict[str, QueueRule])
    crons: dict[str, Cron] = field(default_factory=dict[str, Cron])
    driver: EnginePort | None = None
    prices: Prices = field(default_factory=lambda: Prices(None))


@dataclass(frozen=True, slots=True)
class Engine:
    """A ledger in one scope (tenant and actor).

    Attributes:
        disturber: In dev mode: lets others make the same calls, and signals go astray, now and then.
    """

    parts: Parts
    tenant: str
    actor: str
    shared: Shared
    disturber: Disturber | None = None

    def scoped(self, tenant: str | None, actor: str | None) -> Engine:
        """Return the same ledger for another tenant or actor."""
        return replace(
            self,
            tenant=self.tenant if tenant is None else _scope("tenant", tenant),
            actor=self.actor if actor is None else _scope("actor", actor),
        )

    def register(self, handler: Handler, name: str | None, options: ToolOptions) -> str:
        """Declare a tool; return its name."""
        if ANSWER in (shape_of(handler).allowed or ()):
            what = f"a parameter is called {ANSWER!r}, under which models answer people"
            raise InvalidTool(what, "give the parameter another name")
        tool = _scope("name of a tool", name if name is not None else getattr(handler, "__name__", ""))
        if tool.startswith((RESERVED, MODEL)):
            what = f"{tool!r} is named as what holdfast does itself, or as a model"
            fix = f"give the tool a name that does not begin with {RESERVED!r} or {MODEL!r}"
            raise InvalidTool(what, fix)
        if tool in self.shared.tools:
            raise InvalidTool(
                f"tool {tool!r} is declared twice on this ledger", "give one of them another name"
            )
        contract = agreed(tool, _contract(tool, options), self.shared.tools)
        check_undoing(tool, contract, self.shared.tools, blocking=self.parts.runtime.blocking)
        self.shared.tools[tool] = Registered(handler, contract)
        return tool

    def request(
        self,
        source: object,
        handler: Handler | None,
        workflow_id: str | None,
        wait: Duration | None,
        options: ToolOptions,
    ) -> Request:
        """Read one call in any provider's form; find its handler and its contract."""
        # In a workflow's code the call is left to its life, which puts it away and does not let it fail.
        if self.parts.traffic.is_closing and context.life.get() is None:
            raise LedgerClosed
        tool_call = read_tool_call(source, workflow_id=workflow_id)
        named: Any = tool_call.tool
        if isinstance(named, str) and named.startswith(MODEL):
            what = f"{tool_call.tool[:80]!r} is named as a model's call"
            raise InvalidCall(what, "ask it through ledger.model(client); nothing ran")
        known = self.shared.tools.get(tool_call.tool)
        if known is not None:
            if options:
                what = f"call of {tool_call.tool!r} brings options, but the tool is declared on this ledger"
                raise InvalidCall(what, "change the declaration: its contract wins")
            handler, contract = handler or known.handler, known.contract
        elif options:
            contract = _contract(tool_call.tool, options)
            if contract.compensate is not None:
                what = f"call of {tool_call.tool!r} brings compensate=, which nobody would remember"
                raise InvalidTool(what, "declare the tool with @ledger.tool(compensate=...)")
        else:
            contract = self.shared.plain.get(tool_call.tool) or self._plain(tool_call.tool)
        return Request(
            tenant=self.tenant,
            actor=self.actor,
            call=tool_call,
            contract=contract,
            handler=handler,
            wait_s=None if wait is None else _wait(wait),
        )

    def _plain(self, tool: str) -> Contract:
        if len(self.shared.plain) > 1000:  # noqa: PLR2004 - names come from models: keep the cache bounded
            self.shared.plain.clear()
        contract = self.shared.plain[tool] = make_contract(tool)
        return contract

    async def call(
        self,
        source: object,
        handler: Handler | None,
        workflow_id: str | None,
        wait: Duration | None,
        options: ToolOptions,
    ) -> Receipt:
        """Run one call."""
        request = _with_handler(self.request(source, handler, workflow_id, wait, options))
        return await self.asked(request).answer()

    async def coded(self, source: ToolCall, wait: Duration | None) -> Receipt:
        """Run one call of a declared tool that code makes itself."""
        request = _with_handler(self.request(source, None, None, wait, ToolOptions()))
        return await self.asked(replace(request, is_coded=True)).answer()

    def asked(self, request: Request) -> Answering:
        """Return the call's answer, to be awaited: in a workflow's code the call is a step of it."""
        life: Life | None = context.life.get()
        if life is not None and life.is_of(self.tenant, request.call.workflow_id):
            return self._stepped(life, request)
        return Answering(answer=partial(self._alone, request))

    def _stepped(self, life: Life, request: Request) -> Answering:
        """Make the call as a step of the workflow whose code makes it."""
        named = replace(request, call=replace(request.call, workflow_id=life.workflow_id))
        # Code that makes the same call again means it again; a chosen name means the same thing.
        counts = request.is_coded and request.call.key is None and request.contract.key is None

        def at(occurrence: int, branch: str) -> Request:
            return replace(named, occurrence=occurrence, branch=branch) if counts else named

        def work(occurrence: int, branch: str) -> Work:
            return prepare(self.parts, at(occurrence, branch))

        call_of = EffectCall(
            make=lambda occurrence, branch: self._alone(at(occurrence, branch)),
            key=lambda occurrence, branch: work(occurrence, branch).key,
            answer=lambda record: replay(self.parts, work(0, ""), record),
            changes=request.contract.safety is not Safety.READ,
        )
        return effect(life, request.call.tool, work(0, "").new.fingerprint, call_of)

    async def _alone(self, request: Request) -> Receipt:
        if self.disturber is None:
            return await call(self.parts, request)
        return await self.disturber.beside(lambda: call(self.parts, request))

    async def turn(
        self,
        sources: Sequence[object],
        handlers: Mapping[str, Handler],
        workflow_id: str | None,
        distinct: bool,  # noqa: FBT001 - mirrors the public keyword
        wait: Duration | None,
        loops: LoopWatch | None = None,
    ) -> list[Receipt]:
        """Run all calls of one model turn; see :meth:`holdfast.Ledger.turn`."""
        if isinstance(sources, str | bytes) or not isinstance(sources, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidCall(
                f"a turn of type {type(sources).__name__}", "pass the list of the turn's tool calls"
            )
        if not isinstance(handlers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidCall(
                f"handlers of type {type(handlers).__name__}", "pass a dict of functions by tool name"
            )
        read = [read_tool_call(source, workflow_id=workflow_id) for source in sources]
        requests = [
            _with_handler(self.request(c, handlers.get(c.tool), None, wait, ToolOptions())) for c in read
        ]
        life: Life | None = context.life.get()
        corrections = self.shared.corrections
        if life is not None and not life.is_of(self.tenant, ""):
            life = None
        if life is not None:
            corrections = life.counts.setdefault(Corrections, Corrections())
        turn = Turn(self.parts, self.tenant, self.asked, corrections)
        async with passing(self.parts):
            receipts = await turn.taken(requests, distinct=distinct)
        return (
            receipts if loops is None else await watched(loops, life, requests, receipts, distinct=distinct)
        )

    @property
    def records(self) -> Records:
        """Return the records of one scope."""
        shared = self.shared
        return Records(
            self.parts,
            self.tenant,
            self.actor,
            lambda: {name: known.contract for name, known in shared.tools.items()},
        )

    @property
    def care(self) -> Care:
        """Return what one scope does about the unfinished."""
        tools = self.shared.tools
        return Care(
            self.parts,
            self.tenant,
            self.actor,
            self.records,
            lambda: {name: known.contract for name, known in tools.items()},
            lambda tool: undoing_of(tool, tools),
            None if self.disturber is None else self.disturber.post,
        )

    @property
    def durable(self) -> Durable:
        """Return what one scope does about its workflows."""
        return Durable(
            self.parts,
            self.tenant,
            self.actor,
            self.shared.flows,
            self.hint,
            self.hint_all,
            lambda: self.parts.traffic.is_closing,
        )

    @property
    def questions(self) -> Questions:
        """Return what one scope does about approvals."""
        return Questions(self.parts, self.tenant, self.actor, self.hint)

    @property
    def pages(self) -> Pages:
        """Return what people's pages read of one scope."""
        return Pages(self.parts, self.tenant)

    @property
    def accounts(self) -> Accounts:
        """Return one scope's budgets, and what was spent there."""
        return Accounts(self.parts, self.tenant, self.actor)

    @property
    def oversight(self) -> Oversight:
        """Return what one scope tells of the people who decide."""
        return Oversight(self.parts, self.tenant)

    async def plant(self, call: object, reason: str, chain: Chain | None) -> Approval:
        """Ask about a call that nobody makes."""
        request = self.request(canary(call), None, None, None, ToolOptions())
        return await self.oversight.plant(request, chain, reason)

    def opened(self) -> Engine:
        """Return itself.

        Raises:
            LedgerClosed: It was closed.
        """
        if self.parts.traffic.is_closing:
            raise LedgerClosed
        return self

    async def resume(self, workflow_id: str, by: str, reason: str) -> WorkflowRecord:
        """Let a workflow go on that was stopped, paused or put aside."""
        care, durable = self.care, self.durable
        execution = await durable.known(workflow_id)
        if execution is None or await self.records.workflow(workflow_id) is not None:
            await care.resume(workflow_id, by, reason)
        if execution is not None and execution.status not in ENDED:
            await durable.steer(workflow_id, Steering.RESUME, by, reason)
        state = await self.workflow_state(workflow_id)
        if state is None:
            raise WorkflowNotFound(workflow_id)
        return state

    async def workflow_state(self, workflow_id: str) -> WorkflowRecord | None:
        """Return what is known of a workflow: of its effects, and of its execution."""
        known, execution = await self.records.workflow(workflow_id), await self.durable.known(workflow_id)
        if execution is None:
            return known
        if known is None:
            return WorkflowRecord(
                tenant=self.tenant,
                workflow_id=workflow_id,
                status=execution.status,
                open_reviews=0,
                updated_at=execution.updated_at,
            )
        is_in_review = known.status is WorkflowStatus.NEEDS_REVIEW
        return known if is_in_review else replace(known, status=execution.status)

    async def wake(self, workflow_id: str, at: datetime | None) -> None:
        """Let the engine that drives workflows for this ledger know of one, if there is such an engine.

        Raises:
            EngineUnavailable: It has perhaps not heard of it.
        """
        if self.shared.driver is not None:
            await self.shared.driver.wake(self.tenant, workflow_id, at)

    async def hint(self, workflow_id: str, at: datetime | None) -> None:
        """Do what :meth:`wake` does for a workflow that the engine knows, and looks at in any case."""
        try:
            await self.wake(workflow_id, at)
        except EngineUnavailable as error:  # what was done is done, and must not be done again for this
            log.warning("%s", error)

    async def hint_all(self, workflow_ids: Sequence[str]) -> None:
        """Do what :meth:`hint` does for each of many, until the engine is away for several on end."""
        away = 0
        for left, workflow_id in zip(range(len(workflow_ids) - 1, -1, -1), workflow_ids, strict=True):
            try:
                await self.wake(workflow_id, None)
            except EngineUnavailable as error:
                away += 1
                log.warning("%s", error)
                if away == _AWAY:
                    log.warning("the engine is not told of %d more workflows that may go on", left)
                    return
            else:
                away = 0

    async def close(self, drain: Duration | None) -> None:
        """Let handlers finish, then release everything; workflows are left at their next step.

        Whoever closes it as well does all of it again: an earlier one may have been given up on its way.
        """
        drain_s = self.parts.settings.drain_s if drain is None else _wait(drain)
        traffic, own = self.parts.traffic, context.passages.get()
        traffic.is_closing = True
        traffic.closers.update(own)
        try:
            until = self.parts.runtime.monotonic() + drain_s
            await self._drained(until)
            await self.parts.runtime.close(max(until - self.parts.runtime.monotonic(), 0.0))
            await tell_rest(self.parts)
        finally:  # nothing may go on renewing claims that nobody works under
            traffic.closers.difference_update(own)
            traffic.is_closed = True
            await close_when_idle(self.parts)

    async def _drained(self, until: float) -> None:
        """Let blocks and other threads' calls finish; on an event loop the runtime knows its own tasks."""
        runtime = self.parts.runtime
        while self.parts.traffic.awaited(only_blocks=not runtime.blocking) and runtime.monotonic() < until:
            await runtime.sleep(0.01)


def make_engine(
    url: str | Store | None,
    *,
    tenant: str,
    actor: str,
    driver: EnginePort | None = None,
    prices: PriceBook | None = None,
    **wiring: Unpack[Wiring],
) -> Engine:
    """Wire a store and the defaults together."""
    parts, disturber = make_parts(url, wiring)
    shared = Shared(driver=driver, prices=checked_prices(prices))
    return Engine(parts, _scope("tenant", tenant), _scope("actor", actor), shared, disturber)


def _with_handler(request: Request) -> Request:
    if request.handler is None:
        what = f"no handler for tool {request.call.tool!r}"
        raise InvalidCall(what, "pass handler=..., or declare the tool with @ledger.tool")
    return request


def _wait(value: Duration) -> float:
    return 0.0 if value == 0 else seconds(value, name="wait")


def _contract(tool: str, options: ToolOptions) -> Contract:
    unknown = options.keys() - ToolOptions.__annotations__.keys()
    if unknown:
        what = f"tool {tool!r}: unknown option {', '.join(sorted(unknown))}"
        raise InvalidTool(what, f"use {', '.join(sorted(ToolOptions.__annotations__))}")
    return make_contract(tool, **options)


def _scope(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > _NAME_LENGTH:
        what = f"{name} is no printable text of 1 to {_NAME_LENGTH} characters"
        raise InvalidTool(what, f"leave {name} out, or name it")
    return value
