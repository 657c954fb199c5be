"""A part of a budget that is kept for the end: what is called in ``with ledger.reserve():`` may spend it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Budget, ToolCall
from holdfast.errors import BudgetExceeded, InvalidTool
from workflows.sites import Flow, Process, Site

TOOLS: dict[str, Any] = {"safety": "idempotent", "retry": False}
KEPT = Budget(tool_calls=5, reserve=Budget(tool_calls=2))


class World:
    """What the tools did."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def pay(self, n: int) -> int:
        self.paid.append(n)
        return n


def spender(process: Process, world: World, **options: Any) -> Flow:
    """A workflow that works until there is no room, then sums up until there is none either."""
    pay = process.tool(world.pay, name="pay", **TOOLS)

    async def until_full(n: int) -> list[Any]:
        done: list[Any] = []
        while True:
            try:
                done.append(await pay(n=n + len(done)))
            except BudgetExceeded as refused:
                return [*done, refused.cap]

    async def spend(ctx: Any, opens: bool = True, rests: bool = True) -> Any:
        work = await until_full(0)
        if rests:
            await ctx.wait_for("go")
        if not opens:
            return [work, await until_full(100)]
        with process.ledger.reserve():
            return [work, await until_full(100)]

    return process.workflow(spend, **options)


async def test_the_end_of_the_work_fits_into_what_was_kept_for_it(site: Site) -> None:
    """COS-10: on another worker as well; the rest of the work had to leave it alone."""
    world, first = World(), site.open()
    await spender(first, world, budget=KEPT).begun("w")
    other = site.open()
    flow = spender(other, world, budget=KEPT)
    await other.signal("w", "go")

    assert await flow.run("w") == [[0, 1, 2, 3], [100, 101, 5]]
    assert world.paid == [0, 1, 2, 100, 101]


async def test_outside_of_the_block_nothing_of_it_is_spent(site: Site) -> None:
    """COS-10."""
    world, process = World(), site.open()
    flow = spender(process, world, budget=KEPT)
    await flow.begun("w", opens=False)
    await process.signal("w", "go")

    assert await flow.run("w", opens=False) == [[0, 1, 2, 3], [3]]


async def test_a_child_does_not_spend_what_those_above_it_keep(site: Site) -> None:
    """COS-10, COS-13: although it opens its own, which it has."""
    world, first = World(), site.open()
    sub = spender(first, world, budget=Budget(tool_calls=4, reserve=Budget(tool_calls=1)))

    async def parent(ctx: Any) -> Any:
        with first.ledger.reserve():
            return await ctx.child(sub.declared)

    flow = first.workflow(parent, budget=KEPT)
    await flow.begun("w")
    [child] = await first.executions(parent="w")
    await first.driven(child.workflow_id)
    await first.signal(child.workflow_id, "go")
    await first.driven(child.workflow_id)

    assert await flow.run("w") == [[0, 1, 2, 3], [3]]
    assert world.paid == [0, 1, 2]


async def test_who_runs_a_workflow_inside_of_the_block_opens_nothing_in_it(site: Site) -> None:
    """COS-10: it has a reserve of its own, and a block of its own opens that."""
    world, process = World(), site.open()
    flow = spender(process, world, budget=KEPT)

    with process.ledger.reserve():
        said = await flow.run("w", rests=False)

    assert said == [[0, 1, 2, 3], [100, 101, 5]]


@pytest.mark.kinds("memory", "sync-memory")
async def test_a_named_block_keeps_a_part_as_well(site: Site) -> None:
    """COS-10."""
    world, process = World(), site.open()

    async def pay(n: int) -> Any:
        call = ToolCall(workflow_id="w", tool="pay", args={"n": n})
        return await process.run(call, world.pay, **TOOLS)

    with process.ledger.budget("night", Budget(tool_calls=2, reserve=Budget(tool_calls=1))):
        await pay(1)
        with pytest.raises(BudgetExceeded, match="scope:night/tool_calls has no room"):
            await pay(2)
        with process.ledger.reserve():
            await pay(3)

    assert world.paid == [1, 3]


@pytest.mark.kinds("memory", "sync-memory")
@pytest.mark.parametrize(
    "odd",
    [
        {"reserve": 1},
        {"reserve": Budget(tool_calls=4)},
        {"reserve": Budget(concurrency=1)},
        {"reserve": Budget(tool_calls=1, per="day")},
        {"reserve": Budget(tool_calls=2, reserve=Budget(tool_calls=1))},
        {"reserve": Budget(tool_calls=1), "slices": 4},
    ],
)
async def test_what_is_no_part_of_a_budget_cannot_be_kept(site: Site, odd: dict[str, Any]) -> None:
    assert site.open() is not None
    with pytest.raises(InvalidTool):
        Budget(tool_calls=4, **odd)
