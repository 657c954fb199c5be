"""Steps that wait: for time, for a signal, for another workflow. Nothing is held meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from holdfast._core.execution import ENDED, ExecutionRecord, StepKind, StepRecord
from holdfast._core.journal import Asked
from holdfast._core.states import WorkflowStatus
from holdfast._runtime.life import Life, Waits
from holdfast.errors import BudgetExceeded, EngineUnavailable, Suspended

BeginChild: TypeAlias = Callable[[str], Coroutine[Any, Any, ExecutionRecord]]
_LOOK_AGAIN_S: Final = 30.0  # at a workflow that is another one's: its end wakes whoever began it
_NAMED_BY: Final = 20  # hex digits of a fingerprint: ten thousand children of a workflow have as many ids
_HELD_S: Final = 0.5  # a shorter wait is not worth putting the workflow away


def sleep(life: Life, seconds: float) -> Coroutine[Any, Any, None]:
    """Wait so long."""
    asked = life.asked(StepKind.SLEEP, "sleep", json.dumps({"s": seconds}))

    async def perform(step: StepRecord) -> StepRecord:
        if step.due_at is None:
            step = await _due(life, step, seconds)
        await _passed(life, step)
        return life.succeeded(step, None)

    return life.answered(asked, perform)


async def _due(life: Life, step: StepRecord, seconds: float) -> StepRecord:
    return await life.kept(replace(step, due_at=life.now() + timedelta(seconds=seconds)), ends=False)


async def _passed(life: Life, step: StepRecord) -> None:
    """Wait until a step is due."""
    left_s = 0.0 if step.due_at is None else (step.due_at - life.now()).total_seconds()
    if left_s > _HELD_S:
        await life.parked(step, Waits(name="time to pass", due_at=step.due_at))
    if left_s > 0:
        await life.parts.runtime.sleep(left_s)


def wait_for(life: Life, name: str, seconds: float | None) -> Coroutine[Any, Any, Any]:
    """Return the next signal called *name*; ``TimeoutError`` after so long."""
    asked = life.asked(StepKind.WAIT, name, json.dumps({"s": seconds}))

    async def perform(step: StepRecord) -> StepRecord:
        if step.due_at is None and seconds is not None:
            step = await _due(life, step, seconds)
        message = life.message(name)
        if message is not None:
            return life.ended(step, result=life.sealed(life.opened(message.body, "body"), "result"))
        if step.due_at is None or life.now() < step.due_at:
            if asked.recorded is None and seconds is None:
                await life.kept(step, ends=False)  # for whoever looks at what it waits for
            await life.parked(step, Waits(name=f"signal {name!r}", due_at=step.due_at))
        return life.failed(step, TimeoutError(f"no signal {name!r} came in time"))

    return life.answered(asked, perform)


def child(
    life: Life, name: str, given: str, workflow_id: str | None, begin: BeginChild
) -> Coroutine[Any, Any, Any]:
    """Return the output of another workflow, which is begun for it.

    Args:
        name: Of its code.
        given: Its input, as canonical JSON.
        workflow_id: Its id; ``None`` for one that is made of this one's.
        begin: Begins the workflow of that id, or finds it begun, and maybe ended: by a life that died before
            it was on record that it waits for it.
    """
    asked = life.asked(StepKind.CHILD, name, json.dumps({"id": workflow_id, "input": given}), name)

    async def perform(step: StepRecord) -> StepRecord:
        found = life.journal.children.get(step.child or "")
        if step.child is None:
            step = replace(step, child=workflow_id or _child_id(life, asked))
            try:
                # It may have ended already: its end was news of an earlier life, and comes no more.
                found = await _begun(life, begin, step.child or "")
            except BudgetExceeded as refused:  # it was not begun
                return life.failed(replace(step, child=None), refused)
            except EngineUnavailable as error:  # nobody would work on it: this life is over, and asks again
                life.broken = error
                life.turns.end()
                raise Suspended from error
            await life.kept(step, ends=False)
        if found is None or found.status not in ENDED:
            is_ours = found is not None and found.parent == life.workflow_id
            due_at = None if is_ours else life.now() + timedelta(seconds=_LOOK_AGAIN_S)
            await life.parked(step, Waits(name=f"workflow {step.child!r}", due_at=due_at))
        return _of_child(life, step, found)

    return life.answered(asked, perform)


async def _begun(life: Life, begin: BeginChild, workflow_id: str) -> ExecutionRecord:
    """Begin a child as a whole: whoever ends the workflow has to find it, though its branch is called off."""
    told: list[ExecutionRecord] = []

    async def begins() -> None:
        with life.turns.acting():
            told.append(await begin(workflow_id))

    await life.turns.whole(begins)
    return told[0]


def _child_id(life: Life, asked: Asked) -> str:
    again = f"-{asked.occurrence + 1}" if asked.occurrence else ""
    return f"{life.workflow_id}/{asked.name}-{asked.fingerprint[:_NAMED_BY]}{again}"


def _of_child(life: Life, step: StepRecord, found: ExecutionRecord) -> StepRecord:
    """Return the step ended as its workflow has."""
    if found.status is WorkflowStatus.SUCCEEDED:
        output = life.opened(found.output or "null", "result", found.workflow_id)
        return life.ended(step, result=life.sealed(output, "result"))
    said = json.dumps({"type": "WorkflowCancelled", "message": found.pause_reason})
    if found.error is not None:
        said = life.opened(found.error, "error", found.workflow_id)
    return replace(life.failed(step, RuntimeError()), error=life.sealed(said, "error"))
