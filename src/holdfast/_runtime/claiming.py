"""One caller's tries to claim one effect: what it sends, and what it makes of a refusal."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState
from holdfast._core.budget import PlaceHold, Refused
from holdfast._core.change import Admission, ApprovalOp, Change, Committed, Conflict, Head, Retrying, head_of
from holdfast._core.model import EffectKey, Record
from holdfast._core.plan import along_with, holding, plan_insert, plan_move
from holdfast._core.states import Event, Safety, State
from holdfast._runtime import context
from holdfast._runtime.asking import moving, opening
from holdfast._runtime.bill import Bill
from holdfast._runtime.budgeting import exceeded, levels_of
from holdfast._runtime.burial import has_freed_seats
from holdfast._runtime.deciding import told_of, traced
from holdfast._runtime.dependencies import why_refused
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.record import commit_patiently, told_done
from holdfast.errors import ApprovalRequired, HoldfastError, StoreInvariant
from holdfast.ports import Lease

_CLAIMS: Final = frozenset({Event.CLAIM, Event.TAKE_OVER})
_REFUSALS: Final = 8
_SEARCHES: Final = 3  # so often seats of the dead are looked for
_SHARE: Final = 0.9  # a call inside a handler gives up first, so that the handler can say what became of it


class Claiming:
    """One caller's tries to claim one effect; remembers what it sent, to know its own lost answers.

    Attributes:
        first: The event that a claim is for this caller: ``claim``, or ``ask`` when a person has to decide.
        probe: The claim's name once it is the one probe of a dependency in trouble.
        told: The outside told that it is done before the ledger knew of it; a claim can be made all the same,
            to put that on record.
    """

    def __init__(self, parts: Parts, work: Work, first: Event) -> None:
        self.first = first
        self.probe = ""
        self.told = False
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
        self._question: Approval | None = None
        self._grant: Approval | None = None
        self._executes: Work | None = None
        self._answer: Committed | Conflict | None = None
        self._has_begun = False

    async def insert(self) -> Committed | Conflict:
        work, parts = self._work, self._parts
        self._seen, self._lease_over = None, False
        self._timeout_s = self._time_left()
        await self._begun(self.first)
        change, head = plan_insert(
            work.new,
            self.first,
            parts.stamp(work.tenant, work.key, work.actor),
            owner=self._owner,
            lease_s=parts.settings.lease_s,
            timeout_s=self._timeout_s,
            details=self._details(),
            admission=self._admission(self.first),
            untold=self._matters and not self.told,
            undoes=self._undoes(),
        )
        return await self._send(self.first, change, head)

    async def move(self, record: Record, event: Event, *, lease_over: bool = False) -> Committed | Conflict:
        work, parts = self._work, self._parts
        self._seen, self._lease_over = record, lease_over
        self._timeout_s = self._time_left()
        await self._begun(event)
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
            details=self._details(),
            admission=self._admission(event),
            retrying=Retrying(uncertain=True) if died else None,
        )
        return await self._send(event, change, head)

    @property
    def _matters(self) -> bool:
        """Whether what the outside tells speaks against a first attempt."""
        safety = self._work.contract.safety
        return self.first is Event.CLAIM and safety in {Safety.UNSAFE, Safety.IDEMPOTENT}

    async def ask(
        self, record: Record | None, asked: Approval, before: Approval | None, closed: Approval | None
    ) -> Committed | Conflict:
        """Put a question on record, and the effect with it if it is new.

        Args:
            before: The open question that it takes the place of; *closed* is that question withdrawn.
        """
        work, parts = self._work, self._parts
        self._seen, self._lease_over, self._question, self._grant = record, False, asked, None
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        op, details = opening(asked, stamp)
        details |= {"verdict": told_of(work.verdict), **({"void": closed.ended} if closed else {})}
        if record is None:
            event = Event.ASK
            change, head = plan_insert(
                work.new, event, stamp, owner=self._owner, details=details, undoes=self._undoes()
            )
        else:
            event = Event.NOTE if record.state is State.WAITING else Event.ASK
            change, head = plan_move(head_of(record), event, stamp, details=details)
        ops: tuple[ApprovalOp, ...] = (op,)
        if before is not None and closed is not None:
            ops = (moving(before, closed, stamp)[0], op)
        return await self._send(event, along_with(change, ops), head)

    async def grant(self, record: Record, approval: Approval, executes: Work | None) -> Committed | Conflict:
        """Claim the effect by what people decided: their approval is used up in the claim's own transaction.

        Args:
            executes: What is executed, where people changed the arguments.
        """
        work, parts = self._work, self._parts
        self._seen, self._lease_over = record, False
        self._question, self._grant, self._executes = None, approval, executes
        self._timeout_s = self._time_left()
        await self._begun(Event.CLAIM)
        stamp = parts.stamp(work.tenant, work.key, work.actor)
        used = replace(approval, state=ApprovalState.CONSUMED)
        op, details = moving(approval, used, stamp, unexpired=True)
        change, head = plan_move(
            head_of(record),
            Event.CLAIM,
            stamp,
            owner=self._owner,
            safety=work.contract.safety,
            lease_s=parts.settings.lease_s,
            timeout_s=self._timeout_s,
            details=details | self._details(),
            admission=self._admission(Event.CLAIM),
            args=None if executes is None else executes.new.args,
        )
        return await self._send(Event.CLAIM, along_with(change, (op,)), head)

    async def _is_ungranted(self) -> bool:
        """Whether the claim was refused because its approval is not what it was."""
        if self._grant is None:
            return False
        row = await self._parts.store.approvals.find(self._grant.tenant, self._grant.id)
        now = (await self._parts.store.find(self._work.tenant, self._work.key)).now
        return row is None or row.version != self._grant.version or row.expires_at <= now

    def _details(self) -> dict[str, Any]:
        """Return what the audit entry of a claim says of the rules that let it pass."""
        flexible = self._work.flexible
        told = {} if flexible is None or not flexible.told else {"steered": dict(flexible.told)}
        return told if self._parts.policy is None else {"verdict": told_of(self._work.verdict), **told}

    def _admission(self, event: Event) -> Admission | None:
        """Return what else must hold for this claim; asking a person needs nothing."""
        if event is Event.ASK:
            return None
        of = self._work.contract.dependency
        is_guarded = of is not None and of.breaker and not self.probe and not context.is_probing(of.name)
        return Admission(
            dependency=of.name if of is not None and is_guarded else None,
            obeys=self._undoes() is None,
            epoch=context.epoch_of(self._work.tenant, self._work.new.workflow_id),
        )

    def _undoes(self) -> EffectKey | None:
        """Return what this effect undoes: as a compensation, or as what one does in its own workflow."""
        work = self._work
        return (
            context.undone_in(work.tenant, work.new.workflow_id) if work.undone is None else work.undone.key
        )

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
        until = context.given_up_at()
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
        parts.traffic.ensure_open()
        claims = event in _CLAIMS
        hold = None
        if claims and not self._work.is_own:
            hold = self._hold(head)
        self._sent_at = parts.runtime.monotonic()
        self._event, self._head = event, head if hold is None else replace(head, holds=True)
        until = self._sent_at + parts.settings.store_patience_s
        whole = change if hold is None else holding(change, hold)
        try:
            may_refuse = self._work.flexible is not None
            self._answer = await commit_patiently(parts, whole, until=until, may_refuse=may_refuse)
        except parts.runtime.stops:
            if claims:
                with suppress(HoldfastError):  # else its lease will tell
                    await self._take_back(whole)
            raise
        return self._answer

    async def _begun(self, event: Event) -> None:
        """Let a flexible call begin anew, once in a claim, and hear how full budgets are if that matters."""
        flexible, parts = self._work.flexible, self._parts
        if flexible is None or self._has_begun or event not in _CLAIMS:
            return
        self._has_begun = True
        flexible.begin()
        if not flexible.is_steered:
            return
        facts = replace(self._work.facts, needs=flexible.needs)
        flexible.steer(await levels_of(parts, parts.pricer.hold(facts, 1, parts.runtime.now())))

    def _hold(self, head: Head) -> PlaceHold | None:
        """Return what the attempt has to hold of budgets."""
        facts, flexible = self._work.facts, self._work.flexible
        if flexible is None:
            return self._parts.pricer.hold(facts, head.attempt, head.at)
        hold = self._parts.pricer.hold(replace(facts, needs=flexible.needs), head.attempt, head.at)
        flexible.held(hold)
        return hold

    async def _fits(self, refused: Refused, now: datetime) -> bool:
        """Whether there may be room by now: the call needs less, or the seats of the dead are free again."""
        flexible = self._work.flexible
        if flexible is not None and flexible.shrunk(refused):
            self._refusals -= 1  # it makes its own end of that
            return True
        return self._refusals <= _SEARCHES and await has_freed_seats(self._parts, self._work, refused, now)

    def was_refused(self, answer: Conflict) -> bool:
        """Whether the effect could be claimed, and the claim was not admitted all the same."""
        is_claim = self._event in _CLAIMS
        if not is_claim or answer is not self._answer:  # what was looked up later is no refusal
            return False
        seen, found = self._seen, answer.found
        if seen is None or found is None:
            return found is seen
        is_unmoved = (found.state, found.fence, found.audit_hash) == (seen.state, seen.fence, seen.audit_hash)
        return is_unmoved and not (self._lease_over and found.lease_until > answer.now)

    async def admitted(self) -> Committed | Conflict:
        """Find out why the claim was refused; send it again if that is over, or if it may be the probe.

        Raises:
            BudgetExceeded: A budget has no room for it. Nothing ran.
            CircuitOpen: The dependency is in trouble. Nothing ran.
            WorkflowStopped: The workflow waits for a person. Nothing ran.
            ExecutionTaken: The workflow is no longer gone through here. Nothing ran.
            StoreInvariant: The row has vanished.
        """
        self._refusals += 1
        if isinstance(self._answer, Conflict) and self._answer.refused is not None:
            refused, now = self._answer.refused, self._answer.now
            if not await self._fits(refused, now):
                if self._work.flexible is not None:
                    self._parts.watch.see(self._parts, self._answer)
                raise exceeded(refused, self._work.key)
        if self._refusals > _REFUSALS:
            raise StoreInvariant("claim an effect", "its row has vanished", self._work.key)
        if self._answer is not None and isinstance(self._answer, Conflict) and await self._is_ungranted():
            found = await self._parts.store.find(self._work.tenant, self._work.key)
            return Conflict(self._answer.op, found.record, found.now)
        if await why_refused(self._parts, self._work, self._owner):
            self.probe = self._owner
        if self._grant is not None and self._seen is not None:
            return await self.grant(self._seen, self._grant, self._executes)
        if self._seen is None:
            self.told = self._matters and await told_done(self._parts, self._work.tenant, self._work.key)
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
        release, _ = plan_move(
            self._head, Event.RELEASE, stamp, details=details, retrying=Retrying(unstarted=True)
        )
        await parts.store.commit(release)

    def is_ours(self, answer: Conflict) -> bool:
        """Whether the row that was in the way is the one that we wrote ourselves."""
        return (
            answer.found is not None
            and self._head is not None
            and answer.found.owner == self._owner
            and answer.found.fence == self._head.fence
        )

    @property
    def _currency(self) -> str:
        flexible = self._work.flexible
        return (self._work.facts.needs if flexible is None else flexible.needs).currency

    @property
    def asked(self) -> Approval | None:
        """The question that it has put on record last, and nothing since."""
        return self._question

    async def won(self) -> Held:
        head = self._head
        if head is None:
            raise StoreInvariant("claim an effect", "an answer came before a question", self._work.key)
        if self._question is not None:
            asked = self._question
            told = traced(self._work, approval=asked.id, rule=asked.rule)
            self._parts.tracer.noted("holdfast.approval_required", told)
            raise ApprovalRequired(head.key, asked.reason, asked.id, asked.expires_at)
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
            work=self._executes,
            bill=Bill(self._currency),
        )
