"""I4 at every boundary: whoever dies between a question, an answer, a claim and its record, nothing runs unapproved."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Chain, Directory, Ledger, Person, Stage, State, ToolCall
from holdfast.errors import ApprovalDenied, ApprovalExpired, ApprovalRequired, OutcomeUnknown
from holdfast.testing import Life, World
from holdfast.testing.plugin import EveryCrash

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
RESULT = {"id": "ch_1"}
ASKED: dict[str, Any] = {"requires_approval": True, "version": "1"}


async def question_about(ledger: Ledger, world: World, **options: Any) -> Any:
    """Make the call; return the question if people have to decide first."""
    try:
        return None, await ledger.run(CALL, world.tool("charge", RESULT), **{**ASKED, **options})
    except ApprovalRequired as asked:
        return await ledger.approval(asked.approval), None


def story(world: World) -> list[Any]:
    """The trail of the only effect, each event with the state of the approval that it tells of."""
    [effect] = world.effects()
    trail = world.look(lambda ledger: ledger.audit(effect.key))
    return [(str(event.event), event.details.get("approval", {}).get("state")) for event in trail]


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_i4_whoever_dies_an_approval_is_used_for_one_effect(
    every_crash: EveryCrash, store: str, safety: str
) -> None:
    """Attacks 17 and 18, X7: asked, approved, claimed, executed, recorded; one question, one use of it."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        for _ in range(4):
            asked, result = await question_about(ledger, world, safety=safety)
            if asked is None:
                return result
            if asked.state == "pending":
                await ledger.approve(asked.id, by="ana", digest=asked.digest)
        raise AssertionError

    def check(world: World, life: Life) -> None:
        told = story(world)
        claims = [at for at, (event, _) in enumerate(told) if event in {"claim", "take_over"}]
        assert all(told[at][1] == "consumed" for at in claims)
        assert told[: claims[0] if claims else None] == [("ask", "pending"), ("note", "approved")]
        [approval] = world.look(lambda ledger: ledger.approvals(state=None))
        assert approval.state == "consumed"
        assert [vote.person for vote in approval.votes] == ["ana"]
        if safety == "unsafe":
            assert world.executed["charge"] <= 1
            assert life.end == RESULT or isinstance(life.end, OutcomeUnknown)
        else:
            assert life.end == RESULT
            assert world.executed["charge"] <= 2

    report = every_crash(scenario, check, store=store)

    assert {"before ask", "after ask", "before note", "after note", "before claim", "after claim"} <= set(
        report.boundaries
    )


def test_i4_a_no_is_a_no_after_any_death(every_crash: EveryCrash, store: str) -> None:
    """HIT-09, C12: nothing ran, and whoever asks is told why."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        asked, _ = await question_about(ledger, world)
        await ledger.deny(asked.id, by="ana", reason="too much")
        return await question_about(ledger, world)

    def check(world: World, life: Life) -> None:
        assert isinstance(life.end, ApprovalDenied)
        assert life.end.reason == "too much"
        assert world.executed["charge"] == 0
        assert [event for event, _ in story(world)] == ["ask", "deny"]

    every_crash(scenario, check, store=store)


def test_i4_an_edit_runs_as_it_was_approved_after_any_death(every_crash: EveryCrash, store: str) -> None:
    """HIT-09: the arguments that people approved are what is on record as executed."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        for _ in range(4):
            asked, result = await question_about(ledger, world)
            if asked is None:
                return result
            if asked.state == "pending":
                await ledger.approve(asked.id, by="ana", digest=asked.digest, args={"amount": 50})
        raise AssertionError

    def check(world: World, life: Life) -> None:
        [effect] = world.effects()
        assert effect.args == {"amount": 50}
        assert world.executed["charge"] <= 1
        assert life.end == RESULT or isinstance(life.end, OutcomeUnknown)

    every_crash(scenario, check, store=store)


PATIENT = Chain(
    stages=(Stage(remind_s=(1000.0, 2000.0), escalate="boss", escalate_s=3000.0, timeout_s=4000.0),)
)


def test_reminders_escalation_and_the_end_happen_once_each_through_any_death(
    every_crash: EveryCrash, store: str
) -> None:
    """HIT-15: two reminders, one escalation, and no as the answer; never a yes."""

    async def scenario(ledger: Ledger, world: World) -> Any:
        asked, _ = await question_about(ledger, world, requires_approval=PATIENT)
        for _ in range(4):
            world.clock.advance(1000)
            await ledger.sweep()
        assert asked is not None
        return await question_about(ledger, world, requires_approval=PATIENT)

    def check(world: World, life: Life) -> None:
        assert world.executed["charge"] == 0
        [approval] = world.look(lambda ledger: ledger.approvals(state=None))
        assert approval.state == "expired"
        told = [notice.kind for notice in approval.untold]
        assert sorted(told) == sorted(["asked", "reminded", "reminded", "escalated", "ended"])
        assert [notice.number for notice in approval.untold] == [1, 2, 3, 4, 5]
        [effect] = world.effects()
        assert effect.state is State.DENIED
        with pytest.raises(ApprovalExpired):
            world.look(
                lambda ledger: ledger.run(
                    CALL, world.tool("charge"), **{**ASKED, "requires_approval": PATIENT}
                )
            )

    every_crash(scenario, check, store=store)


def test_a_quorum_is_reached_once_through_any_death(every_crash: EveryCrash, store: str) -> None:
    """HIT-10, attack 45: whoever votes again after a death has one vote."""
    chain = Chain(stages=(Stage(quorum=2),))
    people = Directory([Person(id="ana"), Person(id="bea")])
    assert len(people.people()) == 2

    async def scenario(ledger: Ledger, world: World) -> Any:
        asked, result = await question_about(ledger, world, requires_approval=chain)
        if asked is not None and asked.state == "pending":
            for by in ("ana", "bea"):
                if by not in {vote.person for vote in asked.votes}:
                    asked = await ledger.approve(asked.id, by=by, digest=asked.digest)
        if asked is not None:
            _, result = await question_about(ledger, world, requires_approval=chain)
        return result

    def check(world: World, life: Life) -> None:
        [approval] = world.look(lambda ledger: ledger.approvals(state=None))
        assert [vote.person for vote in approval.votes] == ["ana", "bea"]
        assert world.executed["charge"] <= 1

    every_crash(scenario, check, store=store)
