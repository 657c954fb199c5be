"""A workflow that waits for people is put away; whatever they say, or do not say, wakes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast import Chain, Stage
from holdfast.errors import ApprovalDenied, ApprovalExpired, DecisionRefused, WorkflowFailed
from holdfast.testing.places import places
from promises.ledgers import KINDS, STORES
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

HOUR = Chain(stages=(Stage(timeout_s=3600),))


@pytest.fixture(params=KINDS)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A store of the test's own on a clock that stands still, and both faces."""
    kind: str = request.param
    where = kind.removeprefix("sync-")
    if where == "postgres":
        where = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
    site = Site(kind, places(where, tmp_path, blocking=kind.startswith("sync-"))())
    yield site
    await site.close()


def ordering(process: Process, world: Counted, flow: Mapping[str, Any] = {}, **options: Any) -> Flow:
    """A workflow with a step before, a charge that people decide on, and a step after."""
    known = {"requires_approval": HOUR, "version": "1", **options}
    charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge", **known)

    async def order(ctx: Any) -> Any:
        before = await ctx.step("before", world.step("before"))
        try:
            charged = await charge(amount=100)
        except ApprovalDenied as no:
            charged = [type(no).__name__, no.reason]
        return [before, charged, await ctx.step("after", world.step("after"))]

    return process.workflow(order, name="order", **flow)


async def question(process: Process) -> Any:
    [asked] = await process.approvals()
    return asked


async def test_it_is_put_away_and_a_yes_lets_it_go_on(site: Site) -> None:
    """HIT-08: nothing is held meanwhile; another process, with the same code, goes on."""
    world, first = Counted(), site.open()
    standing = await ordering(first, world).begun("w")
    asked = await question(site.open())
    assert standing.status == "waiting"
    assert standing.waits_for == "people to decide on 'charge'"
    assert standing.wake_at == asked.expires_at
    assert world.calls == ["before"]

    await site.open().approve(asked.id, by="ana", digest=asked.digest)
    second = site.open()
    flow = ordering(second, world)

    assert (await second.execution("w")).wake_at <= site.clock()
    assert (await second.driven("w")).is_ended
    assert await flow.run("w") == ["before", {"id": "ch_1"}, "after"]
    assert world.calls == ["before", "charge", "after"]


async def test_a_no_is_an_error_with_its_reason_live_and_replayed_alike(site: Site) -> None:
    """HIT-09, DUR-05: the code hears the same in every life."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.deny(asked.id, by="ana", reason="over the budget")

    dying = site.open(die_at="before leave")
    flow = ordering(dying, world)
    await dying.lives(dying.driven("w"))
    site.recover()
    last = site.open()
    flow = ordering(last, world)
    await last.driven("w")

    assert await flow.run("w") == ["before", ["ApprovalDenied", "over the budget"], "after"]
    assert "charge" not in world.calls


async def test_silence_wakes_it_with_a_no(site: Site) -> None:
    """HIT-15: the moment at which nobody has answered is known, and it is woken then."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    site.clock.advance(3600)
    second = site.open()
    flow = ordering(second, world)

    assert (await second.driven("w")).is_ended

    said = await flow.run("w")
    assert said[1][0] == ApprovalExpired.__name__
    assert "charge" not in world.calls


async def test_code_that_waits_for_people_waits_on_while_they_ask_for_more(site: Site) -> None:
    """HIT-09, HIT-08: it is put away all along; whoever speaks for the agent answers from outside."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.request_info(asked.id, by="ana", question="Which invoice?")
    second = site.open()
    flow = ordering(second, world)
    await second.driven("w")
    standing = await second.execution("w")
    assert (standing.status, standing.waits_for) == ("waiting", "people to decide on 'charge'")

    answered = await second.answer_info(asked.id, answer="The seventh.")
    await second.approve(asked.id, by="ana", digest=answered.digest)
    third = site.open()
    flow = ordering(third, world)
    await third.driven("w")

    assert await flow.run("w") == ["before", {"id": "ch_1"}, "after"]
    assert world.calls == ["before", "charge", "after"]
    assert len(await third.approvals(state=None)) == 1


async def test_a_workflow_that_is_gone_through_while_an_answer_is_owed_waits_on(site: Site) -> None:
    """HIT-09: whatever woke it; the question is no end of the step."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.request_info(asked.id, by="ana", question="Which invoice?")
    await first.signal("w", "weather", 1)
    second = site.open()
    flow = ordering(second, world)
    await second.driven("w")
    assert (await second.execution("w")).status == "waiting"

    await second.deny(asked.id, by="ben", reason="no answer came")
    third = site.open()
    flow = ordering(third, world)
    await third.driven("w")

    assert await flow.run("w") == ["before", ["ApprovalDenied", "no answer came"], "after"]
    assert world.calls == ["before", "after"]


async def test_what_is_withdrawn_fails_in_the_code(site: Site) -> None:
    """C12: the effect was called off; nothing runs, now or later."""
    world, first = Counted(), site.open()
    flow = ordering(first, world)
    await flow.begun("w")
    asked = await question(first)
    await first.withdraw(asked.id, by="ops", reason="stop")
    second = site.open()
    flow = ordering(second, world)

    await second.driven("w")

    with pytest.raises(WorkflowFailed) as failed:
        await flow.run("w")
    assert "EffectCancelled" in str(failed.value)
    assert "charge" not in world.calls


