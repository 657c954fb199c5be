"""Tells people of questions: each notice goes through each channel once, as an effect of the ledger's own.

So a crash, a race and a retry are what they are for any effect: what was told is on record and is not told
again, and what may have been told is told again only where the other side knows it by its id, or evidence
says that it never came.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Final

from holdfast._core.approval import OPEN, Approval, ApprovalRecord, Notice
from holdfast._core.contract import Contract
from holdfast._core.model import JSON, EffectKey, Record
from holdfast._core.states import Event, State
from holdfast._runtime.alerting import alert_once
from holdfast._runtime.asking import opened
from holdfast._runtime.backlog import look_at_backlog
from holdfast._runtime.closing import passing
from holdfast._runtime.notice_calls import ACTOR, request_of
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import call, prepare
from holdfast._runtime.reconcile import reconcile
from holdfast._runtime.settling import settle
from holdfast.errors import HoldfastError, LedgerClosed, PayloadSealed, StoreError
from holdfast.ports import ApprovalQuery, Channel

log = logging.getLogger("holdfast")
_LOOK_EVERY_S: Final = 30.0
_NO_NEWS_S: Final = 86_400.0
"""A question that ended so long ago is nobody's news: that may be the first day of a ledger with channels."""
_DOUBT_S: Final = 3600.0
"""For so long evidence is looked for; then somebody is told that nobody knows, and later notices go on."""
_TRIES: Final = 100
_STEPS: Final = 4
_SIDE_BY_SIDE: Final = 16


class _Stands(Enum):
    """How far a notice has come in a channel."""

    TOLD = auto()
    LOST = auto()  #: it will never be told, or nobody will ever know whether it was
    LATER = auto()  #: somebody is at it, or it rests
    DOUBTED = auto()  #: evidence can be looked for
    DUE = auto()


async def tell_all(parts: Parts, tenant: str, limit: int, *, looks: bool = True) -> None:
    """Tell people of what they were not told of, of at most *limit* questions.

    Args:
        looks: At the backlog as well.
    """
    async with passing(parts):
        if looks:
            await look_at_backlog(parts, tenant)
        if not parts.channels:
            return
        query, left = ApprovalQuery(tenant=tenant, has_notices=True, limit=_SIDE_BY_SIDE), limit
        while left > 0:
            rows = await parts.store.approvals.listed(query)
            await parts.runtime.together([tell_quietly(parts, tenant, row.id) for row in rows])
            left -= len(rows)
            if len(rows) < _SIDE_BY_SIDE:
                return
            query = replace(query, after=(rows[-1].created_at, rows[-1].id))


async def tell_quietly(parts: Parts, tenant: str, approval_id: str) -> None:
    """Tell people of one question; whatever is wrong with it keeps nobody from hearing of the others."""
    try:
        async with passing(parts):
            parts.traffic.ensure_open()
            await _tell_of(parts, tenant, approval_id)
    except LedgerClosed:
        return
    except Exception as error:  # noqa: BLE001 - its notices stay on record, and the next round looks again
        # The type only: what an error says may be a payload's.
        log.warning("people were not told of question %s (%s)", approval_id, type(error).__qualname__)


async def _tell_of(parts: Parts, tenant: str, approval_id: str) -> None:
    row = await parts.store.approvals.find(tenant, approval_id)
    if row is None or not row.notices or not parts.channels:
        return
    approval = _readable(parts, row)
    if approval is None:
        return
    now = (await parts.store.find(tenant, row.key)).now
    if approval.state not in OPEN and (now - approval.updated_at).total_seconds() > _NO_NEWS_S:
        await _take_off(parts, row, {notice.number for notice in approval.untold})
        return
    done = await parts.runtime.together([_through(parts, channel, approval) for channel in parts.channels])
    told = set[int].intersection(*done)
    if told:
        await _take_off(parts, row, told)


def _readable(parts: Parts, row: ApprovalRecord) -> Approval | None:
    try:
        return opened(parts, row)
    except (PayloadSealed, ValueError, KeyError, TypeError) as error:
        log.warning("question %s cannot be read (%s)", row.id, type(error).__qualname__)
        return None


async def _through(parts: Parts, channel: Channel, approval: Approval) -> set[int]:
    """Tell of each notice through one channel, in order; return the numbers of those that need no more."""
    done: set[int] = set()
    try:
        for notice in approval.untold:
            if not await _told(parts, channel, approval, notice):
                break
            done.add(notice.number)
    except LedgerClosed:
        pass
    except Exception as error:  # noqa: BLE001 - one channel keeps nobody from hearing through the others
        log.warning("channel %s: %s", channel.name, type(error).__qualname__)
    return done


