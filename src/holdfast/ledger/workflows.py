"""Durable workflows: a decorator for plain functions, and how they are begun."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Literal, ParamSpec, TypedDict, TypeVar, cast

from holdfast._core.budgeting import Budget, checked_budget
from holdfast._core.duration import Duration, seconds
from holdfast._core.execution import ExecutionRecord
from holdfast._core.value import value
from holdfast._runtime.drive import run_sync
from holdfast._runtime.executions import Start, begin
from holdfast._runtime.flows import Flow
from holdfast._runtime.life import Life
from holdfast._runtime.run import result, run
from holdfast.errors import InvalidCall, InvalidTool, VersionMismatch
from holdfast.ledger.engine import Engine
from holdfast.ledger.workflow_context import SyncWorkflow, Workflow

P = ParamSpec("P")
R = TypeVar("R")
OnFailure = Literal["compensate", "review", "leave"]
_MOST_URGENT: Final = 1_000_000
_ON_FAILURE = ("compensate", "review", "leave")
_NAMED_ONLY = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class WorkflowOptions(TypedDict, total=False):
    """How a workflow is declared.

    Attributes:
        name: Executions are on record under it; the function's own by default.
        version: Of the code; kept with each execution that it begins. Several may be declared side by side:
            an execution goes on with the version that began it, or else with the one declared last.
        on_failure: What is done when it fails or is cancelled: ``"compensate"`` undoes its effects,
            ``"review"`` leaves it to a person, ``"leave"`` (the default) does nothing.
        timeout: It fails unless it has ended after so long, waits included.
        queue: Whose workers take it when it is enqueued.
        priority: Of what is due in a queue the highest goes first; 0 by default.
        limit_key: Names, for an input, what shares a queue's limit per key.
        upgrade: Makes the input of an older version one of this: given that version and that input.
        budget: What each execution may spend, together with all that it begins.
    """

    name: str
    version: str
    on_failure: OnFailure
    timeout: Duration
    queue: str
    priority: int
    limit_key: Callable[[Mapping[str, Any]], str]
    upgrade: Callable[[str, dict[str, Any]], Mapping[str, Any]]
    budget: Budget


@value
class How:
    """How one execution is begun, or waited for, where that is not as declared."""

    queue: str | None = None
    priority: int | None = None
    limit_key: str | None = None
    delay_s: float | None = None
    start_at: datetime | None = None
    wait_s: float | None = None


class _Durable(Generic[P, R]):
    """What both kinds of workflow share: a name, a function, and how its input is read."""

    def __init__(self, engine: Engine, function: Callable[..., Any], options: WorkflowOptions) -> None:
        functools.update_wrapper(cast("Any", self), function)
        self.name: str = options.get("name") or function.__name__
        self.version: str = options.get("version", "1")
        self.unguarded = function
        self.chosen_id: str | None = None
        self._engine = engine
        self._signature = inspect.signature(function)
        self.how = How()
        if not _is_text(self.name):
            raise InvalidTool("the name of a workflow is no printable text", "give it another name=")
        _check_parameters(self.name, self._signature)
        self._flow = self._made_flow(options)
        engine.shared.flows.add(self._flow)

    def _made_flow(self, options: WorkflowOptions) -> Flow:
        engine = self._engine
        on_failure: Any = options.get("on_failure", "leave")
        if on_failure not in _ON_FAILURE:
            raise InvalidTool(
                f"workflow {self.name!r}: on_failure={on_failure!r}", f"use one of {', '.join(_ON_FAILURE)}"
            )
        is_sync = engine.parts.runtime.blocking

        def code(life: Life, given: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
            try:
                self._signature.bind(None, **given)
            except TypeError as error:
                recorded = life.execution.version
                raise VersionMismatch(life.workflow_id, recorded, self.version, str(error)) from error
            if is_sync:
                return _plain(self.unguarded, SyncWorkflow(life), given)
            return cast("Coroutine[Any, Any, Any]", self.unguarded(Workflow(life), **given))

        async def compensate(execution: ExecutionRecord, reason: str) -> bool:
            scoped = engine.scoped(execution.tenant, execution.actor)
            report = await scoped.care.undo(execution.workflow_id, reason)
            return report.needs_review

        timeout = options.get("timeout")
        return Flow(
            name=self.name,
            version=self.version,
            code=code,
            on_failure=on_failure,
            compensate=compensate,
            upgrade=options.get("upgrade"),
            timeout_s=None if timeout is None else seconds(timeout, name="timeout"),
            queue=_checked_text("queue", options.get("queue", ""), InvalidTool) or "",
            priority=_checked_priority(options.get("priority", 0), InvalidTool) or 0,
            limit_key=options.get("limit_key"),
            budget=_checked_budget(self.name, options.get("budget")),
        )

    def _with(
        self,
        workflow_id: str | None,
        queue: str | None,
        priority: int | None,
        limit_key: str | None,
        delay: Duration | None,
        start_at: datetime | None,
        wait: Duration | None,
    ) -> Any:
        if start_at is not None and start_at.tzinfo is None:
            raise InvalidCall("start_at has no time zone", "give an aware datetime")
        if delay is not None and start_at is not None:
            raise InvalidCall("both delay and start_at are given", "give one of them")
        other = copy.copy(self)
        other.chosen_id = self.chosen_id if workflow_id is None else workflow_id
        chosen: dict[str, Any] = {
            "queue": _checked_text("queue", queue, InvalidCall),
            "priority": _checked_priority(priority, InvalidCall),
            "limit_key": _checked_text("limit_key", limit_key, InvalidCall),
            "wait_s": None if wait is None else seconds(wait, name="wait"),
        }
        if delay is not None or start_at is not None:
            other.how = replace(self.how, delay_s=None, start_at=None)  # one takes the other's place
            chosen["delay_s"] = None if delay is None else seconds(delay, name="delay")
            chosen["start_at"] = start_at
        other.how = replace(other.how, **{name: each for name, each in chosen.items() if each is not None})
        return other

    def _start(self, workflow_id: str, *, is_held: bool, parent: str = "") -> Start:
        if not _is_text(workflow_id):
            what = "the id of a workflow is no printable text"
            raise InvalidCall(what, "name the execution, e.g. 'order-123'")
        engine, how, start_at = self._engine, self.how, self.how.start_at
        if how.delay_s is not None:
            start_at = engine.parts.runtime.now() + timedelta(seconds=how.delay_s)
        return Start(
            tenant=engine.tenant,
            actor=engine.actor,
            workflow_id=workflow_id,
            is_held=is_held,
            start_at=start_at,
            parent=parent,
            queue=how.queue,
            priority=how.priority,
            limit_key=how.limit_key,
        )

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the input by the names of the function's parameters."""
        try:
            bound = self._signature.bind(None, *args, **kwargs).arguments
        except TypeError as error:
            raise InvalidCall(f"run of {self.name!r}: {error}", "fit the input to the function") from error
        context, *parameters = self._signature.parameters.values()
        given = {name: value for name, value in bound.items() if name != context.name}
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                given.update(given.pop(parameter.name, {}))
        return given

    async def begin_child(
        self, given: Mapping[str, Any], workflow_id: str, parent: str, actor: str
    ) -> ExecutionRecord:
        """Put it into the ledger for another workflow, or find it there."""
        engine = self._engine.scoped(None, actor)
        start = self._start(workflow_id, is_held=False, parent=parent)
        execution = await begin(engine.parts, self._flow, given, start)
        await engine.wake(workflow_id, start.start_at)
        return execution

    async def _run(self, workflow_id: str, given: Mapping[str, Any]) -> Any:
        engine = self._engine.opened()
        await engine.parts.store.open()
        start = self._start(workflow_id, is_held=True)
        return await run(engine.parts, engine.shared.flows, self._flow, given, start, self.how.wait_s)

    async def enqueue_given(self, workflow_id: str, given: Mapping[str, Any]) -> None:
        """Put it into the ledger, for a worker to run."""
        engine = self._engine.opened()
        await engine.parts.store.open()
        start = self._start(workflow_id, is_held=False)
        await begin(engine.parts, self._flow, given, start)
        await engine.wake(workflow_id, start.start_at)

    async def _result(self, workflow_id: str) -> Any:
        engine = self._engine.opened()
        await engine.parts.store.open()
        return await result(engine.parts, engine.tenant, workflow_id, self.how.wait_s)