async def test_a_worker_that_died_with_the_question_asks_no_second_one(site: Site) -> None:
    """X7, HIT-08: whatever it had put on record before it died."""
    for die_at in range(0, 60, 3 if site.kind.endswith("memory") else 9):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(ordering(first, world).begun("w"))
        site.recover()
        second = site.open(tenant=tenant)
        flow = ordering(second, world)
        await flow.enqueue("w")
        await second.driven("w")
        asked = await question(second)
        await second.approve(asked.id, by="ana", digest=asked.digest)
        await second.driven("w")
        assert await flow.run("w") == ["before", {"id": "ch_1"}, "after"], first.faults.died_at
        assert world.count("charge") == 1
        assert len(await second.approvals(state=None)) == 1


@pytest.mark.parametrize("site", STORES, indirect=True)
async def test_branches_have_a_question_each(site: Site) -> None:
    """Attack 22: side by side they wait side by side, and each gets its own answer."""
    world, first = Counted(), site.open()

    def declare(process: Process) -> Flow:
        charge = process.tool(
            lambda amount: world.calls.append(f"charge {amount}") or amount,
            name="charge",
            requires_approval=HOUR,
            version="1",
        )

        async def one(amount: int) -> Any:
            try:
                return await charge(amount=amount)
            except ApprovalDenied as no:
                return no.reason

        async def both(ctx: Any) -> Any:
            return await asyncio.gather(one(1), one(2), one(3))

        return process.workflow(both, name="both")

    await declare(first).begun("w")
    questions = {asked.args["amount"]: asked for asked in await first.approvals()}
    assert set(questions) == {1, 2, 3}
    await first.approve(questions[3].id, by="ana", digest=questions[3].digest)
    await first.deny(questions[1].id, by="ana", reason="not one")
    second = site.open()
    declare(second)
    assert (await second.driven("w")).status == "waiting"
    assert world.calls == ["charge 3"]
    await second.approve(questions[2].id, by="ana", digest=questions[2].digest)

    last = site.open()
    flow = declare(last)
    assert (await last.driven("w")).is_ended
    assert await flow.run("w") == ["not one", 2, 3]
    assert sorted(world.calls) == ["charge 2", "charge 3"]


async def test_a_cancelled_workflow_takes_its_question_back(site: Site) -> None:
    """Attack 20: nobody can say yes to it any more; begun again, the workflow asks anew."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.cancel("w", by="ops", reason="stop")
    taken = await first.approval(asked.id)
    assert (taken.state, taken.ended) == (
        "withdrawn",
        "its workflow has ended, so nobody waits for the answer",
    )
    with pytest.raises(DecisionRefused) as refused:
        await first.approve(asked.id, by="ana", digest=asked.digest)
    assert refused.value.kind == "ended"

    await first.restart("w")
    second = site.open()
    flow = ordering(second, world)
    await second.driven("w")
    anew = await question(second)
    assert (anew.number, "charge" in world.calls) == (2, False)
    await second.approve(anew.id, by="ana", digest=anew.digest)
    await second.driven("w")
    assert await flow.run("w") == ["before", {"id": "ch_1"}, "after"]


async def test_the_question_of_a_workflow_that_ran_out_of_time_is_taken_back(site: Site) -> None:
    """HIT-08: it ended by itself; whoever looks after questions next finds it."""
    world, first = Counted(), site.open()
    flow = ordering(first, world, {"timeout": 60})
    await flow.begun("w")
    asked = await question(first)
    site.clock.advance(60)
    assert (await first.driven("w")).is_ended

    await first.sweep()

    assert (await first.approval(asked.id)).state == "withdrawn"
    assert (await first.audit(asked.key))[-1].actor == "clock"


async def test_a_halted_agent_goes_on_with_nothing_that_is_approved_meanwhile(site: Site) -> None:
    """Attack 20: the stop button first, the yes afterwards; let go on, it goes on."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.halt("agent", by="ops", reason="stop")
    await first.approve(asked.id, by="ana", digest=asked.digest)
    second = site.open()
    flow = ordering(second, world)

    await second.driven("w")
    assert "charge" not in world.calls

    await second.unhalt("agent", by="ops", reason="go on")
    third = site.open()
    flow = ordering(third, world)
    await third.driven("w")
    assert await flow.run("w") == ["before", {"id": "ch_1"}, "after"]


async def test_a_fork_asks_anew(site: Site) -> None:
    """Attack 23: what was approved in a workflow is not approved in a copy of it."""
    world, first = Counted(), site.open()
    await ordering(first, world).begun("w")
    asked = await question(first)
    await first.approve(asked.id, by="ana", digest=asked.digest)
    await first.fork("w", "copy", from_step="before")
    second = site.open()
    ordering(second, world)
    await second.driven("copy")

    assert "charge" not in world.calls
    about = {one.workflow_id: one.id for one in await second.approvals(state=None)}
    assert about["copy"] != about["w"]
