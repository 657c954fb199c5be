"""What calls take under budgets: in turns in one process, and in a fleet of processes.

The tool does nothing, so that nothing but what the ledger does costs anything. Layouts take turns, round by round,
in an order that shifts, so that whatever else the machine does happens to all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from holdfast import Budget, Ledger, ToolCall

MANY = 10**9
LAYOUTS: dict[str, dict[str, Budget]] = {
    "no budget": {},
    "one budget": {"global": Budget(tool_calls=MANY)},
    "three budgets": {
        "global": Budget(tool_calls=MANY),
        "tenant": Budget(tool_calls=MANY, per="day"),
        "workflow": Budget(tool_calls=MANY),
    },
    "one budget, 16 slices": {"global": Budget(tool_calls=MANY, slices=16)},
}
ALONE = tuple(LAYOUTS)
ON_SQLITE = ("no budget", "one budget", "three budgets")
FLEET = ("no budget", "one budget", "one budget, 16 slices")


@dataclass
class Seen:
    """One layout in one round: how long each call took, and what it took of processors.

    Attributes:
        ms: Milliseconds from the line that calls to the line that has the result, each.
        client_ms: Processor time of the calling process, for each call.
        server_ms: Processor time of the server's connections, for each call.
    """

    ms: list[float] = field(default_factory=list)
    client_ms: float = 0.0
    server_ms: float = 0.0


async def act(n: int) -> int:
    """The tool."""
    return n


async def called(ledger: Ledger, name: str, many: int, tasks: int = 1) -> list[float]:
    """Make so many calls, by so many tasks; return how long each took, in milliseconds."""
    took: list[float] = []

    async def one(task: int) -> None:
        for n in range(many // tasks):
            call = ToolCall(workflow_id=f"{name}/{task}", tool="act", args={"n": n}, key=f"{name}/{task}/{n}")
            begun = time.perf_counter()
            await ledger.run(call, act, safety="unsafe", retry=False)
            took.append((time.perf_counter() - begun) * 1000)

    await asyncio.gather(*map(one, range(tasks)))
    return took


def server_ms(admin: psycopg.Connection[tuple[object, ...]] | None) -> float:
    """Return the processor time that the server's connections had so far; 0 where nobody tells."""
    if admin is None:
        return 0.0
    known = admin.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    ).fetchall()
    total = 0
    for (pid,) in known:
        try:
            total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        except OSError:
            return 0.0
    return total / 1e6


async def in_turns(
    url: str, rounds: int, many: int, tasks: int, layouts: Sequence[str] = ALONE
) -> dict[str, list[Seen]]:
    """Measure layouts in one process, in turns."""
    seen: dict[str, list[Seen]] = {name: [] for name in layouts}
    async with AsyncExitStack() as open_:
        ledgers: dict[str, Ledger] = {}
        for name in layouts:
            ledgers[name] = await open_.enter_async_context(Ledger(url, migrate=True, budgets=LAYOUTS[name]))
            await called(ledgers[name], f"warm {name} {tasks}", 32 * tasks, tasks)
        has_server = not url.startswith("sqlite:")
        admin = open_.enter_context(psycopg.connect(url, autocommit=True)) if has_server else None
        for number in range(rounds):
            shift = number % len(layouts)
            for name in (*layouts[shift:], *layouts[:shift]):
                begun, server = time.process_time(), server_ms(admin)
                ms = await called(ledgers[name], f"{name} {tasks} {number}", many, tasks)
                client = (time.process_time() - begun) * 1000
                seen[name].append(Seen(ms, client / len(ms), (server_ms(admin) - server) / len(ms)))
    return seen


async def spend(url: str, layout: str, name: str, many: int, tasks: int) -> None:
    """Be one process of a fleet: say when it is ready, wait, and tell how long calls took."""
    async with Ledger(url, budgets=LAYOUTS[layout]) as ledger:
        await called(ledger, f"{name} warm", 8 * tasks, tasks)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(await called(ledger, name, many, tasks)), flush=True)


def fleet(url: str, layout: str, round_: int, processes: int, tasks: int, many: int) -> list[float]:
    """Let so many processes of so many tasks spend at once; return how long their calls took."""
    word = [
        sys.executable,
        __file__,
        "--url",
        url,
        "--layout",
        layout,
        "--tasks",
        str(tasks),
        "--many",
        str(many),
    ]
    many_of = [
        subprocess.Popen(
            [*word, "--name", f"{layout} {round_} {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for number in range(processes)
    ]
    for process in many_of:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in many_of:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [took for process in many_of for took in json.loads(process.communicate()[0])]


def in_fleets(url: str, rounds: int, processes: int, tasks: int, many: int) -> dict[str, list[list[float]]]:
    """Measure fleets, layouts in turns."""
    seen: dict[str, list[list[float]]] = {name: [] for name in FLEET}
    for number in range(rounds):
        shift = number % len(FLEET)
        for name in (*FLEET[shift:], *FLEET[:shift]):
            seen[name].append(fleet(url, name, number, processes, tasks, many))
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for word in ("--url", "--layout", "--name"):
        parser.add_argument(word, required=True)
    for word in ("--many", "--tasks"):
        parser.add_argument(word, type=int, required=True)
    given = parser.parse_args()
    asyncio.run(spend(given.url, given.layout, given.name, given.many, given.tasks))
