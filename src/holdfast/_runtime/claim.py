"""Step 6: win the right to execute an effect, or find its answer. Claim first, decide on conflict."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from holdfast._core.audit import attempts
from holdfast._core.change import (
    Change,
    Committed,
    Conflict,
    Head,
    head_of,
    plan_insert,
    plan_move,
)
from holdfast._core.decide import (
    Claim,
    Differs,
    Doubt,
    OtherKind,
    Replay,
    Stopped,
    TakeOver,
    Wait,
    on_existing,
)
from holdfast._core.identity import differing_paths
from holdfast._core.model import Finding, Receipt, Record
from holdfast._core.states import Event, State
from holdfast._runtime.join import join
from holdfast._runtime.parts import Held, Parts, Work, receipt_of
from holdfast._runtime.reconcile import bury, reconcile
from holdfast._runtime.record import commit_patiently
from holdfast.errors import (
    ApprovalDenied,
    ApprovalRequired,
    EffectCancelled,
    EffectFailed,
    HoldfastError,
    InvalidCall,
    NotSerializable,
    OutcomeUnknown,
    PayloadConflict,
    StoreInvariant,
)
from holdfast.ports import Ask, Caller, Lease


async def obtain(  # noqa: C901 - one arm per decision: this is the table of what can be found
    parts: Parts, work: Work, caller: Caller
) -> Held | Receipt:
    """Claim the effect of *work*, or answer from what the ledger knows of it.

    Raises:
        HoldfastError: It must not be executed here and now; the error says why. Nothing ran.
    """
    asking = isinstance(work.verdict, Ask)
    attempt = _Claiming(parts, work, Event.ASK if asking else Event.CLAIM)
    answer = await attempt.insert()
    joined = reconciled = False
    while True:
        if isinstance(answer, Committed) or attempt.is_ours(answer):
            return await attempt.won()
        record = _present(work, answer)
        match on_existing(record, work.new.fingerprint, work.contract, answer.now, joined=joined):
            case Replay():
                return replay(parts, work, record)
            case Differs():
                raise conflict(parts, work, record)
            case OtherKind():
                what = (
                    f"effect {record.key!r} is on record as a read, and {record.tool!r} is no read any more"
                )
                raise InvalidCall(what, "give the call another key, or the tool another name; nothing ran")
            case Stopped():
                raise await stopped(parts, record)
            case Wait():
                found = await join(parts, work, caller, record)
                joined = True
                answer = Conflict(answer.op, found.record, found.now)
            case Claim():
                answer = await attempt.move(record, attempt.first)
            case TakeOver(Event.TAKE_OVER) if not asking:
                answer = await attempt.move(record, Event.TAKE_OVER, lease_over=True)
            case TakeOver(event):
                ending = Event.DOUBT if event is Event.DOUBT else Event.RELEASE
                found = await bury(parts, record, ending, work.actor)
                answer = Conflict(answer.op, found.record, found.now)
            case Doubt():
                if work.contract.reconcile is None or reconciled:
                    raise in_doubt(parts, record)
                caller.shield(on=False)
                settled = await reconcile(parts, record, work.contract, work.actor)
                caller.shield(on=True)
                reconciled = True
                answer = Conflict(answer.op, settled, answer.now)


class _Claiming:
    """One caller's tries to claim one effect; remembers what it sent, to know its own lost answers."""

    def __init__(self, parts: Parts, work: Work, first: Event) -> None:
        self.first = first
        self._parts = parts
        self._work = work
        self._owner = parts.next_owner()
        self._sent_at = 0.0
        self._event = first
        self._head: Head | None = None

    async def insert(self) -> Committed | Conflict:
        work, parts = self._work, self._parts
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        change, head = plan_insert(
            work.new,
            self.first,
            stamp,
            owner=self._owner,
            lease_s=parts.settings.lease_s,
            timeout_s=work.contract.timeout_s,
        )
        return await self._send(self.first, change, head)

    async def move(self, record: Record, event: Event, *, lease_over: bool = False) -> Committed | Conflict:
        work, parts = self._work, self._parts
        change, head = plan_move(
            head_of(record),
            event,
            parts.stamp(work.tenant, work.key, work.actor),
            owner=self._owner,
            safety=work.contract.safety,
            lease_s=parts.settings.lease_s,
            timeout_s=work.contract.timeout_s,
            lease_over=lease_over,
        )
        return await self._send(event, change, head)

    async def _send(self, event: Event, change: Change, head: Head) -> Committed | Conflict:
        parts = self._parts
        claims = event is not Event.ASK
        holds = tuple(parts.pricer.holds(self._work.facts)) if claims else ()
        self._sent_at = parts.runtime.monotonic()
        self._event, self._head = event, head
        until = self._sent_at + parts.settings.store_patience_s
        whole = Change(change.ops + holds) if holds else change
        try:
            return await commit_patiently(parts, whole, until=until)
        except parts.runtime.stops:
            if claims:
                with suppress(HoldfastError):  # else its lease will tell
                    await self._take_back(whole)
            raise

    async def _take_back(self, sent: Change) -> None:
        """Release a claim that may be on its way although everything is being stopped: nothing ran."""
        parts, work = self._parts, self._work
        answer = await parts.store.commit(sent)  # it goes the way of the first, and so comes after it
        if self._head is None or not (isinstance(answer, Committed) or self.is_ours(answer)):
            return
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        details = {"why": "stopped before the handler was started"}
        release, _ = plan_move(self._head, Event.RELEASE, stamp, details=details)
        await parts.store.commit(release)

    def is_ours(self, answer: Conflict) -> bool:
        """Whether the row that was in the way is the one that we wrote ourselves."""
        return (
            answer.found is not None
            and self._head is not None
            and answer.found.owner == self._owner
            and answer.found.fence == self._head.fence
        )

    async def won(self) -> Held:
        head = self._head
        if head is None:
            raise StoreInvariant("claim an effect", "an answer came before a question", self._work.key)
        if self._event is Event.ASK:
            reason = self._work.verdict.reason if isinstance(self._work.verdict, Ask) else ""
            raise ApprovalRequired(head.key, reason)
        lease = Lease(head.tenant, head.key, head.fence)
        return Held(
            owner=self._owner, head=head, live=self._parts.heartbeat.add(lease, claimed_at=self._sent_at)
        )


