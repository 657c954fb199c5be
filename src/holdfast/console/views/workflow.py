"""One workflow: what happened, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.execution import StepKind
from holdfast._core.states import FINISHED, State, WorkflowStatus
from holdfast._runtime.deeds import deed_in
from holdfast.console.ledgers import looked
from holdfast.console.text import clock
from holdfast.console.views.payloads import brief, read_json, shown_effect
from holdfast.console.views.workflows import WorkflowRow, merged, of_code, of_effects
from holdfast.errors import WorkflowNotFound
from holdfast.ledger import EffectRecord, Execution, Ledger, WorkflowStep
from holdfast.ports import WorkflowRecord

MOST_EFFECTS: Final = 500
MOST_BARS: Final = 300
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing that took time: a step, or an effect that is no step's.

    Attributes:
        position: Which end it is of all that the code was told; ``None`` while it has not ended.
        x: Where it begins, in hundredths of the whole; so is *width*.
        outcome: What it came to, in a few words.
        effect: The effect that it was answered from; ``None`` for none. So is *child*, a workflow.
    """

    position: int | None
    kind: str
    name: str
    state: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    took_s: float
    x: float
    width: float
    outcome: str
    effect: str | None
    child: str | None


@dataclass(frozen=True, slots=True)
class WorkflowStory:
    """One workflow, whole.

    Attributes:
        bars: In the order of their beginnings.
        left_out: How many of them, the latest, are not among them.
        step_names: Of the steps that a fork may begin at.
        is_sealed: What its steps say cannot be opened here.
    """

    workflow: WorkflowRow
    execution: dict[str, Any] | None
    input: Any
    output: Any
    error: Any
    bars: tuple[Bar, ...]
    left_out: int
    whole_s: float
    effects: tuple[EffectRecord, ...]
    step_names: tuple[str, ...]
    stopped_by: str | None
    is_sealed: bool


async def workflow_story(ledger: Ledger, workflow_id: str, now: datetime) -> WorkflowStory:
    """Say what happened in it, in order.

    Raises:
        WorkflowNotFound: Nothing is on record of it.
    """
    effects = await ledger.effects(workflow_id=workflow_id, limit=MOST_EFFECTS)
    told = await looked(ledger, lambda engine: engine.durable.story(workflow_id))
    execution, steps = (None, []) if told is None else told
    record = await looked(ledger, lambda engine: engine.records.workflow(workflow_id))
    row = _row(workflow_id, execution, record, effects)
    bars = _bars(steps or [], effects, now)
    whole_s = _whole_s(bars)
    return WorkflowStory(
        workflow=row,
        execution=None if execution is None else _facts(execution),
        input=None if execution is None else read_json(execution.input),
        output=None if execution is None else read_json(execution.output),
        error=None if execution is None else read_json(execution.error),
        bars=tuple(bars[:MOST_BARS]),
        left_out=max(0, len(bars) - MOST_BARS),
        whole_s=whole_s,
        effects=tuple(shown_effect(effect) for effect in effects),
        step_names=tuple(dict.fromkeys(step.name for step in steps or [] if step.position is not None)),
        stopped_by=None if record is None else record.stopped_by,
        is_sealed=steps is None,
    )


def _row(
    workflow_id: str,
    execution: Execution | None,
    record: WorkflowRecord | None,
    effects: Sequence[EffectRecord],
) -> WorkflowRow:
    if execution is not None:
        row = of_code(execution)
        return row if record is None else merged(row, of_effects(record))
    if record is not None:
        return of_effects(record)
    if not effects:
        raise WorkflowNotFound(workflow_id)
    return _bare(workflow_id, effects)


def _bare(workflow_id: str, effects: Sequence[EffectRecord]) -> WorkflowRow:
    """Return a workflow of which nothing is on record but its effects, none of which was ever in doubt."""
    is_settled = all(effect.state in FINISHED for effect in effects)
    return WorkflowRow(
        id=workflow_id,
        status=WorkflowStatus.SUCCEEDED if is_settled else WorkflowStatus.RUNNING,
        pause="",
        why="",
        in_doubt=0,
        name="",
        version="",
        actor=effects[0].actor,
        queue="",
        is_code=False,
        created_at=min(effect.created_at for effect in effects),
        updated_at=max(effect.updated_at for effect in effects),
    )


