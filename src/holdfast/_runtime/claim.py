"""Step 6: win the right to execute an effect, or find its answer. Claim first, decide on conflict."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from holdfast._core.change import Committed, Conflict, PlainOutcome, Retrying
from holdfast._core.contract import Contract
from holdfast._core.decide import (
    Claim,
    Differs,
    Doubt,
    OtherKind,
    Pause,
    Replay,
    Spent,
    Stopped,
    TakeOver,
    Wait,
    on_existing,
)
from holdfast._core.model import Receipt, Record
from holdfast._core.states import Event, Safety, State
from holdfast._runtime.answer import conflict, in_doubt, other_kind, replay, stopped
from holdfast._runtime.called_off import record_unstarted
from holdfast._runtime.claiming import Claiming
from holdfast._runtime.deciding import counted_again, decide, refuse
from holdfast._runtime.dependencies import give_back
from holdfast._runtime.join import join
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.questions import WaitedForPeople, again, answered, ask
from holdfast._runtime.reconcile import bury, doubted, has_evidence, look_first, reconcile, was_told
from holdfast._runtime.record import Verdict, record, told_done
from holdfast.errors import StoreInvariant
from holdfast.ports import Allow, Ask, Caller, Deny, Found

_ENDED: Final = frozenset({State.SUCCEEDED, State.FAILED})
"""What is answered from the record whatever rules say: from here on nothing runs."""
_GRACE_S: Final = 0.2  # for the one who planned the next attempt to make it


async def obtain(parts: Parts, work: Work, caller: Caller) -> Held | Receipt:
    """Claim the effect of *work*, or answer from what the ledger knows of it.

    Raises:
        HoldfastError: It must not be executed here and now; the error says why. Nothing ran.
    """
    while True:
        try:
            return await _obtained(parts, work, caller)
        except WaitedForPeople:  # for days perhaps: what the rules said then is of then
            work = await decide(parts, work)


async def _obtained(parts: Parts, work: Work, caller: Caller) -> Held | Receipt:
    attempt = Claiming(parts, work, Event.ASK if isinstance(work.verdict, Ask) else Event.CLAIM)
    is_held = False
    try:
        found = await _found(parts, work, caller, attempt)
        if isinstance(found, Held) and (attempt.told or await _is_refuted(parts, work, found)):
            await _withdraw(parts, work, found)
            return await obtain(parts, work, caller)
        if isinstance(found, Held) and (asks := await _over_limits(parts, work, found)) is not None:
            return await obtain(parts, replace(work, verdict=asks), caller)
        is_held = isinstance(found, Held)
        return found
    finally:
        if attempt.probe and not is_held:
            await give_back(parts, work, attempt.probe)  # somebody else's call may be the probe


async def _is_refuted(parts: Parts, work: Work, held: Held) -> bool:
    """Whether the outside told, before this claim was made and after it was decided on, that it is done.

    A claim that cannot be asked about, or that comes after the ledger was closed, is given back: nothing is
    started under it, and nobody must renew it.
    """
    changes = work.contract.safety in {Safety.UNSAFE, Safety.IDEMPOTENT}
    try:
        parts.traffic.ensure_open()
        return changes and held.head.attempt > 1 and await told_done(parts, work.tenant, work.key)
    except BaseException as error:
        parts.heartbeat.drop(held.live)  # first: giving it back is tried for as long as its lease lasts
        if isinstance(error, (Exception, *parts.runtime.stops)):  # else nobody is left to wait for anything
            await record_unstarted(parts, work, held)
        raise


async def _over_limits(parts: Parts, work: Work, held: Held) -> Ask | None:
    """Give a claim back whose call is beyond a limit by now; return whom to ask, or ``None`` if it is not.

    Raises:
        PolicyDenied: Rules say no. Nothing ran.
    """
    verdict: object = None
    try:
        verdict = await counted_again(parts, work)
    finally:
        if verdict is not work.verdict and not isinstance(verdict, Allow):
            parts.heartbeat.drop(held.live)
            await record_unstarted(parts, work, held)
    if isinstance(verdict, Deny):
        await refuse(parts, work, verdict)
    return verdict if isinstance(verdict, Ask) and verdict is not work.verdict else None


async def _withdraw(parts: Parts, work: Work, held: Held) -> None:
    """End a claim under which nothing was started, as doubt, and let what was told settle it."""
    details = {"why": "the outside told that it is done"}
    verdict = Verdict(
        event=Event.DOUBT, outcome=PlainOutcome(), details=details, retrying=Retrying(unstarted=True)
    )
    try:
        await record(parts, held, work.actor, verdict)
    finally:
        parts.heartbeat.drop(held.live)
        await give_back(parts, work, held.probe)
    found = (await parts.store.find(work.tenant, work.key)).record
    if found is not None and found.state is State.UNKNOWN:
        await reconcile(parts, found, work.contract, work.actor)


async def _found(  # noqa: C901, PLR0912, PLR0915 - one arm per decision: this is the table of what can be found
    parts: Parts, work: Work, caller: Caller, attempt: Claiming
) -> Held | Receipt:
    answer = await _first(parts, work, attempt)
    joined = reconciled = looked = graced = False
    while True:
        if isinstance(answer, Committed) or attempt.is_ours(answer):
            if attempt.asked is None or not work.patience.waits_for_people:
                return await attempt.won()
            answer = await _looked_up(parts, work)
        if attempt.was_refused(answer):
            answer = await attempt.admitted()
            continue
        record = _present(work, answer)
        match on_existing(record, work.new.fingerprint, work.contract, answer.now, joined=joined):
            case Replay():
                return replay(parts, work, record)
            case Differs():
                raise conflict(parts, work, record)
            case OtherKind():
                raise other_kind(record)
            case Stopped(State.WAITING):
                answer = await answered(parts, work, caller, attempt, record, answer)
            case Stopped():
                raise await stopped(parts, record)
            case Wait():
                found = await join(parts, work, caller, record)
                joined, graced = True, False
                answer = Conflict(answer.op, found.record, found.now)
            case Pause(until):
                found = await _paused(parts, work, caller, record, (until - answer.now).total_seconds())
                answer = Conflict(answer.op, found.record, found.now)
            case Spent() if record.uncertain:
                answer = Conflict(answer.op, await doubted(parts, record, work.actor), answer.now)
            case Spent():
                raise await stopped(parts, record, spent=True)
            case Claim() if joined and record.error is not None:
                if graced:  # whoever made that attempt does not go on; one who waited for it never does
                    raise await stopped(parts, record)
                graced = True
                found = await _paused(parts, work, caller, record, _GRACE_S)
                answer = Conflict(answer.op, found.record, found.now)
            case Claim() if _wants_look(work, record) and not looked:
                looked = True
                answer = await _evidence(look_first, parts, work, caller, record, answer)
            case Claim() if attempt.first is Event.ASK:
                answer = await again(parts, work, attempt, record, answer)
            case Claim():
                answer = await attempt.move(record, attempt.first)
            case TakeOver(Event.TAKE_OVER) if await _may_take_over(parts, work, record, attempt):
                answer = await attempt.move(record, Event.TAKE_OVER, lease_over=True)
            case TakeOver(event):
                ending = Event.DOUBT if event is Event.DOUBT else Event.RELEASE
                found = await bury(parts, record, ending, work.actor, work.contract)
                answer = Conflict(answer.op, found.record, found.now)
            case Doubt():
                if reconciled or not (has_evidence(work.contract) or await was_told(parts, record)):
                    raise in_doubt(parts, record)
                reconciled = looked = True
                answer = await _evidence(reconcile, parts, work, caller, record, answer)


async def _evidence(
    look: Callable[[Parts, Record, Contract, str], Coroutine[Any, Any, Record]],
    parts: Parts,
    work: Work,
    caller: Caller,
    record: Record,
    answer: Conflict,
) -> Conflict:
    """Look for evidence; a caller who leaves meanwhile stops it."""
    caller.shield(on=False)
    settled = await look(parts, record, work.contract, work.actor)
    caller.shield(on=True)
    return Conflict(answer.op, settled, answer.now)


async def _first(parts: Parts, work: Work, attempt: Claiming) -> Committed | Conflict:
    """Claim the effect at once, unless people have to decide: what they said already is looked up first.

    Raises:
        PolicyDenied: Rules say no, and it was not done either.
    """
    if isinstance(work.verdict, Deny):
        known = await _looked_up(parts, work)
        if known.found is None or known.found.state not in _ENDED:
            await refuse(parts, work, work.verdict)
        return known
    if attempt.first is Event.CLAIM:
        return await attempt.insert()
    known = await _looked_up(parts, work)
    return known if known.found is not None else await ask(parts, work, attempt, None, known.now)


async def _looked_up(parts: Parts, work: Work) -> Conflict:
    found = await parts.store.find(work.tenant, work.key)
    return Conflict(None, found.record, found.now)


async def _may_take_over(parts: Parts, work: Work, record: Record, attempt: Claiming) -> bool:
    """Whether a dead worker's effect may be executed again: unless the outside told that it is done."""
    if attempt.first is not Event.CLAIM:
        return False
    return not (_wants_look(work, record) and await told_done(parts, record.tenant, record.key))


def _wants_look(work: Work, record: Record) -> bool:
    """Whether something may speak against this attempt: it is not the first of a change."""
    return record.attempt > 0 and work.contract.safety in {Safety.UNSAFE, Safety.IDEMPOTENT}


async def _paused(parts: Parts, work: Work, caller: Caller, record: Record, left_s: float) -> Found:
    """Wait for the moment that the next attempt is planned for.

    Raises:
        EffectFailed: That is further away than this caller waits. Nothing ran.
    """
    retry = work.contract.retry
    longest_s = 0.0 if retry is None else retry.longest_wait_s
    if left_s > longest_s or not work.patience.covers(left_s):
        raise await stopped(parts, record)
    work.patience.spend(left_s)
    caller.shield(on=False)
    await parts.runtime.sleep(left_s + 0.001)  # the store's clock is not this machine's
    caller.shield(on=True)
    return await parts.store.find(work.tenant, work.key)


def _present(work: Work, answer: Conflict) -> Record:
    if answer.found is None:
        raise StoreInvariant("look at an effect", "its row has vanished", work.key)
    return answer.found
