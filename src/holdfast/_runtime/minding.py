"""What becomes of questions without anybody's answer: reminders, escalations, ends, and nobody who waits."""

from __future__ import annotations

import logging
from typing import Final

from holdfast._core.approval import OPEN, Approval, ApprovalRecord, ApprovalState
from holdfast._core.approving import ended
from holdfast._core.model import EffectKey
from holdfast._runtime.alerting import alert_once
from holdfast._runtime.approvals import place_of
from holdfast._runtime.asking import opened
from holdfast._runtime.parts import Parts
from holdfast._runtime.settling import CLOCK, ensure_whole, settle
from holdfast.errors import ApprovalNotFound, ApprovalVoid, PayloadSealed
from holdfast.ports import ApprovalQuery

log = logging.getLogger("holdfast")
_NOBODY: Final = EffectKey("v1:" + "0" * 64)
_STRANDED: Final = "its workflow has ended, so nobody waits for the answer"


async def look_after(parts: Parts, tenant: str, limit: int) -> list[Approval]:
    """Put on record what time has made of questions: reminders, escalations, ends. Each happens once.

    Returns:
        The questions as they stand then.
    """
    now = (await parts.store.find(tenant, _NOBODY)).now
    moved: list[Approval] = []
    for row in await parts.store.approvals.listed(ApprovalQuery(tenant=tenant, due=now, limit=limit)):
        parts.traffic.ensure_open()
        try:
            moved.append((await place_of(parts, tenant, row.id)).approval)
        except (ApprovalNotFound, ApprovalVoid):
            continue
        except PayloadSealed:
            log.warning("question %s is left to a ledger that has the key of its payload", row.id)
    return moved + await take_back(parts, tenant, limit)


async def take_back(parts: Parts, tenant: str, limit: int) -> list[Approval]:
    """Withdraw what workflows asked that have ended since. A restarted one asks anew.

    Returns:
        The questions as they stand then.
    """
    moved: list[Approval] = []
    for row in await parts.store.approvals.listed(ApprovalQuery(tenant=tenant, stranded=True, limit=limit)):
        parts.traffic.ensure_open()
        try:
            place = await place_of(parts, tenant, row.id)
            asked = place.approval
            if asked.state is not ApprovalState.PENDING:
                continue
            if not await ensure_whole(parts, place.record, place.row, asked, place.now, actor=CLOCK):
                continue  # somebody is at it; the next look finds what became of it
        except (ApprovalNotFound, ApprovalVoid, PayloadSealed):
            continue
        after = ended(asked, ApprovalState.WITHDRAWN, _STRANDED, place.now)
        if await settle(parts, place.record, asked, after, actor=CLOCK):
            moved.append(after)
    return moved


async def readable(parts: Parts, rows: list[ApprovalRecord]) -> list[Approval]:
    """Return what *rows* hold. What somebody has written by hand is left out, told of, and withdrawn.

    One row that cannot be read must not hide all the others from those who decide.

    Raises:
        PayloadSealed: This ledger cannot open one of them.
    """
    found: list[Approval] = []
    for row in rows:
        try:
            found.append(opened(parts, row))
        except PayloadSealed:
            raise
        except (ValueError, KeyError, TypeError):
            await _told_of(parts, row)
    return found


async def _told_of(parts: Parts, row: ApprovalRecord) -> None:
    why = "is not what was put on record, so it was left out: see `holdfast audit verify`"
    if row.state in OPEN:
        try:
            await place_of(parts, row.tenant, row.id)
        except (ApprovalNotFound, ApprovalVoid):
            why = "was not what was put on record, so it was withdrawn: see `holdfast audit verify`"
    await alert_once(
        parts,
        row.tenant,
        f"unreadable/{row.id}",
        code="approval_unreadable",
        subject=row.id,
        message=f"approval {row.id} {why}",
    )
