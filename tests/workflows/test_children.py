"""DUR-12, DUR-14: workflows that begin others: each is once there, and its end is the parent's news."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import InvalidCall, WorkflowFailed
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted


def family(process: Process, world: Counted, *, fails: bool = False, **options: Any) -> tuple[Flow, Flow]:
    async def child(ctx: Any, n: int) -> Any:
        await ctx.wait_for("grow")
        if fails:
            raise ValueError("too young")
        return await ctx.step(f"child {n}", world.step(f"child {n}", n * 10))

    declared = process.workflow(child)

    async def parent(ctx: Any, count: int) -> Any:
        said = []
        for n in range(count):
            try:
                said.append(await ctx.child(declared.declared, n=n))
            except WorkflowFailed as failed:
                said.append([failed.error_type, failed.error_message])
        return [*said, await ctx.step("parent", world.step("parent"))]

    return process.workflow(parent, **options), declared


async def children(process: Process) -> list[str]:
    return [row.workflow_id for row in await process.executions(parent="w")]


async def test_a_parent_waits_for_its_child_and_holds_nothing_meanwhile(site: Site) -> None:
    """DUR-12, STA-06: the child's end wakes it; both go on in any process."""
    world = Counted()
    await family(site.open(), world)[0].begun("w", count=1)
    process = site.open()
    flow, _ = family(process, world)
    [child] = await children(process)
    assert (await process.execution("w")).waits_for == f"workflow {child!r}"
    assert (await process.driven(child)).waits_for == "signal 'grow'"
    assert (await process.driven("w")).status == "waiting"
    await process.signal(child, "grow")

    assert (await process.driven(child)).is_ended
    assert (await process.execution("w")).wake_at == site.clock()  # it is due at once
    assert (await process.driven("w")).is_ended
    assert await flow.run("w", count=1) == [0, "parent"]
    assert world.calls == ["child 0", "parent"]


async def test_a_parent_that_is_run_runs_its_children_too(site: Site) -> None:
    """DUR-01: without a worker."""
    world, process = Counted(), site.open()

    async def child(ctx: Any, n: int) -> Any:
        return await ctx.step(f"child {n}", world.step(f"child {n}", n * 10))

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        return [await ctx.child(declared.declared, n=n) for n in (1, 2)]

    flow = process.workflow(parent)

    assert await flow.run("w") == [10, 20]
    assert await flow.run("w") == [10, 20]
    assert world.calls == ["child 1", "child 2"]


async def test_a_child_is_begun_once_whenever_its_parent_dies(site: Site) -> None:
    """STA-01: at every boundary of the parent's life."""
    for die_at in range(60):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(family(first, world)[0].begun("w", count=1))
        site.recover()
        second = site.open(tenant=tenant)
        flow, _ = family(second, world)
        await flow.begun("w", count=1)
        [child] = await children(second)
        await second.driven(child)
        await second.signal(child, "grow")
        await second.driven(child)
        assert (await second.driven("w")).is_ended, first.faults.died_at
        assert world.calls == ["child 0", "parent"]
        await site.close()
        if first.faults.died_at is None:
            return
    pytest.fail("it never came to its end")


async def test_a_parent_that_dies_hears_of_a_child_that_ends_meanwhile(site: Site) -> None:
    """STA-01, DUR-12: the child's end is no news any more when the parent's next life begins."""
    for die_at in range(60):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(family(first, world)[0].begun("w", count=1))
        site.recover()
        second = site.open(tenant=tenant)
        flow, _ = family(second, world)
        for child in await children(second):
            await second.signal(child, "grow")
            await second.driven(child)
        await flow.begun("w", count=1)
        for child in await children(second):  # begun only now
            await second.signal(child, "grow")
            await second.driven(child)
        assert (await second.driven("w")).is_ended, first.faults.died_at
        assert world.calls == ["child 0", "parent"]
        await site.close()
        if first.faults.died_at is None:
            return
    pytest.fail("it never came to its end")


async def test_a_childs_failure_is_told_to_its_parent_in_every_life(site: Site) -> None:
    """DUR-05: as WorkflowFailed, with what is on record of it."""
    world, process = Counted(), site.open()
    flow, _ = family(process, world, fails=True)
    await flow.begun("w", count=1)
    [child] = await children(process)
    await process.signal(child, "grow")

    assert await flow.run("w", count=1) == [["ValueError", "too young"], "parent"]
    assert (await process.execution(child)).status == "failed"