class DurableFunction(_Durable[P, R]):
    """A durable async workflow."""

    async def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here to its end and return its output; under the same id it goes on where it was.

        Raises:
            WorkflowFailed: It ended with an error.
            WorkflowWaiting: It did not end within ``options(wait=...)``; it goes on when it is run again, or
                by a worker.
            WorkflowConflict: The id is in use for other code, or another input. Nothing ran.
            NonDeterminism: The code does not fit its record. Nothing new ran.
        """
        return cast("R", await self._run(workflow_id, self.given(args, kwargs)))

    async def enqueue(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Put it into the ledger, for a worker to run; under the same id it is put there once.

        Raises:
            WorkflowConflict: The id is in use for other code, or another input. Nothing was recorded.
        """
        await self.enqueue_given(workflow_id, self.given(args, kwargs))

    async def result(self, workflow_id: str) -> R:
        """Wait for the output of one that others work on.

        Raises:
            WorkflowFailed: It ended with an error.
            WorkflowWaiting: It did not end within ``options(wait=...)``.
            WorkflowNotFound: It was never begun.
        """
        return cast("R", await self._result(workflow_id))

    def options(
        self,
        *,
        workflow_id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        limit_key: str | None = None,
        delay: Duration | None = None,
        start_at: datetime | None = None,
        wait: Duration | None = None,
    ) -> DurableFunction[P, R]:
        """Return the workflow with another place in the queue, a later start, or less patience.

        Args:
            workflow_id: Of one that is begun by ``ctx.child``.
            delay: It is due so long after it is enqueued.
            start_at: It is due then (aware).
            wait: So long ``run`` and ``result`` wait.
        """
        return cast(
            "DurableFunction[P, R]",
            self._with(workflow_id, queue, priority, limit_key, delay, start_at, wait),
        )


