"""Puts on record what went through while the store was away, as soon as it is back: counted as spent.

Each group is an effect of the ledger's own. It holds what was spent as far as there is room, and is settled
by all of it: what is so is told, although a budget may be spent beyond its cap then.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from holdfast._core.budget import Demand, PlaceHold, Refused
from holdfast._core.change import Committed, Conflict, Head, PlainOutcome, head_of
from holdfast._core.declare import make_contract
from holdfast._core.model import ToolCall
from holdfast._core.plan import holding, plan_insert, plan_move
from holdfast._core.settling import Spending
from holdfast._core.states import Event, State
from holdfast._runtime.closing import passing
from holdfast._runtime.outages import Passed
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.pipeline import RESERVED, Request, prepare
from holdfast.errors import HoldfastError

log = logging.getLogger("holdfast")
TOOL: Final = f"{RESERVED}unaccounted"
_WORKFLOW: Final = f"{RESERVED}outage"
_ACTOR: Final = "clock"
_CONTRACT: Final = make_contract(TOOL, safety="idempotent", dependency=False)


async def account_for(parts: Parts) -> None:
    """Put all that was let through on record; what cannot be is kept for the next time."""
    for passed in parts.outages.take():
        try:
            async with passing(parts):
                parts.traffic.ensure_open()
                await _recorded(parts, passed)
        except HoldfastError as error:
            parts.outages.put_back(passed)
            log.warning("what went through without the store is not on record yet (%s)", error.code)
        except BaseException:
            parts.outages.put_back(passed)
            raise


async def _recorded(parts: Parts, passed: Passed) -> None:
    await parts.store.open()
    work = prepare(parts, _request(parts, passed))
    head = await _claimed(parts, work, passed.hold)
    amounts = {demand.unit: demand.amount for demand in passed.hold.demands}
    if passed.hold.currency:
        amounts[passed.hold.currency] = passed.hold.money
    amounts["tokens"] = passed.hold.tokens
    change, _ = plan_move(
        head,
        Event.SUCCEED,
        parts.stamp(work.tenant, work.key, _ACTOR),
        outcome=PlainOutcome(result="null"),
        details={"why": "it went through while the store was away", "count": passed.count},
        spending=Spending(amounts=tuple(amounts.items())),
    )
    await parts.store.commit(
        change
    )  # refused only where somebody ended the claim: it counts by its bound then


def _request(parts: Parts, passed: Passed) -> Request:
    hold = passed.hold
    args = {
        "tool": hold.tool,
        "workflow_id": hold.workflow_id,
        "actor": hold.actor,
        "count": passed.count,
        "first": passed.first.isoformat(),
        "last": passed.last.isoformat(),
        "bound": {f"{each.account}/{each.unit}": each.amount for each in hold.demands},
    }
    call = ToolCall(workflow_id=_WORKFLOW, tool=TOOL, args=args, key=parts.runtime.token().hex())
    return Request(tenant=hold.tenant, actor=_ACTOR, call=call, contract=_CONTRACT, handler=None, is_own=True)


async def _claimed(parts: Parts, work: Work, spent: PlaceHold) -> Head:
    """Claim the effect, with as much of what was spent as there is room for."""
    owner, demands = parts.next_owner(), spent.demands
    while True:
        stamp = parts.stamp(work.tenant, work.key, _ACTOR)
        change, head = plan_insert(work.new, Event.CLAIM, stamp, owner=owner, lease_s=parts.settings.lease_s)
        hold = replace(spent, key=work.key, attempt=head.attempt, at=head.at, demands=demands, is_spent=False)
        answer = await parts.store.commit(holding(change, hold))
        if isinstance(answer, Committed):
            return replace(head, holds=True)
        if answer.refused is None:
            return _ours(answer, head)
        demands = tuple(_fitting(demand, answer.refused) for demand in demands)


def _ours(answer: Conflict, head: Head) -> Head:
    """Return where the effect stands whose claim was ours, and only its answer lost."""
    found = answer.found
    return head if found is None or found.state is not State.PENDING else head_of(found)


def _fitting(demand: Demand, refused: Refused) -> Demand:
    level = refused.level
    place = level.owner, level.account, level.unit, level.per
    if place != (demand.owner, demand.account, demand.unit, demand.per):
        return demand
    if demand.amount:
        return replace(demand, amount=0)
    return replace(demand, cap=level.spent + level.held - level.raised)  # spent beyond its cap already
