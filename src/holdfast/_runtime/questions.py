"""Stage 4: a call that people have to decide on. It asks them, waits if it may, and goes on by their word."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from holdfast._core.approval import Approval, ApprovalRecord, ApprovalState, InfoRequest
from holdfast._core.approval_text import differences
from holdfast._core.approving import ended, lapsed
from holdfast._core.change import Committed, Conflict
from holdfast._core.identity import read_args
from holdfast._core.model import Record
from holdfast._core.states import State
from holdfast._runtime import context
from holdfast._runtime.approvals import Place
from holdfast._runtime.asking import Live, live_of, question
from holdfast._runtime.claiming import Claiming
from holdfast._runtime.deciding import verdict_on
from holdfast._runtime.fitting import kwargs_for
from holdfast._runtime.granting import unfounded, unsigned
from holdfast._runtime.inquiring import answered_along, information_requested
from holdfast._runtime.parts import Parts, Work
from holdfast._runtime.settling import CLOCK, ensure_whole, read, settle, void
from holdfast.errors import ApprovalRequired, ApprovalVoid, InvalidCall
from holdfast.ports import Allow, Ask, Caller, Found, Verdict


class WaitedForPeople(Exception):
    """What people were asked has moved while this caller waited."""


async def ask(
    parts: Parts,
    work: Work,
    attempt: Claiming,
    record: Record | None,
    now: datetime,
    *,
    last: ApprovalRecord | None = None,
    before: Approval | None = None,
    why: str = "",
) -> Committed | Conflict:
    """Put a question about *work* on record.

    Args:
        last: The question before it, if there was one.
        before: The same, while it is open: it is withdrawn.
    """
    asks = _asks(work, before)
    live = await live_of(parts, work, asks)
    number = 1 if last is None else last.number + 1
    asked = await question(parts, work, asks, live, number=number, now=now)
    closed = None if before is None else ended(before, ApprovalState.WITHDRAWN, why, now)
    answer = await attempt.ask(record, asked, before, closed)
    if isinstance(answer, Committed):
        for one in (asked, closed):
            if one is not None:
                parts.announce(parts, work.tenant, one.id)
    return answer


async def answered(
    parts: Parts, work: Work, caller: Caller, attempt: Claiming, record: Record, answer: Conflict
) -> Committed | Conflict:
    """Go on with an effect that waits for people: as they have decided, or not at all.

    Raises:
        InformationRequested: Somebody who has to decide asks for more first.
        ApprovalRequired: Nobody has decided yet, or the call is not the one that was asked about any more:
            then a new question is on record.
        ApprovalVoid: What was approved is not what is on record.
        WaitedForPeople: Somebody has decided meanwhile.
    """
    last = await parts.store.approvals.latest(work.tenant, work.key)
    if last is None or last.state not in {ApprovalState.PENDING, ApprovalState.APPROVED}:
        return await ask(parts, work, attempt, record, answer.now, last=last)
    approval = await read(parts, record, last, answer.now, actor=work.actor)
    later = lapsed(approval, answer.now)
    if later is not None:
        if await ensure_whole(parts, record, last, approval, answer.now, actor=CLOCK):
            await settle(parts, record, approval, later, actor=CLOCK)
        return await _anew(parts, work, answer)
    if last.state is ApprovalState.APPROVED:
        return await _by_their_word(parts, work, attempt, record, last, approval, answer)
    live = await live_of(parts, work, _asks(work, approval))
    changed = differences(approval.binding, live.binding)
    if changed and not approval.edits:
        why = f"it is another call now: {', '.join(changed)} differ"
        return await ask(parts, work, attempt, record, answer.now, last=last, before=approval, why=why)
    if approval.owed is not None:
        return await _inquired(parts, work, Place(last, approval, record, answer.now), approval.owed, answer)
    is_suspended = context.epoch_of(work.tenant, work.new.workflow_id) is not None  # a workflow is put away
    if work.patience.waits_for_people and not is_suspended:
        await _decided(parts, work, caller, approval)
        raise WaitedForPeople
    raise ApprovalRequired(record.key, approval.reason, approval.id, approval.expires_at)


async def _inquired(parts: Parts, work: Work, place: Place, owed: InfoRequest, answer: Conflict) -> Conflict:
    """Answer what people ask first, where the call brings the answer.

    Raises:
        InformationRequested: It does not.
        ApprovalVoid: The question is not what this library wrote: nobody is to speak to an agent that way.
    """
    approval = place.approval
    if await ensure_whole(parts, place.record, place.row, approval, place.now, actor=work.actor):
        given = None if work.call.context is None else work.call.context.answer
        if given is None or not await answered_along(parts, place, work.actor, given.text, given.to):
            raise information_requested(approval, owed)
    return await _anew(parts, work, answer)


async def again(
    parts: Parts, work: Work, attempt: Claiming, record: Record, answer: Conflict
) -> Committed | Conflict:
    """Claim an effect once more that people decide on, by the approval that it has already, or ask."""
    last = await parts.store.approvals.latest(work.tenant, work.key)
    if last is None or last.state is not ApprovalState.CONSUMED or last.expires_at <= answer.now:
        return await ask(parts, work, attempt, record, answer.now, last=last)
    approval = await read(parts, record, last, answer.now, actor=work.actor)
    return await _by_their_word(parts, work, attempt, record, last, approval, answer)


async def _by_their_word(
    parts: Parts,
    work: Work,
    attempt: Claiming,
    record: Record,
    row: ApprovalRecord,
    approval: Approval,
    answer: Conflict,
) -> Committed | Conflict:
    """Claim the effect with an approval, after everything about it was looked up anew (I4)."""
    if not await ensure_whole(parts, record, row, approval, answer.now, actor=work.actor):
        return await _anew(parts, work, answer)
    problem = unsigned(parts, approval)
    if problem:
        await void(parts, record, approval, problem, answer.now, actor=work.actor)
        raise ApprovalVoid(record.key, problem)
    mine = await _edited(parts, work, approval, answer.now)
    asks = _asks(work, approval)
    live = await live_of(parts, work if mine is None else mine, asks)
    why = _misfit(work, approval, live) or unfounded(parts, approval, answer.now)
    if why and approval.state is ApprovalState.APPROVED:
        return await ask(parts, work, attempt, record, answer.now, last=row, before=approval, why=why)
    if why:
        return await ask(parts, work, attempt, record, answer.now, last=row)
    return await attempt.grant(record, approval, mine)


def _misfit(work: Work, approval: Approval, live: Live) -> str:
    ignored = {"asked"} if approval.edits else set[str]()
    if not isinstance(work.verdict, Ask):  # rules that need nobody's word need none about themselves
        ignored |= {"policy", "chain"}
    changed = [name for name in differences(approval.binding, live.binding) if name not in ignored]
    return f"it is another call now: {', '.join(changed)} differ" if changed else ""


def _asks(work: Work, before: Approval | None) -> Ask:
    """Return whom to ask. What people were asked once is theirs to decide, whatever the rules say by now."""
    if isinstance(work.verdict, Ask):
        return work.verdict
    if before is None:
        return Ask("it was asked about before")
    policy = str(before.binding.get("policy", ""))
    return Ask(before.reason, rule=before.rule, policy=policy, chain=before.chain, amount=before.amount)


async def _edited(parts: Parts, work: Work, approval: Approval, now: datetime) -> Work | None:
    """Return *work* with the arguments that people approved in place of its own; ``None``: they are its own.

    Raises:
        ApprovalVoid: They do not fit the tool, or the rules do not allow them.
    """
    if not approval.edits:
        return None
    payload = read_args(json.loads(approval.binding["args"]), max_bytes=parts.settings.max_args_bytes)
    call = replace(work.call, args=payload.plain)
    facts = replace(work.facts, args=payload.plain, call=call)
    why = ""
    try:
        kwargs = kwargs_for(work.shape, facts, payload.args, None)
    except InvalidCall as error:
        kwargs, why = {}, f"what people made of its arguments does not fit the tool ({error.what})"
    if not why and not _leaves(await verdict_on(parts, facts), approval):
        why = "the rules do not leave the changed arguments to those who approved them"
    if why:
        found = (await parts.store.find(work.tenant, work.key)).record
        if found is not None:
            await void(parts, found, approval, why, now, actor=work.actor)
        raise ApprovalVoid(work.key, why)
    new = replace(work.new, args=payload.text)
    return replace(work, call=call, facts=facts, payload=payload, kwargs=kwargs, new=new)


def _leaves(verdict: Verdict, approval: Approval) -> bool:
    """Whether rules leave changed arguments to those who approved them, with no more at stake."""
    if not isinstance(verdict, Ask):
        return isinstance(verdict, Allow)
    if verdict.chain.version != approval.binding["chain"]:
        return False
    if verdict.amount == approval.amount or not any(stage.limited for stage in approval.chain.stages):
        return True
    now, then = verdict.amount, approval.amount
    if now is None or then is None or now.currency != then.currency:
        return False
    return 0 <= now.minor <= then.minor


async def _decided(parts: Parts, work: Work, caller: Caller, approval: Approval) -> None:
    """Wait until people have decided, for as long as this caller does.

    Raises:
        ApprovalRequired: They have not.
    """
    first, last = parts.store.poll_s
    started, delay = parts.runtime.monotonic(), first
    bell = parts.runtime.bell()
    caller.shield(on=False)
    try:
        with parts.bus.listening(work.key, bell):
            while True:
                row = await parts.store.approvals.find(approval.tenant, approval.id)
                found = await parts.store.find(work.tenant, work.key)
                is_over = row is None or row.version != approval.version or row.expires_at <= found.now
                if is_over or found.record is None or found.record.state is not State.WAITING:
                    return
                left_s = (work.patience.left_s or 0.0) - (parts.runtime.monotonic() - started)
                if left_s <= 0:
                    raise ApprovalRequired(work.key, approval.reason, approval.id, approval.expires_at)
                heard = await bell.heard(min(delay, left_s))
                delay = first if heard else min(delay * 2, last)
    finally:
        work.patience.spend(parts.runtime.monotonic() - started)
        caller.shield(on=True)


async def _anew(parts: Parts, work: Work, answer: Conflict) -> Conflict:
    found: Found = await parts.store.find(work.tenant, work.key)
    return Conflict(answer.op, found.record, found.now)
