"""A workflow of twenty steps in real processes: each killed at one point, by count, and finished by another.

    python workflow_deaths.py '{"url": ..., "directory": ..., "points": 40, "at_once": 8}'

One interpreter starts; every life is a fork of it, taken before anything was opened. It counts the boundaries of an
undisturbed life, spreads the points over them, and writes a line of JSON for the undisturbed life and for each point.
A boundary is the beginning or the end of a write to the store, of a step, or of a tool's handler.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Final, NoReturn

from holdfast import Done, Ledger, NotDone, Settings, Workflow
from holdfast.errors import WorkflowNotFound
from holdfast.ports import Store
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.sqlite.store import SqliteStore

TOLD: Final[dict[str, Any]] = json.loads(sys.argv[1])
HERE: Final = Path(TOLD["directory"])
SETTINGS: Final = Settings(
    lease=1, renew_every=0.3, drain=0.2, reconcile_skew=1e-6, store_patience=30, pool_size=2
)


class Boundaries:
    """Counts them, and dies at one."""

    def __init__(self, die_at: int | None) -> None:
        self.count = 0
        self._die_at = die_at

    def pass_one(self) -> None:
        self.count += 1
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def mortal(kind: type[Any], boundaries: Boundaries) -> type[Any]:
    """The same store; before and after each write of a call or of a workflow it may die."""

    class Mortal(kind):  # type: ignore[misc]
        async def commit(self, change: Any) -> Any:
            boundaries.pass_one()
            answer = await super().commit(change)
            boundaries.pass_one()
            return answer

        async def advance(self, op: Any) -> Any:
            boundaries.pass_one()
            answer = await super().advance(op)
            boundaries.pass_one()
            return answer

    return Mortal


def store(url: str, boundaries: Boundaries) -> Store:
    if url.startswith("sqlite"):
        return mortal(SqliteStore, boundaries)(url.removeprefix("sqlite:///"))  # type: ignore[no-any-return]
    return mortal(PostgresStore, boundaries)(url, settings=SETTINGS)  # type: ignore[no-any-return]


class World:
    """What is outside of every process: a file to which one system call appends a line."""

    def __init__(self, path: Path, life: str, boundaries: Boundaries) -> None:
        self.path = path
        self._life = life
        self._boundaries = boundaries

    def lines(self) -> list[list[str]]:
        return [line.split(" ", 1) for line in self.path.read_text().splitlines()]

    def happen(self, name: str) -> None:
        self._boundaries.pass_one()
        world = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(world, f"{self._life} {name}\n".encode())
        os.close(world)
        self._boundaries.pass_one()


def declare(ledger: Ledger, world: World) -> Any:
    """Twenty steps: fourteen steps, three tools, and of each one: a sleep, a signal; five of them at once."""

    def evidence(effect: Any) -> Done | NotDone:
        name = f"charge {effect.args['part']}"
        is_done = any(line[1] == name for line in world.lines())
        return Done({"charged": effect.args["part"]}) if is_done else NotDone("not in the provider's books")

    @ledger.tool(reconcile=evidence)
    async def charge(part: int) -> dict[str, int]:
        world.happen(f"charge {part}")
        return {"charged": part}

    async def work(name: str) -> str:
        world.happen(name)
        return name.upper()

    @ledger.workflow
    async def long(ctx: Workflow, order: str) -> list[Any]:
        said: list[Any] = [await ctx.step(f"plan {n}", work, f"plan {n}") for n in range(6)]
        said.append(await charge(part=1))
        looks = (ctx.step(f"look {n}", work, f"look {n}") for n in range(4))
        said += await asyncio.gather(*looks, charge(part=2))
        await ctx.sleep(0.6)
        said.append(await ctx.step("ask", work, "ask"))
        said.append(await ctx.wait_for("reply"))
        said += [await ctx.step(f"write {n}", work, f"write {n}") for n in range(4)]
        return [order, *said, await charge(part=3)]

    return long


async def recorded(ledger: Ledger, workflow_id: str) -> list[str]:
    """The steps and effects whose ends are on record."""
    try:
        steps = await ledger.steps(workflow_id)
    except WorkflowNotFound:
        return []
    return [step.name for step in steps if step.position is not None]


async def reply(ledger: Ledger, workflow_id: str) -> None:
    """Answer as soon as the workflow waits for it; perhaps once more than once, under one id."""
    while True:
        try:
            execution = await ledger.execution(workflow_id)
        except WorkflowNotFound:
            execution = None
        if execution is not None and "reply" in execution.waits_for:
            await ledger.signal(workflow_id, "reply", {"text": "yes"}, signal_id="mail-1")
            return
        await asyncio.sleep(0.02)


async def live(url: str, name: str, life: str, die_at: int | None) -> dict[str, Any]:
    """Go through the workflow of a point to its end, or to this process's."""
    boundaries = Boundaries(die_at)
    async with Ledger(store(url, boundaries), settings=SETTINGS) as ledger:
        known = await recorded(ledger, name)
        long = declare(ledger, World(HERE / f"{name}.world", life, boundaries))
        replying = asyncio.create_task(reply(ledger, name))
        output = await long.run(name, order="o-1")
        replying.cancel()
        effects = await ledger.effects(workflow_id=name)
        return {
            "recorded": known,
            "output": output,
            "effects": sorted((effect.args or {})["part"] for effect in effects),
            "states": sorted({str(effect.state) for effect in effects}),
            "steps": await recorded(ledger, name),
            "is_sound": (await ledger.verify()).ok if life == "undisturbed" else True,
            "boundaries": boundaries.count,
        }


