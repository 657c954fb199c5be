"""One life of a workflow: its code runs from the beginning, answered from the record where there is one."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from holdfast._core.advance import Advanced, ExecutionOp, Leave, Outrun, Progress
from holdfast._core.change import Column
from holdfast._core.contract import Contract
from holdfast._core.decide import Tries, on_error, on_timeout
from holdfast._core.execution import Journal, Message, StepKind, StepRecord, StepState
from holdfast._core.identity import read_args, read_result
from holdfast._core.journal import Asked, Script
from holdfast._core.model import Done, EffectKey, Receipt, Record
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety, State, WorkflowStatus
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.dependencies import draw
from holdfast._runtime.parts import Parts, failure_of
from holdfast._runtime.stops import HandlerTimeout
from holdfast._runtime.turns import Turns
from holdfast.errors import (
    CircuitOpen,
    EffectFailed,
    ExecutionTaken,
    InvalidCall,
    NotSerializable,
    PolicyDenied,
    StepFailed,
    StoreError,
    StoreUnavailable,
)
from holdfast.ports import Handler

Perform: TypeAlias = Callable[[StepRecord], Coroutine[Any, Any, StepRecord]]
_BUFFERED: Final = (
    20  # steps of effects that may wait for the next commit: their results are on record anyway
)
_FIRST_DELAY_S: Final = 0.02
_LOOK_AGAIN_S: Final = 30.0


@value
class StepOptions:
    """How a step is executed."""

    policy: RetryPolicy | None
    is_declared: bool
    timeout_s: float | None


@value
class Waits:
    """What a branch of the code waits for."""

    name: str
    due_at: datetime | None
    is_review: bool = False


@value
class EffectCall:
    """One tool call of a workflow's code; each of these is given which one of equal calls it is.

    Attributes:
        make: Executes it, or answers from the record.
        key: Names its effect.
        answer: Reads its record.
    """

    make: Callable[[int], Coroutine[Any, Any, Receipt]]
    key: Callable[[int], EffectKey]
    answer: Callable[[Record], Receipt]


class Life:
    """One life of one workflow.

    Args:
        journal: What is on record of it.
    """

    def __init__(self, parts: Parts, journal: Journal, script: Script, turns: Turns) -> None:
        self.execution = journal.execution
        self.waiting: dict[tuple[str, str, int], Waits] = {}
        self.seen = journal.execution.news
        self._parts = parts
        self._journal = journal
        self._script = script
        self._turns = turns
        self._queue: list[StepRecord] = []
        self._broken: Exception | None = None
        self._heard_of: Counter[str] = Counter(
            step.name
            for step in journal.steps
            if step.kind is StepKind.WAIT and step.state is StepState.SUCCEEDED
        )
        self._messages = list(journal.messages)
        self._clock = journal.now - parts.runtime.now()

    @property
    def workflow_id(self) -> str:
        """Which workflow it is."""
        return self.execution.workflow_id

    def is_of(self, tenant: str, workflow_id: str) -> bool:
        """Whether a call that names *workflow_id*, or none, belongs to it."""
        return tenant == self.execution.tenant and workflow_id in {"", self.workflow_id}

    def now(self) -> datetime:
        """Return the store's time, by which waits are over."""
        return self._parts.runtime.now() + self._clock

    # What the code asks for. The identity is made when it asks, not when it waits for the answer.

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: StepOptions,
    ) -> Coroutine[Any, Any, Any]:
        """Return what *function* returns, now or in an earlier life."""
        given = self._canonical({"args": list(args), "kwargs": dict(kwargs)})
        asked = self._asked(StepKind.STEP, name, given, _name_of(function))

        async def perform(step: StepRecord) -> StepRecord:
            return await self._executed(step, function, args, kwargs, options)

        return self._answered(asked, perform)

    def value(self, name: str, make: Callable[[], Any]) -> Coroutine[Any, Any, Any]:
        """Return what *make* made, in the first life."""
        asked = self._asked(StepKind.VALUE, name, "{}", name)

        async def perform(step: StepRecord) -> StepRecord:
            return self._succeeded(step, make())

        return self._answered(asked, perform)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait so long."""
        asked = self._asked(StepKind.SLEEP, "sleep", json.dumps({"s": seconds}), "")
        return self._slept(asked, seconds)

    def wait_for(self, name: str, seconds: float | None) -> Coroutine[Any, Any, Any]:
        """Return the next signal called *name*; ``TimeoutError`` after so long."""
        asked = self._asked(StepKind.WAIT, name, json.dumps({"s": seconds}), "")
        return self._heard(asked, name, seconds)

    def patched(self, name: str) -> Coroutine[Any, Any, bool]:
        """Whether this execution goes the way of the code that has the patch *name*."""
        was_live = self._script.is_live
        asked = self._asked(StepKind.GATE, name, "{}", name)
        return self._gated(asked, was_live=was_live)

    def effect(self, name: str, fingerprint: str, call: EffectCall) -> Coroutine[Any, Any, Receipt]:
        """Return the answer to a tool call. The result is in the effect's own record."""
        asked = self._asked(StepKind.EFFECT, name, json.dumps({"fingerprint": fingerprint}), name)
        return self._effected(asked, call)

    # How it is answered.

    def _asked(self, kind: StepKind, name: str, args: str, function: str) -> Asked:
        branch = self._turns.branch()
        return self._script.asked(kind, name, args=args, function=function, branch=branch)

    async def _answered(self, asked: Asked, perform: Perform) -> Any:
        with self._turns.asking():
            step = asked.recorded
            if step is None or step.position is None:
                await self._turns.live()
                step = await self._kept(await perform(self._begun(asked)))
            await self._turns.take(step.position or 0)
            return self._told(step)

    def _told(self, step: StepRecord) -> Any:
        if step.state is StepState.FAILED:
            said: Any = json.loads(self._open(step.error or "{}", "error"))
            if step.kind is StepKind.WAIT:
                raise TimeoutError(said.get("message", ""))
            raise StepFailed(step.name, said.get("type", ""), said.get("message", ""), step.attempt)
        return None if step.result is None else json.loads(self._open(step.result, "result"))

    def _begun(self, asked: Asked) -> StepRecord:
        if asked.recorded is not None:
            return asked.recorded
        return StepRecord(
            name=asked.name,
            occurrence=asked.occurrence,
            kind=asked.kind,
            fingerprint=asked.fingerprint,
            state=StepState.PENDING,
            position=None,
            attempt=0,
            started_at=self._parts.runtime.now(),
            args=self.sealed(asked.args, "args"),
        )

    async def _executed(
        self,
        step: StepRecord,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: StepOptions,
    ) -> StepRecord:
        """Run a step's function until it succeeds or may not be tried again."""
        parts, begun = self._parts, self._parts.runtime.monotonic()
        contract = Contract(
            safety=Safety.READ,
            retry=options.policy,
            is_retry_declared=options.is_declared,
            timeout_s=options.timeout_s,
        )
        previous_s = 0.0
        while True:
            step = replace(step, attempt=step.attempt + 1)
            tries = Tries(
                attempt=step.attempt,
                elapsed_s=parts.runtime.monotonic() - begun,
                previous_s=previous_s,
                draw=draw(parts),
            )
            try:
                return self._succeeded(step, await self._invoked(function, args, kwargs, options))
            except NotSerializable as gap:
                return self._failed(step, gap)
            except HandlerTimeout:
                error: Exception = TimeoutError(
                    f"step {step.name!r} took longer than {options.timeout_s:g} s"
                )
                word = on_timeout(contract, error, tries)
            except Exception as raised:  # noqa: BLE001 - any error is put on record
                error = raised
                said = on_error(error, contract, parts.runtime.now(), tries)
                if isinstance(said, Done):
                    return self._succeeded(step, said.result)
                word = said
            if word.again_s is None:
                return self._failed(step, error)
            await self._kept(replace(step, error=self.sealed(failure_text(error), "error")), ends=False)
            await parts.runtime.sleep(word.again_s)
            previous_s = word.again_s

    async def _invoked(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: StepOptions,
    ) -> Any:
        handler = _calling(function, args, kwargs)
        life = context.life.set(None)  # a step is one thing: what it calls is not a part of the code
        try:
            return await self._parts.runtime.invoke(
                handler, {}, timeout_s=options.timeout_s, late=_nothing_late
            )
        finally:
            context.life.reset(life)

    async def _slept(self, asked: Asked, seconds: float) -> None:
        async def perform(step: StepRecord) -> StepRecord:
            if step.due_at is None:
                step = replace(step, due_at=self.now() + timedelta(seconds=seconds))
                await self._kept(step, ends=False)
            if step.due_at is not None and self.now() < step.due_at:
                await self._parked(step, Waits(name="time to pass", due_at=step.due_at))
            return self._succeeded(step, None)

        await self._answered(asked, perform)

    async def _heard(self, asked: Asked, name: str, seconds: float | None) -> Any:
        async def perform(step: StepRecord) -> StepRecord:
            if step.due_at is None and seconds is not None:
                step = replace(step, due_at=self.now() + timedelta(seconds=seconds))
                await self._kept(step, ends=False)
            message = self._take_message(name)
            if message is not None:
                return replace(
                    self._succeeded(step, None),
                    result=self.sealed(self._open(message.body, "body"), "result"),
                )
            if step.due_at is not None and self.now() >= step.due_at:
                return self._failed(step, TimeoutError(f"no signal {name!r} came in time"))
            await self._parked(step, Waits(name=f"signal {name!r}", due_at=step.due_at))
            raise AssertionError("whoever is parked is put away")  # pragma: no cover

        return await self._answered(asked, perform)

    def _take_message(self, name: str) -> Message | None:
        """Return the first signal of that name that no wait has had yet."""
        named = [message for message in self._messages if message.name == name]
        return named[self._heard_of[name]] if self._heard_of[name] < len(named) else None

    async def _gated(self, asked: Asked, *, was_live: bool) -> bool:
        if asked.told_at is None and not was_live:
            return False  # what is on record after this was made by code without the patch

        async def perform(step: StepRecord) -> StepRecord:
            return self._succeeded(step, True)  # noqa: FBT003 - the value of a gate

        await self._answered(asked, perform)
        return True

    async def _effected(self, asked: Asked, call: EffectCall) -> Receipt:
        with self._turns.asking():
            step = asked.recorded
            if step is not None and step.position is not None:
                await self._turns.take(step.position)
                record = None if step.effect is None else self._journal.effects.get(step.effect)
                if step.state is StepState.FAILED or record is None:
                    raise self._effect_failed(step)
                return call.answer(record)
            await self._turns.live()
            return await self._called(self._begun(asked), asked.occurrence, call)

    async def _called(self, step: StepRecord, occurrence: int, call: EffectCall) -> Receipt:
        """Make the call; doubt, and what only time or a person can end, is waited for."""
        parts = self._parts
        life = context.life.set(None)  # what a tool calls is not a part of the code
        try:
            receipt = await call.make(occurrence)
        except (InvalidCall, PolicyDenied, StoreError):
            raise
        except CircuitOpen as refused:
            await self._parked(step, Waits(name=f"{refused.dependency} to answer", due_at=refused.until))
            raise
        except Exception as error:
            key = call.key(occurrence)
            record = (await parts.store.find(self.execution.tenant, key)).record
            if record is not None and record.state in {State.FAILED, State.RETRYABLE, State.DENIED}:
                failed = replace(self._failed(step, error), attempt=record.attempt, effect=key)
                failed = await self._kept(failed, lazily=False)
                await self._turns.take(failed.position or 0)
                raise self._effect_failed(failed) from error
            due_at = self.now() + timedelta(seconds=_LOOK_AGAIN_S)
            await self._parked(step, Waits(name=f"evidence about {key}", due_at=due_at, is_review=True))
            raise
        finally:
            context.life.reset(life)
        done = replace(self._succeeded(step, None), attempt=1, effect=receipt.key, result=None)
        done = await self._kept(done, lazily=True)
        await self._turns.take(done.position or 0)
        return receipt

    def _effect_failed(self, step: StepRecord) -> EffectFailed:
        said: Any = json.loads(self._open(step.error or "{}", "error"))
        return EffectFailed(
            str(step.effect), said.get("type", ""), said.get("message", ""), said.get("state", "failed")
        )

    # What is put on record.

    def _succeeded(self, step: StepRecord, returned: Any) -> StepRecord:
        read = read_result(returned, max_bytes=self._parts.settings.max_result_bytes)
        return replace(
            step,
            state=StepState.SUCCEEDED,
            ended_at=self._parts.runtime.now(),
            result=self.sealed(read.text, "result"),
            error=None,
        )

    def _failed(self, step: StepRecord, error: BaseException) -> StepRecord:
        return replace(
            step,
            state=StepState.FAILED,
            ended_at=self._parts.runtime.now(),
            error=self.sealed(failure_text(error), "error"),
        )

    async def _kept(self, step: StepRecord, *, ends: bool = True, lazily: bool = False) -> StepRecord:
        """Put *step* on record, in the order of ends; return it with its position.

        Args:
            lazily: Its result is on record elsewhere: it may wait for the next commit.
        """
        if ends:
            step = replace(step, position=self._script.end())
            if step.kind is StepKind.WAIT and step.state is StepState.SUCCEEDED:
                self._heard_of[step.name] += 1
        self._queue.append(step)
        if lazily and len(self._queue) < _BUFFERED:
            return step
        async with self._turns.writing():
            if self._broken is not None:
                raise self._broken
            if self._queue:
                await self.commit(None)
        return step

    async def commit(self, leave: Leave | None) -> bool:
        """Write what is not on record yet, and leave the execution if that is wanted.

        Returns:
            Whether it was left; ``False`` where signals came that nobody has seen.

        Raises:
            ExecutionTaken: Somebody else works on it: nothing of this is on record.
            StoreUnavailable: Nothing is known.
        """
        parts, batch = self._parts, tuple(self._queue)
        self._queue.clear()
        op = Progress(
            tenant=self.execution.tenant,
            workflow_id=self.workflow_id,
            epoch=self.execution.epoch,
            lease_s=parts.settings.lease_s,
            at=parts.runtime.now(),
            steps=batch,
            leave=leave,
        )
        try:
            answer = await advance_patiently(parts, op)
        except Exception as error:
            self._broken = error
            raise
        if isinstance(answer, Advanced):
            self.execution = answer.execution
            return True
        found = answer.found
        if found is not None and found.epoch == self.execution.epoch:
            if leave is not None and found.status is leave.to:
                return True  # only the answer to it was lost
            if found.status is WorkflowStatus.RUNNING and leave is not None:
                self._queue[:0] = batch
                return False
        self._broken = ExecutionTaken(self.workflow_id, "" if found is None else found.owner)
        raise self._broken

    async def _parked(self, step: StepRecord, waits: Waits) -> None:
        self.waiting[step.place] = waits
        await self._turns.park()

    def _canonical(self, given: Mapping[str, Any]) -> str:
        return read_args(given, max_bytes=self._parts.settings.max_args_bytes).canonical

    def sealed(self, text: str, column: Column) -> str:
        execution = self.execution
        return self._parts.stamp(execution.tenant, place_of(self.workflow_id), execution.actor).seal(
            text, column
        )

    def _open(self, text: str, column: Column) -> str:
        return self._parts.opened(self.execution.tenant, place_of(self.workflow_id), text, column)


