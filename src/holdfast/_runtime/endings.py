"""Brings effects to a known end, if there is one: waits for workers, buries the dead, looks for evidence."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime
from typing import Final

from holdfast._core.contract import Contract
from holdfast._core.decide import after_death
from holdfast._core.model import EffectKey, Record
from holdfast._core.model_request import MODEL
from holdfast._core.states import Event, Safety, State
from holdfast._runtime import context
from holdfast._runtime.parts import Parts
from holdfast._runtime.reconcile import bury, doubted, has_evidence, settle, was_told
from holdfast._runtime.record import told_done
from holdfast.ports import Query

_MANY: Final = 100_000
_QUIET_S: Final = 60.0  # how long "not done" is waited for until it may be believed
_BEGINNINGS: Final = frozenset({Event.CLAIM, Event.TAKE_OVER})


async def anchor_of(parts: Parts, tenant: str, workflow_id: str) -> Record | None:
    """Return the effect in whose trail notes on the workflow's undoing go: the one that was made last."""
    return next(iter(await _own(parts, tenant, workflow_id)), None)


async def newest_first(
    parts: Parts, tenant: str, workflow_id: str, *, but: Container[EffectKey]
) -> list[Record]:
    """Return a workflow's own effects, by when the last attempt of each ended; what goes on is first."""
    dated: list[tuple[bool, datetime, datetime, Record]] = []
    for record in await _own(parts, tenant, workflow_id):
        if record.key in but:
            continue
        ended: datetime | None = record.created_at
        for entry in await parts.store.trail(tenant, record.key):
            if entry.event in _BEGINNINGS:
                ended = None
            elif ended is None and entry.event is not Event.NOTE:
                ended = entry.at
        dated.append((ended is None, ended or record.created_at, record.created_at, record))
    dated.sort(key=lambda one: one[:3], reverse=True)
    return [record for *_, record in dated]


async def _own(parts: Parts, tenant: str, workflow_id: str) -> list[Record]:
    """Return what may have to be undone: neither reads, nor questions to models, nor what undoes others."""
    found = await parts.store.effects(Query(tenant=tenant, workflow_id=workflow_id, limit=_MANY))
    changing = [each for each in found if each.safety is not Safety.READ and not each.tool.startswith(MODEL)]
    return [record for record in changing if record.undoes is None]


async def known(parts: Parts, record: Record, contract: Contract | None, actor: str) -> Record:
    """Return an effect that nobody may claim any more with its outcome, or with what evidence there is of it.

    Args:
        contract: What is declared of its tool; ``None`` when nothing is.
    """
    record = await _ended(parts, record, contract, actor)
    if record.state is State.RETRYABLE:
        if await told_done(parts, record.tenant, record.key):
            record = await doubted(parts, record, actor, why="the outside told that it is done")
        elif record.uncertain:
            record = await doubted(parts, record, actor, why="its workflow is being undone")
    if record.state is not State.UNKNOWN:
        return record
    contract = contract or Contract()
    if not has_evidence(contract) and not await was_told(parts, record):
        return record
    after, is_early = await settle(parts, record, contract, actor)
    if is_early:
        quiet_at = (after.deadline_at or after.lease_until) + parts.settings.skew
        quiet_s = (quiet_at - parts.runtime.now()).total_seconds() + 0.001
        if quiet_s <= _QUIET_S:
            await parts.runtime.sleep(max(quiet_s, 0.0))
            after, _ = await settle(parts, after, contract, actor)
    return after


async def _ended(parts: Parts, record: Record, contract: Contract | None, actor: str) -> Record:
    """Wait for the worker that executes the effect, as every caller does; end the claim of one that died."""
    key = record.key
    if record.state is not State.PENDING:
        return record
    is_own = parts.runtime.blocking and parts.heartbeat.held_by_this_thread(record.tenant, key)
    delay_s, longest_s = parts.store.poll_s
    bell = parts.runtime.bell()
    with parts.bus.waiting(key, context.executing.get()) as ends, parts.bus.listening(key, bell):
        if is_own or not ends:
            return record  # waiting for oneself would never end
        await parts.store.joining(record.tenant, key)
        while record.state is State.PENDING:
            found = await parts.store.find(record.tenant, key)
            if found.record is not None and found.record.lease_until <= found.now:
                found = await bury(parts, found.record, _after_death(found.record, contract), actor, contract)
            record = found.record or record
            if record.state is State.PENDING:
                left_s = max((record.lease_until - found.now).total_seconds(), 0.0)
                await bell.heard(min(delay_s, left_s + 0.001))
                delay_s = min(delay_s * 2, longest_s)
    return record


def _after_death(record: Record, contract: Contract | None) -> Event:
    event = after_death(record.safety, record.safety if contract is None else contract.safety)
    return Event.DOUBT if event is Event.DOUBT else Event.RELEASE
