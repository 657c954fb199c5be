"""DUR-11, STA-15: executions finish on the path that is on record, whatever is deployed meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast.errors import InvalidTool, NonDeterminism, UnknownWorkflow, VersionMismatch, WorkflowConflict
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted


def gated(process: Process, world: Counted) -> Flow:
    """Today's code: a check was added behind a gate."""

    async def order(ctx: Any) -> Any:
        said = [await ctx.step("one", world.step("one"))]
        if await ctx.patched("with-check"):
            said.append(await ctx.step("check", world.step("check")))
        said.append(await ctx.step("two", world.step("two")))
        await ctx.wait_for("go")
        return said

    return process.workflow(order)


def ungated(process: Process, world: Counted) -> Flow:
    """Yesterday's code."""

    async def order(ctx: Any) -> Any:
        said = [await ctx.step(name, world.step(name)) for name in ("one", "two")]
        await ctx.wait_for("go")
        return said

    return process.workflow(order)


async def test_what_was_begun_before_a_patch_finishes_without_it(site: Site) -> None:
    """DUR-11, DUR-05: and what is begun after it has it, in every life."""
    world = Counted()
    await ungated(site.open(), world).begun("old")

    process = site.open()
    flow = gated(process, world)
    await flow.begun("new")
    for workflow_id in ("old", "new"):
        await process.signal(workflow_id, "go")

    assert await flow.run("old") == ["one", "two"]
    assert await flow.run("new") == ["one", "check", "two"]
    assert world.calls == ["one", "two", "one", "check", "two"]


async def test_a_gate_in_a_loop_is_asked_each_time_and_answers_alike_in_every_life(site: Site) -> None:
    """DUR-11: passes that are on record stay as they were, those to come have the patch."""
    world, answers = Counted(), []

    def declare(process: Process, *, is_patched: bool) -> Flow:
        async def loops(ctx: Any) -> Any:
            seen = []
            for turn in range(4):
                await ctx.step(f"turn {turn}", world.step("turn"))
                if is_patched:
                    seen.append(await ctx.patched("v2"))
                if turn % 2:
                    await ctx.wait_for("go")
            answers.append(seen)

        return process.workflow(loops)

    first = site.open()
    await declare(first, is_patched=False).begun("w")
    for _ in range(2):
        process = site.open()
        declare(process, is_patched=True)
        await process.signal("w", "go")
        await process.driven("w")

    assert answers == [[False, False, True, True]]  # it had passed two turns, and waited behind the second
    assert world.count("turn") == 4


def checking(process: Process, world: Counted) -> Flow:
    """Tomorrow's code: the gate is gone, and what was behind it is what there is."""

    async def order(ctx: Any) -> Any:
        said = [await ctx.step(name, world.step(name)) for name in ("one", "check", "two")]
        await ctx.wait_for("go")
        return said

    return process.workflow(order)


async def test_what_passed_an_open_gate_goes_on_when_the_gate_is_gone_from_the_code(site: Site) -> None:
    """DUR-11: the last stage of a change: it finishes on its recorded path, which is the only one there is."""
    world = Counted()
    await gated(site.open(), world).begun("w")

    assert (await _driven_by(site, lambda process: checking(process, world))).status == "waiting"
    process = site.open()
    flow = checking(process, world)
    await process.signal("w", "go")

    assert await flow.run("w") == ["one", "check", "two"]
    assert world.calls == ["one", "check", "two"]


async def _driven_by(site: Site, declare: Any) -> Any:
    process = site.open()
    declare(process)
    await process.resume("w", by="ops", reason="deployed")  # it is looked at
    return await process.driven("w")


async def test_an_open_gate_without_anything_after_it_is_gone_past_as_well(site: Site) -> None:
    """DUR-11: the worker died just behind it."""
    world, first = Counted(), site.open()

    async def order(ctx: Any) -> Any:
        await ctx.step("one", world.step("one"))
        if await ctx.patched("with-check") and await ctx.patched("twice"):
            first.die()

    await first.lives(first.workflow(order).begun("w"))
    site.recover()
    process = site.open()
    assert await process.names("w") == ["one", "with-check", "twice"]
    flow = checking(process, world)
    await process.driven("w")
    await process.signal("w", "go")

    assert await flow.run("w") == ["one", "check", "two"]


async def test_code_that_ends_behind_a_gate_that_is_gone_ends(site: Site) -> None:
    """DUR-11."""
    first = site.open()

    def declare(process: Process, *, is_gated: bool) -> Flow:
        async def order(ctx: Any) -> Any:
            if is_gated and await ctx.patched("more"):
                process.die()
            return "ended"

        return process.workflow(order)

    await first.lives(declare(first, is_gated=True).begun("w"))
    site.recover()

    assert await declare(site.open(), is_gated=False).run("w") == "ended"


