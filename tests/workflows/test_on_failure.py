"""CMP-02, DUR-14: a workflow that fails, is late or is cancelled undoes what it did, or waits for a person."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Undone
from holdfast.errors import WorkflowFailed
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted

BY: dict[str, str] = {"by": "ops@acme", "reason": "not wanted"}


def booking(process: Process, world: Counted, *, fails: bool = True, **options: Any) -> Flow:
    """Books a flight and a hotel; each can be undone."""
    flight, hotel = (undoable(process, world, what) for what in ("flight", "hotel"))

    async def trip(ctx: Any) -> Any:
        said = [await flight(day=1), await hotel(day=1)]
        await ctx.wait_for("go")
        if fails:
            raise ValueError("no seat")
        return said

    return process.workflow(trip, **options)


def undoable(process: Process, world: Counted, what: str) -> Any:
    def plain(original: Undone) -> str:
        world.calls.append(f"undo {what}")
        return "undone"

    async def asynchronous(original: Undone) -> str:
        return plain(original)

    undo = plain if process.is_sync else asynchronous
    undoing = process.ledger.tool(name=f"undo_{what}", safety="idempotent")(undo)
    return process.tool(world.step(what, {"id": what}), name=what, compensate=undoing)


async def test_a_workflow_that_fails_undoes_what_it_did_in_reverse_order(site: Site) -> None:
    """CMP-02, DUR-14: on_failure="compensate"."""
    world, process = Counted(), site.open()
    flow = booking(process, world, on_failure="compensate")
    await flow.begun("w")
    await process.signal("w", "go")

    with pytest.raises(WorkflowFailed, match="no seat"):
        await flow.run("w")
    assert world.calls == ["flight", "hotel", "undo hotel", "undo flight"]


async def test_a_cancelled_workflow_undoes_what_it_did_before_it_ends(site: Site) -> None:
    """DUR-14: that takes its code, so it is due at once and ended by whoever has it."""
    world, process = Counted(), site.open()
    await booking(process, world, on_failure="compensate").begun("w")
    other = site.open()
    cancelled = await other.cancel("w", **BY)
    assert (cancelled.is_cancelled, cancelled.wake_at) == (True, site.clock())
    booking(other, world, on_failure="compensate")

    assert (await other.driven("w")).status == "cancelled"
    assert world.calls == ["flight", "hotel", "undo hotel", "undo flight"]


async def test_a_workflow_that_has_done_nothing_has_nothing_to_undo(site: Site) -> None:
    """DUR-14: cancelled before its first effect, or failed before it, it has ended all the same."""
    process, world = site.open(), Counted()
    trip = booking(process, world, on_failure="compensate")
    await trip.enqueue("never begun")
    await process.cancel("never begun", **BY)

    async def refuse(ctx: Any) -> None:
        raise ValueError("not today")

    await process.workflow(refuse, on_failure="compensate").begun("refused")

    assert (await process.driven("never begun")).status == "cancelled"
    assert (await process.execution("refused")).status == "failed"
    assert world.calls == []


async def test_a_late_workflow_undoes_what_it_did(site: Site) -> None:
    """RET-18, DUR-14."""
    world, process = Counted(), site.open()
    await booking(process, world, on_failure="compensate", timeout="1h").begun("w")
    site.clock.advance(3601)

    assert (await process.driven("w")).status == "failed"
    assert world.calls == ["flight", "hotel", "undo hotel", "undo flight"]


async def test_undoing_dies_at_any_boundary_and_is_finished_once(site: Site) -> None:
    """STA-01, CMP-03: a worker that dies while it undoes leaves the rest to the next."""
    for die_at in range(0, 200, 1 if site.kind.endswith("memory") else 7):
        world, tenant = Counted(), site.world()
        first = site.open(tenant=tenant)
        flow = booking(first, world, on_failure="compensate")
        await flow.begun("w")
        await first.signal("w", "go")
        dying = site.open(tenant=tenant, die_at=die_at)
        booking(dying, world, on_failure="compensate")
        await dying.lives(dying.driven("w"))
        site.recover()
        last = site.open(tenant=tenant)
        booking(last, world, on_failure="compensate")
        await last.driven("w")
        at = dying.faults.died_at
        assert (await last.execution("w")).status == "failed", at
        assert {"undo hotel", "undo flight"} <= set(world.calls), at
        assert len(world.calls) - 4 <= (at is not None), at
        await site.close()
        if at is None:
            return
    raise AssertionError


async def test_a_workflow_that_is_to_be_reviewed_waits_for_a_person(site: Site) -> None:
    """DUR-14: on_failure="review": nothing is undone, nobody goes on until somebody says so."""
    world, process = Counted(), site.open()
    await booking(process, world, on_failure="review").begun("w")
    await process.signal("w", "go")
    await process.driven("w")
    held = await process.execution("w")

    assert (held.status, held.pause) == ("needs_review", "paused")
    assert "no seat" in held.pause_reason
    assert world.calls == ["flight", "hotel"]

    second = site.open()
    flow = booking(second, world, fails=False, on_failure="review")
    await second.resume("w", **BY)
    assert await flow.run("w") == [{"id": "flight"}, {"id": "hotel"}]


async def test_a_workflow_that_leaves_things_leaves_them(site: Site) -> None:
    """DUR-14: the default."""
    world, process = Counted(), site.open()
    flow = booking(process, world)
    await flow.begun("w")
    await process.signal("w", "go")

    with pytest.raises(WorkflowFailed):
        await flow.run("w")
    assert world.calls == ["flight", "hotel"]