class SyncDurableFunction(_Durable[P, R]):
    """A durable plain workflow; see :class:`DurableFunction`."""

    def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See :meth:`DurableFunction.run`."""
        return cast("R", run_sync(self._run(workflow_id, self.given(args, kwargs))))

    def enqueue(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """See :meth:`DurableFunction.enqueue`."""
        run_sync(self.enqueue_given(workflow_id, self.given(args, kwargs)))

    def result(self, workflow_id: str) -> R:
        """See :meth:`DurableFunction.result`."""
        return cast("R", run_sync(self._result(workflow_id)))

    def options(
        self,
        *,
        workflow_id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        limit_key: str | None = None,
        delay: Duration | None = None,
        start_at: datetime | None = None,
        wait: Duration | None = None,
    ) -> SyncDurableFunction[P, R]:
        """See :meth:`DurableFunction.options`."""
        return cast(
            "SyncDurableFunction[P, R]",
            self._with(workflow_id, queue, priority, limit_key, delay, start_at, wait),
        )


def durable(engine: Engine, function: Callable[..., Any] | None, options: WorkflowOptions) -> Any:
    """Return *function* as a workflow of the ledger, or a decorator that does.

    Raises:
        InvalidTool: It is async under a ``SyncLedger``, or plain under a ``Ledger``.
    """
    if function is None:

        def decorate(later: Callable[..., Any]) -> Any:
            return durable(engine, later, options)

        return decorate
    unknown = options.keys() - WorkflowOptions.__annotations__.keys()
    if unknown:
        what = f"workflow: unknown option {', '.join(sorted(unknown))}"
        raise InvalidTool(what, f"use {', '.join(sorted(WorkflowOptions.__annotations__))}")
    is_sync = engine.parts.runtime.blocking
    if inspect.iscoroutinefunction(function) is is_sync:
        kinds = ("async", "SyncLedger") if is_sync else ("plain", "Ledger")
        what = f"workflow {getattr(function, '__name__', '')!r} is {kinds[0]}, and this is a {kinds[1]}"
        raise InvalidTool(what, "use the other ledger, or the other kind of function")
    kind: Any = SyncDurableFunction if is_sync else DurableFunction
    return kind(engine, function, options)


def _check_parameters(name: str, signature: inspect.Signature) -> None:
    if not signature.parameters:
        raise InvalidTool(f"workflow {name!r} takes no context", "let its first parameter be `ctx`")
    _, *others = signature.parameters.values()
    for parameter in others:
        if parameter.kind not in {*_NAMED_ONLY, parameter.VAR_KEYWORD}:
            what = f"workflow {name!r} takes {parameter.name!r} without a name"
            raise InvalidTool(what, "its input is kept by name: let every parameter have one")


def _is_text(text: object) -> bool:
    """Whether *text* names something for people, and for the command line."""
    return isinstance(text, str) and text.strip() != "" and text.isprintable()


def _checked_budget(name: str, budget: Any) -> Budget | None:
    return None if budget is None else checked_budget(f"workflow {name}", budget, is_of_workflow=True)


def _checked_text(name: str, text: Any, error: type[InvalidCall | InvalidTool]) -> str | None:
    chosen: str | None = text
    if chosen is None or chosen == "" or _is_text(text):
        return chosen
    raise error(f"{name}={text!r:.80} is no printable text", f"give a name for {name}")


def _checked_priority(priority: Any, error: type[InvalidCall | InvalidTool]) -> int | None:
    is_whole = isinstance(priority, int) and not isinstance(priority, bool)
    chosen: int | None = priority
    if chosen is None or (is_whole and abs(chosen) <= _MOST_URGENT):
        return chosen
    raise error(f"priority={priority!r:.80} is none", f"give a whole number of at most {_MOST_URGENT}")


async def _plain(function: Callable[..., Any], ctx: SyncWorkflow, given: Mapping[str, Any]) -> Any:
    return function(ctx, **given)
