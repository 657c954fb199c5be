"""Steps that change nothing outside: a function called once, and what code must not make itself."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from holdfast._core.budgeting import Budget
from holdfast._core.contract import Contract
from holdfast._core.decide import Fallen, Tries, on_error, on_timeout
from holdfast._core.execution import StepKind, StepRecord
from holdfast._core.journal import Asked
from holdfast._core.model import Done
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.dependencies import draw
from holdfast._runtime.handler import Ready
from holdfast._runtime.life import Life, Waits
from holdfast._runtime.purses import of_step, refuse_late
from holdfast._runtime.stops import CalledOff, HandlerTimeout
from holdfast._runtime.writing import failure_text
from holdfast.errors import LedgerClosed, NotSerializable
from holdfast.ports import Handler

_HELD_S: Final = 5.0  # a longer delay before the next try is waited for without a worker


@value
class StepOptions:
    """How a step is executed.

    Attributes:
        timeout_s: How long each try may take.
        budget: What all tries may spend; ``None`` for anything.
    """

    policy: RetryPolicy | None
    is_declared: bool
    timeout_s: float | None
    budget: Budget | None = None


@value
class Function:
    """A step's function with its arguments."""

    call: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def step(life: Life, name: str, function: Function, options: StepOptions) -> Coroutine[Any, Any, Any]:
    """Return what *function* returns, now or in an earlier life."""
    # One flat mapping, which is read fast: no keyword is a number.
    given = life.canonical({str(n): arg for n, arg in enumerate(function.args)} | dict(function.kwargs))
    asked = life.asked(StepKind.STEP, name, given, _name_of(function.call))

    async def perform(record: StepRecord) -> StepRecord:
        return await _executed(life, record, function, options)

    return life.answered(asked, perform)


def made(life: Life, name: str, make: Callable[[], Any]) -> Coroutine[Any, Any, Any]:
    """Return what *make* made, in the first life."""
    asked = life.asked(StepKind.VALUE, name, "{}", name)

    async def perform(record: StepRecord) -> StepRecord:
        return life.succeeded(record, make())

    return life.answered(asked, perform)


def patched(life: Life, name: str) -> Coroutine[Any, Any, bool]:
    """Whether this execution goes the way of the code that has the patch *name*."""
    was_fresh = life.is_live
    asked = life.asked(StepKind.GATE, name, "{}", name)
    return _gated(life, asked, was_fresh=was_fresh)


async def _gated(life: Life, asked: Asked, *, was_fresh: bool) -> bool:
    if asked.told_at is None and not was_fresh:
        return False  # what is on record after this was made by code without the patch

    async def perform(record: StepRecord) -> StepRecord:
        return life.succeeded(record, True)  # noqa: FBT003 - the value of a gate

    await life.answered(asked, perform)
    return True


async def _executed(life: Life, step: StepRecord, function: Function, options: StepOptions) -> StepRecord:
    """Call a step's function until it succeeds or may not be tried again."""
    parts, begun = life.parts, life.parts.runtime.monotonic()
    contract = Contract(
        safety=Safety.READ,
        retry=options.policy,
        is_retry_declared=options.is_declared,
        timeout_s=options.timeout_s,
    )
    # A try that its worker did not survive is not counted: that is the worker's fault, and counted apart.
    attempt = step.attempt - 1 if step.attempt > 0 and step.error is None else step.attempt
    previous_s = 0.0
    while True:
        if step.due_at is not None and life.now() < step.due_at:
            await life.parked(step, Waits(name=f"the next try of step {step.name!r}", due_at=step.due_at))
        attempt += 1
        step = replace(step, attempt=attempt, error=None, due_at=None)
        await life.kept(step, ends=False)
        await life.go_on()
        tries = Tries(
            attempt=attempt,
            elapsed_s=parts.runtime.monotonic() - begun,
            previous_s=previous_s,
            draw=draw(parts),
        )
        timeout_s = _limit(life, options)
        try:
            refuse_late(context.purses.get(), parts.runtime.now())
            with of_step(life.execution.tenant, life.workflow_id, step.name, options.budget):
                return life.succeeded(step, await _invoked(life, step, function, timeout_s))
        except NotSerializable as gap:
            return life.failed(step, gap)
        except HandlerTimeout:
            error: Exception = TimeoutError(f"step {step.name!r} took longer than {timeout_s or 0:g} s")
            word: Done | Fallen = on_timeout(contract, error, tries)
        except Exception as raised:  # noqa: BLE001 - any error is put on record
            await _leave_if_closed(life, raised)
            error, word = raised, on_error(raised, contract, parts.runtime.now(), tries)
        if isinstance(word, Done):
            return life.succeeded(step, word.result)
        if word.again_s is None:
            return life.failed(step, error)
        previous_s = word.again_s
        step = replace(step, error=life.sealed(failure_text(error), "error"))
        if word.again_s > _HELD_S:
            step = replace(step, due_at=life.now() + timedelta(seconds=word.again_s))
        await life.kept(step, ends=False)
        if word.again_s <= _HELD_S:
            await parts.runtime.sleep(word.again_s)


async def _leave_if_closed(life: Life, error: Exception) -> None:
    """Leave the workflow to other workers where the ledger was closed: that is no failure of a step."""
    if isinstance(error, LedgerClosed):
        await life.go_on()


def _limit(life: Life, options: StepOptions) -> float | None:
    """Return how long a try may take: no longer than the workflow itself."""
    left_s = life.left_s()
    if left_s is None:
        return options.timeout_s
    return max(left_s if options.timeout_s is None else min(options.timeout_s, left_s), 0.001)


async def _invoked(life: Life, step: StepRecord, function: Function, timeout_s: float | None) -> Any:
    token = context.life.set(None)  # a step is one thing: what it calls is not a part of the code
    origin = context.origin.set(context.Origin(_origin(step)))
    try:
        return await life.parts.runtime.invoke(
            _handler(function), {}, timeout_s=timeout_s, late=_nothing_late
        )
    except CalledOff as off:  # its thread goes on by itself: what it brings changes nothing
        raise off.stop from None
    finally:
        context.origin.reset(origin)
        context.life.reset(token)


def _origin(step: StepRecord) -> str:
    """Return what tells a step from all others of its workflow."""
    text = f"{step.name}\n{step.fingerprint}\n{step.occurrence}"
    return f"step:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _handler(function: Function) -> Handler:
    """Return the function with its arguments, as async or as plain as it is."""
    call, args, kwargs = function.call, function.args, function.kwargs

    async def coroutine() -> Any:
        return await call(*args, **kwargs)

    def plain() -> Any:
        return call(*args, **kwargs)

    inner = getattr(call, "__call__", None)  # noqa: B004 - an object may have an async one
    is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(inner)
    return Ready(coroutine if is_async else plain, is_async=is_async)


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


async def _nothing_late(_: Callable[[], Any]) -> None:
    """A step that was given up changed nothing."""
