"""Looks after what nobody calls for any more: dead workers' claims, and effects in doubt, with patience."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast._core.contract import Contract
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import State
from holdfast._runtime.alerting import send_again
from holdfast._runtime.burial import buried
from holdfast._runtime.minding import look_after
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import has_evidence, reconcile, was_told
from holdfast._runtime.telling import tell_all
from holdfast.errors import HoldfastError, StoreError
from holdfast.ports import Query

log = logging.getLogger("holdfast")
FIRST_LOOK_S: Final = 30.0
LAST_LOOK_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What one pass of the sweeper came to.

    Attributes:
        buried: Claims of dead workers that were ended.
        settled: Effects whose doubt is over, and how: ``succeeded`` or ``retryable``.
        standing: Effects still in doubt after a look; each is looked at again later and later, up to an hour.
        unattended: Effects in doubt whose tool has no source of evidence here: they wait for a person.
        questions: Approvals that time has made something of: people are reminded, or it is too late.
    """

    buried: tuple[EffectKey, ...]
    settled: Mapping[EffectKey, State]
    standing: tuple[EffectKey, ...]
    unattended: tuple[EffectKey, ...]
    questions: tuple[str, ...] = ()


async def sweep(
    parts: Parts,
    tenant: str,
    actor: str,
    contracts: Callable[[], Mapping[str, Contract]],
    *,
    limit: int,
) -> SweepReport:
    """Make one pass. Several at once, in whatever processes, are harmless.

    Args:
        limit: How many effects of each kind are looked at, what has waited longest first; what was looked
            at rests for a while. What waits for a person is told of and does not count.
    """
    declared = contracts()
    now = (await parts.store.find(tenant, EffectKey("v1:" + "0" * 64))).now
    dead = Query(tenant=tenant, state=State.PENDING, lapsed=now, limit=limit)
    ended = [
        record.key
        for record in await parts.store.effects(dead)
        if await buried(parts, record, declared.get(record.tool), actor)
    ]
    questions = await look_after(parts, tenant, limit)
    await tell_all(parts, tenant, limit)
    await parts.watch.look(parts, tenant)
    await send_again(parts, tenant, limit)
    looked = await _doubt_looked_at(parts, tenant, actor, declared, now, limit)
    return SweepReport(
        buried=tuple(ended),
        settled={
            key: state for key, state in looked.items() if state is not None and state is not State.UNKNOWN
        },
        standing=tuple(key for key, state in looked.items() if state is State.UNKNOWN),
        unattended=tuple(key for key, state in looked.items() if state is None),
        questions=tuple(approval.id for approval in questions),
    )


async def _doubt_looked_at(
    parts: Parts, tenant: str, actor: str, declared: Mapping[str, Contract], now: datetime, limit: int
) -> Mapping[EffectKey, State | None]:
    """Look for evidence about *limit* effects in doubt.

    What waits for a person stays where it is and must hide nothing behind it. It is not made to rest:
    another sweeper may have the means that this one lacks.

    Returns:
        How each stands afterwards; ``None`` where there is no source of evidence.
    """
    looked: dict[EffectKey, State | None] = {}
    reach, left = limit, limit
    while True:
        page = await parts.store.effects(Query(tenant=tenant, state=State.UNKNOWN, due=now, limit=reach))
        for record in page:
            if record.key in looked:
                continue
            state = await _looked_at(parts, record, declared.get(record.tool, Contract()), actor)
            looked[record.key] = state
            left -= state is not None
            if left == 0:
                return looked
        if len(page) < reach:
            return looked
        reach *= 2


async def _looked_at(parts: Parts, record: Record, contract: Contract, actor: str) -> State | None:
    """Look for evidence about an effect; return its state after it, or ``None`` where there is no source."""
    parts.traffic.ensure_open()
    if not has_evidence(contract) and not await was_told(parts, record):
        return None
    try:
        after = await reconcile(parts, record, contract, actor, next_look_s=next_look_s(record))
    except StoreError:
        raise
    except HoldfastError:  # sealed with a key that this ledger does not have
        return None
    except Exception as error:  # noqa: BLE001 - one that cannot be looked at hides nobody behind it
        # The type only: what an error says may be a payload's.
        log.warning("effect %s could not be looked at (%s)", record.key, type(error).__qualname__)
        return State.UNKNOWN
    return after.state


def next_look_s(record: Record) -> float:
    """Return how long an effect rests after a look that found nothing: twice as long each time."""
    if record.not_before is None:
        return FIRST_LOOK_S
    rested_s = (record.not_before - record.updated_at).total_seconds()
    return min(max(rested_s, FIRST_LOOK_S / 2) * 2, LAST_LOOK_S)
