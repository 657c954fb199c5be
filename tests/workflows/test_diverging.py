"""DUR-05: code that differs from its record is found out; nothing is answered with what was meant for another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from holdfast.errors import EffectFailed, NonDeterminism, StepFailed, WorkflowFailed
from workflows.sites import Process, Site
from workflows.worlds import Counted

Body = Callable[[Any, Counted], Coroutine[Any, Any, Any]]


async def first_life(ctx: Any, world: Counted) -> Any:
    """What is on record when the code changes: two steps, and a wait for a signal."""
    one = await ctx.step("one", world.step("one"), 1)
    two = await ctx.step("two", world.step("two"), 2)
    return [one, two, await ctx.wait_for("go")]


async def with_another_order(ctx: Any, world: Counted) -> Any:
    await ctx.step("two", world.step("two"), 2)
    await ctx.step("one", world.step("one"), 1)
    await ctx.wait_for("go")


async def with_another_name(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    await ctx.step("zwei", world.step("two"), 2)
    await ctx.wait_for("go")


async def with_other_arguments(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    await ctx.step("two", world.step("two"), 999)
    await ctx.wait_for("go")


async def without_a_step(ctx: Any, world: Counted) -> Any:
    await ctx.step("two", world.step("two"), 2)
    await ctx.wait_for("go")


async def without_the_last_step(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    await ctx.wait_for("go")


async def with_one_more_step(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    await ctx.step("between", world.step("between"))
    await ctx.step("two", world.step("two"), 2)
    await ctx.wait_for("go")


async def with_one_more_sleep(ctx: Any, world: Counted) -> Any:
    await ctx.sleep("1d")
    await ctx.step("one", world.step("one"), 1)
    await ctx.step("two", world.step("two"), 2)
    await ctx.wait_for("go")


async def with_a_step_too_few_at_the_end(ctx: Any, world: Counted) -> Any:
    return await ctx.step("one", world.step("one"), 1)


async def with_nothing_at_all(ctx: Any, world: Counted) -> Any:
    return "nothing"


async def with_an_error_of_its_own(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    raise ValueError("of today's code")


async def with_another_kind_of_step(ctx: Any, world: Counted) -> Any:
    await ctx.step("one", world.step("one"), 1)
    await ctx.emit("two")
    await ctx.wait_for("go")


class Mine(Exception):
    pass


CHANGES = [
    (with_another_order, 1, "step 'one'"),
    (with_another_name, 2, "step 'two'"),
    (with_other_arguments, 2, "step 'two'"),
    (without_a_step, 1, "step 'one'"),
    (without_the_last_step, 2, "step 'two'"),
    (with_one_more_step, 2, "step 'two'"),
    (with_one_more_sleep, 1, "step 'one'"),
    (with_a_step_too_few_at_the_end, 2, "step 'two'"),
    (with_nothing_at_all, 1, "step 'one'"),
    (with_an_error_of_its_own, 2, "step 'two'"),
    (with_another_kind_of_step, 2, "step 'two'"),
]


def declare(process: Process, world: Counted, body: Body) -> Any:
    async def order(ctx: Any) -> Any:
        return await body(ctx, world)

    return process.workflow(order)


@pytest.mark.parametrize(
    ("change", "position", "expected"), CHANGES, ids=[change.__name__ for change, _, _ in CHANGES]
)
async def test_a_change_is_named_by_its_first_difference_and_nothing_runs(
    site: Site, change: Body, position: int, expected: str
) -> None:
    """DUR-05, STA-15: a typed error; the record is as it was, and code that fits it goes on."""
    world = Counted()
    await declare(site.open(), world, first_life).begun("w")
    second = site.open()
    declare(second, world, change)
    await second.signal("w", "go", "gone")
    site.clock.advance(1)
    before = await second.told("w")

    with pytest.raises(NonDeterminism) as found:
        await second.driven("w")

    assert (found.value.position, found.value.expected) == (position, expected)
    assert found.value.has_other_args == (change is with_other_arguments)
    assert await second.told("w") == before
    assert world.calls == ["one", "two"]
    execution = await second.execution("w")
    assert (execution.status, execution.output) == ("needs_review", None)
    assert execution.waits_for.startswith("code that fits its record")
    site.clock.advance(61)  # after a deployment a worker finds it due
    assert await declare(site.open(), world, first_life).run("w") == ["one", "two", "gone"]


async def test_a_changed_argument_of_a_tool_is_no_new_effect_of_an_old_position(site: Site) -> None:
    """DUR-05: charge(999) is not answered with the record of charge(5), and is not executed either."""
    world = Counted()

    def charging(process: Process, amount: int) -> Any:
        charge = process.tool(world.step("charge", {"id": "ch_1"}), name="charge")

        async def order(ctx: Any) -> Any:
            charged = await charge(amount=amount)
            await ctx.wait_for("go")
            return charged

        return process.workflow(order)

    await charging(site.open(), 5).begun("w")
    second = site.open()
    charging(second, 999)
    await second.signal("w", "go")

    with pytest.raises(NonDeterminism) as found:
        await second.driven("w")

    assert (found.value.expected, found.value.found) == ("effect 'charge'", "effect 'charge'")
    assert found.value.has_other_args
    assert world.calls == ["charge"]


async def test_a_shorter_sleep_is_a_change_too(site: Site) -> None:
    """DUR-05: once it has been slept."""
    world = Counted()

    async def slept(ctx: Any, world: Counted) -> Any:
        await ctx.sleep("3d")
        await ctx.wait_for("go")

    async def shorter(ctx: Any, world: Counted) -> Any:
        await ctx.sleep("1d")
        await ctx.wait_for("go")

    first = site.open()
    await declare(first, world, slept).begun("w")
    site.clock.advance(3 * 86_400)
    await first.driven("w")
    second = site.open()
    declare(second, world, shorter)
    await second.signal("w", "go")

    with pytest.raises(NonDeterminism) as found:
        await second.driven("w")

    assert found.value.has_other_args


async def test_code_that_follows_the_clock_is_found_out(site: Site) -> None:
    """DUR-05: non-deterministic code between steps; the value in question belongs in a step."""
    world, lives = Counted(), iter(["first", "second"])

    async def fickle(ctx: Any, world: Counted) -> Any:
        await ctx.step(f"in {next(lives)}", world.step("in"))
        await ctx.wait_for("go")

    process = site.open()
    await declare(process, world, fickle).begun("w")
    await process.signal("w", "go")

    with pytest.raises(NonDeterminism) as found:
        await process.driven("w")

    assert (found.value.expected, found.value.found) == ("step 'in first'", "step 'in second'")


async def test_an_error_that_the_code_caught_is_told_alike_in_every_life(site: Site) -> None:
    """DUR-05: of a step, of a tool, of a wait; a class of the user's own cannot be caught once and then not."""
    world = Counted()
    caught: list[tuple[str, str, str]] = []

    def broken() -> None:
        world.calls.append("broken")
        raise Mine("as it was")

    process = site.open()
    refund = process.tool(lambda amount: broken(), name="refund", safety="read", retry=False)

    async def careful(ctx: Any, world: Counted) -> Any:
        for ask in (lambda: ctx.step("broken", broken, retries=0), lambda: refund(amount=1)):
            try:
                await ask()
            except (StepFailed, EffectFailed) as error:
                caught.append((type(error).__name__, error.error_type, error.error_message))
        try:
            await ctx.wait_for("never", timeout="1d")
        except TimeoutError as error:
            caught.append(("TimeoutError", str(error), ""))
        return await ctx.wait_for("go")

    flow = declare(process, world, careful)
    await flow.begun("w")
    site.clock.advance(86_401)
    await process.driven("w")
    await process.signal("w", "go", "gone")

    assert await flow.run("w") == "gone"
    assert caught[:2] == [("StepFailed", "Mine", "as it was"), ("EffectFailed", "Mine", "as it was")]
    assert caught[2:4] == caught[:2]  # in the life that the end of the wait woke
    assert caught[5:8] == caught[2:5]
    assert world.calls == ["broken", "broken"]


async def test_an_error_that_nobody_caught_ends_the_workflow_the_same_for_whoever_asks(site: Site) -> None:
    """DUR-16: a failure is an end as well, and on record."""
    world, process = Counted(), site.open()

    async def fails(ctx: Any, world: Counted) -> Any:
        await ctx.step("one", world.step("one"))
        raise ValueError("no such ticket")

    flow = declare(process, world, fails)
    for _ in range(2):
        with pytest.raises(WorkflowFailed) as failed:
            await flow.run("w")
        assert (failed.value.error_type, failed.value.error_message) == ("ValueError", "no such ticket")

    assert world.calls == ["one"]