async def test_children_are_cancelled_with_their_parent(site: Site) -> None:
    """DUR-14: whoever waits for nobody ends; grandchildren too."""
    world, process = Counted(), site.open()

    async def leaf(ctx: Any) -> Any:
        await ctx.wait_for("never")

    leaves = process.workflow(leaf)

    async def middle(ctx: Any) -> Any:
        await ctx.child(leaves.declared)

    middles = process.workflow(middle)

    async def root(ctx: Any) -> Any:
        await ctx.child(middles.declared)
        await ctx.step("after", world.step("after"))

    await process.workflow(root).begun("w")
    for _ in range(2):
        for row in await process.executions(status="queued"):
            await process.driven(row.workflow_id)
    assert len(await process.executions(status="waiting")) == 3
    await process.cancel("w", by="ops", reason="not needed")

    assert {row.status for row in await process.executions()} == {"cancelled"}
    assert world.calls == []


async def test_a_child_that_is_cancelled_alone_is_a_failure_to_its_parent(site: Site) -> None:
    """DUR-14."""
    world, process = Counted(), site.open()
    flow, _ = family(process, world)
    await flow.begun("w", count=1)
    [child] = await children(process)
    await process.cancel(child, by="ops", reason="wrong child")
    await process.driven("w")

    said, after = await flow.run("w", count=1)
    assert (said[0], "wrong child" in said[1], after) == ("WorkflowCancelled", True, "parent")


async def test_a_parent_that_fails_ends_the_children_that_it_left_behind(site: Site) -> None:
    """DUR-14: nobody waits for them any more."""
    process = site.open()

    async def leaf(ctx: Any) -> Any:
        await ctx.wait_for("never")

    leaves = process.workflow(leaf)

    async def parent(ctx: Any) -> Any:
        await ctx.child(leaves.declared)

    await process.workflow(parent, timeout="1h").begun("w")
    [child] = await children(process)
    await process.driven(child)
    site.clock.advance(3601)
    assert (await process.driven("w")).status == "failed"

    assert (await process.execution(child)).status == "cancelled"


async def test_a_child_may_have_an_id_of_its_own(site: Site) -> None:
    """DUR-12: so that others can signal it by what they know."""
    process = site.open()

    async def child(ctx: Any) -> Any:
        return await ctx.wait_for("go")

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        return await ctx.child(declared.options(workflow_id="order-7").declared)

    flow = process.workflow(parent)
    await flow.begun("w")
    await process.signal("order-7", "go", "gone")

    assert await flow.run("w") == "gone"


async def test_two_equal_children_one_after_the_other_are_two(site: Site) -> None:
    """DUR-04: told apart by their occurrence."""
    world, process = Counted(), site.open()

    async def child(ctx: Any) -> Any:
        return await ctx.step("born", world.step("born"))

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        return [await ctx.child(declared.declared) for _ in range(2)]

    flow = process.workflow(parent)

    assert await flow.run("w") == ["born", "born"]
    assert len(await children(process)) == 2


def waiting_for(process: Process, world: Counted, **options: Any) -> tuple[Flow, Flow]:
    """A parent that asks for a child of a chosen id, and does without it when it fails."""

    async def child(ctx: Any) -> Any:
        return await ctx.wait_for("grow")

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        try:
            return await ctx.child(declared.options(workflow_id="order-7").declared)
        except WorkflowFailed:
            return await ctx.step("without", world.step("without"))

    return process.workflow(parent, **options), declared


async def test_a_child_that_ended_while_its_parent_was_dead_is_heard_of(site: Site) -> None:
    """DUR-12, STA-01: it was begun, and that was not on record yet: its end is no news to the next life."""
    for die_at in range(60):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(waiting_for(first, world)[0].begun("w"))
        other = site.open(tenant=tenant)
        _, child = waiting_for(other, world)
        await child.enqueue("order-7")
        await other.signal("order-7", "grow", "grown")
        await other.driven("order-7")
        site.recover()
        second = site.open(tenant=tenant)
        flow, _ = waiting_for(second, world)
        await flow.begun("w")
        site.clock.advance(31)  # where the child was there before the parent began it
        standing = await second.driven("w")
        assert standing.is_ended, (first.faults.died_at, standing)
        assert await flow.result("w") == "grown"
        await site.close()
        if first.faults.died_at is None:
            return
    pytest.fail("it never came to its end")


async def test_a_child_that_is_another_ones_is_waited_for_all_the_same(site: Site) -> None:
    """DUR-12: its end wakes who began it; the others look again."""
    world, process = Counted(), site.open()
    flow, _ = waiting_for(process, world)
    await flow.begun("a")
    assert (await flow.begun("b")).wake_at is not None
    await process.signal("order-7", "grow", "grown")
    await process.driven("order-7")
    site.clock.advance(31)

    for workflow_id in ("a", "b"):
        await process.driven(workflow_id)
        assert await flow.result(workflow_id) == "grown"


