"""A workflow's budget holds for all that its code and its handlers call, whoever goes on with it."""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import pytest

from holdfast import Budget, RetryPolicy, ToolCall, Undone
from holdfast.errors import BudgetExceeded, InvalidTool, WorkflowFailed
from workflows.sites import Flow, Process, Site

TOOLS: dict[str, Any] = {"safety": "idempotent", "retry": False}


class World:
    """What the tools did."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def pay(self, n: int) -> int:
        self.paid.append(n)
        return n


def spender(process: Process, world: World, **options: Any) -> Flow:
    """A workflow that pays as often as it is told to, and takes a rest before each but the first."""
    pay = process.tool(world.pay, name="pay", **TOOLS)

    async def spend(ctx: Any, count: int) -> Any:
        done = []
        for n in range(count):
            try:
                done.append(await pay(n=n))
            except BudgetExceeded as refused:
                return {"done": done, "account": refused.account, "used": refused.used, "cap": refused.cap}
            await ctx.wait_for("go")
        return {"done": done}

    return process.workflow(spend, **options)


async def test_what_a_workflow_calls_falls_under_its_budget_and_the_code_hears_of_its_end(site: Site) -> None:
    """COS-13: it may catch that, and end with what it has."""
    world, process = World(), site.open()
    flow = spender(process, world, budget=Budget(tool_calls=3))
    await flow.enqueue("w", count=9)
    for n in range(4):
        await process.driven("w")
        await process.signal("w", "go", signal_id=f"{n}")

    assert await flow.run("w", count=9) == {"done": [0, 1, 2], "account": "workflow:w", "used": 3, "cap": 3}
    assert world.paid == [0, 1, 2]


async def test_it_is_told_the_same_in_every_life_and_on_every_worker(site: Site) -> None:
    """COS-13, COS-14: each process goes on for one call, and dies or leaves; the budget is one."""
    world = World()
    for n in range(8):
        process = site.open()
        await spender(process, world, budget=Budget(tool_calls=3)).enqueue("w", count=9)
        await process.driven("w")
        await process.signal("w", "go", signal_id=f"{n}")
        site.recover()
    last = site.open()

    told = await spender(last, world, budget=Budget(tool_calls=3)).run("w", count=9)

    assert told == {"done": [0, 1, 2], "account": "workflow:w", "used": 3, "cap": 3}
    assert world.paid == [0, 1, 2]


async def test_whenever_a_worker_dies_no_more_is_paid_than_fits(site: Site) -> None:
    """COS-14: what nobody knows counts as spent."""
    for die_at in range(0, 200, 1 if site.kind.endswith("memory") else 7):
        world, tenant = World(), site.world()
        first = site.open(tenant=tenant, die_at=die_at)
        await first.lives(to_its_end(first, spender(first, world, budget=Budget(tool_calls=3))))
        site.recover()
        second = site.open(tenant=tenant)
        told = await to_its_end(second, spender(second, world, budget=Budget(tool_calls=3)))
        if (
            told is None
        ):  # it died at the last call that fits: whether that happened is for people to find out
            assert "room in budget workflow:w/tool_calls" in (await second.execution("w")).waits_for
        else:
            assert told["cap"] == 3
        assert len(world.paid) <= 3
        await site.close()
        if first.faults.died_at is None:
            return
    pytest.fail("it never came to its end")


async def to_its_end(process: Process, flow: Flow) -> Any:
    await flow.enqueue("w", count=9)
    for n in range(9):
        standing = await process.driven("w")
        if standing.is_ended:
            return await flow.result("w")
        await process.signal("w", "go", signal_id=f"{n}")
    assert standing.status == "needs_review"
    return None


async def test_each_workflow_has_its_own(site: Site) -> None:
    world, process = World(), site.open()
    flow = spender(process, world, budget=Budget(tool_calls=1))

    for name in ("one", "two"):
        await flow.begun(name, count=1)

    assert world.paid == [0, 0]


async def test_what_handlers_and_steps_call_falls_under_it_as_well(site: Site) -> None:
    """COS-13: by whatever name they call it."""
    world, process = World(), site.open()
    inner = process.tool(world.pay, name="pay", **TOOLS)

    def nested(n: int) -> Any:
        return process.ledger.run(call(n), process_handler(process, world), **TOOLS)

    async def body(ctx: Any) -> Any:
        await inner(n=1)
        with pytest.raises(BudgetExceeded) as refused:
            await ctx.step("ask", step_of(process, nested), 2)
        return refused.value.account

    flow = process.workflow(body, budget=Budget(tool_calls=1))

    assert await flow.run("w") == "workflow:w"
    assert world.paid == [1]


def call(n: int) -> ToolCall:
    return ToolCall(workflow_id="elsewhere", tool="look", args={"n": n})


def process_handler(process: Process, world: World) -> Any:
    if process.is_sync:
        return world.pay

    async def pay(n: int) -> int:
        return world.pay(n)

    return pay


def step_of(process: Process, call: Any) -> Any:
    """A step's function in the form of this face."""
    if process.is_sync:
        return call

    async def asked(n: int) -> Any:
        return await call(n)

    return asked


