"""DUR-01, DUR-02: what has ended is never done again, and its result is what it was."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Done
from holdfast.errors import StepCollision, StepFailed, WorkflowFailed
from workflows.sites import Site
from workflows.worlds import Counted, numbered


async def test_one_decorator_gives_state_retries_timeouts_waiting_and_determinism(site: Site) -> None:
    """DUR-01: each of them is tried in depth elsewhere; here by one function of ten lines."""
    world, failures = Counted(), [ConnectionError("away"), ConnectionError("away")]

    def flaky() -> str:
        world.calls.append("flaky")
        if failures:
            raise failures.pop()
        return "there"

    def declare(process: Any) -> Any:
        async def helped(ctx: Any, ticket: str) -> Any:
            first = await ctx.step("flaky", flaky, retries=3, timeout="60s")
            drawn = await ctx.random()
            reply = await ctx.wait_for("customer-replied", timeout="7d")
            return [ticket, first, drawn, reply]

        return process.workflow(helped)

    first = site.open()
    standing = await declare(first).begun("ticket-7", ticket="7")
    assert (standing.status, standing.waits_for) == ("waiting", "signal 'customer-replied'")
    drawn = next(event.result for event in await first.told("ticket-7") if event.name == "random")
    second = site.open()
    flow = declare(second)
    assert await second.signal("ticket-7", "customer-replied", {"text": "yes"})
    await second.driven("ticket-7")

    assert await flow.run("ticket-7", ticket="7") == ["7", "there", drawn, {"text": "yes"}]
    assert world.calls == ["flaky"] * 3


async def test_what_is_left_of_ten_steps_is_done_and_nothing_more(site: Site) -> None:
    """STA-02, STA-06: killed after step 7 of 10; the next process, with nothing in memory, executes 8 to 10."""
    world = Counted()

    def declare(process: Any, dies_in: str = "") -> Any:
        async def long(ctx: Any) -> list[str]:
            return [await ctx.step(name, work(name)) for name in numbered("step", 10)]

        def work(name: str) -> Any:
            return process.die if name == dies_in else world.step(name)

        return process.workflow(long)

    first = site.open()
    assert await first.lives(declare(first, "step-08").run("w")) is None
    assert world.calls == list(numbered("step", 7))
    site.recover()

    second = site.open()
    assert await second.names("w") == list(numbered("step", 7))
    assert await declare(second).run("w") == list(numbered("step", 10))
    assert world.calls == list(numbered("step", 10))


async def test_a_step_is_on_record_before_it_is_executed(site: Site) -> None:
    """STA-03, STA-04: killed inside of step 5, the store shows it begun; a step changes nothing, so it runs again."""
    world = Counted()
    seen: list[Any] = []

    def declare(process: Any, *, dies: bool) -> Any:
        async def look() -> None:
            other = site.open()
            journal = await other.ledger._engine.parts.store.journal("default", "w")
            seen.extend((step.name, step.state, step.attempt) for step in journal.steps)

        async def five(ctx: Any) -> list[str]:
            return [await ctx.step(name, world.step(name)) for name in numbered("step", 4)] + [
                await ctx.step("step-05", process.die if dies else world.step("step-05"))
            ]

        return process.workflow(five), look

    first = site.open()
    flow, look = declare(first, dies=True)
    await first.lives(flow.run("w"))
    await look()
    assert seen[-1] == ("step-05", "pending", 1)
    site.recover()

    second = site.open()
    flow, _ = declare(second, dies=False)
    assert await flow.run("w") == list(numbered("step", 5))
    assert world.calls == list(numbered("step", 5))


async def test_a_write_whose_worker_died_is_asked_for_evidence_and_else_for_a_person(site: Site) -> None:
    """STA-04, STA-03: with a reconciler it is settled by it; without, the workflow waits in review and says so."""
    world = Counted()

    def declare(process: Any, *, dies: bool, **options: Any) -> Any:
        def charge(amount: int) -> Any:
            world.calls.append("charge")
            if dies:
                process.die()
            return {"amount": amount}

        guarded = process.tool(charge, name="charge", **options)

        async def order(ctx: Any) -> Any:
            return await guarded(amount=5)

        return process.workflow(order)

    for workflow_id, options in (("probed", {"reconcile": lambda effect: Done({"found": 1})}), ("bare", {})):
        first = site.open()
        await first.lives(declare(first, dies=True, **options).run(workflow_id))
        [pending] = await site.open().effects(workflow_id=workflow_id)
        assert pending.state == "pending"
    site.recover()

    probed, bare = site.open(), site.open()
    assert await declare(probed, dies=False, reconcile=lambda effect: Done({"found": 1})).run("probed") == {
        "found": 1
    }
    declare(bare, dies=False)
    standing = await bare.driven("bare")
    assert (standing.status, standing.waits_for.startswith("evidence about")) == ("needs_review", True)
    [doubt] = await bare.effects(workflow_id="bare")
    await bare.resolve(doubt.key, Done({"found": 2}), by="ops", reason="seen in the dashboard")
    assert (await bare.driven("bare")).is_ended
    assert (await bare.execution("bare")).output == '{"found":2}'
    assert world.calls == ["charge", "charge"]


async def test_a_step_is_tried_as_often_as_it_says(site: Site) -> None:
    """DUR-03: retries=3 is four tries; the failure is on record and told alike in every life."""
    world, process = Counted(), site.open()

    def broken() -> None:
        world.calls.append("broken")
        raise ConnectionError("away")

    async def tried(ctx: Any) -> Any:
        try:
            await ctx.step("broken", broken, retries=3)
        except StepFailed as failed:
            said = [failed.name, failed.error_type, failed.error_message, failed.attempts]
        await ctx.wait_for("go")
        return said

    flow = process.workflow(tried)
    await flow.begun("w")
    await process.signal("w", "go")

    assert await flow.run("w") == ["broken", "ConnectionError", "away", 4]
    assert world.count("broken") == 4


async def test_no_retries_is_one_try(site: Site) -> None:
    """DUR-03: retries=0."""
    world, process = Counted(), site.open()

    def broken() -> None:
        world.calls.append("broken")
        raise ConnectionError("away")

    async def tried(ctx: Any) -> Any:
        return await ctx.step("broken", broken, retries=0)

    with pytest.raises(WorkflowFailed) as failed:
        await process.workflow(tried).run("w")

    assert (failed.value.error_type, world.calls) == ("StepFailed", ["broken"])


async def test_steps_of_a_loop_are_told_apart_by_their_names(site: Site) -> None:
    """DUR-04: research:{q}; the same step in a loop is counted."""
    world, process = Counted(), site.open()

    def research(question: str) -> str:
        world.calls.append(question)
        return question.upper()

    async def loops(ctx: Any) -> Any:
        asked = [await ctx.step(f"research:{q}", research, q) for q in ("why", "how")]
        return asked + [await ctx.step("same", research, "twice") for _ in range(2)]

    flow = process.workflow(loops)

    assert await flow.run("w") == ["WHY", "HOW", "TWICE", "TWICE"] == await flow.run("w")
    assert world.calls == ["why", "how", "twice", "twice"]


async def test_two_steps_that_share_a_cut_name_are_an_error_that_shows_both(site: Site) -> None:
    """DUR-04: the slice(0, 20) trap; never the answer of one for the other."""
    world, process = Counted(), site.open()
    questions = ["what is the meaning of life", "what is the meaning of death"]

    def research(question: str) -> str:
        world.calls.append(question)
        return question

    async def trap(ctx: Any) -> Any:
        return [await ctx.step(f"research:{q[:20]}", research, q) for q in questions]

    with pytest.raises(WorkflowFailed) as failed:
        await process.workflow(trap).run("w")

    assert failed.value.error_type == "StepCollision"
    assert "research:what is the meaning " in failed.value.error_message
    assert world.calls == questions[:1]


async def test_another_function_under_one_name_is_an_error_that_names_both(site: Site) -> None:
    """DUR-04: seen in the code by the workflow itself, where it catches it."""
    world, process = Counted(), site.open()

    async def mixed(ctx: Any) -> Any:
        await ctx.step("ask", world.step("one"))
        try:
            await ctx.step("ask", world.step("other"))
        except StepCollision as collision:
            return [collision.name, *collision.functions]

    assert await process.workflow(mixed).run("w") == ["ask", "one", "other"]
    assert world.calls == ["one"]


async def test_a_try_that_its_worker_did_not_survive_is_no_try_of_the_step(site: Site) -> None:
    """STA-03, DUR-03: retries=0, and yet it is executed after the death of its worker; it is its first try."""

    def declare(process: Any, *, dies: bool) -> Any:
        def work() -> str:
            return process.die() if dies else "fine"

        async def once(ctx: Any) -> Any:
            return await ctx.step("works", work, retries=0)

        return process.workflow(once)

    first = site.open()
    await first.lives(declare(first, dies=True).run("w"))
    site.recover()
    second = site.open()

    assert await declare(second, dies=False).run("w") == "fine"
    assert (await second.told("w"))[0].attempts == 1