async def advance_patiently(parts: Parts, op: ExecutionOp) -> Advanced | Outrun:
    """Apply *op*, trying again for a while where the store is away.

    Raises:
        StoreUnavailable: It stayed away; the op may or may not have been applied.
    """
    until = parts.runtime.monotonic() + parts.settings.lease_s
    delay = _FIRST_DELAY_S
    while True:
        try:
            return await parts.store.advance(op)
        except StoreUnavailable:
            if parts.runtime.monotonic() + delay >= until:
                raise
            await parts.runtime.sleep(delay)
            delay = min(delay * 2, 1.0)


def place_of(workflow_id: str) -> EffectKey:
    return EffectKey(f"workflow {workflow_id}")


def _calling(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Handler:
    """Return *function* with its arguments, as async or as plain as it is."""

    async def coroutine() -> Any:
        return await function(*args, **kwargs)

    def plain() -> Any:
        return function(*args, **kwargs)

    call = getattr(function, "__call__", None)  # noqa: B004 - an object may have an async one
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
    return coroutine if is_async else plain


def _late(step: StepRecord, options: StepOptions) -> TimeoutError:
    return TimeoutError(f"step {step.name!r} took longer than {options.timeout_s:g} s")


def failure_text(error: BaseException) -> str:
    failure = failure_of(error)
    return json.dumps({"type": failure.type, "message": failure.message})


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__qualname__)


async def _nothing_late(_: Callable[[], Any]) -> None:
    """A step that was given up changed nothing."""