async def test_a_refusal_is_no_fault_that_a_step_tries_again(site: Site) -> None:
    """RET-05: it ends the step at once, and is told the same in the next life."""
    process, tries = site.open(), []

    def refused() -> None:
        tries.append(1)
        raise BudgetExceeded("scope:x", "usd", "day", used=1, held=2, cap=3, needed=4)

    async def body(ctx: Any) -> Any:
        try:
            await ctx.step("ask", refused, retries=RetryPolicy(maximum_attempts=9999))
        except BudgetExceeded as error:
            await ctx.wait_for("go")
            return [error.account, error.unit, error.per, error.used, error.held, error.cap, error.needed]

    await process.workflow(body).begun("w")
    other = site.open()
    flow = other.workflow(body)
    await other.signal("w", "go")

    assert await flow.run("w") == ["scope:x", "usd", "day", 1, 2, 3, 4]
    assert tries == [1]


@pytest.mark.parametrize("on_failure", ["leave", "review", "compensate"])
async def test_uncaught_it_fails_the_workflow_which_says_what_was_full(site: Site, on_failure: str) -> None:
    """COS-01: which budget, used, held and cap; and what is to be done on a failure is done."""
    world, process = World(), site.open()
    undone: list[int] = []

    def plain(undo: Undone) -> None:
        undone.append(1)

    async def coroutine(undo: Undone) -> None:
        undone.append(1)

    refund = plain if process.is_sync else coroutine
    pay = process.tool(world.pay, name="pay", compensate=refund, **TOOLS)

    async def body(ctx: Any) -> Any:
        for n in range(3):
            await pay(n=n)

    flow = process.workflow(body, budget=Budget(tool_calls=2), on_failure=on_failure)
    standing = await flow.begun("w")

    said = json.loads((await process.execution("w")).error)
    assert (said["type"], said["code"]) == ("BudgetExceeded", "budget-exceeded")
    assert {name: said["budget"][name] for name in ("account", "unit", "used", "held", "cap")} == {
        "account": "workflow:w",
        "unit": "tool_calls",
        "used": 2,
        "held": 0,
        "cap": 2,
    }
    assert standing.status == ("needs_review" if on_failure == "review" else "failed")
    assert len(undone) == (2 if on_failure == "compensate" else 0)
    if on_failure != "review":
        with pytest.raises(WorkflowFailed, match="workflow:w/tool_calls has no room") as failed:
            await flow.run("w")
        assert isinstance(failed.value.__cause__, BudgetExceeded)
        assert failed.value.__cause__.cap == 2


async def test_a_step_has_a_budget_of_its_own_over_all_its_tries(site: Site) -> None:
    """COS-13: the innermost level."""
    world, process, numbers = World(), site.open(), itertools.count(1)

    def ask(n: int) -> Any:
        return process.ledger.run(call(next(numbers)), process_handler(process, world), **TOOLS)

    async def body(ctx: Any) -> Any:
        think = functools.partial(ctx.step, "think", step_of(process, ask), 0, budget=Budget(tool_calls=2))
        done = [await think(), await think()]
        try:
            await think()
        except BudgetExceeded as refused:
            return [*done, refused.account, await ctx.step("other", step_of(process, ask), 0)]

    assert await process.workflow(body).run("w") == [1, 2, "step:w/think", 4]


@pytest.mark.kinds("memory", "sync-memory")
async def test_only_workflows_have_depth_fan_out_and_time(site: Site) -> None:
    process = site.open()
    for odd in (Budget(depth=1), Budget(fan_out=1), Budget(wall_clock="1h")):
        with pytest.raises(InvalidTool, match="only a workflow"), process.ledger.budget("x", odd):
            pass

    async def body(ctx: Any) -> None:
        with pytest.raises(InvalidTool, match="only a workflow"):
            await ctx.step("x", print, budget=Budget(depth=1))

    await process.workflow(body, budget=Budget(depth=1, fan_out=1, wall_clock="1h")).run("w")
    with pytest.raises(InvalidTool, match="is str"):
        process.workflow(body, name="other", budget="2.00")
