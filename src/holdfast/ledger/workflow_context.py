"""What the code of a workflow works with: steps, waits, other workflows, and values that never change."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from holdfast._core.budgeting import Budget, checked_budget
from holdfast._core.duration import Duration, seconds
from holdfast._core.execution import ExecutionRecord
from holdfast._core.retry import DEFAULT_POLICY, RetryPolicy
from holdfast._runtime.drive import run_sync
from holdfast._runtime.life import Life
from holdfast._runtime.steps import Function, StepOptions, made, patched, step
from holdfast._runtime.waits import child, sleep, wait_for
from holdfast.errors import InvalidCall

_NAME_LENGTH: Final = 512


class ChildOf(Protocol):
    """A declared workflow, as one that another one begins.

    Attributes:
        chosen_id: The id that it was given by ``options``.
    """

    name: str
    chosen_id: str | None

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the input by the names of the function's parameters."""
        ...

    async def begin_child(
        self, given: Mapping[str, Any], workflow_id: str, parent: str, actor: str
    ) -> ExecutionRecord:
        """Put it into the ledger, or find it there; return it as it stands."""
        ...


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
        budget: Budget | None,
    ) -> Coroutine[Any, Any, Any]:
        options = StepOptions(
            policy=_policy(retries),
            is_declared=retries is not None,
            timeout_s=None if timeout is None else seconds(timeout, name="timeout"),
            budget=None if budget is None else checked_budget(f"step {name}", budget),
        )
        return step(self._life, _named(name), Function(call=function, args=args, kwargs=kwargs), options)

    def _now(self) -> Coroutine[Any, Any, Any]:
        return made(self._life, "now", lambda: self._life.now().isoformat())

    def _emit(self, name: str, data: Any) -> Coroutine[Any, Any, Any]:
        return made(self._life, _named(name), lambda: data)

    def _child(
        self, workflow: ChildOf, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        given = workflow.given(args, kwargs)
        canonical = self._life.canonical(given)
        parent, actor = self._life.workflow_id, self._life.execution.actor

        async def begin(workflow_id: str) -> ExecutionRecord:
            return await workflow.begin_child(given, workflow_id, parent, actor)

        return child(self._life, workflow.name, canonical, workflow.chosen_id, begin)

    def _random(self) -> Coroutine[Any, Any, Any]:
        return made(self._life, "random", random.random)

    def _uuid(self) -> Coroutine[Any, Any, Any]:
        return made(self._life, "uuid", lambda: str(uuid.uuid4()))


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
        budget: Budget | None = None,
        **kwargs: Any,
    ) -> Awaitable[Any]:
        """Call *function* and keep what it returns, as JSON; once it has ended it is never called again.

        For what changes nothing outside, such as a question to a model: a worker that dies in the middle has
        it called again. What changes something is a tool.

        Args:
            name: Its name; two different steps of a workflow must not share one.
            retries: How often it is tried again, or a policy; default the table of :class:`RetryPolicy`.
            timeout: How long each try may take.
            budget: What all tries of the workflow's steps of that name may spend.

        Raises:
            BudgetExceeded: A budget has no room for what it calls. It is not tried again.
            StepFailed: It failed for good, in this life or an earlier one.
            StepCollision: Another step has that name.
        """
        return self._step(name, function, args, kwargs, retries, timeout, budget)

    def sleep(self, duration: Duration) -> Awaitable[None]:
        """Wait for so long, across restarts; nothing is held meanwhile."""
        return sleep(self._life, seconds(duration, name="duration"))

    def wait_for(self, name: str, *, timeout: Duration | None = None) -> Awaitable[Any]:
        """Return what the next signal called *name* brings.

        Raises:
            TimeoutError: None came within *timeout*.
        """
        timeout_s = None if timeout is None else seconds(timeout, name="timeout")
        return wait_for(self._life, _named(name), timeout_s)

    def child(self, workflow: ChildOf, /, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Begin another workflow, and return its output once it has ended; nothing is held meanwhile.

        Its id is made of this one's; ``workflow.options(workflow_id=...)`` chooses another. It ends with this
        one when this one fails or is cancelled.

        Raises:
            WorkflowFailed: It ended with an error, or was cancelled.
            BudgetExceeded: It was not begun: a budget's depth, fan_out or wall_clock leaves no room for it.
        """
        return self._child(workflow, args, kwargs)

    async def emit(self, name: str, data: Any = None) -> None:
        """Tell whoever follows the workflow's events of something, once."""
        await self._emit(name, data)

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
        return await patched(self._life, _named(name))


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
        budget: Budget | None = None,
        **kwargs: Any,
    ) -> Any:
        """See :meth:`Workflow.step`."""
        return run_sync(self._step(name, function, args, kwargs, retries, timeout, budget))

    def sleep(self, duration: Duration) -> None:
        """See :meth:`Workflow.sleep`."""
        run_sync(sleep(self._life, seconds(duration, name="duration")))

    def wait_for(self, name: str, *, timeout: Duration | None = None) -> Any:
        """See :meth:`Workflow.wait_for`."""
        timeout_s = None if timeout is None else seconds(timeout, name="timeout")
        return run_sync(wait_for(self._life, _named(name), timeout_s))

    def child(self, workflow: ChildOf, /, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`Workflow.child`."""
        return run_sync(self._child(workflow, args, kwargs))

    def emit(self, name: str, data: Any = None) -> None:
        """See :meth:`Workflow.emit`."""
        run_sync(self._emit(name, data))

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
        return run_sync(patched(self._life, _named(name)))


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
