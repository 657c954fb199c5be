"""Questions back, answers, decisions and time meet at one approval, in every order; HIT-09."""

from __future__ import annotations

from typing import Any

from holdfast import CallContext, Chain, InfoAnswer, Stage, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import ApprovalRequired, DecisionRefused
from holdfast.testing import every_schedule, random_schedules, time_passes
from schedules.test_approval_schedules import CALL, asked, charging, question

WHY = "Which invoice?"


def inquire(stage: Any, approval: Any, by: str = "ana") -> Any:
    return stage.process().request_info(approval.id, by=by, question=WHY)


def inquired(stage: Any) -> Any:
    """Put a question on record, and one back."""
    approval = asked(stage, approved=False)
    return run_sync(stage.look().request_info(approval.id, by="ana", question=WHY))


def answered_along(stage: Any, approval: Any) -> Any:
    """Make the call again, with the answer."""
    answer = InfoAnswer(to=f"{approval.id[:12]}-1", text="The seventh.")
    call = ToolCall(
        workflow_id=CALL.workflow_id, tool=CALL.tool, args=CALL.args, context=CallContext(answer=answer)
    )
    return stage.process().run(call, charging(stage), requires_approval=True, version="1")


def test_a_question_back_and_a_yes_are_in_one_order(stage: Any) -> None:
    """HIT-09: asked before the yes it is on record with it; after the yes it is refused; the yes counts."""
    seen: set[int] = set()

    def make() -> list[Any]:
        approval = asked(stage, approved=False)
        yes = stage.process().approve(approval.id, by="bea", digest=approval.digest)
        return [inquire(stage, approval), yes]

    def check(ends: list[Any]) -> None:
        approval = question(stage)
        assert approval.state == "approved"
        assert isinstance(ends[0], DecisionRefused) == (not approval.requests)
        assert approval.owed is None
        seen.add(len(approval.requests))

    every_schedule(make, check)

    assert seen == {0, 1}


def test_of_two_that_ask_back_at_once_one_asks(stage: Any) -> None:
    """HIT-09: the agent owes one answer at a time."""

    def make() -> list[Any]:
        approval = asked(stage, approved=False)
        return [inquire(stage, approval, by) for by in ("ana", "bea")]

    def check(ends: list[Any]) -> None:
        refused = [end for end in ends if isinstance(end, DecisionRefused)]
        assert [end.kind for end in refused] == ["owed"]
        assert len(question(stage).requests) == 1

    every_schedule(make, check)


def test_a_question_back_and_the_end_of_time_are_in_one_order(stage: Any) -> None:
    """HIT-09, HIT-15: it makes no question live for longer."""
    chain = Chain(stages=(Stage(timeout_s=600),))
    seen: set[int] = set()

    def make() -> list[Any]:
        approval = asked(stage, approved=False, requires_approval=chain)
        return [inquire(stage, approval), time_passes(stage.clock, 600)]

    def check(ends: list[Any]) -> None:
        [approval] = run_sync(stage.look().approvals(state=None))
        ended = run_sync(stage.look().approval(approval.id))
        assert ended.state == "expired"
        assert isinstance(ends[0], DecisionRefused) == (not ended.requests)
        seen.add(len(ended.requests))

    every_schedule(make, check)

    assert seen == {0, 1}


def test_a_yes_to_what_was_shown_before_never_counts_after_the_answer(stage: Any) -> None:
    """HIT-05, HIT-09: either the yes ends it without the answer, or it is stale."""
    seen: set[str] = set()

    def make() -> list[Any]:
        approval = inquired(stage)
        yes = stage.process().approve(approval.id, by="bea", digest=approval.digest)
        return [stage.process().answer_info(approval.id, answer="The seventh."), yes]

    def check(ends: list[Any]) -> None:
        approval = question(stage)
        seen.add(str(approval.state))
        if approval.state == "approved":
            assert [end.kind for end in ends if isinstance(end, DecisionRefused)] == ["unasked"]
            assert "answers" not in approval.shown
        else:
            assert [end.kind for end in ends if isinstance(end, DecisionRefused)] == ["stale"]
            assert (approval.state, approval.votes) == ("pending", ())

    every_schedule(make, check)

    assert seen == {"approved", "pending"}


def test_an_answer_that_comes_twice_at_once_is_one(stage: Any) -> None:
    """HIT-09: two workers take the same turn; people are shown one answer, and are asked anew once."""

    def make() -> list[Any]:
        approval = inquired(stage)
        return [answered_along(stage, approval) for _ in range(2)]

    def check(ends: list[Any]) -> None:
        assert all(type(end) is ApprovalRequired for end in ends)
        approval = question(stage)
        assert len(approval.shown["answers"]) == 1
        assert [notice.kind for notice in approval.untold] == ["asked", "questioned", "asked"]
        assert stage.executed["charge"] == 0

    every_schedule(make, check)


def test_people_the_agent_and_time_at_once_come_to_one_end(stage: Any) -> None:
    """HIT-09: drawn orders of four."""
    chain = Chain(stages=(Stage(timeout_s=600),))

    def make() -> list[Any]:
        approval = asked(stage, approved=False, requires_approval=chain)
        run_sync(stage.look().request_info(approval.id, by="ana", question=WHY))
        return [
            stage.process().answer_info(approval.id, answer="The seventh."),
            stage.process().approve(approval.id, by="bea", digest=approval.digest),
            stage.process().deny(approval.id, by="cleo", reason="no"),
            time_passes(stage.clock, 600),
        ]

    def check(ends: list[Any]) -> None:
        approval = run_sync(stage.look().approval(question(stage).id))
        assert approval.state in {"approved", "denied", "expired"}
        assert sum(not isinstance(end, DecisionRefused) for end in ends[1:3]) <= 1
        assert run_sync(stage.look().verify()).ok

    random_schedules(make, check, count=100, seed=3)