async def test_a_parent_does_not_go_on_without_its_children_while_it_is_cancelled(site: Site) -> None:
    """DUR-14: it is cancelled before they are: whoever dies in between leaves nothing that acts on their end."""
    world, process = Counted(), site.open()
    flow, _ = waiting_for(process, world)
    await flow.begun("w")
    cancels = site.open(die_at="after steer")
    await cancels.lives(cancels.cancel("w", by="ops", reason="sent twice"))

    assert cancels.faults.died_at is not None
    assert (await process.execution("w")).status == "cancelled"
    with pytest.raises(InvalidCall, match="has ended"):
        await process.cancel("w", by="ops", reason="sent twice")  # it sees to the rest
    assert (await process.execution("order-7")).status == "cancelled"
    assert world.calls == []


async def test_grandchildren_end_with_a_parent_that_fails(site: Site) -> None:
    """DUR-14: nobody waits for them any more, either."""
    process = site.open()

    async def leaf(ctx: Any) -> Any:
        await ctx.wait_for("never")

    leaves = process.workflow(leaf)

    async def middle(ctx: Any) -> Any:
        await ctx.child(leaves.options(workflow_id="leaf").declared)

    middles = process.workflow(middle)

    async def parent(ctx: Any) -> Any:
        await ctx.child(middles.options(workflow_id="middle").declared)

    await process.workflow(parent, timeout="1h").begun("w")
    await process.driven("middle")
    site.clock.advance(3601)
    await process.driven("w")

    assert [(await process.execution(each)).status for each in ("middle", "leaf")] == ["cancelled"] * 2


async def test_a_parent_is_not_restarted_into_the_failure_of_its_child(site: Site) -> None:
    """DUR-14: it would come to the same end; the child first, then the parent."""
    process, fails = site.open(), [True]

    async def child(ctx: Any) -> Any:
        if fails:
            raise ValueError("no")
        return "grown"

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        return await ctx.child(declared.options(workflow_id="order-7").declared)

    flow = process.workflow(parent)
    await flow.begun("w")
    await process.driven("order-7")
    assert (await process.driven("w")).status == "failed"

    with pytest.raises(InvalidCall, match="restart that one first"):
        await process.restart("w")
    fails.clear()
    await process.restart("order-7")
    await process.driven("order-7")
    await process.restart("w")
    await process.driven("w")
    assert await flow.result("w") == "grown"


async def test_a_workflow_that_somebody_else_began_is_waited_for_as_well(site: Site) -> None:
    """DUR-12: its end wakes nobody here, so it is looked at until then."""
    world, process = Counted(), site.open()
    _, child = family(process, world)

    async def parent(ctx: Any) -> Any:
        return await ctx.child(child.options(workflow_id="shared").declared, n=1)

    flow = process.workflow(parent, name="another")
    await child.enqueue("shared", n=1)
    standing = await flow.begun("w")
    assert standing.wake_at is not None
    await process.signal("shared", "grow")
    await process.driven("shared")
    site.clock.advance((standing.wake_at - site.clock()).total_seconds())

    assert (await process.driven("w")).is_ended
    assert await flow.run("w") == 10


async def test_a_parent_is_cancelled_before_it_can_hear_that_its_child_was(site: Site) -> None:
    """DUR-14: else it would fail of that, or do what it does when a child fails."""
    world, process = Counted(), site.open()
    await family(process, world)[0].begun("w", count=1)
    dying = site.open(die_at="after steer")
    await dying.lives(dying.cancel("w", by="ops@acme", reason="not wanted"))

    assert (await process.driven("w")).status == "cancelled"
    with pytest.raises(InvalidCall, match="has ended"):
        await process.cancel("w", by="ops@acme", reason="the rest of it")
    assert [row.status for row in await process.executions(parent="w")] == ["cancelled"]


async def test_whoever_ends_ends_the_children_of_its_children_too(site: Site) -> None:
    """DUR-14: nobody waits for them any more."""
    world, process = Counted(), site.open()
    flow, _ = family(process, world)

    async def grandparent(ctx: Any) -> None:
        await ctx.child(flow.options(workflow_id="w").declared, count=1)

    await process.workflow(grandparent, timeout="1h").begun("old")
    await process.driven("w")
    site.clock.advance(3601)

    assert (await process.driven("old")).status == "failed"
    assert (await process.execution("w")).status == "cancelled"
    assert [row.status for row in await process.executions(parent="w")] == ["cancelled"]
