"""Calls that were drawn for people to look at afterwards: found in audit trails, reviewed by notes there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from holdfast._core.change import Committed, head_of
from holdfast._core.model import EffectKey, Record
from holdfast._core.people import Principal
from holdfast._core.plan import plan_move
from holdfast._core.reviews import ReviewVerdict, SampledCall, drawn, reviews_in, why_no_reviewer
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.parts import Parts
from holdfast._runtime.record import commit_patiently
from holdfast.errors import DecisionRefused, EffectNotFound, InvalidCall, PayloadSealed, StoreInvariant
from holdfast.ports import Query

MOST_CALLS: Final = 10_000
"""So many calls are looked through at most, the newest: which were drawn, only their trails tell."""
_TRIES: Final = 100


async def sampled_calls(
    parts: Parts, tenant: str, since: datetime, *, tool: str | None = None, is_reviewed: bool | None = None
) -> list[SampledCall]:
    """Return the calls made since then that were drawn, newest first.

    Args:
        is_reviewed: Only those that somebody has looked at, or only those that nobody has.
    """
    query = Query(tenant=tenant, tool=tool, since=since, limit=MOST_CALLS)
    found: list[SampledCall] = []
    for record in await parts.store.effects(query):
        if record.audit_seq < _least_entries(record, is_reviewed=is_reviewed):
            continue
        call = await sampled_call(parts, record)
        if call is not None and is_reviewed in {None, bool(call.reviews)}:
            found.append(call)
    return found


def _least_entries(record: Record, *, is_reviewed: bool | None) -> int:
    """Return how many audit entries an effect has at least if it is one of those that are looked for."""
    until_done = 1 if record.safety is Safety.READ else 2
    return until_done + 1 if is_reviewed else 1


async def sampled_call(parts: Parts, record: Record) -> SampledCall | None:
    """Return an effect as a call that was drawn; ``None`` when it was not, or nobody can tell here."""
    entries = tuple(await parts.store.trail(record.tenant, record.key))
    try:
        plain = parts.plain_bodies(entries)
    except PayloadSealed:
        return None
    told: list[tuple[datetime, Mapping[str, Any]]] = [
        (entry.at, json.loads(body)) for entry in entries if (body := plain[entry.seq]) is not None
    ]
    passed = drawn([body for _, body in told])
    if passed is None:
        return None
    return SampledCall(
        tenant=record.tenant,
        key=record.key,
        workflow_id=record.workflow_id,
        tool=record.tool,
        actor=record.actor,
        state=record.state,
        args=_args(parts, record),
        at=record.created_at,
        rule=str(passed.get("rule", "")),
        policy=str(passed.get("policy", "")),
        reviews=reviews_in(told),
    )


def _args(parts: Parts, record: Record) -> Mapping[str, Any] | None:
    try:
        told: Any = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    except (PayloadSealed, ValueError):
        return None
    return told if isinstance(told, dict) else None  # pyright: ignore[reportUnknownVariableType]


async def review(
    parts: Parts, tenant: str, key: EffectKey, who: Principal, verdict: ReviewVerdict, reason: str
) -> SampledCall:
    """Put on record what somebody found who looked at a call that was drawn.

    Raises:
        DecisionRefused: It is not for them to say.
        EffectNotFound: This tenant has none of that key.
        InvalidCall: It was not drawn, or is under way.
    """
    for _ in range(_TRIES):
        found = await parts.store.find(tenant, key)
        if found.record is None:
            raise EffectNotFound(key)
        call = await sampled_call(parts, found.record)
        if call is None:
            raise InvalidCall(
                f"effect {key!r} was not drawn", "see `holdfast oversight sampled` for those that were"
            )
        if found.record.state is State.PENDING:
            raise InvalidCall(f"effect {key!r} is under way", "review it when it has ended")
        why = why_no_reviewer(call, who, parts.people, found.now)
        if why:
            raise DecisionRefused(key, "not_allowed", why)
        told = {"by": who.id, "verdict": verdict, "reason": reason, "method": who.method}
        stamp = parts.stamp(tenant, key, who.id)
        change, head = plan_move(head_of(found.record), Event.NOTE, stamp, details={"review": told})
        until = parts.runtime.monotonic() + parts.settings.store_patience_s
        answer = await commit_patiently(parts, change, until=until)
        after = (await parts.store.find(tenant, key)).record
        is_lost = (
            after is not None and after.audit_hash == head.audit_hash
        )  # our own write; only its answer was
        if isinstance(answer, Committed) or is_lost:
            return (None if after is None else await sampled_call(parts, after)) or call
    raise StoreInvariant("review an effect", "it is never left alone", key)