@pytest.mark.parametrize("begun_by", [gated, ungated])
async def test_a_gate_that_is_gone_hides_no_other_path(site: Site, begun_by: Any) -> None:
    """DUR-05: neither is yesterday's path gone on with by code that has only the new one, nor the other way."""
    world = Counted()
    await begun_by(site.open(), world).begun("w")
    calls = list(world.calls)

    with pytest.raises(NonDeterminism, match="step 'check'"):
        await _driven_by(site, lambda process: (checking if begun_by is ungated else ungated)(process, world))
    assert world.calls == calls


async def test_a_gate_that_is_asked_for_later_than_it_was_is_as_open_as_it_was(site: Site) -> None:
    """DUR-11: a gate's answer is that the execution has the patch; it does not hang on the place."""
    world = Counted()
    await gated(site.open(), world).begun("w")

    def declare(process: Process) -> Flow:
        async def order(ctx: Any) -> Any:
            said = [await ctx.step(name, world.step(name)) for name in ("one", "check", "two")]
            said.append(await ctx.patched("with-check"))
            await ctx.wait_for("go")
            return said

        return process.workflow(order)

    await _driven_by(site, declare)
    process = site.open()
    flow = declare(process)
    await process.signal("w", "go")

    assert await flow.run("w") == ["one", "check", "two", True]
    assert world.calls == ["one", "check", "two"]


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_gates_of_branches_and_loops_may_be_gone_as_well(site: Site) -> None:
    """DUR-11: whichever branch would have asked for them; not one of them costs the others their patience."""
    world = Counted()

    def declare(process: Process, *, is_gated: bool) -> Flow:
        async def order(ctx: Any) -> Any:
            async def branch(name: str) -> list[Any]:
                said = []
                for n in range(3):
                    if not is_gated or await ctx.patched(f"{name}{n}"):
                        said.append(await ctx.step(f"{name}{n}", world.step(f"{name}{n}")))
                    said.append(await ctx.wait_for(f"go {name}"))
                return said

            return await asyncio.gather(*(branch(name) for name in "abc"))

        return process.workflow(order)

    await declare(site.open(), is_gated=True).begun("w")
    for turn in range(3):
        process = site.open()
        flow = declare(process, is_gated=turn == 0)
        for name in "cab":
            await process.signal("w", f"go {name}", turn)
            await process.driven("w")

    assert await flow.run("w") == [[x for n in range(3) for x in (f"{name}{n}", n)] for name in "abc"]
    assert sorted(world.calls) == sorted(f"{name}{n}" for name in "abc" for n in range(3))


async def test_versions_stand_side_by_side_and_each_finishes_its_own(site: Site) -> None:
    """DUR-11: deploy v2 while v1 is paused."""
    world = Counted()

    def declare(process: Process, *versions: str) -> list[Flow]:
        def body(version: str) -> Any:
            async def order(ctx: Any) -> Any:
                said = await ctx.step(f"by {version}", world.step(version))
                await ctx.wait_for("go")
                return [said, ctx.version]

            return order

        return [process.workflow(body(version), version=version) for version in versions]

    first = site.open()
    await declare(first, "1")[0].begun("old")
    await first.pause("old", by="ops", reason="deployment")

    second = site.open()
    _, newest = declare(second, "1", "2")
    await newest.begun("new")
    await second.resume("old", by="ops", reason="deployed")
    for workflow_id in ("old", "new"):
        await second.signal(workflow_id, "go")
        await second.driven(workflow_id)

    assert (await second.execution("old")).output == '["1","1"]'
    assert (await second.execution("new")).output == '["2","2"]'
    assert world.calls == ["1", "2"]


def renamed(process: Process, world: Counted, upgrade: Any = None) -> Flow:
    """Version 2 takes cents, where version 1 took an amount."""

    async def order(ctx: Any, cents: int) -> Any:
        await ctx.wait_for("go")
        return await ctx.step("charge", world.step("charge", cents))

    options = {} if upgrade is None else {"upgrade": upgrade}
    return process.workflow(order, version="2", **options)


async def begun_with_amount(site: Site) -> None:
    async def order(ctx: Any, amount: int) -> Any:
        raise AssertionError

    await site.open().workflow(order, version="1").enqueue("w", amount=5)


async def test_an_old_input_is_made_a_new_one(site: Site) -> None:
    """STA-15: the state model was upgraded; the old run goes on by the migration."""
    world = Counted()
    await begun_with_amount(site)
    process = site.open()
    flow = renamed(process, world, lambda version, given: {"cents": given["amount"] * 100})

    await process.driven("w")
    await process.signal("w", "go")
    await process.driven("w")

    assert (await process.execution("w")).output == "500"
    assert await flow.result("w") == 500


