"""What a caller is told of an effect that it does not execute: the recorded answer, or why there is none."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from holdfast._core.audit import attempts
from holdfast._core.identity import differing_paths
from holdfast._core.model import Finding, Receipt, Record
from holdfast._core.states import State
from holdfast._runtime.parts import Parts, Work, receipt_of
from holdfast.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    EffectCancelled,
    EffectFailed,
    HoldfastError,
    InvalidCall,
    NotSerializable,
    OutcomeUnknown,
    PayloadConflict,
    PolicyDenied,
)


def replay(parts: Parts, work: Work, record: Record) -> Receipt:
    """Answer from the record (I7).

    Raises:
        NotSerializable: The effect is done, but its result could not be kept.
    """
    if record.result_gap is not None:
        path, _, why = record.result_gap.partition(" ")
        raise NotSerializable(path, why, record.key)
    text = None if record.result is None else parts.opened(record.tenant, record.key, record.result, "result")
    findings = work.findings
    if work.contract.ignore:
        differing = _ignored_differences(parts, work, record)
        if differing:
            message = f"answered from the record although {', '.join(differing)} differ"
            findings = (*findings, Finding(code="payload_differs", message=message, paths=differing))
    return receipt_of(
        parts,
        record,
        replayed=True,
        result=None if text is None else json.loads(text),
        findings=findings,
        call_id=work.call.call_id,
    )


def _ignored_differences(parts: Parts, work: Work, record: Record) -> tuple[str, ...]:
    recorded = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    offered = work.payload.plain
    names = [name for name in work.contract.ignore if name in recorded or name in offered]
    return differing_paths({n: recorded.get(n) for n in names}, {n: offered.get(n) for n in names})


def conflict(parts: Parts, work: Work, record: Record) -> PayloadConflict:
    """Return the error for the same key with another payload: paths, never values."""
    try:
        recorded: Any = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
        paths = differing_paths(recorded, work.payload.plain, ignore=work.contract.ignore)
    except ValueError:  # erased, or sealed with a key that this ledger does not have
        paths = ()
    return PayloadConflict(work.key, paths, (record.fingerprint, work.new.fingerprint))


def other_kind(record: Record) -> InvalidCall:
    """Return the error for a key that is on record as a read: its answer proves nothing."""
    what = f"effect {record.key!r} is on record as a read, and {record.tool!r} is no read any more"
    return InvalidCall(what, "give the call another key, or the tool another name; nothing ran")


def in_doubt(parts: Parts, record: Record) -> OutcomeUnknown:
    """Return the error for an effect that nobody can vouch for."""
    why = f"attempt {record.attempt} ended without evidence"
    if record.error is not None:
        try:
            why += f" ({json.loads(parts.opened(record.tenant, record.key, record.error, 'error'))['type']})"
        except ValueError:  # sealed with a key that this ledger does not have
            why += " (its error is sealed)"
    return OutcomeUnknown(record.key, why)


def denied(parts: Parts, record: Record) -> HoldfastError:
    """Return the error for an effect that people, or rules, said no to."""
    said: dict[str, Any] = {}
    with suppress(ValueError):  # sealed with a key that this ledger does not have
        said = json.loads(parts.opened(record.tenant, record.key, record.error or "{}", "error"))
    reason: str = said.get("message") or "see the audit trail for the reason"
    match said.get("type"):
        case "ApprovalExpired":
            return ApprovalExpired(record.key, reason)
        case "PolicyDenied":
            return PolicyDenied(record.tool, reason)
        case _:
            return ApprovalDenied(record.key, reason)


async def stopped(parts: Parts, record: Record, *, spent: bool = False) -> HoldfastError:
    """Return the error that an effect's recorded state stands for."""
    match record.state:
        case State.WAITING:
            return ApprovalRequired(record.key, "the tool requires approval")
        case State.DENIED:
            return denied(parts, record)
        case State.CANCELLED:
            return EffectCancelled(record.key)
        case _:
            entries = tuple(await parts.store.trail(record.tenant, record.key))
            failure = {"type": "NotDone", "message": ""}
            if record.error is not None:
                failure = json.loads(parts.opened(record.tenant, record.key, record.error, "error"))
            history = attempts(entries, parts.plain_bodies(entries))
            return EffectFailed(
                record.key,
                failure["type"],
                failure["message"],
                record.state,
                history,
                spent=spent,
                retry_at=record.not_before,
            )
