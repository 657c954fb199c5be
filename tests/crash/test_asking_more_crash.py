"""Whoever dies between a question back, its answer and the decision: it is asked and answered once; HIT-09."""

from __future__ import annotations

from typing import Any

from holdfast import CallContext, InfoAnswer, Ledger, ToolCall
from holdfast.errors import ApprovalRequired, InformationRequested, OutcomeUnknown
from holdfast.testing import Life, World
from holdfast.testing.plugin import EveryCrash

WHY, BECAUSE = "Which invoice?", "The seventh."
RESULT = {"id": "ch_1"}


def call_of(to: str = "") -> ToolCall:
    context = CallContext(answer=InfoAnswer(to=to, text=BECAUSE)) if to else None
    return ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100}, context=context)


async def story(ledger: Ledger, world: World, *, along: bool) -> Any:
    """What everybody does who finds it as it stands: the agent calls and answers, Ana asks once, then approves."""
    to = ""
    for _ in range(8):
        try:
            return await ledger.run(
                call_of(to), world.tool("charge", RESULT), requires_approval=True, version="1"
            )
        except InformationRequested as heard:
            if along:
                to = heard.to
            else:
                await ledger.answer_info(heard.approval, answer=BECAUSE, to=heard.to)
        except ApprovalRequired as waits:
            asked = await ledger.approval(waits.approval)
            if not asked.requests:
                await ledger.request_info(asked.id, by="ana", question=WHY)
            else:
                await ledger.approve(asked.id, by="ana", digest=asked.digest)
    raise AssertionError


def check(world: World, life: Life) -> None:
    [approval] = world.look(lambda ledger: ledger.approvals(state=None))
    assert approval.state == "consumed"
    assert [(one.question, one.answer) for one in approval.requests] == [(WHY, BECAUSE)]
    assert [one["answer"] for one in approval.shown["answers"]] == [BECAUSE]
    assert [vote.digest for vote in approval.votes] == [approval.digest]
    [effect] = world.effects()
    trail = world.look(lambda ledger: ledger.audit(effect.key))
    told = [name for event in trail for name in ("info_requested", "info_answered") if name in event.details]
    assert told == ["info_requested", "info_answered"]
    assert world.executed["charge"] <= 1
    assert life.end == RESULT or isinstance(life.end, OutcomeUnknown)
    assert world.look(lambda ledger: ledger.verify()).ok


def test_the_answer_of_ledger_answer_info_after_any_death(every_crash: EveryCrash, store: str) -> None:
    """HIT-09, I4."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        return await story(ledger, world, along=False)

    report = every_crash(scenario, check, store=store)

    assert {"before note", "after note"} <= set(report.boundaries)


def test_the_answer_that_comes_with_the_call_after_any_death(every_crash: EveryCrash, store: str) -> None:
    """HIT-09, I4."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        return await story(ledger, world, along=True)

    report = every_crash(scenario, check, store=store)

    assert {"before note", "after note"} <= set(report.boundaries)
