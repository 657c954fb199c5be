"""Evidence for effects in doubt: a tool's reconciler, or a person."""

from __future__ import annotations

import inspect
from typing import Any

from holdfast._core.change import Committed, PlainOutcome, head_of, plan_move
from holdfast._core.contract import Contract, evidence
from holdfast._core.decide import on_evidence
from holdfast._core.identity import read_result
from holdfast._core.model import Done, Evidence, Record, StillUnknown
from holdfast._core.states import Event, State
from holdfast._runtime.parts import Parts, effect_of
from holdfast._runtime.record import commit_patiently
from holdfast.errors import (
    EffectNotFound,
    InvalidCall,
    InvalidTool,
    NotDone,
    NotResolvable,
    NotSerializable,
)
from holdfast.ports import Found

_REASON_LENGTH = 2000


async def reconcile(parts: Parts, record: Record, contract: Contract, actor: str) -> Record:
    """Ask the tool's reconciler about an effect in doubt and apply what it finds.

    A reconciler that raises has found nothing. Two at once are harmless: the second to write looks again.

    Returns:
        The effect as it stands afterwards.
    """
    found = await _ask(parts, record, contract)
    if isinstance(found, NotDone) and record.key in parts.lingering:
        found = StillUnknown("found nothing, but the handler is still running in a thread of this process")
    now = (await parts.store.find(record.tenant, record.key)).now
    event = on_evidence(found, record, now, parts.settings.skew)
    if isinstance(event, StillUnknown):
        return await _apply(
            parts, record, Event.NOTE, actor, None, {"reconciled": "still_unknown", "why": event.why}
        )
    return await _apply(parts, record, event, actor, _outcome(parts, found), {"source": "reconciler"})


async def resolve(parts: Parts, record: Record, found: Evidence, *, by: str, reason: str) -> Record:
    """Apply a person's evidence to an effect in doubt. A person's "not done" counts at once.

    Raises:
        NotResolvable: The effect is not in doubt. Nothing changed.
        InvalidCall: No name or no reason was given. Nothing changed.
        NotSerializable: The result has no JSON form. Nothing changed.
    """
    if not (_is_told(by) and by.isprintable() and _is_told(reason)):
        raise InvalidCall(
            "evidence without a name and a reason", "say by= whom, and the reason= (what was seen)"
        )
    details = {"source": "person", "by": by[:200], "reason": reason[:_REASON_LENGTH]}
    if record.state is not State.UNKNOWN:
        raise NotResolvable(record.key, record.state)
    match found:
        case Done(result):
            read_result(
                result, max_bytes=parts.settings.max_result_bytes
            )  # refused here, not recorded as a gap
            after = await _apply(parts, record, Event.RESOLVE_DONE, by, _outcome(parts, found), details)
        case NotDone():
            after = await _apply(parts, record, Event.RESOLVE_NOT_DONE, by, None, details)
        case StillUnknown(why):
            after = await _apply(parts, record, Event.NOTE, by, None, {**details, "why": why})
    return after


async def bury(parts: Parts, record: Record, event: Event, actor: str) -> Found:
    """End a dead worker's claim by *event*, if its lease is over still; return the effect as it is then."""
    change, _ = plan_move(
        head_of(record),
        event,
        parts.stamp(record.tenant, record.key, actor),
        lease_over=True,
        details={"why": "the worker's lease ran out without an outcome", "owner": record.owner},
    )
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    answer = await commit_patiently(parts, change, until=until)
    if isinstance(answer, Committed):
        parts.bus.ring(record.key)
    return await parts.store.find(record.tenant, record.key)


def _is_told(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


async def _ask(parts: Parts, record: Record, contract: Contract) -> Evidence:
    if contract.reconcile is None:
        what = f"tool {record.tool!r} has no reconciler"
        raise InvalidTool(what, "declare reconcile=..., or settle it with `holdfast resolve`")
    try:
        answer: Any = contract.reconcile(effect_of(parts, record))
        if inspect.isawaitable(answer):
            answer = await answer
    except NotDone as error:
        return error
    except Exception as error:  # noqa: BLE001 - no evidence is what it found; the type is noted
        return StillUnknown(f"the reconciler raised {type(error).__qualname__}")
    return evidence(answer, source="the reconciler")


def _outcome(parts: Parts, found: Evidence) -> PlainOutcome | None:
    if not isinstance(found, Done):
        return None
    try:
        return PlainOutcome(result=read_result(found.result, max_bytes=parts.settings.max_result_bytes).text)
    except NotSerializable as error:
        return PlainOutcome(result_gap=f"{error.path} {error.why}")


async def _apply(
    parts: Parts,
    record: Record,
    event: Event,
    actor: str,
    outcome: PlainOutcome | None,
    details: dict[str, Any],
) -> Record:
    stamp = parts.stamp(record.tenant, record.key, actor)
    change, after = plan_move(head_of(record), event, stamp, outcome=outcome, details=details)
    answer = await parts.store.commit(change)
    if isinstance(answer, Committed):
        parts.bus.ring(record.key)
    found = (await parts.store.find(record.tenant, record.key)).record
    if found is None:
        raise EffectNotFound(record.key)
    if (
        not isinstance(answer, Committed)
        and found.audit_hash != after.audit_hash
        and (found.state, found.fence, found.attempt) == (record.state, record.fence, record.attempt)
        and event is not Event.NOTE
    ):
        return await _apply(parts, found, event, actor, outcome, details)  # only a note came between
    return found
