"""Step 6: win the right to execute an effect, or find its answer. Claim first, decide on conflict."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final

from holdfast._core.audit import attempts
from holdfast._core.change import Admission, Change, Committed, Conflict, Head, Retrying, head_of
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
from holdfast._core.identity import differing_paths
from holdfast._core.model import Finding, Receipt, Record
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, Safety, State
from holdfast._runtime import context
from holdfast._runtime.dependencies import give_back, why_refused
from holdfast._runtime.join import join
from holdfast._runtime.parts import Held, Parts, Work, receipt_of
from holdfast._runtime.reconcile import bury, doubted, has_evidence, look_first, reconcile, was_told
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
from holdfast.ports import Ask, Caller, Found, Lease

_REFUSALS: Final = 8
_GRACE_S: Final = 0.2  # for the one who planned the next attempt to make it
_SHARE: Final = 0.9  # a call inside a handler gives up first, so that the handler can say what became of it


async def obtain(parts: Parts, work: Work, caller: Caller) -> Held | Receipt:
    """Claim the effect of *work*, or answer from what the ledger knows of it.

    Raises:
        HoldfastError: It must not be executed here and now; the error says why. Nothing ran.
    """
    attempt = _Claiming(parts, work, Event.ASK if isinstance(work.verdict, Ask) else Event.CLAIM)
    is_held = False
    try:
        found = await _found(parts, work, caller, attempt)
        is_held = isinstance(found, Held)
    finally:
        if attempt.probe and not is_held:
            await give_back(parts, work, attempt.probe)  # somebody else's call may be the probe
    return found


async def _found(  # noqa: C901, PLR0912, PLR0915 - one arm per decision: this is the table of what can be found
    parts: Parts, work: Work, caller: Caller, attempt: _Claiming
) -> Held | Receipt:
    answer = await attempt.insert()
    joined = reconciled = looked = graced = False
    while True:
        if isinstance(answer, Committed) or attempt.is_ours(answer):
            return await attempt.won()
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
                caller.shield(on=False)
                settled = await look_first(parts, record, work.contract, work.actor)
                caller.shield(on=True)
                answer = Conflict(answer.op, settled, answer.now)
            case Claim():
                answer = await attempt.move(record, attempt.first)
            case TakeOver(Event.TAKE_OVER) if attempt.first is Event.CLAIM:
                answer = await attempt.move(record, Event.TAKE_OVER, lease_over=True)
            case TakeOver(event):
                ending = Event.DOUBT if event is Event.DOUBT else Event.RELEASE
                found = await bury(parts, record, ending, work.actor, work.contract)
                answer = Conflict(answer.op, found.record, found.now)
            case Doubt():
                if reconciled or not (has_evidence(work.contract) or await was_told(parts, record)):
                    raise in_doubt(parts, record)
                caller.shield(on=False)
                settled = await reconcile(parts, record, work.contract, work.actor)
                caller.shield(on=True)
                reconciled = looked = True
                answer = Conflict(answer.op, settled, answer.now)


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
    if left_s > (longest_s if work.wait_s is None else min(longest_s, work.wait_s)):
        raise await stopped(parts, record)
    caller.shield(on=False)
    await parts.runtime.sleep(left_s + 0.001)  # the store's clock is not this machine's
    caller.shield(on=True)
    return await parts.store.find(work.tenant, work.key)


class _Claiming:
    """One caller's tries to claim one effect; remembers what it sent, to know its own lost answers.

    Attributes:
        first: The event that a claim is for this caller: ``claim``, or ``ask`` when a person has to decide.
        probe: The claim's name once it is the one probe of a dependency in trouble.
    """

    def __init__(self, parts: Parts, work: Work, first: Event) -> None:
        self.first = first
        self.probe = ""
        self._parts = parts
        self._work = work
        self._owner = parts.next_owner()
        self._sent_at = 0.0
        self._event = first
        self._head: Head | None = None
        self._seen: Record | None = None
        self._lease_over = False
        self._timeout_s: float | None = None
        self._refusals = 0
        self._answer: Committed | Conflict | None = None

    async def insert(self) -> Committed | Conflict:
        work, parts = self._work, self._parts
        self._seen, self._lease_over = None, False
        self._timeout_s = self._time_left()
        change, head = plan_insert(
            work.new,
            self.first,
            parts.stamp(work.tenant, work.key, work.actor),
            owner=self._owner,
            lease_s=parts.settings.lease_s,
            timeout_s=self._timeout_s,
            admission=self._admission(),
            undoes=context.undoing.get() if work.undone is None else work.undone.key,
        )
        return await self._send(self.first, change, head)

    async def move(self, record: Record, event: Event, *, lease_over: bool = False) -> Committed | Conflict:
        work, parts = self._work, self._parts
        self._seen, self._lease_over = record, lease_over
        self._timeout_s = self._time_left()
        died = event is Event.TAKE_OVER and record.safety is Safety.IDEMPOTENT
        change, head = plan_move(
            head_of(record),
            event,
            parts.stamp(work.tenant, work.key, work.actor),
            owner=self._owner,
            safety=work.contract.safety,
            lease_s=parts.settings.lease_s,
            timeout_s=self._timeout_s,
            lease_over=lease_over,
            admission=self._admission(),
            retrying=Retrying(uncertain=True) if died else None,
        )
        return await self._send(event, change, head)

    def _admission(self) -> Admission | None:
        """Return what else must hold for this claim; asking a person needs nothing."""
        if self.first is Event.ASK:
            return None
        of = self._work.contract.dependency
        is_guarded = of is not None and of.breaker and not self.probe and of.name not in context.probing.get()
        obeys = self._work.undone is None and not context.undoing.get()
        return Admission(dependency=of.name if of is not None and is_guarded else None, obeys=obeys)

    def _time_left(self) -> float | None:
        """Return how long the handler may take: no longer than its effect's and its surroundings' time.

        Raises:
            TimeoutError: The surrounding handler's time is over. Nothing ran.
        """
        work, parts = self._work, self._parts
        limits = [work.contract.timeout_s]
        retry, record = work.contract.retry, self._seen
        if retry is not None and retry.deadline_s is not None:
            since = None if record is None else record.retry_since or record.created_at
            passed_s = 0.0 if since is None else (parts.runtime.now() - since).total_seconds()
            limits.append(max(retry.deadline_s - passed_s, 0.001))
        until = context.deadline.get()
        if until is not None:
            left_s = until - parts.runtime.monotonic()
            if left_s <= 0:
                msg = (
                    f"{work.call.tool!r} was called when the surrounding handler's time was over; nothing ran"
                )
                raise TimeoutError(msg)
            limits.append(left_s * _SHARE)
        return min((limit for limit in limits if limit is not None), default=None)

    async def _send(self, event: Event, change: Change, head: Head) -> Committed | Conflict:
        parts = self._parts
        claims = event is not Event.ASK
        holds = tuple(parts.pricer.holds(self._work.facts)) if claims else ()
        self._sent_at = parts.runtime.monotonic()
        self._event, self._head = event, head
        until = self._sent_at + parts.settings.store_patience_s
        whole = Change(change.ops + holds) if holds else change
        try:
            self._answer = await commit_patiently(parts, whole, until=until)
        except parts.runtime.stops:
            if claims:
                with suppress(HoldfastError):  # else its lease will tell
                    await self._take_back(whole)
            raise
        return self._answer

    def was_refused(self, answer: Conflict) -> bool:
        """Whether the effect could be claimed, and the claim was not admitted all the same."""
        if self.first is Event.ASK or answer is not self._answer:  # what was looked up later is no refusal
            return False
        seen, found = self._seen, answer.found
        if seen is None or found is None:
            return found is seen
        is_unmoved = (found.state, found.fence, found.audit_hash) == (seen.state, seen.fence, seen.audit_hash)
        return is_unmoved and not (self._lease_over and found.lease_until > answer.now)

    async def admitted(self) -> Committed | Conflict:
        """Find out why the claim was refused; send it again if that is over, or if it may be the probe.

        Raises:
            CircuitOpen: The dependency is in trouble. Nothing ran.
            WorkflowStopped: The workflow waits for a person. Nothing ran.
            StoreInvariant: The row has vanished.
        """
        self._refusals += 1
        if self._refusals > _REFUSALS:
            raise StoreInvariant("claim an effect", "its row has vanished", self._work.key)
        if await why_refused(self._parts, self._work, self._owner):
            self.probe = self._owner
        if self._seen is None:
            return await self.insert()
        return await self.move(self._seen, self._event, lease_over=self._lease_over)

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
        seen = self._seen
        delay_s = 0.0
        if seen is not None and seen.not_before is not None:
            delay_s = max((seen.not_before - seen.updated_at).total_seconds(), 0.0)
        return Held(
            owner=self._owner,
            head=head,
            live=self._parts.heartbeat.add(lease, claimed_at=self._sent_at),
            timeout_s=self._timeout_s,
            probe=self.probe,
            retry_from=0 if seen is None else seen.retry_from,
            since=head.at if seen is None else seen.retry_since or seen.created_at,
            previous_s=delay_s,
            uncertain=seen is not None
            and (seen.uncertain or (self._lease_over and seen.safety is Safety.IDEMPOTENT)),
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


def other_kind(record: Record) -> InvalidCall:
    """Return the error for a key that is on record as a read: its answer proves nothing."""
    what = f"effect {record.key!r} is on record as a read, and {record.tool!r} is no read any more"
    return InvalidCall(what, "give the call another key, or the tool another name; nothing ran")


def in_doubt(parts: Parts, record: Record) -> OutcomeUnknown:
    """Return the error for an effect that nobody can vouch for."""
    why = f"attempt {record.attempt} ended without evidence"
    if record.error is not None:
        try:
            why += f" ({json.loads(parts.opened(record.tenant, record.key, record.error, 'error'))['type']})"
        except ValueError:  # sealed with a key that this ledger does not have
            why += " (its error is sealed)"
    return OutcomeUnknown(record.key, why)


async def stopped(parts: Parts, record: Record, *, spent: bool = False) -> HoldfastError:
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
            return EffectFailed(
                record.key,
                failure["type"],
                failure["message"],
                record.state,
                history,
                spent=spent,
                retry_at=record.not_before,
            )
