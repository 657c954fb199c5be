"""Effects: one with its story, and those in doubt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from holdfast._core.audit import attempts
from holdfast._core.states import Event, Safety, State
from holdfast.console.ledgers import looked
from holdfast.console.views.payloads import shown_effect, shown_event
from holdfast.errors import AttemptInfo
from holdfast.ledger import AuditEvent, EffectRecord, Ledger
from holdfast.ports import WorkflowRecord

MOST_DOUBT: Final = 200


@dataclass(frozen=True, slots=True)
class EffectStory:
    """One effect, whole.

    Attributes:
        workflow: What its effects tell of the workflow; ``None`` when none was ever in doubt or stopped it.
        head: Hash of the newest audit entry: names all that the story says.
        evidence: The entries that settle, or try to settle, what happened.
        undone_by: The effect that undid it.
        is_doubtful: Nobody knows: on record, or because the worker of an unsafe effect is gone.
    """

    effect: EffectRecord
    workflow: WorkflowRecord | None
    attempts: tuple[AttemptInfo, ...]
    story: tuple[AuditEvent, ...]
    evidence: tuple[AuditEvent, ...]
    head: str
    undone_by: str | None
    is_doubtful: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """One effect that nobody knows about."""

    effect: EffectRecord
    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is not known.

    Attributes:
        is_all: There are no more.
    """

    doubts: tuple[Doubt, ...]
    is_all: bool


_EVIDENCE: Final = frozenset(
    {Event.SUCCEED, Event.FAIL, Event.RELEASE, Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE, Event.NOTE}
)


async def effect_story(ledger: Ledger, key: str, now: datetime) -> EffectStory:
    """Say whether it happened, and how we know.

    Raises:
        EffectNotFound: This tenant has no such effect.
    """
    record, events = await looked(ledger, lambda engine: engine.records.story(key))
    story = tuple(shown_event(event) for event in events)
    bodies: dict[int, str | None] = {event.seq: json.dumps(event.details) for event in story}
    return EffectStory(
        effect=shown_effect(record),
        workflow=await looked(ledger, lambda engine: engine.records.workflow(record.workflow_id)),
        attempts=attempts(cast("Any", story), bodies),
        story=story,
        evidence=tuple(event for event in story if event.event in _EVIDENCE),
        head=story[-1].hash if story else "",
        undone_by=_undone_by(story),
        is_doubtful=is_doubtful(record, now),
    )


def is_doubtful(record: EffectRecord, now: datetime) -> bool:
    """Whether nobody knows if it happened."""
    if record.state is State.PENDING:
        return record.safety is Safety.UNSAFE and record.lease_until < now
    return record.state is State.UNKNOWN


async def doubts(ledger: Ledger, now: datetime) -> Doubts:
    """Say what is not known; what has waited longest comes first."""
    unknown = await ledger.effects(state=State.UNKNOWN, limit=MOST_DOUBT + 1)
    pending = await ledger.effects(state=State.PENDING, limit=MOST_DOUBT + 1)
    found = [_doubt(record) for record in [*unknown, *pending] if is_doubtful(record, now)]
    return Doubts(
        doubts=tuple(sorted(found, key=lambda doubt: (doubt.since, doubt.effect.key))),
        is_all=max(len(unknown), len(pending)) <= MOST_DOUBT,
    )


def _doubt(record: EffectRecord) -> Doubt:
    effect = shown_effect(record)
    if record.state is State.PENDING:
        why = "The worker's lease ran out without an outcome; the same call, or a sweep, records the doubt."
        return Doubt(effect, record.lease_until, why)
    how = "without evidence" if record.error is None else f"with {record.error.type}: {record.error.message}"
    return Doubt(effect, record.updated_at, f"Attempt {record.attempt} ended {how}")


def _undone_by(story: Sequence[AuditEvent]) -> str | None:
    found = [event.details.get("by_effect") for event in story if event.event is Event.COMPENSATE]
    return str(found[-1]) if found else None
