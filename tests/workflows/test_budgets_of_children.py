"""What a workflow begins falls under all budgets above it, in whichever process it goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Budget
from holdfast.errors import BudgetExceeded
from workflows.sites import Flow, Process, Site

TOOLS: dict[str, Any] = {"safety": "idempotent", "retry": False}


class World:
    """What the tools did."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, int]] = []

    def pay(self, who: str, n: int) -> int:
        self.paid.append((who, n))
        return n

    def by(self, who: str) -> int:
        return sum(name == who for name, _ in self.paid)


def agent(process: Process, world: World, *, tool: str = "pay", **options: Any) -> Flow:
    """A sub-agent: pays as often as it is told to, and says how often there was room for it, and what was full."""
    pay = process.tool(world.pay, name=tool, **TOOLS)

    async def sub(ctx: Any, who: str, count: int) -> Any:
        for n in range(count):
            try:
                await pay(who=who, n=n)
            except BudgetExceeded as refused:
                return [n, refused.account]
        return [count, ""]

    return process.workflow(sub, **options)


def coordinator(process: Process, sub: Flow, **options: Any) -> Flow:
    async def lead(ctx: Any, names: list[str], count: int) -> Any:
        begun = (
            [ctx.child(sub.declared, who=who, count=count) for who in names] if not process.is_sync else []
        )
        if begun:
            return list(await asyncio.gather(*begun))
        return [await ctx.child(sub.declared, who=who, count=count) for who in names]

    return process.workflow(lead, **options)


async def to_its_end(lead: Process, workers: list[Process], workflow_id: str = "w") -> Any:
    """Drive a workflow in one process, and what it begins in others."""
    for _ in range(40):
        if (await lead.driven(workflow_id)).is_ended:
            return await lead.do(lead.ledger.execution, workflow_id)
        open_ones = [row for row in await lead.executions(parent=workflow_id) if row.ended_at is None]
        for n, row in enumerate(open_ones):
            await workers[n % len(workers)].driven(row.workflow_id)
    raise AssertionError("it never came to its end")


async def test_eight_sub_agents_cannot_pass_the_cap_of_who_began_them_together(site: Site) -> None:
    """COS-13: in processes whose code does not know the one that began them."""
    world, first = World(), site.open()
    flow = coordinator(first, agent(first, world), budget=Budget(tool_calls=10))
    await flow.enqueue("w", names=[f"a{n}" for n in range(8)], count=3)
    workers = [site.open() for _ in range(3)]
    for worker in workers:
        agent(worker, world)

    await to_its_end(first, workers)

    told = await flow.run("w", names=[f"a{n}" for n in range(8)], count=3)
    assert sum(count for count, _ in told) == len(world.paid) == 10
    assert {account for count, account in told if count < 3} == {"workflow:w"}


async def test_a_child_falls_under_its_own_budget_and_under_those_above(site: Site) -> None:
    """COS-13: each level refuses what it has no room for."""
    world, first = World(), site.open()
    sub = agent(first, world, budget=Budget(tool_calls=3))
    flow = coordinator(first, sub, budget=Budget(tool_calls=5))
    await flow.enqueue("w", names=["a", "b"], count=4)

    await to_its_end(first, [site_with(site, world, budget=Budget(tool_calls=3))])

    told = await flow.run("w", names=["a", "b"], count=4)
    assert sorted(count for count, _ in told) == [2, 3]
    assert {account.split("/")[0] for _, account in told} == {"workflow:w"}
    assert sorted(account.count("/") for _, account in told) == [0, 1]  # the parent's, and the child's own


def site_with(site: Site, world: World, **options: Any) -> Process:
    worker = site.open()
    agent(worker, world, **options)
    return worker


async def test_grandchildren_fall_under_what_began_their_parents(site: Site) -> None:
    """COS-13."""
    world, first = World(), site.open()

    def declare(process: Process) -> Flow:
        sub = agent(process, world)

        async def middle(ctx: Any, count: int) -> Any:
            return await ctx.child(sub.declared, who="a", count=count)

        return process.workflow(middle)

    middle = declare(first)

    async def top(ctx: Any) -> Any:
        return await ctx.child(middle.declared, count=5)

    flow = first.workflow(top, budget=Budget(tool_calls=2))
    await flow.enqueue("w")
    await first.driven("w")
    other = site.open()
    declare(other)
    [child] = await other.executions(parent="w")
    await other.driven(child.workflow_id)
    [grandchild] = await other.executions(parent=child.workflow_id)
    await other.driven(grandchild.workflow_id)
    await other.driven(child.workflow_id)
    await first.driven("w")

    assert await flow.run("w") == [2, "workflow:w"]
    assert len(world.paid) == 2


