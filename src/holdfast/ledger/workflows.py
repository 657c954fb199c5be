"""Durable workflows: a decorator for plain functions, and what their code gets to work with."""

from __future__ import annotations

import functools
import inspect
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast

from holdfast._core.duration import Duration, seconds
from holdfast._core.retry import DEFAULT_POLICY, RetryPolicy
from holdfast._runtime.drive import run_sync
from holdfast._runtime.executions import Addressed, Flow, begin, run
from holdfast._runtime.life import Life, StepOptions
from holdfast.errors import InvalidCall, InvalidTool
from holdfast.ledger.engine import Engine

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_NAME_LENGTH: Final = 512


class _Context:
    """What the code of a workflow knows of itself."""

    def __init__(self, life: Life) -> None:
        self._life = life

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self._life.workflow_id

    @property
    def version(self) -> str:
        """The version of the code that began it."""
        return self._life.execution.version

    def _step(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        retries: int | RetryPolicy | None,
        timeout: Duration | None,
    ) -> Coroutine[Any, Any, Any]:
        timeout_s = None if timeout is None else seconds(timeout, name="timeout")
        options = StepOptions(policy=_policy(retries), is_declared=retries is not None, timeout_s=timeout_s)
        return self._life.step(_named(name), function, args, kwargs, options)

    def _now(self) -> Coroutine[Any, Any, Any]:
        return self._life.value("now", lambda: self._life.now().isoformat())

    def _random(self) -> Coroutine[Any, Any, Any]:
        return self._life.value("random", random.random)

    def _uuid(self) -> Coroutine[Any, Any, Any]:
        return self._life.value("uuid", lambda: str(uuid.uuid4()))


class Workflow(_Context):
    """What the code of an async workflow works with. Its answers are the same in every life of the code."""

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retries: int | RetryPolicy | None = None,
        timeout: Duration | None = None,
        **kwargs: Any,
    ) -> Awaitable[Any]:
        """Call *function* and keep what it returns, as JSON; once it has ended it is never called again.

        For what changes nothing outside, such as a question to a model: a worker that dies in the middle has
        it called again. What changes something is a tool.

        Args:
            name: Its name; two different steps of a workflow must not share one.
            retries: How often it is tried again, or a policy; default the table of :class:`RetryPolicy`.
            timeout: How long each try may take.

        Raises:
            StepFailed: It failed for good, in this life or an earlier one.
            StepCollision: Another step has that name.
        """
        return self._step(name, function, args, kwargs, retries, timeout)

    def sleep(self, duration: Duration) -> Awaitable[None]:
        """Wait for so long, across restarts; nothing is held meanwhile."""
        return self._life.sleep(seconds(duration, name="duration"))

    def wait_for(self, name: str, *, timeout: Duration | None = None) -> Awaitable[Any]:
        """Return what the next signal called *name* brings.

        Raises:
            TimeoutError: None came within *timeout*.
        """
        return self._life.wait_for(
            _named(name), None if timeout is None else seconds(timeout, name="timeout")
        )

    async def now(self) -> datetime:
        """Return the time, as it was when this was first asked."""
        return datetime.fromisoformat(await self._now())

    async def random(self) -> float:
        """Return a random number in [0, 1), the same in every life."""
        return float(await self._random())

    async def uuid(self) -> uuid.UUID:
        """Return a random UUID, the same in every life."""
        return uuid.UUID(await self._uuid())

    async def patched(self, name: str) -> bool:
        """Whether this execution goes the way of code changed by the patch *name*: not if it is older."""
        return await self._life.patched(_named(name))


class SyncWorkflow(_Context):
    """What the code of a plain workflow works with; see :class:`Workflow`."""

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        /,
        *args: Any,
        retries: int | RetryPolicy | None = None,
        timeout: Duration | None = None,
        **kwargs: Any,
    ) -> Any:
        """See :meth:`Workflow.step`."""
        return run_sync(self._step(name, function, args, kwargs, retries, timeout))

    def sleep(self, duration: Duration) -> None:
        """See :meth:`Workflow.sleep`."""
        run_sync(self._life.sleep(seconds(duration, name="duration")))

    def wait_for(self, name: str, *, timeout: Duration | None = None) -> Any:
        """See :meth:`Workflow.wait_for`."""
        timeout_s = None if timeout is None else seconds(timeout, name="timeout")
        return run_sync(self._life.wait_for(_named(name), timeout_s))

    def now(self) -> datetime:
        """See :meth:`Workflow.now`."""
        return datetime.fromisoformat(run_sync(self._now()))

    def random(self) -> float:
        """See :meth:`Workflow.random`."""
        return float(run_sync(self._random()))

    def uuid(self) -> uuid.UUID:
        """See :meth:`Workflow.uuid`."""
        return uuid.UUID(run_sync(self._uuid()))

    def patched(self, name: str) -> bool:
        """See :meth:`Workflow.patched`."""
        return run_sync(self._life.patched(_named(name)))


