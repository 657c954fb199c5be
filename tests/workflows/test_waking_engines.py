"""DUR-14: whatever lets a workflow go on wakes the engine that drives it, once that is on record."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from holdfast import Settings
from holdfast.errors import EngineUnavailable
from workflows.sites import Flow, Process, Site
from workflows.test_dead_letters import dead
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "why"}


class Doorbell:
    """An engine that remembers whom it is to drive; it may be away.

    Attributes:
        woken: Workflows, in order.
        tried: How often it was asked, whether it was there or not.
    """

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.tried = 0
        self.away: Callable[[str], bool] = lambda workflow_id: False

    async def wake(self, tenant: str, workflow_id: str, at: datetime | None) -> None:
        self.tried += 1
        if self.away(workflow_id):
            raise EngineUnavailable(workflow_id, "nobody answers")
        assert (tenant, at) == ("default", None)
        self.woken.append(workflow_id)

    async def drive(self, process: Process) -> None:
        """Drive whom it was woken for, as an engine does that never looks by itself."""
        while self.woken:
            await process.driven(self.woken.pop(0))


def driven(site: Site, **options: Any) -> tuple[Process, Doorbell]:
    process, engine = site.open(**options), Doorbell()
    process.ledger._engine.shared.driver = engine
    return process, engine


def waiting(process: Process, world: Counted) -> Flow:
    async def order(ctx: Any) -> Any:
        await ctx.wait_for("go")
        return await ctx.step("work", world.step("work"))

    return process.workflow(order)


@pytest.mark.parametrize("is_dead", [False, True])
@pytest.mark.parametrize("how", ["pause", "halt"])
async def test_an_engine_that_never_looks_goes_on_with_what_was_stopped(
    site: Site, how: str, *, is_dead: bool
) -> None:
    """DUR-14: a signal that came meanwhile woke it in vain; so did one whose worker died."""
    process, engine = driven(site)
    flow = waiting(process, Counted())
    await flow.enqueue("w")
    if is_dead:
        mortal = site.open()

        async def dies(ctx: Any) -> Any:
            mortal.die()

        mortal.workflow(dies, name="order")
        await mortal.lives(mortal.driven("w"))
    else:
        await engine.drive(process)
    await (process.pause("w", **BY) if how == "pause" else process.halt(**BY))
    site.recover()
    await process.signal("w", "go")
    await engine.drive(process)
    assert (await process.execution("w")).ended_at is None

    await (process.resume("w", **BY) if how == "pause" else process.unhalt(**BY))

    assert engine.woken == ["w"]
    await engine.drive(process)
    assert await flow.result("w") == "work"


async def test_the_end_of_a_halt_wakes_the_engine_for_those_that_it_lets_go_on(site: Site) -> None:
    """DUR-14: and for no others; to stop them wakes nobody."""
    process, engine = driven(site)
    mad, sane = process.scoped(actor="mad"), process.scoped(actor="sane")
    flow, other = waiting(mad, Counted()), sane.workflow(_nothing, name="other")
    for workflow_id in ("b", "a", "paused"):
        await flow.enqueue(workflow_id)
    await other.enqueue("other")
    engine.woken.clear()
    await process.pause("paused", **BY)
    await process.halt("mad", **BY)
    await process.halt(**BY)
    await process.unhalt("mad", **BY)
    assert engine.woken == []

    await process.halt("sane", **BY)
    assert await process.unhalt(**BY) == 2

    assert engine.woken == ["a", "b"]


async def _nothing(ctx: Any) -> None:
    return None


async def test_a_dead_letter_that_is_driven_again_wakes_the_engine(site: Site) -> None:
    """DUR-14, DUR-15."""
    await dead(site, Counted())
    process, engine = driven(site, settings=Settings(max_crashes=3))

    await process.resume("w", **BY)

    assert engine.woken == ["w"]


@pytest.mark.parametrize("what", ["signal", "cancel", "restart", "fork"])
async def test_whatever_else_lets_it_go_on_wakes_the_engine(site: Site, what: str) -> None:
    """DUR-14."""
    process, engine = driven(site)
    await waiting(process, Counted()).begun("w")
    if what == "restart":
        await process.cancel("w", **BY)
    engine.woken.clear()
    acts: dict[str, Callable[[], Awaitable[Any]]] = {
        "signal": lambda: process.signal("w", "go"),
        "cancel": lambda: process.cancel("w", **BY),
        "restart": lambda: process.restart("w"),
        "fork": lambda: process.fork("w", "again", from_step=1),
    }

    await acts[what]()

    assert engine.woken == ["again" if what == "fork" else "w"]


async def test_what_may_go_on_may_go_on_although_the_engine_is_away(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """DUR-14: that is on record and is not taken back; nobody waits for ever for an engine that is away."""
    process, engine = driven(site)
    flow = waiting(process, Counted())
    for n in range(9):
        await flow.enqueue(f"w{n}")
    await process.halt(**BY)
    engine.tried, engine.woken = 0, []
    engine.away = lambda workflow_id: workflow_id != "w1"

    with caplog.at_level(logging.WARNING, "holdfast"):
        assert await process.unhalt(**BY) == 9

    assert (engine.tried, engine.woken) == (5, ["w1"])
    assert "not told of 4 more workflows" in caplog.text
    assert {row.pause for row in await process.executions()} == {""}