async def _told(parts: Parts, channel: Channel, approval: Approval, notice: Notice) -> bool:
    """Tell of one notice through one channel, unless it was; return whether nothing more is to be done."""
    handle = await _handle(parts, channel, approval, notice)
    request = request_of(parts, channel, approval, notice, handle)
    key = prepare(parts, request).key
    for _ in range(_STEPS):
        found = await parts.store.find(approval.tenant, key)
        match _standing(found.record, found.now, request.contract):
            case _Stands.TOLD:
                return True
            case _Stands.LOST:
                await _lost(parts, channel, approval, notice, key)
                return True
            case _Stands.LATER:
                return False
            case _Stands.DOUBTED if found.record is not None:
                await reconcile(parts, found.record, request.contract, ACTOR, next_look_s=_LOOK_EVERY_S)
            case _:
                try:
                    await call(parts, request)
                except (StoreError, LedgerClosed):
                    raise
                except HoldfastError as error:
                    log.debug("channel %s: %s", channel.name, error.code)
                except Exception as error:  # noqa: BLE001 - on record, and decided by what that says
                    log.warning("channel %s: %s", channel.name, type(error).__qualname__)
                found = await parts.store.find(approval.tenant, key)
                if found.record is None or _standing(found.record, found.now, request.contract) in _WAITING:
                    return False
    return False


async def _lost(parts: Parts, channel: Channel, approval: Approval, notice: Notice, key: EffectKey) -> None:
    """Alert people to a notice that will never be told, or of which nobody will ever know."""
    await alert_once(
        parts,
        approval.tenant,
        f"lost/{approval.id}-{notice.number}-{channel.name}",
        code="notice_lost",
        subject=approval.id,
        message=f"nobody could be told through {channel.name!r} of question {approval.id} "
        f"({notice.kind}): see `holdfast show {key}`, and tell them another way",
    )


_WAITING: Final = frozenset({_Stands.LATER, _Stands.DUE})


def _standing(record: Record | None, now: datetime, contract: Contract) -> _Stands:
    if record is None:
        return _Stands.DUE
    is_resting = record.not_before is not None and record.not_before > now
    match record.state:
        case State.SUCCEEDED | State.COMPENSATED:
            return _Stands.TOLD
        case State.FAILED | State.DENIED | State.CANCELLED:
            return _Stands.LOST
        case State.RETRYABLE if record.spent:
            return _Stands.LOST
        case State.UNKNOWN if contract.reconcile is None:
            return _Stands.LOST
        case State.UNKNOWN if is_resting:  # it was looked for, and not found
            return _Stands.LOST if _is_old(record, now) else _Stands.LATER
        case State.UNKNOWN:
            return _Stands.DOUBTED
        case State.PENDING if record.lease_until > now:
            return _Stands.LATER
        case _:
            return _Stands.LATER if is_resting else _Stands.DUE


def _is_old(record: Record, now: datetime) -> bool:
    return (now - (record.deadline_at or record.lease_until)).total_seconds() > _DOUBT_S


async def _handle(parts: Parts, channel: Channel, approval: Approval, notice: Notice) -> JSON:
    """Return what the channel returned last of an earlier notice."""
    for number in range(notice.number - 1, 0, -1):
        earlier = Notice(number=number, kind="asked", stage=0)
        key = prepare(parts, request_of(parts, channel, approval, earlier, None)).key
        record = (await parts.store.find(approval.tenant, key)).record
        if record is not None and record.state is State.SUCCEEDED and record.result is not None:
            handle: JSON = json.loads(parts.opened(record.tenant, record.key, record.result, "result"))
            if handle is not None:
                return handle
    return None


async def _take_off(parts: Parts, row: ApprovalRecord, told: set[int]) -> None:
    """Put on record that everybody who has to be told of these notices was."""
    for _ in range(_TRIES):
        known = await parts.store.approvals.find(row.tenant, row.id)
        record = (await parts.store.find(row.tenant, row.key)).record
        approval = None if known is None or record is None else _readable(parts, known)
        if record is None or approval is None:
            return
        left = tuple(notice for notice in approval.untold if notice.number not in told)
        gone = len(approval.untold) - len(left)
        if not gone:
            return
        after = replace(approval, told=approval.told + gone, untold=left)
        if await settle(parts, record, approval, after, actor=ACTOR, event=Event.NOTE):
            return