def _facts(execution: Execution) -> dict[str, Any]:
    return {
        "name": execution.function,
        "version": execution.version,
        "queue": execution.queue,
        "priority": execution.priority,
        "parent": execution.parent or None,
        "on_failure": execution.on_failure,
        "owner": execution.owner or None,
        "lease_until": execution.lease_until if execution.owner else None,
        "crashes": execution.crashes,
        "waits_for": execution.waits_for or None,
        "wake_at": execution.wake_at,
        "deadline_at": execution.deadline_at,
        "is_cancelled": execution.is_cancelled,
        "trace": execution.trace or None,
        "started_at": execution.started_at,
        "ended_at": execution.ended_at,
    }


def _bars(steps: Sequence[WorkflowStep], effects: Sequence[EffectRecord], now: datetime) -> list[Bar]:
    known = {step.effect for step in steps}
    states = {str(effect.key): effect.state for effect in effects}
    spans = [_of_step(step, states, now) for step in steps]
    spans += [_of_effect(effect, now) for effect in effects if effect.key not in known]
    spans.sort(key=lambda bar: (bar.started_at, bar.position or 0, bar.name))
    if not spans:
        return []
    begun, whole_s = spans[0].started_at, _whole_s(spans)
    return [
        replace(
            bar,
            x=round(100 * (bar.started_at - begun).total_seconds() / whole_s, 2),
            width=max(round(100 * bar.took_s / whole_s, 2), 0.4),
        )
        for bar in spans
    ]


def _whole_s(bars: Sequence[Bar]) -> float:
    if not bars:
        return 0.0
    begun = min(bar.started_at for bar in bars)
    ends = [(bar.started_at - begun).total_seconds() + bar.took_s for bar in bars]
    return max(*ends, 0.001)


def _of_step(step: WorkflowStep, states: dict[str, State], now: datetime) -> Bar:
    state = states.get(step.effect, step.state) if step.effect else step.state
    return Bar(
        position=step.position,
        kind=step.kind,
        name=step.name,
        state=state,
        attempts=step.attempts,
        started_at=step.started_at,
        ended_at=step.ended_at,
        took_s=max(((step.ended_at or now) - step.started_at).total_seconds(), 0.0),
        x=0.0,
        width=0.0,
        outcome=_outcome(step),
        effect=step.effect,
        child=step.child,
    )


def _outcome(step: WorkflowStep) -> str:
    if step.error is not None:
        return f"{step.error.get('type', '')}: {step.error.get('message', '')}"[:_SHOWN]
    if step.position is None:
        return "" if step.due_at is None else f"due {clock(step.due_at)}"
    return brief(step.result, _SHOWN)


def _of_effect(effect: EffectRecord, now: datetime) -> Bar:
    ended_at = None if effect.state is State.PENDING else effect.observed_at or effect.updated_at
    error = effect.error
    told = "" if effect.result is None else brief(effect.result, _SHOWN)
    name = effect.tool if effect.intent == effect.tool else f"{effect.tool} (to {effect.intent})"
    deed = deed_in(effect.tool)
    if deed:
        facts: Mapping[str, Any] = effect.args or {}
        name, told = f"{deed}, by {effect.actor}", f"because: {facts.get('reason', '')}"[:_SHOWN]
    return Bar(
        position=None,
        kind="deed" if deed else StepKind.EFFECT,
        name=name,
        state=effect.state,
        attempts=effect.attempt,
        started_at=effect.created_at,
        ended_at=ended_at,
        took_s=max(((ended_at or now) - effect.created_at).total_seconds(), 0.0),
        x=0.0,
        width=0.0,
        outcome=told if error is None else f"{error.type}: {error.message}"[:_SHOWN],
        effect=str(effect.key),
        child=None,
    )