class _Durable(Generic[P, R]):
    """What both kinds of workflow share: a name, a function, and how its input is read."""

    def __init__(self, engine: Engine, name: str, version: str, function: Callable[..., Any]) -> None:
        functools.update_wrapper(cast("Any", self), function)
        self.name = name
        self.version = version
        self.unguarded = function
        self._engine = engine
        self._signature = inspect.signature(function)
        if not self._signature.parameters:
            what = f"workflow {name!r} takes no context"
            raise InvalidTool(what, "let its first parameter be `ctx`")

    def _flow(self) -> Flow:
        is_sync = self._engine.parts.runtime.blocking

        def code(life: Life, given: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
            if is_sync:
                return _plain(self.unguarded, SyncWorkflow(life), given)
            return cast("Coroutine[Any, Any, Any]", self.unguarded(Workflow(life), **given))

        return Flow(name=self.name, version=self.version, code=code)

    def _at(self, workflow_id: str) -> Addressed:
        if not isinstance(workflow_id, str) or not workflow_id:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidCall("a workflow without an id", "name the execution, e.g. 'order-123'")
        engine = self._engine
        return Addressed(tenant=engine.tenant, actor=engine.actor, workflow_id=workflow_id)

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(None, *args, **kwargs).arguments
        except TypeError as error:
            raise InvalidCall(f"run of {self.name!r}: {error}", "fit the input to the function") from error
        first = next(iter(self._signature.parameters))
        return {name: value for name, value in bound.items() if name != first}


class DurableFunction(_Durable[P, R]):
    """A durable async workflow."""

    async def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it here to its end and return its output; under the same id it goes on where it was."""
        await self._engine.parts.store.open()
        given = self._given(args, kwargs)
        found = await run(self._engine.parts, self._at(workflow_id), self._flow(), given, wait_s=None)
        return cast("R", found)

    async def enqueue(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Put it into the ledger, for a worker to run."""
        await self._engine.parts.store.open()
        await begin(
            self._engine.parts, self._at(workflow_id), self._flow(), self._given(args, kwargs), holds=False
        )


class SyncDurableFunction(_Durable[P, R]):
    """A durable plain workflow; see :class:`DurableFunction`."""

    def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See :meth:`DurableFunction.run`."""
        parts = self._engine.parts
        run_sync(parts.store.open())
        given = self._given(args, kwargs)
        return cast("R", run_sync(run(parts, self._at(workflow_id), self._flow(), given, wait_s=None)))

    def enqueue(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """See :meth:`DurableFunction.enqueue`."""
        parts = self._engine.parts
        run_sync(parts.store.open())
        run_sync(begin(parts, self._at(workflow_id), self._flow(), self._given(args, kwargs), holds=False))


Decorated = Callable[Concatenate[Any, P], Any]


def durable(engine: Engine, name: str | None, version: str, function: Callable[..., Any]) -> Any:
    """Return *function* as a workflow of the ledger.

    Raises:
        InvalidTool: It is async under a ``SyncLedger``, or plain under a ``Ledger``.
    """
    is_sync = engine.parts.runtime.blocking
    if inspect.iscoroutinefunction(function) is is_sync:
        kinds = ("async", "SyncLedger") if is_sync else ("plain", "Ledger")
        what = f"workflow {getattr(function, '__name__', '')!r} is {kinds[0]}, and this is a {kinds[1]}"
        raise InvalidTool(what, "use the other ledger, or the other kind of function")
    chosen = name or function.__name__
    kind: Any = SyncDurableFunction if is_sync else DurableFunction
    return kind(engine, chosen, version, function)


async def _plain(function: Callable[..., Any], ctx: SyncWorkflow, given: Mapping[str, Any]) -> Any:
    return function(ctx, **given)


def _policy(retries: int | RetryPolicy | None) -> RetryPolicy | None:
    if retries is None or isinstance(retries, RetryPolicy):
        return retries or DEFAULT_POLICY
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidCall(f"retries={retries!r} is no count", "give a whole number, or a RetryPolicy")
    return RetryPolicy(maximum_attempts=retries + 1)


def _named(name: str) -> str:
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > _NAME_LENGTH:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidCall(
            f"the name of a step is no printable text of 1 to {_NAME_LENGTH} characters", "name it"
        )
    return name
