"""Tool calls as steps of a workflow: the effect's own record has the result, and the journal its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final, NoReturn

from holdfast._core.execution import StepKind, StepRecord, StepState
from holdfast._core.journal import Asked
from holdfast._core.model import EffectKey, Receipt, Record
from holdfast._core.states import State
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.life import Life, Waits
from holdfast._runtime.purses import refusal_of, refuse_late
from holdfast.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    BudgetExceeded,
    CircuitOpen,
    EffectFailed,
    ExecutionTaken,
    InProgress,
    InvalidCall,
    LedgerClosed,
    NotSerializable,
    PayloadConflict,
    PolicyDenied,
    StoreError,
    StoreInvariant,
    Suspended,
    WorkflowStopped,
)

_LOOK_AGAIN_S: Final = 30.0
_REFUSED: Final = (InvalidCall, NotSerializable, PayloadConflict, PolicyDenied)
"""What is refused once is refused in every life."""
_NO: Final = {"ApprovalDenied": ApprovalDenied, "ApprovalExpired": ApprovalExpired}
_FAILED: Final = frozenset({State.FAILED, State.RETRYABLE, State.DENIED, State.CANCELLED})


@value
class EffectCall:
    """One tool call of a workflow's code; it is told which one of equal calls it is, and of which branch.

    Attributes:
        make: Executes it, or answers from the record.
        key: Names its effect.
        answer: Reads its record.
        changes: It may change something: before it begins, the journal says so. Code that does not ask for it
            again is other code, whatever came of it.
    """

    make: Callable[[int, str], Coroutine[Any, Any, Receipt]]
    key: Callable[[int, str], EffectKey]
    answer: Callable[[Record], Receipt]
    changes: bool


@value
class Answering:
    """A tool call that was asked for: its identity is made, and nothing has begun.

    Attributes:
        answer: Executes it, or answers from the record.
        told_at: When, among all ends, a workflow's code is told of it; ``None`` while that is not on record.
    """

    answer: Callable[[], Coroutine[Any, Any, Receipt]]
    told_at: int | None = None


def effect(life: Life, name: str, fingerprint: str, call: EffectCall) -> Answering:
    """Ask for the answer to a tool call."""
    asked = life.asked(StepKind.EFFECT, name, json.dumps({"fingerprint": fingerprint}), name)
    return Answering(answer=partial(_answered, life, asked, call), told_at=asked.told_at)


async def _answered(life: Life, asked: Asked, call: EffectCall) -> Receipt:
    with life.turns.asking():
        step = asked.recorded
        if step is not None and step.position is not None:
            await life.turns.take(step.position)
            if step.state is StepState.FAILED:
                raise _failed(life, step)
            return call.answer(_record(life, step))
        await life.turns.live()
        await life.look()
        step = life.begun(asked)
        if asked.recorded is None and call.changes:
            await life.kept(step, ends=False)
            await life.go_on()
        return await _called(life, step, asked, call)


def _record(life: Life, step: StepRecord) -> Record:
    """Return the record of the effect that a step was answered from; without it nobody can go on."""
    record = None if step.effect is None else life.journal.effects.get(step.effect)
    if record is None:
        why = f"the record of its step {step.name!r} was deleted"
        life.broken = StoreInvariant("go through a workflow", why, str(step.effect))
        life.turns.end()
        raise Suspended
    return record


async def _called(life: Life, step: StepRecord, asked: Asked, call: EffectCall) -> Receipt:
    """Make the call; doubt, and what only time or a person can end, is waited for."""
    token = context.life.set(None)  # what a tool calls is not a part of the code
    try:
        refuse_late(context.purses.get(), life.parts.runtime.now())
        with life.turns.acting():
            receipt = await call.make(asked.occurrence, asked.branch)
    except (StoreError, LedgerClosed, ExecutionTaken) as error:  # nobody can say anything: this life is over
        life.broken = error
        life.turns.end()
        raise Suspended from error
    except _REFUSED as error:
        await _fall(life, step, error, attempt=0)
    except Exception as error:  # noqa: BLE001 - any error of a tool is put on record
        await _fallen(life, step, call.key(asked.occurrence, asked.branch), error)
    finally:
        context.life.reset(token)
    done = replace(life.ended(step, result=None), attempt=1, effect=receipt.key)
    done = await life.kept(done, lazily=True)
    await life.turns.take(done.position or 0)
    return receipt


async def _fallen(life: Life, step: StepRecord, key: EffectKey, error: Exception) -> NoReturn:
    """End the step as its effect has ended, or wait until it has."""
    soon = life.now() + timedelta(seconds=_LOOK_AGAIN_S)
    match error:
        case ApprovalRequired():
            waits = Waits(name=f"people to decide on {step.name!r}", due_at=error.expires_at or soon)
        case CircuitOpen():
            waits = Waits(name=f"{error.dependency} to answer", due_at=error.until)
        case WorkflowStopped():
            waits = Waits(name="a person to let it go on", is_review=True)
        case InProgress():
            waits = Waits(name=f"another worker's call {key}", due_at=error.until)
        case _:
            record = (await life.parts.store.find(life.execution.tenant, key)).record
            if record is not None and record.state in _FAILED:
                await _fall(life, replace(step, effect=key), error, attempt=record.attempt)
            name = f"evidence about {key}"
            if isinstance(error, BudgetExceeded):
                if record is None or record.state is State.WAITING:
                    await _fall(life, step, error, attempt=0)
                # An earlier attempt may have acted, and there is no room for another one: that is doubt.
                name += f", or room in budget {error.account}/{error.unit}"
            waits = Waits(name=name, due_at=soon, is_review=True)
    await life.parked(step, waits)


async def _fall(life: Life, step: StepRecord, error: Exception, *, attempt: int) -> NoReturn:
    failed = replace(life.failed(step, error), attempt=attempt)
    if isinstance(error, EffectFailed):  # told by its record: the code hears of what the record tells of
        said = json.dumps({"type": error.error_type, "message": error.error_message})
    elif isinstance(error, ApprovalDenied):
        said = json.dumps({"type": type(error).__name__, "message": error.reason})
    else:
        said = ""
    if said:
        failed = replace(failed, error=life.sealed(said, "error"))
    failed = await life.kept(failed)
    await life.turns.take(failed.position or 0)
    raise _failed(life, failed) from error


def _failed(life: Life, step: StepRecord) -> EffectFailed | ApprovalDenied | BudgetExceeded:
    said: Any = json.loads(life.opened(step.error or "{}", "error"))
    refused = refusal_of(said)
    if refused is not None:
        return refused
    key, kind, message = str(step.effect or step.name), said.get("type", ""), said.get("message", "")
    no = _NO.get(kind)
    return EffectFailed(key, kind, message, "failed") if no is None else no(key, message)
