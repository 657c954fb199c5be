"""Looks after what nobody calls for any more: dead workers' claims, and effects in doubt, with patience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast._core.contract import Contract
from holdfast._core.decide import after_death
from holdfast._core.model import EffectKey, Record
from holdfast._core.states import Event, State
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import bury, has_evidence, reconcile, was_told
from holdfast.errors import HoldfastError, StoreError
from holdfast.ports import Query

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
    """

    buried: tuple[EffectKey, ...]
    settled: Mapping[EffectKey, State]
    standing: tuple[EffectKey, ...]
    unattended: tuple[EffectKey, ...]


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
        limit: How many effects of each kind are looked at, newest first; what was looked at rests for a
            while.
    """
    declared = contracts()
    now = (await parts.store.find(tenant, EffectKey("v1:" + "0" * 64))).now
    buried = [
        record.key
        for record in await parts.store.effects(Query(tenant=tenant, state=State.PENDING, limit=limit))
        if record.lease_until <= now and await _buried(parts, record, declared, actor)
    ]
    settled: dict[EffectKey, State] = {}
    standing: list[EffectKey] = []
    unattended: list[EffectKey] = []
    query = Query(tenant=tenant, state=State.UNKNOWN, due=now, limit=limit)
    for record in await parts.store.effects(query):
        contract = declared.get(record.tool, Contract())
        if not has_evidence(contract) and not await was_told(parts, record):
            unattended.append(record.key)
            continue
        try:
            after = await reconcile(parts, record, contract, actor, next_look_s=next_look_s(record))
        except StoreError:
            raise
        except HoldfastError:  # sealed with a key that this ledger does not have
            unattended.append(record.key)
            continue
        if after.state is State.UNKNOWN:
            standing.append(record.key)
        else:
            settled[record.key] = after.state
    return SweepReport(
        buried=tuple(buried), settled=settled, standing=tuple(standing), unattended=tuple(unattended)
    )


async def _buried(parts: Parts, record: Record, declared: Mapping[str, Contract], actor: str) -> bool:
    """End a dead worker's claim: doubt where it may not be repeated, else it may be claimed again."""
    contract = declared.get(record.tool)
    event = after_death(record.safety, record.safety if contract is None else contract.safety)
    ending = Event.DOUBT if event is Event.DOUBT else Event.RELEASE
    found = await bury(parts, record, ending, actor, contract)
    return found.record is not None and found.record.fence == record.fence + 1


def next_look_s(record: Record) -> float:
    """Return how long an effect rests after a look that found nothing: twice as long each time."""
    if record.not_before is None:
        return FIRST_LOOK_S
    rested_s = (record.not_before - record.updated_at).total_seconds()
    return min(max(rested_s, FIRST_LOOK_S / 2) * 2, LAST_LOOK_S)