def _present(work: Work, answer: Conflict) -> Record:
    if answer.found is None:
        raise StoreInvariant("look at an effect", "its row has vanished", work.key)
    return answer.found


def replay(parts: Parts, work: Work, record: Record) -> Receipt:
    """Answer from the record (I7).

    Raises:
        NotSerializable: The effect is done, but its result could not be kept.
    """
    if record.result_gap is not None:
        path, _, why = record.result_gap.partition(" ")
        raise NotSerializable(path, why, record.key)
    text = None if record.result is None else parts.opened(record.tenant, record.key, record.result, "result")
    findings = work.findings
    if work.contract.ignore:
        differing = _ignored_differences(parts, work, record)
        if differing:
            message = f"answered from the record although {', '.join(differing)} differ"
            findings = (*findings, Finding(code="payload_differs", message=message, paths=differing))
    return receipt_of(
        parts,
        record,
        replayed=True,
        result=None if text is None else json.loads(text),
        findings=findings,
        call_id=work.call.call_id,
    )


def _ignored_differences(parts: Parts, work: Work, record: Record) -> tuple[str, ...]:
    recorded = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    offered = work.payload.plain
    names = [name for name in work.contract.ignore if name in recorded or name in offered]
    return differing_paths({n: recorded.get(n) for n in names}, {n: offered.get(n) for n in names})


def conflict(parts: Parts, work: Work, record: Record) -> PayloadConflict:
    """Return the error for the same key with another payload: paths, never values."""
    try:
        recorded: Any = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
        paths = differing_paths(recorded, work.payload.plain, ignore=work.contract.ignore)
    except ValueError:  # erased, or sealed with a key that this ledger does not have
        paths = ()
    return PayloadConflict(work.key, paths, (record.fingerprint, work.new.fingerprint))


def in_doubt(parts: Parts, record: Record) -> OutcomeUnknown:
    """Return the error for an effect that nobody can vouch for."""
    why = f"attempt {record.attempt} ended without evidence"
    if record.error is not None:
        try:
            why += f" ({json.loads(parts.opened(record.tenant, record.key, record.error, 'error'))['type']})"
        except ValueError:  # sealed with a key that this ledger does not have
            why += " (its error is sealed)"
    return OutcomeUnknown(record.key, why)


async def stopped(parts: Parts, record: Record) -> HoldfastError:
    """Return the error that an effect's recorded state stands for."""
    match record.state:
        case State.WAITING:
            return ApprovalRequired(record.key, "the tool requires approval")
        case State.DENIED:
            return ApprovalDenied(record.key, "see the audit trail for the reason")
        case State.CANCELLED:
            return EffectCancelled(record.key)
        case _:
            entries = tuple(await parts.store.trail(record.tenant, record.key))
            failure = {"type": "NotDone", "message": ""}
            if record.error is not None:
                failure = json.loads(parts.opened(record.tenant, record.key, record.error, "error"))
            history = attempts(entries, parts.plain_bodies(entries))
            return EffectFailed(record.key, failure["type"], failure["message"], record.state, history)
