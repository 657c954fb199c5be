"""Whether an approval holds for the call that is to be made: looked up anew, in all that is on record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from holdfast._core.approval import Approval, ApprovalRecord
from holdfast._core.approval_text import shown_digest, vote_text
from holdfast._core.approving import still_counts
from holdfast._core.audit import AuditEntry, salted, verify
from holdfast._core.inquiry import SHOWN, shown_answers
from holdfast._core.model import Record
from holdfast._runtime.asking import is_whole
from holdfast._runtime.parts import Parts
from holdfast.errors import PayloadSealed


async def tampered(parts: Parts, record: Record, row: ApprovalRecord) -> str:
    """Say what of an approval, or of its effect, is not as this library wrote it; empty when all is.

    The effect's audit trail binds every write of an approval: nobody changes one and leaves the other.
    """
    try:
        entries = tuple(await parts.store.trail(record.tenant, record.key))
        plain = parts.plain_bodies(entries)
        if not is_whole(parts, row):
            return "its fingerprint is not that of what was asked"
        problems = verify(
            _plain_record(parts, record), entries, plain=plain, secret=parts.settings.audit_secret
        )
        if problems:
            return f"the effect's audit trail: {problems[0].what}"
        return _unbound(parts, row, entries, plain)
    except PayloadSealed:
        return "it is sealed, and cannot be checked here"
    except (ValueError, KeyError, TypeError) as error:
        return f"it cannot be read ({type(error).__name__})"


def _plain_record(parts: Parts, record: Record) -> Record:
    def plain(text: str | None, column: Any) -> str | None:
        return None if text is None else parts.opened(record.tenant, record.key, text, column)

    args = parts.opened(record.tenant, record.key, record.args, "args")
    return replace(
        record, args=args, result=plain(record.result, "result"), error=plain(record.error, "error")
    )


def _unbound(
    parts: Parts, row: ApprovalRecord, entries: Sequence[AuditEntry], plain: dict[int, str | None]
) -> str:
    """Compare *row* with the last audit entry that tells of it."""
    for entry in reversed(entries):
        text = plain.get(entry.seq)
        told: dict[str, Any] = {} if text is None else json.loads(text).get("approval", {})
        if told.get("id") != row.id:
            continue
        body = parts.opened(row.tenant, row.key, row.body, "question")
        salt = entry.salt or b""
        if (told["state"], told["version"], told["digest"]) != (row.state, row.version, row.digest):
            return "its row is not what the audit trail tells of it"
        if told["expires_at"] != row.expires_at.isoformat() or told["number"] != row.number:
            return "its row is not what the audit trail tells of it"
        return (
            "" if salted(salt, body).hex() == told["body_sha256"] else "its votes are not those on the trail"
        )
    return "the audit trail tells nothing of it"


def loose(approval: Approval) -> str:
    """Say what of an approval does not belong to what people answered; empty when all does.

    The fingerprint binds whom to ask and what was shown: whoever can write the audit trail as well as the
    row would still have to find another question with the same one.
    """
    if approval.chain.version != approval.binding.get("chain"):
        return "whom it was asked of is not what was asked about"
    if shown_digest(approval.shown) != approval.binding.get("shown"):
        return "what was shown is not what was asked about"
    if approval.shown.get(SHOWN, []) != shown_answers(approval.requests):
        return "what the agent answered is not what was shown"
    at_stake = None if approval.amount is None else f"{approval.amount.minor} {approval.amount.currency}"
    if at_stake != approval.shown.get("amount"):
        return "what is at stake is not what was shown"
    if any(vote.digest != approval.digest for vote in approval.votes):
        return "somebody answered another question"
    return ""


def unsigned(parts: Parts, approval: Approval) -> str:
    """Say which vote nobody signed who may; empty when all are, or nothing asks for it."""
    if parts.signatures is None:
        return ""
    given = max((vote.at for vote in approval.votes), default=approval.created_at)
    if approval.expires_at > given + timedelta(seconds=approval.chain.valid_s):
        return "it is good for longer than those who approved it said"
    for vote in approval.votes:
        if not vote.signature or not parts.signatures.holds(vote_text(approval, vote), vote.signature):
            return f"the answer of {vote.person} is not signed by who takes answers"
    return ""


def unfounded(parts: Parts, approval: Approval, now: datetime) -> str:
    """Say why the votes do not come to an approval, counted anew; empty when they do."""
    for number, stage in enumerate(approval.chain.stages):
        people = {vote.person for vote in approval.votes if vote.stage == number and vote.approves}
        if len(people) < stage.quorum:
            return f"stage {number + 1} of {len(approval.chain.stages)} has not been decided"
    return still_counts(approval, now, parts.people)
