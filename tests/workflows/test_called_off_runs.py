"""DUR-10, DUR-13: whoever is called off while he takes a workflow lets go of it: others need not wait for his lease."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast._core.advance import Advanced, BeginExecution, ExecutionOp, Outrun, TakeExecution
from holdfast._core.execution import Journal
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted, until

pytestmark = pytest.mark.kinds("memory", "sqlite", "postgres")


class Slow:
    """A store that lingers once at one place, until it is let go on.

    Attributes:
        reached: It lingers.
        may_go_on: By the test.
    """

    def __init__(self, store: Any, place: str) -> None:
        self._store, self._place = store, place
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _at(self, place: str) -> None:
        if place == self._place and not self.reached.is_set():
            self.reached.set()
            await self.may_go_on.wait()

    async def advance(self, op: ExecutionOp) -> Advanced | Outrun:
        takes = isinstance(op, BeginExecution | TakeExecution) and op.owner != ""
        if takes:
            await self._at("before it is written")
        answer: Advanced | Outrun = await self._store.advance(op)
        if takes:
            await self._at("before that is told")
        return answer

    async def journal(self, *place: Any) -> Journal | None:
        await self._at("before its journal is read")
        journal: Journal | None = await self._store.journal(*place)
        return journal


def declare(process: Process, world: Counted) -> Flow:
    async def order(ctx: Any) -> Any:
        return await ctx.step("one", world.step("one"))

    return process.workflow(order)


@pytest.mark.parametrize("is_known", [False, True], ids=["begun", "taken"])
@pytest.mark.parametrize(
    "moment", ["before it is written", "before that is told", "before its journal is read"]
)
async def test_who_is_called_off_while_he_takes_a_workflow_lets_go_of_it(
    site: Site, moment: str, is_known: bool
) -> None:
    """DUR-13: no time passes, so no lease runs out; and it is no crash of a worker."""
    world, first, second = Counted(), site.open(), site.open()
    await first.executions()  # it makes the tables
    flow = declare(second, world)
    if is_known:
        await flow.enqueue("w")
    slow: Any = Slow(first.ledger._engine.parts.store._inner, moment)
    first.ledger._engine.parts.store._inner = slow
    running = asyncio.ensure_future(declare(first, world).run("w"))
    await slow.reached.wait()

    running.cancel()
    slow.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: _is_free(second))

    row = await second.execution("w")
    assert (row.owner, row.crashes, world.calls) == ("", 0, [])
    assert await flow.run("w") == "one"
    assert world.calls == ["one"]


async def _is_free(process: Process) -> bool:
    rows = await process.executions()
    return [row.status for row in rows] == ["queued"]
