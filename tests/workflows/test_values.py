"""DUR-02, DUR-16: whatever a step or a workflow returns comes back as it was, or is a failure on record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast.errors import NotSerializable, WorkflowFailed, WorkflowNotFound
from workflows.sites import Site
from workflows.worlds import Counted


async def test_the_output_of_an_ended_workflow_is_answered_from_the_store(site: Site) -> None:
    """DUR-16: a process that dies after the last step, and every later run: no second question to the model."""
    world = Counted()

    def declare(process: Any) -> Any:
        async def asked(ctx: Any) -> Any:
            return {"text": await ctx.step("synthesise", world.step("synthesise"))}

        return process.workflow(asked)

    first = site.open(die_at="before leave")
    await first.lives(declare(first).run("w"))
    assert first.faults.died_at is not None, first.faults.trace
    site.recover()
    for _ in range(3):
        assert await declare(site.open()).run("w") == {"text": "synthesise"}

    assert world.calls == ["synthesise"]


def _odd() -> list[Any]:
    return [
        "",
        "ü\u2028\U0001f600",
        2**60,
        -0.5,
        None,
        True,
        [],
        {},
        {"": {"ünï": [1, [2, [None]]]}},
        "x" * 100_000,
    ]


async def test_odd_and_large_arguments_and_results_come_back_as_they_were(site: Site) -> None:
    """DUR-02: in the life that made them, and in the next."""
    process = site.open()

    async def echoes(ctx: Any, given: Any) -> Any:
        back = [await ctx.step(f"echo {n}", lambda x: x, each) for n, each in enumerate(given)]
        back.append(await ctx.wait_for("more"))
        return back

    flow = process.workflow(echoes)
    await flow.begun("w", given=_odd())
    await process.signal("w", "more", _odd())

    assert await flow.run("w", given=_odd()) == [*_odd(), _odd()]


@pytest.mark.parametrize("returned", [object(), {1, 2}, float("nan"), "x" * (5 << 20)])
async def test_a_result_that_cannot_be_kept_is_a_failure_on_record_and_is_not_made_again(
    site: Site, returned: Any
) -> None:
    """DUR-02, DUR-16: of a step and of the workflow itself."""
    world, process = Counted(), site.open()

    async def of_step(ctx: Any) -> Any:
        await ctx.step("made", world.step("made", returned))

    async def of_itself(ctx: Any) -> Any:
        world.calls.append("itself")
        return returned

    for _ in range(2):
        with pytest.raises(WorkflowFailed) as failed:
            await process.workflow(of_step, version=str(_)).run("step")
        assert "NotSerializable" in failed.value.error_message
        with pytest.raises(WorkflowFailed) as failed:
            await process.workflow(of_itself, version=str(_)).run("itself")
        assert failed.value.error_type == "NotSerializable"

    assert world.calls == ["made", "itself"]


async def test_input_that_has_no_json_form_begins_nothing(site: Site) -> None:
    """STA-06: what cannot be kept cannot be gone on with."""
    process = site.open()

    async def takes(ctx: Any, given: Any) -> None:
        raise AssertionError

    with pytest.raises(NotSerializable):
        await process.workflow(takes).run("w", given=object())
    with pytest.raises(WorkflowNotFound):
        await process.execution("w")


async def test_time_chance_and_names_are_the_same_in_every_life(site: Site) -> None:
    """DUR-05: deterministic now, random and uuid."""
    seen: list[list[Any]] = []

    def declare(process: Any) -> Any:
        async def drawn(ctx: Any) -> None:
            values = [
                await ctx.now(),
                await ctx.random(),
                await ctx.random(),
                await ctx.uuid(),
                await ctx.uuid(),
            ]
            seen.append(values)
            await ctx.wait_for("go")

        return process.workflow(drawn)

    await declare(site.open()).begun("w")
    site.clock.advance(86_400)
    second = site.open()
    flow = declare(second)
    await second.signal("w", "go")
    await flow.run("w")

    first, again = seen
    assert first == again
    assert (again[0], len(set(again))) == (site.clock() - timedelta(days=1), 5)


async def test_what_is_told_of_a_workflow_is_told_once(site: Site) -> None:
    """STA-07: ctx.emit in a workflow that is gone through again and again."""
    process = site.open()

    async def tells(ctx: Any) -> None:
        await ctx.emit("progress", {"done": 1})
        await ctx.wait_for("go")
        await ctx.emit("progress", {"done": 2})

    flow = process.workflow(tells)
    await flow.begun("w")
    await process.signal("w", "go")
    await flow.run("w")

    told = [(event.name, event.result) for event in await process.told("w")]
    assert told == [("progress", {"done": 1}), ("go", None), ("progress", {"done": 2}), ("tells", None)]


@pytest.mark.parametrize("name", ["", "x" * 513, "two\nlines", None, 7])
async def test_a_step_has_a_name_that_people_can_read(site: Site, name: Any) -> None:
    """DUR-04."""
    process = site.open()

    async def unnamed(ctx: Any) -> Any:
        await ctx.step(name, lambda: 1)

    with pytest.raises(WorkflowFailed) as failed:
        await process.workflow(unnamed).run("w")

    assert failed.value.error_type == "InvalidCall"


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"retries": True}, {"retries": "3"}, {"timeout": 0}, {"timeout": "soon"}]
)
async def test_options_that_mean_nothing_are_refused(site: Site, options: dict[str, Any]) -> None:
    """DUR-03."""
    process, world = site.open(), Counted()

    async def odd(ctx: Any) -> Any:
        await ctx.step("one", world.step("one"), **options)

    with pytest.raises(WorkflowFailed) as failed:
        await process.workflow(odd).run("w")

    assert failed.value.error_type in {"InvalidCall", "InvalidTool"}
    assert world.calls == []
