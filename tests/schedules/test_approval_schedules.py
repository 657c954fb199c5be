"""I4 in every order: callers, people and time meet at one approval, and it comes to one thing."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Chain, Stage, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import ApprovalDenied, ApprovalRequired, DecisionRefused, EffectCancelled, HoldfastError
from holdfast.testing import every_schedule, random_schedules, time_passes

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
DONE = {"id": "charge-1"}


def charging(stage: Any) -> Any:
    def charge(amount: int) -> Any:
        stage.executed["charge"] += 1
        return {"id": f"charge-{stage.executed['charge']}"}

    return charge


def run(stage: Any, ledger: Any, **options: Any) -> Any:
    return ledger.run(CALL, charging(stage), **{"requires_approval": True, "version": "1", **options})


def asked(stage: Any, *, approved: bool, **options: Any) -> Any:
    """Put a question on record, and an answer if it is *approved*."""
    stage.clear()
    ledger = stage.look()
    with pytest.raises(ApprovalRequired) as question:
        run_sync(run(stage, ledger, **options))
    approval = run_sync(ledger.approval(question.value.approval))
    if approved:
        run_sync(ledger.approve(approval.id, by="ana", digest=approval.digest))
    return approval


def question(stage: Any) -> Any:
    """The newest question."""
    return run_sync(stage.look().approvals(state=None))[0]


def test_i4_of_two_that_use_an_approval_one_executes(stage: Any) -> None:
    """Attack 16, C12."""

    def make() -> list[Any]:
        asked(stage, approved=True)
        return [run(stage, stage.process()) for _ in range(2)]

    def check(ends: list[Any]) -> None:
        assert stage.executed == {"charge": 1}
        assert ends == [DONE, DONE]
        assert stage.events == ["ask", "note", "claim", "succeed"]
        assert question(stage).state == "consumed"

    assert every_schedule(make, check) > 10


def test_i4_three_that_use_an_approval_at_once(stage: Any) -> None:
    """Attack 16: drawn orders."""

    def make() -> list[Any]:
        asked(stage, approved=True)
        return [run(stage, stage.process()) for _ in range(3)]

    def check(ends: list[Any]) -> None:
        assert stage.executed == {"charge": 1}
        assert ends == [DONE] * 3

    random_schedules(make, check, count=100, seed=1)


def test_of_a_yes_and_a_no_one_counts_in_every_order(stage: Any) -> None:
    """Attack 21, C13."""
    seen: set[str] = set()

    def make() -> list[Any]:
        approval = asked(stage, approved=False)
        yes = stage.process().approve(approval.id, by="ana", digest=approval.digest)
        no = stage.process().deny(approval.id, by="bea", reason="no")
        return [yes, no]

    def check(ends: list[Any]) -> None:
        assert [isinstance(end, DecisionRefused) for end in ends].count(True) == 1
        state = question(stage).state
        assert state == ("denied" if isinstance(ends[0], DecisionRefused) else "approved")
        seen.add(str(state))

    every_schedule(make, check)

    assert seen == {"approved", "denied"}


def test_two_votes_at_once_are_two(stage: Any) -> None:
    """HIT-10: neither is lost, and there is one end."""
    chain = Chain(stages=(Stage(quorum=2),))

    def make() -> list[Any]:
        approval = asked(stage, approved=False, requires_approval=chain)
        return [stage.process().approve(approval.id, by=by, digest=approval.digest) for by in ("ana", "bea")]

    def check(ends: list[Any]) -> None:
        assert {str(end.state) for end in ends} == {"pending", "approved"}
        approval = question(stage)
        assert approval.state == "approved"
        assert {vote.person for vote in approval.votes} == {"ana", "bea"}

    every_schedule(make, check)


def test_a_claim_and_a_word_against_it_never_both_count(stage: Any) -> None:
    """Attack 20: withdrawn before the claim nothing runs; after it, it is too late, and that is said."""
    seen: set[int] = set()

    def make() -> list[Any]:
        approval = asked(stage, approved=True)
        return [
            run(stage, stage.process()),
            stage.process().withdraw(approval.id, by="ops", reason="stop"),
        ]

    def check(ends: list[Any]) -> None:
        ran = stage.executed["charge"]
        assert (ends[0] == DONE) == (ran == 1)
        assert isinstance(ends[1], DecisionRefused) == (ran == 1)
        assert ran or isinstance(ends[0], EffectCancelled)
        seen.add(ran)

    every_schedule(make, check)

    assert seen == {0, 1}


def test_an_approval_that_runs_out_meanwhile_is_used_before_or_not_at_all(stage: Any) -> None:
    """Attack 19: by the store's clock, in the claim's own transaction."""
    chain = Chain(valid_s=600)
    seen: set[int] = set()

    def make() -> list[Any]:
        asked(stage, approved=True, requires_approval=chain)
        return [run(stage, stage.process(), requires_approval=chain), time_passes(stage.clock, 600)]

    def check(ends: list[Any]) -> None:
        ran = stage.executed["charge"]
        assert (ends[0] == DONE) == (ran == 1)
        assert ran or isinstance(ends[0], ApprovalRequired)
        seen.add(ran)

    every_schedule(make, check)

    assert seen == {0, 1}


def test_c12_whoever_asks_while_people_decide_gets_what_they_decide(stage: Any) -> None:
    """C12: three callers and a yes: one question, one execution at most, and no caller executes unapproved."""

    def make() -> list[Any]:
        approval = asked(stage, approved=False)
        yes = stage.process().approve(approval.id, by="ana", digest=approval.digest)
        return [yes, *(run(stage, stage.process()) for _ in range(2))]

    def check(ends: list[Any]) -> None:
        assert all(end == DONE or isinstance(end, ApprovalRequired) for end in ends[1:])
        assert stage.executed["charge"] == int(DONE in ends)
        assert len(run_sync(stage.look().approvals(state=None))) == 1

    random_schedules(make, check, count=150, seed=2)


def test_two_that_ask_first_at_once_ask_one_question(stage: Any) -> None:
    """C15: people hear of it once."""

    def make() -> list[Any]:
        stage.clear()
        return [run(stage, stage.process()) for _ in range(2)]

    def check(ends: list[Any]) -> None:
        assert all(isinstance(end, ApprovalRequired) for end in ends)
        assert len({end.approval for end in ends}) == 1
        assert [notice.kind for notice in question(stage).untold] == ["asked"]

    every_schedule(make, check)


def test_a_no_and_a_caller_at_once(stage: Any) -> None:
    """C12: whoever comes while somebody says no is told to wait, or no."""

    def make() -> list[Any]:
        approval = asked(stage, approved=False)
        return [stage.process().deny(approval.id, by="ana", reason="no"), run(stage, stage.process())]

    def check(ends: list[Any]) -> None:
        assert stage.executed["charge"] == 0
        assert isinstance(ends[1], ApprovalRequired | ApprovalDenied | HoldfastError)
        assert question(stage).state == "denied"

    every_schedule(make, check)