def fork(url: str, name: str, life: str, die_at: int | None = None) -> int:
    """Begin a life in a process of its own; what it tells lies in a file."""
    pid = os.fork()
    if not pid:
        _child(url, name, life, die_at)
    return pid


def _child(url: str, name: str, life: str, die_at: int | None) -> NoReturn:
    code = 1
    try:
        told = asyncio.run(live(url, name, life, die_at))
        (HERE / f"{name}.{life}").write_text(json.dumps(told))
        code = 0
    except BaseException:  # noqa: BLE001 - told to whoever started this
        traceback.print_exc()
    finally:
        os._exit(code)


def told_of(name: str, life: str, status: int) -> dict[str, Any]:
    assert status == 0, f"{life} life of {name} ended with {status}"
    told: dict[str, Any] = json.loads((HERE / f"{name}.{life}").read_text())
    lines = [line.split(" ", 1) for line in (HERE / f"{name}.world").read_text().splitlines()]
    return {**told, "name": name, "world": lines}


def say(told: dict[str, Any]) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())


def url_of(name: str) -> str:
    """Every point has a SQLite file of its own; on a server they share the tables."""
    url: str = TOLD["url"]
    if not url.startswith("sqlite"):
        return url
    shutil.copy(url.removeprefix("sqlite:///"), HERE / f"{name}.db")
    return f"sqlite:///{HERE / name}.db"


def main() -> None:
    url = url_of("whole")
    whole = told_of("whole", "undisturbed", os.waitpid(fork(url, "whole", "undisturbed"), 0)[1])
    say({**whole, "died": False})
    points: int = TOLD["points"]
    numbers = itertools.count(1)
    waiting = [1 + round(n * (whole["boundaries"] - 1) / (points - 1)) for n in range(points)]
    first: dict[int, tuple[str, str, int]] = {}
    second: dict[int, tuple[str, bool]] = {}
    while waiting or first or second:
        if waiting and len(first) + len(second) < TOLD["at_once"]:
            die_at = waiting.pop(0)
            name = f"killed-{die_at}-{next(numbers)}"
            url = url_of(name)
            pid = fork(url, name, "first", die_at)
            first[pid] = name, url, die_at
            continue
        pid, status = os.wait()
        if pid in first:
            name, url, die_at = first.pop(pid)
            died = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            if died or die_at < points:
                second[fork(url, name, "second")] = name, died
            else:  # a quicker life than the undisturbed one has fewer boundaries: it was over before
                waiting.append(die_at - points // 2)
        else:
            name, died = second.pop(pid)
            say({**told_of(name, "second", status), "died": died})


if __name__ == "__main__":
    main()
