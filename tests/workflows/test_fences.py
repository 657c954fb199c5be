"""STA-18, IDE-19: whoever lost a workflow while it stood still begins nothing more in its name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast import Undone
from holdfast._core.change import Change, InsertEffect
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "stop"}


def stands_still(process: Process, meanwhile: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let *process* stand still just before its first claim of an effect, while something else happens."""
    store = process.ledger._engine.parts.store
    commit, waits = store.commit, [meanwhile]

    async def later(change: Change) -> Any:
        if waits and isinstance(change.ops[0], InsertEffect):
            await waits.pop()()
        return await commit(change)

    store.commit = later


def ordering(process: Process, world: Counted) -> Flow:
    """A step and a charge, which is refunded when the workflow does not end well."""

    def refund(undone: Undone) -> None:
        world.calls.append("refund")

    undo = process.ledger.tool(name="refund", safety="idempotent")(_of_its_kind(process, refund))
    charge = process.tool(world.step("charge", "charged"), name="charge", compensate=undo)

    async def order(ctx: Any) -> Any:
        await ctx.step("first", world.step("first"))
        return await charge(amount=5)

    return process.workflow(order, on_failure="compensate")


def _of_its_kind(process: Process, plain: Callable[[Undone], None]) -> Callable[..., Any]:
    async def coroutine(undone: Undone) -> None:
        plain(undone)

    return plain if process.is_sync else coroutine


async def test_who_comes_to_after_its_workflow_was_cancelled_and_undone_charges_nobody(site: Site) -> None:
    """Its claim is refused by the database, whatever it knew when it fell asleep."""
    world, sleeper, other = Counted(), site.open(), site.open()
    flow = ordering(sleeper, world)
    ordering(other, world)

    async def meanwhile() -> None:
        site.recover()
        await other.cancel("w", **BY)
        assert (await other.driven("w")).status == "cancelled"

    stands_still(sleeper, meanwhile)
    await flow.begun("w")

    assert (await other.execution("w")).status == "cancelled"
    assert world.calls == ["first"]
    assert await other.effects(workflow_id="w") == []


async def test_who_comes_to_after_another_worker_went_on_leaves_it_to_that_one(site: Site) -> None:
    """One charge, and one outcome, which whoever asks the sleeper hears as well."""
    world, sleeper, other = Counted(), site.open(), site.open()
    flow = ordering(sleeper, world)
    ordering(other, world)

    async def meanwhile() -> None:
        site.recover()
        assert (await other.driven("w")).status == "succeeded"

    stands_still(sleeper, meanwhile)
    await flow.enqueue("w")

    assert await flow.run("w") == "charged"
    assert world.calls == ["first", "charge"]


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_tool_that_calls_another_one_is_fenced_as_well(site: Site) -> None:
    """What a handler calls belongs to the workflow that it runs in."""
    world, sleeper, other = Counted(), site.open(), site.open()

    def declare(process: Process) -> Flow:
        inner = process.tool(world.step("inner", "done"), name="inner")

        async def outer() -> Any:
            if process is sleeper:
                stands_still(sleeper, meanwhile)
            return await inner()

        calls = process.ledger.tool(name="outer", safety="idempotent")(outer)

        async def order(ctx: Any) -> Any:
            return await calls()

        return process.workflow(order)

    async def meanwhile() -> None:
        site.recover()
        await other.cancel("w", **BY)
        await other.driven("w")

    flow = declare(sleeper)
    declare(other)
    await flow.begun("w")

    assert (await other.execution("w")).is_cancelled
    assert world.count("inner") == 0
