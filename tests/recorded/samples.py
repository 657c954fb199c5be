"""Workflows whose executions are recorded at each release, and have to be gone on with by the code of every later one.

This is users' code, as it was when it was recorded: never change what a sample does, neither its names nor its order.
What is new gets a new sample.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from holdfast import Permanent
from holdfast.agent import agent
from holdfast.errors import EffectFailed, StepFailed, WorkflowFailed
from recorded.sample import Flows, Sample, begun, charging, settled
from workflows.sites import Flow, Process, Site
from workflows.worlds import Counted


def loops(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def loops(ctx: Any, items: list[str]) -> Any:
        said = []
        for turn in range(4):
            said.append(await ctx.step("poll", world.step("poll")))
            said += [await ctx.step(f"look at {item}", world.step(f"look at {item}"), item) for item in items]
            if turn == 1:
                said.append(await ctx.wait_for("go"))
        return said

    return {"loops": process.workflow(loops)}


def branches(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    charge = charging(process, world)

    async def branches(ctx: Any) -> Any:
        async def branch(name: str) -> Any:
            said = [await ctx.step(f"plan {name}", world.step(f"plan {name}")), await charge(amount=5)]
            if name == "b":
                said.append(await ctx.wait_for("go"))
            return [*said, *await asyncio.gather(*(twig(name, n) for n in range(2))), await charge(amount=5)]

        async def twig(name: str, n: int) -> Any:
            return [await ctx.step("look", world.step("look")), await charge(amount=5)]

        return await asyncio.gather(*(branch(name) for name in "abc"))

    return {"branches": process.workflow(branches)}


def waits(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def waits(ctx: Any) -> Any:
        said = [await ctx.wait_for("mail"), await ctx.wait_for("mail")]
        await ctx.sleep("3d")
        try:
            await ctx.wait_for("never", timeout="1h")
        except TimeoutError as error:
            said.append(str(error))
        said.append(await ctx.step("look", world.step("look")))
        await ctx.sleep("2d")
        return [*said, await ctx.wait_for("mail"), await ctx.wait_for("go")]

    return {"waits": process.workflow(waits)}


async def asleep(site: Site, sample: Sample, world: Counted) -> None:
    """Two of three signals are heard, three days are over; two days and an hour are not."""
    process = site.open()
    await begun(process, sample, sample.declare(process, world))
    for n in range(3):
        await process.signal("waits-1", "mail", {"n": n}, signal_id=f"mail-{n}")
    await settled(process)
    for seconds in (3 * 86_400 + 1, 3_601):
        site.clock.advance(seconds)
        await settled(process)


def children(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def child(ctx: Any, n: int) -> Any:
        said = await ctx.step(f"child {n}", world.step(f"child {n}"))
        if n == 1:
            raise ValueError("this one fails")
        return [said, await ctx.wait_for("go") if n == 2 else None]

    declared = process.workflow(child)

    async def parent(ctx: Any) -> Any:
        said = []
        for n in range(4):
            try:
                said.append(await ctx.child(declared.declared, n=n))
            except WorkflowFailed as failed:
                said.append([failed.error_type, failed.error_message])
        named = declared.declared.options(workflow_id="named")
        return [*said, await ctx.child(named, n=5), await ctx.step("parent", world.step("parent"))]

    return {"parent": process.workflow(parent), "child": declared}


def gates(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    """Those called ``old`` began before the gate and before version 2."""

    async def gate(ctx: Any) -> Any:
        said = [await ctx.step("one", world.step("one"))]
        if not is_old and await ctx.patched("with-check"):
            said.append(await ctx.step("check", world.step("check")))
        said += [await ctx.step("then", world.step("then")), await ctx.wait_for("go")]
        if not is_old and await ctx.patched("with-check"):
            said.append(await ctx.step("check again", world.step("check again")))
        return [*said, await ctx.step("two", world.step("two"))]

    def version(number: str) -> Flow:
        async def version(ctx: Any) -> Any:
            said = [await ctx.step(f"as {number} does", world.step(f"as {number} does"))]
            return [ctx.version, *said, await ctx.wait_for("go"), await ctx.step("end", world.step("end"))]

        return process.workflow(version, version=number)

    first = version("1")
    return {"gate": process.workflow(gate), "version": first if is_old else version("2")}


async def before_and_after_a_change(site: Site, sample: Sample, world: Counted) -> None:
    """The old ones are begun by the old code, the others by the new one."""
    for is_old, mark in ((True, "old"), (False, "new")):
        process = site.open()
        flows = sample.declare(process, world, is_old=is_old)
        for name in flows:
            await begun(process, sample, flows, only=f"{name}-{mark}")
        await settled(process)


def values(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def values(ctx: Any) -> Any:
        async def drawn() -> list[Any]:
            return [(await ctx.now()).isoformat(), await ctx.random(), str(await ctx.uuid())]

        said = [await drawn(), await drawn()]
        await ctx.emit("drawn", {"so": "far"})
        return [*said, await ctx.wait_for("go"), await ctx.step("after", world.step("after"), *said[0])]

    return {"values": process.workflow(values)}


def effects(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    charge = charging(process, world)
    look = process.tool(world.step("look", 7), name="look", safety="read")
    keyed = process.tool(world.step("mail"), name="mail", key=["to"], ignore=["body"])

    def refuse(why: str) -> None:
        world.calls.append("refuse")
        raise Permanent(why)

    refused = process.tool(refuse, name="refuse")

    async def effects(ctx: Any) -> Any:
        said = [await charge(amount=5), await charge(amount=5), await charge(amount=7), await look()]
        said += [await keyed(to="ann", body="dear Ann"), await keyed(to="bo", body="dear Bo")]
        for _ in range(2):
            try:
                await refused(why="never")
            except EffectFailed as failed:
                said.append([failed.error_type, failed.error_message])
        said.append(await ctx.wait_for("go"))
        said += [await charge(amount=5), await keyed(to="ann", body="dear Ann"), await look()]
        return said

    return {"effects": process.workflow(effects)}


def turns(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    charging(process, world)

    async def turns(ctx: Any) -> Any:
        said = []
        for turn in range(3):
            asked = [
                {"name": "charge", "arguments": f'{{"amount": {amount}}}'} for amount in (5, 5, 6 + turn)
            ]
            calls = [
                {"id": f"call_{n}", "type": "function", "function": each} for n, each in enumerate(asked)
            ]
            receipts = await process.turn(calls, workflow_id=ctx.workflow_id)
            said.append([receipt.result for receipt in receipts])
            if turn == 1:
                said.append(await ctx.wait_for("go"))
        return said

    return {"turns": process.workflow(turns)}


def failures(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    """A step that fails is caught; a workflow that failed is restarted by code that fails no more."""

    def fail() -> None:
        world.calls.append("fail")
        raise Permanent("not today")

    async def caught(ctx: Any) -> Any:
        said = []
        for retries in (0, 2):
            try:
                await ctx.step(f"fail {retries}", fail, retries=retries)
            except StepFailed as failed:
                said.append([failed.name, failed.error_type, failed.error_message])
        return [*said, await ctx.wait_for("go"), await ctx.step("last", world.step("last"))]

    async def failed(ctx: Any) -> Any:
        one = await ctx.step("one", world.step("one"))
        return [one, await ctx.step("two", fail if is_old else world.step("two"))]

    return {"caught": process.workflow(caught), "failed": process.workflow(failed)}


async def failed(site: Site, sample: Sample, world: Counted) -> None:
    """With code that fails."""
    process = site.open()
    await begun(process, sample, sample.declare(process, world, is_old=True))
    await settled(process)


async def restarted(process: Process) -> None:
    await process.restart("failed-1")


def deaths(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    """The worker of one dies in a step, that of the other one after its effect."""
    charge = charging(process, world)

    def dies() -> str:
        world.calls.append("two")
        if is_old:
            process.die()
        return "two"

    async def step(ctx: Any) -> Any:
        return [await ctx.step("one", world.step("one")), await ctx.step("two", dies)]

    async def effect(ctx: Any) -> Any:
        return [await ctx.step("one", world.step("one")), await charge(amount=5), await charge(amount=5)]

    return {"step": process.workflow(step), "effect": process.workflow(effect)}


async def died(site: Site, sample: Sample, world: Counted) -> None:
    """Nobody has noticed yet."""
    for only, die_at in (("step", None), ("effect", "before succeed")):
        process = site.open(die_at=die_at)
        flows = sample.declare(process, world, is_old=True)
        await process.lives(_begun_and_driven(process, sample, flows, only))
        assert process.faults.died_at is not None, process.faults.trace


async def _begun_and_driven(process: Process, sample: Sample, flows: Flows, only: str) -> None:
    await begun(process, sample, flows, only=only)
    await process.driven(f"{only}-1")


def agents(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def charge(amount: int) -> dict[str, int]:
        world.calls.append(f"charge {amount}")
        return {"charged": amount}

    tool = process.ledger.tool("charge")(charge)

    def chat(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
        told = [message["content"] for message in messages if message["role"] == "tool"]
        world.calls.append(f"think {len(told)}")
        asked = {0: ("charge", '{"amount": 5}'), 1: ("wait_for_go", "{}"), 2: ("charge", '{"amount": 7}')}
        if len(told) == 3:
            return {"role": "assistant", "content": f"I was told {told}"}
        name, args = asked[len(told)]
        call = {"id": f"call_{len(told)}", "type": "function", "function": {"name": name, "arguments": args}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    async def clerk(ctx: Any, task: str) -> str:
        return await agent(ctx, chat, task, tools=[tool], waits={"go": None})

    return {"clerk": process.workflow(clerk)}


def ended(process: Process, world: Counted, *, is_old: bool = False) -> Flows:
    async def ended(ctx: Any, given: Any) -> Any:
        return {"text": await ctx.step("synthesise", world.step("synthesise"), given)}

    return {"ended": process.workflow(ended)}


SAMPLES: Mapping[str, Sample] = {
    "agents": Sample(agents, {"clerk-1": {"task": "help"}}, is_async=True),
    "branches": Sample(branches, {"branches-1": {}}, is_async=True),
    "children": Sample(children, {"parent-1": {}}),
    "deaths": Sample(deaths, {"step-1": {}, "effect-1": {}}, before=died),
    "effects": Sample(effects, {"effects-1": {}}),
    "ended": Sample(ended, {"ended-1": {"given": {"ü": [1, 2.5, None]}}}),
    "failures": Sample(failures, {"caught-1": {}, "failed-1": {}}, before=failed, after=restarted),
    "gates": Sample(
        gates,
        {"gate-old": {}, "gate-new": {}, "version-old": {}, "version-new": {}},
        before=before_and_after_a_change,
    ),
    "loops": Sample(loops, {"loops-1": {"items": ["one thing", "another thing"]}}),
    "turns": Sample(turns, {"turns-1": {}}),
    "values": Sample(values, {"values-1": {}}),
    "waits": Sample(waits, {"waits-1": {}}, before=asleep),
}
