"""What users are promised of approvals, on every store and on both faces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from approvals.rules import Rules
from holdfast import Approval, CallContext, Chain, Principal, Stage, ToolCall
from holdfast.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalNotFound,
    ApprovalRequired,
    DecisionRefused,
    EffectCancelled,
    InformationRequested,
    InvalidCall,
    PayloadConflict,
    PolicyDenied,
)
from holdfast.ports import Allow, Ask
from promises.ledgers import Book, Calls

CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


def of(amount: int, **options: Any) -> ToolCall:
    """A call about an amount."""
    return ToolCall(workflow_id="order-1", tool="charge", args={"amount": amount}, **options)


async def run(book: Book, calls: Calls, call: ToolCall = CALL, **options: Any) -> Any:
    """Make a call that people have to decide on."""
    known = {"requires_approval": True, "version": "1", **options}
    return await book.run(call, book.handler(calls), **known)


async def asked(book: Book, calls: Calls, call: ToolCall = CALL, **options: Any) -> Approval:
    """Make a call that people have to decide on; return the question."""
    with pytest.raises(ApprovalRequired) as required:
        await run(book, calls, call, **options)
    found: Approval = await book.approval(required.value.approval)
    return found


async def test_c12_three_wait_for_one_yes_and_it_runs_once(book: Book) -> None:
    """HIT-17: the handler has not run when people see the question."""
    calls = Calls()
    question = await asked(book, calls)
    waiting = [asyncio.create_task(run(book, calls, wait="60s")) for _ in range(3)]
    await asyncio.sleep(0)
    assert calls.count == 0
    assert [one.id for one in await book.approvals()] == [question.id]

    await book.approve(question.id, by="ana", digest=question.digest)

    assert await asyncio.gather(*waiting) == [calls.result] * 3
    assert calls.count == 1


async def test_c12_a_no_reaches_whoever_waits_with_its_reason(book: Book) -> None:
    """HIT-09."""
    calls = Calls()
    question = await asked(book, calls)
    waiting = [asyncio.create_task(run(book, calls, wait="60s")) for _ in range(2)]
    await asyncio.sleep(0)

    await book.deny(question.id, by="ana", reason="too much")

    for each in waiting:
        with pytest.raises(ApprovalDenied, match="too much"):
            await each
    with pytest.raises(ApprovalDenied, match="too much"):
        await run(book, calls)
    assert calls.count == 0


async def test_whoever_waits_for_people_hears_that_they_ask_and_waits_on_after_the_answer(book: Book) -> None:
    """HIT-09: it does not sit out its time, and the approval is the same one."""
    calls = Calls()
    question = await asked(book, calls)
    waiting = [asyncio.create_task(run(book, calls, wait="60s")) for _ in range(2)]
    await asyncio.sleep(0)

    await book.request_info(question.id, by="ana", question="Which invoice?")
    for each in waiting:
        with pytest.raises(InformationRequested, match="Which invoice"):
            await each
    answered = await book.answer_info(question.id, answer="The seventh.")
    again = asyncio.create_task(run(book, calls, wait="60s"))
    await book.approve(question.id, by="ana", digest=answered.digest)

    assert await again == calls.result
    assert calls.count == 1


async def test_c12_what_is_withdrawn_is_called_off(book: Book) -> None:
    calls = Calls()
    question = await asked(book, calls)
    await book.withdraw(question.id, by="ops", reason="not any more")

    with pytest.raises(EffectCancelled):
        await run(book, calls)

    assert calls.count == 0
    assert dict(await book.approval_counts()) == {"withdrawn": 1}


async def test_c13_what_is_unknown_or_over_cannot_be_decided_on(book: Book) -> None:
    """C13: refused, and that somebody tried is on record."""
    calls = Calls()
    question = await asked(book, calls)
    for name in ("0" * 32, "nonsense"):
        with pytest.raises(ApprovalNotFound):
            await book.approve(name, by="ana", digest=question.digest)
        with pytest.raises(ApprovalNotFound):
            await book.deny(name, by="ana", reason="no")
    await book.approve(question.id, by="ana", digest=question.digest)
    for decide in (
        book.approve(question.id, by="bea", digest=question.digest),
        book.deny(question.id, by="bea", reason="no"),
    ):
        with pytest.raises(DecisionRefused):
            await decide
    await run(book, calls)

    for decide in (
        book.approve(question.id, by="cleo", digest=question.digest),
        book.deny(question.id, by="cleo", reason="no"),
        book.withdraw(question.id, by="cleo", reason="no"),
    ):
        with pytest.raises(DecisionRefused):
            await decide

    trail = await book.audit(question.key)
    told = [event.details["refused"]["by"] for event in trail if "refused" in event.details]
    assert told == ["bea", "bea", "cleo", "cleo", "cleo"]
    assert calls.count == 1


async def test_c14_rules_see_the_tool_and_its_arguments_and_nothing_is_asked_of_what_is_done(
    place: Any,
) -> None:
    """C14: a small amount passes, a large one waits; what they say of a finished call changes nothing."""
    seen: list[Any] = []

    def says(facts: Any) -> Any:
        seen.append((facts.tool, dict(facts.args)))
        return Allow() if facts.args["amount"] <= 100 else Ask("large", policy="v1")

    book, calls = place.open(policy=Rules(says)), Calls()
    assert await run(book, calls, of(100), requires_approval=False) == calls.result
    await asked(book, calls, of(101), requires_approval=False)
    assert ("charge", {"amount": 100}) in seen
    assert ("charge", {"amount": 101}) in seen

    strict = place.open(policy=Rules(Ask("all", policy="v2")))
    assert await run(strict, calls, of(100), requires_approval=False) == calls.result
    assert calls.count == 1


async def test_c15_people_hear_of_a_question_once_however_often_it_is_asked(book: Book) -> None:
    """C15, HIT-17: asked again it is the same question, and no second notice."""
    calls = Calls()
    names = {(await asked(book, calls)).id for _ in range(3)}

    assert len(names) == 1
    [question] = await book.approvals(state=None)
    assert [(notice.number, notice.kind) for notice in question.untold] == [(1, "asked")]


async def test_x7_rules_that_fail_let_nothing_run(place: Any) -> None:
    """X7: fail closed, whatever fails."""

    def fails(facts: Any) -> Any:
        raise ZeroDivisionError

    class NeedsFail(Rules):
        def needs(self, facts: Any) -> Any:
            raise ZeroDivisionError

    calls = Calls()
    for policy in (Rules(fails), NeedsFail(Allow())):
        book = place.open(policy=policy)
        with pytest.raises(PolicyDenied):
            await run(book, calls, requires_approval=False)
        with pytest.raises(PolicyDenied):
            await run(book, calls)
    assert calls.count == 0


async def test_x8_arguments_that_do_not_make_the_key_are_bound_as_well(book: Book) -> None:
    """IDE-10: an approval is of all that is executed, not of what names it."""
    calls, options = Calls(), {"key": ["order"]}

    def named(amount: int) -> ToolCall:
        return ToolCall(workflow_id="w", tool="charge", args={"order": 7, "amount": amount})

    question = await asked(book, calls, named(100), **options)
    await book.approve(question.id, by="ana", digest=question.digest)

    with pytest.raises(PayloadConflict):
        await run(book, calls, named(10_000), **options)

    assert calls.count == 0
    assert await run(book, calls, named(100), **options) == calls.result


async def test_x8_arguments_that_are_ignored_are_bound_as_well(book: Book) -> None:
    """What the author lets differ between equal calls is still what people saw: changed, it is asked again."""
    calls, options = Calls(), {"ignore": ["note"]}

    def noted(note: str) -> ToolCall:
        return ToolCall(workflow_id="w", tool="charge", args={"amount": 1, "note": note})

    question = await asked(book, calls, noted("rent"), **options)
    await book.approve(question.id, by="ana", digest=question.digest)

    again = await asked(book, calls, noted("ransom"), **options)

    assert again.digest != question.digest
    assert calls.count == 0


async def test_x9_an_approval_runs_out_is_taken_back_and_is_used_once(book: Book) -> None:
    """X9: and only whoever may answer does."""
    calls, chain = Calls(), Chain(stages=(Stage(role="chief"),))
    question = await asked(book, calls, requires_approval=chain)
    with pytest.raises(DecisionRefused):
        await book.approve(question.id, by="ana", digest=question.digest)
    chief = Principal(id="ana", roles=frozenset({"chief"}))
    await book.approve(question.id, by=chief, digest=question.digest)
    await run(book, calls, requires_approval=chain)
    await run(book, calls, requires_approval=chain)
    assert calls.count == 1

    second = await asked(book, calls, of(2), requires_approval=chain)
    await book.approve(second.id, by=chief, digest=second.digest)
    await book.withdraw(second.id, by="ops", reason="taken back")
    with pytest.raises(EffectCancelled):
        await run(book, calls, of(2), requires_approval=chain)

    short = Chain(stages=(Stage(),), valid_s=1e-6)
    third = await asked(book, calls, of(3), requires_approval=short)
    await book.approve(third.id, by="ana", digest=third.digest)
    assert (await asked(book, calls, of(3), requires_approval=short)).number == 2
    assert calls.count == 1


async def test_a_flag_and_a_rule_pause_before_the_handler_runs(book: Book) -> None:
    """HIT-04, HIT-17: static and dynamic."""
    calls = Calls()

    def rule(call: ToolCall) -> bool:
        return call.args["amount"] > 500

    await asked(book, calls)
    await asked(book, calls, of(501), requires_approval=rule)

    assert calls.count == 0
    await run(book, calls, of(500), requires_approval=rule)
    assert calls.made == [{"amount": 500}]


async def test_a_changed_argument_is_a_new_request(book: Book) -> None:
    """HIT-05: approve 100; 10,000 is blocked and asked about; 100 runs once."""
    calls = Calls()
    question = await asked(book, calls)
    await book.approve(question.id, by="ana", digest=question.digest)

    other = await asked(book, calls, of(10_000))

    assert other.id != question.id
    assert await run(book, calls) == await run(book, calls) == calls.result
    assert calls.made == [{"amount": 100}]
    assert [one.id for one in await book.approvals()] == [other.id]


async def test_whoever_decides_sees_what_there_is_to_know(book: Book) -> None:
    """HIT-19, PLN-02: what the agent believes, what it does not know, what it made out by itself, what it called
    already, and what happens on a no."""
    calls = Calls()
    await book.run(ToolCall(workflow_id="order-1", tool="look", args={"x": 1}), book.handler(calls))
    context = CallContext(
        belief="the invoice is due",
        confidence=0.6,
        uncertainty="whether it was paid by transfer",
        on_decline="the supplier is told to wait",
        inferred={"amount": "from last month's invoice"},
    )

    question = await asked(book, calls, of(100, context=context))

    assert question.shown["context"] == {
        "belief": "the invoice is due",
        "confidence": 0.6,
        "uncertainty": "whether it was paid by transfer",
        "on_decline": "the supplier is told to wait",
        "inferred": {"amount": "from last month's invoice"},
    }
    assert [(one["tool"], one["state"]) for one in question.shown["called"]] == [("look", "succeeded")]
    await book.approve(question.id, by="ana", digest=question.digest, reason="it is")
    [decision] = [e.details["decision"] for e in await book.audit(question.key) if "decision" in e.details]
    assert decision["shown"] == question.binding["shown"]


async def test_every_decision_is_on_record_with_who_when_what_and_why(book: Book) -> None:
    """HIT-11: principal, time, hash of what was shown, hash of the payload, decision and reason; listed."""
    calls = Calls()
    question = await asked(book, calls)
    who = Principal(id="ana", method="console", mfa=True)
    await book.approve(question.id, by=who, digest=question.digest, reason="due")

    [event] = [event for event in await book.audit(question.key) if "decision" in event.details]
    assert event.actor == "ana"
    assert event.details["decision"] == {
        "by": "ana",
        "approves": True,
        "stage": 0,
        "saw": question.digest,
        "shown": question.binding["shown"],
        "reason": "due",
        "method": "console",
        "acts_for": "",
        "mfa": True,
    }
    [listed] = await book.approvals(state="approved")
    assert [(vote.person, vote.reason, vote.digest) for vote in listed.votes] == [
        ("ana", "due", question.digest)
    ]
    assert event.at == listed.votes[0].at or abs((event.at - listed.votes[0].at).total_seconds()) < 60
    assert (await book.verify()).ok


async def test_two_people_are_two(book: Book) -> None:
    """HIT-10: the two-person rule takes two principals."""
    calls, pair = Calls(), Chain(stages=(Stage(quorum=2),))
    question = await asked(book, calls, requires_approval=pair)
    await book.approve(question.id, by="ana", digest=question.digest)
    with pytest.raises(DecisionRefused):
        await book.approve(question.id, by="ana", digest=question.digest)
    with pytest.raises(ApprovalRequired):
        await run(book, calls, requires_approval=pair)

    await book.approve(question.id, by="bea", digest=question.digest)

    assert await run(book, calls, requires_approval=pair) == calls.result


async def test_silence_is_a_no(book: Book) -> None:
    """HIT-15: never a yes."""
    calls, short = Calls(), Chain(stages=(Stage(timeout_s=1e-6),))
    with pytest.raises((ApprovalRequired, ApprovalExpired)):
        await run(book, calls, requires_approval=short)

    with pytest.raises(ApprovalExpired):
        await run(book, calls, requires_approval=short)

    assert calls.count == 0
    [question] = await book.approvals(state=None)
    assert question.state == "expired"


async def test_a_no_takes_a_reason(book: Book) -> None:
    """HIT-09: the agent is told why, so there has to be a why."""
    calls = Calls()
    question = await asked(book, calls)

    for reason in ("", "  "):
        with pytest.raises(InvalidCall):
            await book.deny(question.id, by="ana", reason=reason)

    assert (await book.approval(question.id)).state == "pending"


async def test_a_waiter_whose_patience_ends_executes_nothing(book: Book) -> None:
    """C11, HIT-08: it may come again; the question stays."""
    calls = Calls()
    question = await asked(book, calls)

    with pytest.raises(ApprovalRequired) as again:
        await run(book, calls, wait="1ms")

    assert again.value.approval == question.id
    assert calls.count == 0