async def test_who_runs_an_upgraded_workflow_again_gives_it_the_input_of_today(site: Site) -> None:
    """STA-15, STA-16: the same id with what is now its input is the same workflow, and no conflict."""
    world = Counted()
    await begun_with_amount(site)
    process = site.open()
    flow = renamed(process, world, lambda version, given: {"cents": given["amount"] * 100})
    await process.signal("w", "go")

    assert await flow.run("w", cents=500) == 500


async def test_without_a_migration_it_is_refused_and_not_harmed(site: Site) -> None:
    """STA-15: a typed error that names both versions; the run waits for code that takes its input."""
    world = Counted()
    await begun_with_amount(site)
    process = site.open()
    renamed(process, world)

    with pytest.raises(VersionMismatch) as refused:
        await process.driven("w")
    assert (refused.value.recorded, refused.value.present) == ("1", "2")
    execution = await process.execution("w")
    assert (execution.status, execution.input) == ("needs_review", '{"amount":5}')
    assert await process.told("w") == []

    site.clock.advance(61)
    mended = site.open()
    renamed(mended, world, lambda version, given: {"cents": given["amount"] * 100})
    await mended.signal("w", "go")
    await mended.driven("w")
    assert (await mended.execution("w")).output == "500"


async def test_a_migration_that_fails_is_refused_like_none(site: Site) -> None:
    """STA-15."""
    await begun_with_amount(site)
    process = site.open()
    renamed(process, Counted(), lambda version, given: {"cents": given["sum"]})

    with pytest.raises(VersionMismatch, match="KeyError"):
        await process.driven("w")

    assert (await process.execution("w")).status == "needs_review"


async def test_changed_code_under_its_old_version_is_found_out(site: Site) -> None:
    """DUR-11, DUR-05: who forgets the gate is told, before anything is done."""
    world = Counted()
    await ungated(site.open(), world).begun("w")
    process = site.open()

    async def order(ctx: Any) -> Any:
        await ctx.step("one", world.step("one"))
        await ctx.step("check", world.step("check"))
        await ctx.step("two", world.step("two"))

    process.workflow(order)
    await process.signal("w", "go")

    with pytest.raises(NonDeterminism, match="step 'check'"):
        await process.driven("w")
    assert world.calls == ["one", "two"]


async def test_code_that_is_not_declared_here_is_not_begun_here(site: Site) -> None:
    """STA-15: a worker of other code leaves the workflow alone."""
    await ungated(site.open(), Counted()).enqueue("w")
    stranger = site.open()

    with pytest.raises(UnknownWorkflow):
        await stranger.driven("w")

    assert (await stranger.execution("w")).status == "queued"


async def test_an_id_is_of_one_workflow_with_one_input(site: Site) -> None:
    """STA-16: never the output of another order."""
    world, process = Counted(), site.open()

    async def order(ctx: Any, amount: int) -> Any:
        return await ctx.step("charge", world.step("charge"))

    async def other(ctx: Any, amount: int) -> Any:
        raise AssertionError

    flow, stranger = process.workflow(order), process.workflow(other)
    await flow.run("w", amount=5)

    with pytest.raises(WorkflowConflict):
        await flow.run("w", amount=999)
    with pytest.raises(WorkflowConflict):
        await flow.enqueue("w", amount=999)
    with pytest.raises(WorkflowConflict):
        await stranger.run("w", amount=5)
    assert world.calls == ["charge"]


async def test_one_version_is_declared_once(site: Site) -> None:
    """DUR-11."""
    process = site.open()
    ungated(process, Counted())

    with pytest.raises(InvalidTool, match="declared twice"):
        ungated(process, Counted())


@pytest.mark.parametrize("waits", ["a signal", "a time"])
async def test_another_wait_than_the_one_on_record_is_a_divergence(site: Site, waits: str) -> None:
    """DUR-05, DUR-11: what is waited for is told to people, and a signal may have come for it."""

    def declare(process: Process, *, is_changed: bool) -> Flow:
        async def order(ctx: Any) -> Any:
            if waits == "a signal":
                return await ctx.wait_for("paid" if is_changed else "go")
            await ctx.sleep("2d" if is_changed else "1d")
            return "slept"

        return process.workflow(order)

    await declare(site.open(), is_changed=False).begun("w")
    process = site.open()
    flow = declare(process, is_changed=True)
    await process.signal("w", "paid")
    with pytest.raises(NonDeterminism):
        await flow.run("w")
    assert (await process.execution("w")).status == "needs_review"
