"""What people are asked about a call: the binding that they answer to, and what they see of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalRecord, ApprovalState
from holdfast._core.approval_text import (
    body_text,
    digest_of,
    digest_of_text,
    exact_text,
    read_approval,
    shown_digest,
)
from holdfast._core.approving import begun, due_at
from holdfast._core.audit import salted
from holdfast._core.change import MoveApproval, OpenApproval, Stamp
from holdfast._core.identity import read_result
from holdfast._core.model import JSON
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.versions import version_of
from holdfast.errors import InvalidCall, NotSerializable
from holdfast.ports import Ask, Query

_CALLED: Final = 20
_ID_LENGTH: Final = 32
_SUMMARY_LENGTH: Final = 500
_RESOURCE_BYTES: Final = 64 << 10
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Live:
    """What a call is that is about to be made, or asked about.

    Attributes:
        asked: Hash of the arguments that the agent gave, redacted or not.
    """

    binding: Mapping[str, Any]
    asked: str


async def live_of(parts: Parts, work: Work, asks: Ask) -> Live:
    """Return what *work* is, as far as an approval of it has to fit.

    Raises:
        InvalidCall: What it depends on cannot be looked at. Nothing was recorded.
    """
    context = work.call.context
    plain: JSON = json.loads(work.new.args)
    asked = _sha256(exact_text(work.payload.plain))
    binding: dict[str, Any] = {
        "v": VERSION,
        "tenant": work.tenant,
        "workflow_id": work.new.workflow_id,
        "key": work.key,
        "actor": work.actor,
        "on_behalf_of": "" if context is None else context.on_behalf_of,
        "tool": work.new.tool,
        "tool_version": version_of(work.contract, work.handler),
        "args": exact_text(plain),
        "asked": asked,
        "resources": await _resources(parts, work),
        "policy": asks.policy,
        "chain": asks.chain.version,
    }
    return Live(binding, asked)


async def _resources(parts: Parts, work: Work) -> JSON:
    look = work.contract.resources
    if look is None:
        return {}
    tool = work.new.tool
    try:
        found = await parts.runtime.ask(look, work.call, timeout_s=parts.settings.reconcile_timeout_s)
    except Exception as error:
        what = f"resources of {tool!r} raised {type(error).__qualname__}"
        raise InvalidCall(what, "nobody can be asked about what cannot be looked at; nothing ran") from error
    try:
        return read_result(found, max_bytes=_RESOURCE_BYTES).plain
    except NotSerializable as error:
        raise InvalidCall(f"resources of {tool!r}: {error.path} {error.why}", "return JSON values") from None


async def question(
    parts: Parts, work: Work, asks: Ask, live: Live, *, number: int, now: datetime
) -> Approval:
    """Return a new question about *work*."""
    name = approval_id(work.tenant, work.key, number)
    shown = {
        "tool": work.new.tool,
        "args": live.binding["args"],
        "summary": _summary(work),
        "reason": asks.reason,
        "rule": asks.rule,
        "risk": asks.chain.risk,
        "amount": None if asks.amount is None else f"{asks.amount.minor} {asks.amount.currency}",
        "reversal": work.contract.reversal,
        "context": _context(work),
        "called": await _called(parts, work),
        "resources": live.binding["resources"],
    }
    binding = {
        **live.binding,
        "approval": name,
        "number": number,
        "nonce": parts.runtime.token().hex(),
        "shown": shown_digest(shown),
    }
    asked = Approval(
        tenant=work.tenant,
        id=name,
        key=work.key,
        workflow_id=work.new.workflow_id,
        tool=work.new.tool,
        number=number,
        state=ApprovalState.PENDING,
        version=1,
        digest=digest_of(binding),
        binding=binding,
        reason=asks.reason,
        rule=asks.rule,
        chain=asks.chain,
        amount=asks.amount,
        shown=shown,
        since=now,
        expires_at=now,
        created_at=now,
        updated_at=now,
        trace=parts.tracer.here(),
    )
    return begun(asked, now).noticed("asked")


def approval_id(tenant: str, key: str, number: int) -> str:
    """Name a question about an effect; asked again after a lost answer, it is the same one."""
    return _sha256(exact_text(["approval", tenant, key, number]))[:_ID_LENGTH]


def _summary(work: Work) -> str:
    """Return the author's sentence about the call; nothing when there is none, or it fails."""
    say = work.contract.summary
    if say is None:
        return ""
    try:
        said: object = say(work.call)
        return str(said)[:_SUMMARY_LENGTH]
    except Exception as error:  # noqa: BLE001 - the exact arguments are shown in any case
        return f"(the tool's summary failed: {type(error).__qualname__})"


