"""Who works, on what, and what that depends on: what leases, queues and circuits tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast._core.states import State, WorkflowStatus
from holdfast.ledger import DependencyState, EffectRecord, Execution, Ledger

_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Holding:
    """One claim that somebody has, or had when they died.

    Attributes:
        what: ``workflow`` or ``effect``.
        is_lapsed: The lease is over: whoever had it is gone, or cut off.
    """

    what: str
    id: str
    name: str
    owner: str
    since: datetime
    lease_until: datetime
    is_lapsed: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits for a worker.

    Attributes:
        due: How many may be taken now.
        longest: Since when the first of them could have been.
    """

    name: str
    due: int
    later: int
    longest: datetime | None


@dataclass(frozen=True, slots=True)
class Workers:
    """Who works, and on what."""

    holdings: tuple[Holding, ...]
    queues: tuple[Queue, ...]
    dependencies: tuple[DependencyState, ...]
    is_all: bool


async def workers(ledger: Ledger, now: datetime) -> Workers:
    """Say who works, and whether anybody is gone."""
    running = await ledger.executions(status=WorkflowStatus.RUNNING, limit=_MOST)
    pending = await ledger.effects(state=State.PENDING, limit=_MOST)
    queued = await ledger.executions(status=WorkflowStatus.QUEUED, limit=_MOST)
    holdings = [_of_workflow(one, now) for one in running] + [_of_effect(one, now) for one in pending]
    return Workers(
        holdings=tuple(sorted(holdings, key=lambda one: (not one.is_lapsed, one.lease_until, one.id))),
        queues=_queues(queued, now),
        dependencies=tuple(await ledger.dependencies()),
        is_all=max(len(running), len(pending), len(queued)) < _MOST,
    )


def _of_workflow(execution: Execution, now: datetime) -> Holding:
    return Holding(
        what="workflow",
        id=execution.workflow_id,
        name=execution.function,
        owner=execution.owner,
        since=execution.started_at or execution.created_at,
        lease_until=execution.lease_until,
        is_lapsed=execution.lease_until < now,
    )


def _of_effect(effect: EffectRecord, now: datetime) -> Holding:
    return Holding(
        what="effect",
        id=effect.key,
        name=effect.tool,
        owner=effect.actor,
        since=effect.updated_at,
        lease_until=effect.lease_until,
        is_lapsed=effect.lease_until < now,
    )


def _queues(queued: list[Execution], now: datetime) -> tuple[Queue, ...]:
    due: Counter[str] = Counter()
    later: Counter[str] = Counter()
    longest: dict[str, datetime] = {}
    for one in queued:
        since = one.wake_at or one.created_at
        if since > now:
            later[one.queue] += 1
        else:
            due[one.queue] += 1
            longest[one.queue] = min(since, longest.get(one.queue, since))
    return tuple(Queue(name, due[name], later[name], longest.get(name)) for name in sorted({*due, *later}))
