"""What queries return: recorded effects and their audit trail, decoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdfast._core.audit import AuditEntry, Problem
from holdfast._core.change import Column
from holdfast._core.model import EffectKey, Failure, Fingerprint, Record
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRecord:
    """An effect as the ledger has it on record.

    Attributes:
        args: The arguments as JSON; ``None`` when sealed with a codec that this ledger lacks.
        result: The handler's result as JSON; ``None`` also when there is none.
        result_gap: Why a done effect has no result on record, else ``None``.
        error: The last recorded failure, else ``None``.
        attempt: How often it was executed.
        lease_until: When the present claim runs out; meaningful while ``pending``.
        observed_at: When the outcome was learnt.
        spent: Its retries are used up: no attempt without a person's word.
        retry_at: Before this moment it is not tried, or looked at, again; ``None`` for any time.
        uncertain: It may be tried again, but an attempt may have acted.
        external_id: What the system outside calls it.
        undoes: The effect that this one compensates.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
    tool: str
    intent: str
    safety: Safety
    state: State
    fingerprint: Fingerprint
    args: Mapping[str, Any] | None
    result: Any
    result_gap: str | None
    error: Failure | None
    call_id: str | None
    actor: str
    attempt: int
    lease_until: datetime
    created_at: datetime
    updated_at: datetime
    observed_at: datetime | None
    spent: bool = False
    retry_at: datetime | None = None
    uncertain: bool = False
    external_id: str | None = None
    undoes: EffectKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of an effect's story.

    Attributes:
        details: What the entry says, e.g. ``workflow_id``, ``reason``; empty once erased.
        hash: Hex hash that the next entry covers.
    """

    seq: int
    at: datetime
    event: Event
    state: State
    actor: str
    attempt: int
    fence: int
    details: Mapping[str, Any]
    hash: str

    @property
    def note(self) -> str:
        """The telling part of the details in a few words."""
        told = (
            "late",
            "reconciled",
            "source",
            "signal",
            "by",
            "reason",
            "why",
            "error_type",
            "fault",
            "delay_s",
            "by_effect",
            "undoes",
            "result_gap",
        )
        plain = [f"{name}: {self.details[name]}" for name in told if self.details.get(name)]
        return "; ".join([*_of_people(self.details), *_of_budgets(self.details), *plain])


def _of_people(details: Mapping[str, Any]) -> list[str]:
    """Return what an entry tells of people who were asked."""
    told: list[str] = []
    if decision := details.get("decision"):
        reason = f" ({decision['reason']})" if decision.get("reason") else ""
        told.append(f"{decision['by']} said {'yes' if decision['approves'] else 'no'}{reason}")
    if edit := details.get("edit"):
        told.append(f"{edit['by']} changed the arguments")
    if handed := details.get("handed"):
        told.append(f"{handed['from']} handed it to {handed['to']}")
    if asked := details.get("info_requested"):
        told.append(f"{asked['by']} asked for more ({asked['question']})")
    if answer := details.get("info_answered"):
        told.append(f"the agent answered ({answer['answer']})")
    if refused := details.get("refused"):
        told.append(f"{refused['by']} was refused ({refused['kind']})")
    return told


def _of_budgets(details: Mapping[str, Any]) -> list[str]:
    """Return what an entry tells of a model call that was made otherwise, since a budget or a rule said so."""
    steered = details.get("steered") or {}
    told: list[str] = []
    if route := steered.get("route"):
        told.append(f"{route['to']} was asked instead of {route['from']} ({route['why']})")
    if steered.get("warned"):
        told.append("the model was told how much of its budget is used")
    if slowed_s := steered.get("slowed_s"):
        told.append(f"slowed by {slowed_s:g} s")
    if told and (level := steered.get("budget")):
        used, cap = level["used"] + level["held"], level["cap"]
        told.append(f"budget {level['account']}/{level['unit']}: {used} of {cap} used or held")
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """Result of checking audit chains.

    Attributes:
        chains: How many effects were checked.
        entries: How many audit entries.
        unreadable: How many effects are sealed with a codec that this ledger lacks: only their chains
            were checked, not what their entries say.
        problems: What should not be; empty when all is well.
    """

    chains: int
    entries: int
    unreadable: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapReport:
    """Result of retention.

    Attributes:
        removed: How many finished effects were deleted, with their trails (or would be).
        kept: Keys of old effects that are not finished: they wait for a person.
    """

    removed: int
    kept: tuple[EffectKey, ...]


def effect_record(parts: Parts, record: Record) -> EffectRecord:
    """Return *record* with its payloads decoded."""

    def read(text: str | None, column: Column) -> Any:
        if text is None:
            return None
        try:
            return json.loads(parts.opened(record.tenant, record.key, text, column))
        except ValueError:  # sealed with a key that this ledger does not have
            return None

    error = read(record.error, "error")
    return EffectRecord(
        tenant=record.tenant,
        key=record.key,
        workflow_id=record.workflow_id,
        tool=record.tool,
        intent=record.intent,
        safety=record.safety,
        state=record.state,
        fingerprint=record.fingerprint,
        args=read(record.args, "args"),
        result=read(record.result, "result"),
        result_gap=record.result_gap,
        error=None if error is None else Failure(**error),
        call_id=record.call_id,
        actor=record.actor,
        attempt=record.attempt,
        lease_until=record.lease_until,
        created_at=record.created_at,
        updated_at=record.updated_at,
        observed_at=record.observed_at,
        spent=record.spent,
        retry_at=record.not_before,
        uncertain=record.uncertain,
        external_id=record.external_id,
        undoes=record.undoes,
    )


def audit_event(entry: AuditEntry, body: str | None) -> AuditEvent:
    """Return *entry* with its body decoded."""
    return AuditEvent(
        seq=entry.seq,
        at=entry.at,
        event=entry.event,
        state=entry.state,
        actor=entry.actor,
        attempt=entry.attempt,
        fence=entry.fence,
        details={} if body is None else json.loads(body),
        hash=entry.hash.hex(),
    )