def _context(work: Work) -> dict[str, Any]:
    """Return what the agent says; people see it as the agent's word."""
    context = work.call.context
    if context is None:
        return {"belief": "", "confidence": None, "uncertainty": "", "on_decline": "", "inferred": {}}
    return {
        "belief": context.belief,
        "confidence": context.confidence,
        "uncertainty": context.uncertainty,
        "on_decline": context.on_decline,
        "inferred": dict(context.inferred),
    }


async def _called(parts: Parts, work: Work) -> list[dict[str, str]]:
    """Return what the workflow has called already, newest first."""
    query = Query(tenant=work.tenant, workflow_id=work.new.workflow_id, limit=_CALLED)
    return [
        {"tool": record.tool, "state": record.state, "key": record.key, "at": record.created_at.isoformat()}
        for record in await parts.store.effects(query)
        if record.key != work.key
    ]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# What is written.


def opened(parts: Parts, row: ApprovalRecord) -> Approval:
    """Return the approval in *row*.

    Raises:
        PayloadSealed: This ledger cannot open it.
        ValueError: It is not what this library wrote.
    """
    binding = parts.opened(row.tenant, row.key, row.binding, "binding")
    body = parts.opened(row.tenant, row.key, row.body, "question")
    return read_approval(row, binding=binding, body=body)


def is_whole(parts: Parts, row: ApprovalRecord) -> bool:
    """Whether the fingerprint in *row* is that of the binding beside it."""
    return digest_of_text(parts.opened(row.tenant, row.key, row.binding, "binding")) == row.digest


def giving_up(row: ApprovalRecord, stamp: Stamp) -> tuple[MoveApproval, dict[str, Any]]:
    """Return what withdraws a question that nobody can read, and what the audit entry says of it."""
    after = replace(
        row,
        state=ApprovalState.WITHDRAWN,
        version=row.version + 1,
        due_at=None,
        notices=0,
        updated_at=stamp.at,
    )
    op = MoveApproval(after=after, frm=row.state, digest=row.digest, wakes=True)
    return op, _details(after, row.body, stamp)


def opening(approval: Approval, stamp: Stamp) -> tuple[OpenApproval, dict[str, Any]]:
    """Return what puts a question on record, and what the effect's audit entry says of it."""
    row, details = _row(approval, stamp)
    return OpenApproval(approval=row), details


def moving(
    before: Approval, after: Approval, stamp: Stamp, *, unexpired: bool = False, wakes: bool = False
) -> tuple[MoveApproval, dict[str, Any]]:
    """Return what puts a change of an approval on record, and what the effect's audit entry says of it."""
    moved = replace(after, version=before.version + 1, updated_at=stamp.at)
    row, details = _row(moved, stamp)
    op = MoveApproval(after=row, frm=before.state, digest=before.digest, unexpired=unexpired, wakes=wakes)
    return op, details


def _row(approval: Approval, stamp: Stamp) -> tuple[ApprovalRecord, dict[str, Any]]:
    body = body_text(approval)
    row = ApprovalRecord(
        tenant=approval.tenant,
        id=approval.id,
        key=approval.key,
        workflow_id=approval.workflow_id,
        tool=approval.tool,
        number=approval.number,
        state=approval.state,
        version=approval.version,
        digest=approval.digest,
        binding=stamp.seal(exact_text(approval.binding), "binding"),
        body=stamp.seal(body, "question"),
        expires_at=approval.expires_at,
        due_at=due_at(approval),
        notices=len(approval.untold),
        created_at=approval.created_at,
        updated_at=approval.updated_at,
    )
    return row, _details(row, body, stamp)


def _details(row: ApprovalRecord, body: str, stamp: Stamp) -> dict[str, Any]:
    told = {
        "id": row.id,
        "number": row.number,
        "state": row.state,
        "version": row.version,
        "digest": row.digest,
        "expires_at": row.expires_at.isoformat(),
        "body_sha256": salted(stamp.salt, body).hex(),
    }
    return {"approval": told}
