"""Ends claims whose workers are gone: by the sweeper, and by whoever needs the seats that they hold."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from holdfast._core.budget import Refused
from holdfast._core.budgeting import CONCURRENCY, WORKFLOW
from holdfast._core.contract import Contract
from holdfast._core.decide import after_death
from holdfast._core.model import Record
from holdfast._core.states import Event, State
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.reconcile import bury
from holdfast._runtime.record import told_done
from holdfast.ports import Query

_AT_ONCE: Final = 16
"""A call that is short of a seat ends so many claims at most before it looks whether there is one."""


async def buried(parts: Parts, record: Record, contract: Contract | None, actor: str) -> bool:
    """End a dead worker's claim: doubt where it may not be repeated, else it may be claimed again.

    Args:
        contract: What is declared of its tool, where that is known.
    """
    parts.traffic.ensure_open()
    event = after_death(record.safety, record.safety if contract is None else contract.safety)
    is_doubt = event is Event.DOUBT or await told_done(parts, record.tenant, record.key)
    ending = Event.DOUBT if is_doubt else Event.RELEASE
    found = await bury(parts, record, ending, actor, contract)
    return found.record is not None and found.record.fence == record.fence + 1


async def has_freed_seats(parts: Parts, work: Work, refused: Refused, now: datetime) -> bool:
    """Whether claims were ended that had run out, for a call that was refused because all seats are taken.

    Only claims of the call's own tenant are looked at. What has waited longest comes first.

    Args:
        now: The store's clock.
    """
    level = refused.level
    if level.unit != CONCURRENCY:
        return False
    is_one = level.account.startswith(WORKFLOW)
    dead = Query(
        tenant=work.tenant,
        workflow_id=work.new.workflow_id if is_one else None,
        state=State.PENDING,
        lapsed=now,
        limit=_AT_ONCE,
    )
    ended = [
        await buried(parts, record, work.contract if record.tool == work.new.tool else None, work.actor)
        for record in await parts.store.effects(dead)
        if record.key != work.key
    ]
    return any(ended)