async def test_what_is_begun_inside_of_a_block_falls_under_its_budget_wherever_it_goes_on(site: Site) -> None:
    """COS-13: two that are enqueued share it with the block itself."""
    world, first, budget = World(), site.open(), Budget(tool_calls=5)
    flow = agent(first, world)
    with first.ledger.budget("night", budget):
        for who in ("a", "b"):
            await flow.enqueue(who, who=who, count=3)
    await flow.enqueue("c", who="c", count=3)
    other = site.open()
    other_flow = agent(other, world)
    for who in ("a", "b", "c"):
        await other.driven(who)

    assert await other_flow.result("a") == [3, ""]
    assert await other_flow.result("b") == [2, "scope:night"]
    assert await other_flow.result("c") == [3, ""]


async def test_a_workflow_that_dies_inside_of_a_block_goes_on_under_its_budget(site: Site) -> None:
    """COS-14."""

    class Deadly(World):
        def pay(self, who: str, n: int) -> int:
            first.die()

    first = site.open()
    flow = agent(first, Deadly())

    async def begin() -> None:
        with first.ledger.budget("night", Budget(tool_calls=2)):
            await flow.run("w", who="a", count=3)

    await first.lives(begin())
    site.recover()
    other = site.open()
    later = World()
    again = agent(other, later)
    await other.driven("w")

    assert await again.run("w", who="a", count=3) == [1, "scope:night"]
    assert later.by("a") == 1  # the call at which it died is counted, and so is the one that took over


async def test_a_fork_has_a_budget_of_its_own_and_those_above_its_source(site: Site) -> None:
    """COS-13: what its source has spent is its source's."""
    world, process = World(), site.open()
    flow = agent(process, world, budget=Budget(tool_calls=2))
    with process.ledger.budget("night", Budget(tool_calls=3)):
        await flow.enqueue("w", who="a", count=3)
    await process.driven("w")
    assert await flow.result("w") == [2, "workflow:w"]

    await process.fork("w", "other", from_step=1)
    assert (await process.driven("other")).is_ended

    assert await flow.result("other") == [1, "scope:night"]


async def test_a_restarted_workflow_has_spent_what_it_spent(site: Site) -> None:
    """COS-15: more room is what lets it go on."""
    world, process = World(), site.open()

    def declare(process: Process, cap: int) -> Flow:
        pay = process.tool(world.pay, name="pay", **TOOLS)

        async def sub(ctx: Any) -> Any:
            return [await pay(who="a", n=n) for n in range(3)]

        return process.workflow(sub, budget=Budget(tool_calls=cap))

    flow = declare(process, 2)
    await flow.begun("w")
    await process.restart("w")
    assert (await process.driven("w")).status == "failed"
    assert world.by("a") == 2
    other = site.open()
    flow = declare(other, 3)
    await other.restart("w")
    await other.driven("w")

    assert await flow.run("w") == [0, 1, 2]


async def test_what_a_step_or_a_handler_begins_falls_under_the_budget_too(site: Site) -> None:
    """COS-13: although nobody waits for it."""
    world, process = World(), site.open()
    sub = agent(process, world)

    async def begin() -> None:
        await sub.enqueue("other", who="a", count=3)

    def begin_plain() -> None:
        sub.declared.enqueue("other", who="a", count=3)

    async def body(ctx: Any) -> None:
        await ctx.step("begin", begin_plain if process.is_sync else begin)

    await process.workflow(body, budget=Budget(tool_calls=2)).run("w")
    worker = site_with(site, world)
    await worker.driven("other")

    assert await sub.result("other") == [2, "workflow:w"]


@pytest.mark.kinds("memory", "sync-memory")
async def test_tenants_do_not_hand_budgets_to_each_other(site: Site) -> None:
    world, process = World(), site.open()
    flow = agent(process, world)
    with process.ledger.budget("night", Budget(tool_calls=1)):
        stranger = process.scoped(tenant="stranger")
        strange = agent(stranger, world, name="strange", tool="strange")
        await strange.enqueue("w", who="a", count=3)
        await flow.enqueue("w", who="b", count=3)
    await stranger.driven("w")
    await process.driven("w")

    assert (await stranger.execution("w")).purses == ""
    assert await strange.result("w") == [3, ""]
    assert await flow.result("w") == [1, "scope:night"]
