"""What is hashed, signed and written of an approval: one exact text for one question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import (
    Approval,
    ApprovalRecord,
    Edit,
    HandOver,
    InfoRequest,
    Notice,
    Vote,
)
from holdfast._core.chain import Amount, chain_text, read_chain
from holdfast._core.model import JSON

_DOMAIN: Final = b"holdfast-approval/1\0"
_VOTE_DOMAIN: Final = b"holdfast-vote/1\0"


def exact_text(plain: JSON) -> str:
    """Return JSON as a text that only the very same values have: 1 is not 1.0; no letter is normalised."""
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest_of(binding: Mapping[str, Any]) -> str:
    """Return the fingerprint of *binding*: SHA-256 (hex), in a domain of its own."""
    return digest_of_text(exact_text(binding))


def digest_of_text(text: str) -> str:
    """Return the fingerprint of a binding's exact text."""
    return hashlib.sha256(_DOMAIN + text.encode("utf-8", "surrogatepass")).hexdigest()


def shown_digest(shown: Mapping[str, Any]) -> str:
    """Return the hash of what people see."""
    return hashlib.sha256(exact_text(shown).encode("utf-8", "surrogatepass")).hexdigest()


def vote_text(approval: Approval, vote: Vote) -> bytes:
    """Return what a control plane signs of a vote: it is of this approval, and of no other use."""
    told = {**_vote_told(vote), "approval": approval.id, "tenant": approval.tenant}
    told.pop("signature")
    return _VOTE_DOMAIN + exact_text(told).encode("utf-8", "surrogatepass")


_LIVE: Final = (
    "v",
    "tenant",
    "workflow_id",
    "key",
    "actor",
    "on_behalf_of",
    "tool",
    "tool_version",
    "args",
    "asked",
)
"""What of a binding is the call's own."""
_RULED: Final = ("policy", "chain", "resources")


def differences(approved: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a live call has otherwise than the binding that was approved; nothing if it is that call."""
    return tuple(name for name in (*_LIVE, *_RULED) if approved.get(name) != live.get(name))


def body_text(approval: Approval) -> str:
    """Return all that the columns of a row do not have, as JSON text."""
    told = {
        "reason": approval.reason,
        "rule": approval.rule,
        "chain": json.loads(chain_text(approval.chain)),
        "amount": None if approval.amount is None else asdict(approval.amount),
        "shown": approval.shown,
        "since": approval.since.isoformat(),
        "stage": approval.stage,
        "votes": [_vote_told(vote) for vote in approval.votes],
        "handed": [_told(one) for one in approval.handed],
        "edits": [_told(one) for one in approval.edits],
        "reminded": approval.reminded,
        "is_escalated": approval.is_escalated,
        "ended": approval.ended,
        "decided_at": None if approval.decided_at is None else approval.decided_at.isoformat(),
        "told": approval.told,
        "untold": [asdict(notice) for notice in approval.untold],
        "is_canary": approval.is_canary,
        "trace": approval.trace,
        "requests": [_request_told(one) for one in approval.requests],
    }
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def read_approval(record: ApprovalRecord, *, binding: str, body: str) -> Approval:
    """Return the approval that *record* tells of; its payloads are given in plain.

    Raises:
        ValueError: They are not what this library wrote.
    """
    told: dict[str, Any] = json.loads(body)
    return Approval(
        tenant=record.tenant,
        id=record.id,
        key=record.key,
        workflow_id=record.workflow_id,
        tool=record.tool,
        number=record.number,
        state=record.state,
        version=record.version,
        digest=record.digest,
        binding=json.loads(binding),
        reason=told["reason"],
        rule=told["rule"],
        chain=read_chain(told["chain"]),
        amount=None if told["amount"] is None else Amount(**told["amount"]),
        shown=told["shown"],
        since=_moment(told["since"]),
        expires_at=record.expires_at,
        created_at=record.created_at,
        updated_at=record.updated_at,
        stage=told["stage"],
        votes=tuple(_vote(vote) for vote in told["votes"]),
        handed=tuple(_handed(one) for one in told["handed"]),
        edits=tuple(_edit(one) for one in told["edits"]),
        reminded=told["reminded"],
        is_escalated=told["is_escalated"],
        ended=told["ended"],
        decided_at=None if told["decided_at"] is None else _moment(told["decided_at"]),
        told=told["told"],
        untold=tuple(Notice(**notice) for notice in told["untold"]),
        is_canary=told["is_canary"],
        trace=told["trace"],
        requests=tuple(_request(one) for one in told.get("requests", ())),
    )


def _vote(told: dict[str, Any]) -> Vote:
    known: dict[str, Any] = {**told, "at": _moment(told["at"])}
    if told["proved_at"] is not None:
        known["proved_at"] = _moment(told["proved_at"])
    return Vote(**known)


def _handed(told: dict[str, Any]) -> HandOver:
    return HandOver(frm=told["frm"], to=told["to"], at=_moment(told["at"]))


def _edit(told: dict[str, Any]) -> Edit:
    return Edit(by=told["by"], at=_moment(told["at"]), digest=told["digest"], args=told["args"])


def _request(told: dict[str, Any]) -> InfoRequest:
    known: dict[str, Any] = {**told, "at": _moment(told["at"])}
    if told["answered_at"] is not None:
        known["answered_at"] = _moment(told["answered_at"])
    return InfoRequest(**known)


def _request_told(one: InfoRequest) -> dict[str, Any]:
    answered_at = None if one.answered_at is None else one.answered_at.isoformat()
    return {**asdict(one), "at": one.at.isoformat(), "answered_at": answered_at}


def _vote_told(vote: Vote) -> dict[str, Any]:
    proved_at = None if vote.proved_at is None else vote.proved_at.isoformat()
    return {**asdict(vote), "at": vote.at.isoformat(), "proved_at": proved_at}


def _told(one: HandOver | Edit) -> dict[str, Any]:
    return {**asdict(one), "at": one.at.isoformat()}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
