"""A workflow of a thousand recorded steps is gone on with: how long until its code is where it was."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import database

from holdfast import Ledger, Workflow

STEPS = 1000


async def _resumed_ms(url: str, times: int) -> list[float]:
    """Wake it *times* times for something that it does not wait for; it is gone through to its wait each time."""
    async with Ledger(url, migrate=True) as ledger:

        async def same(i: int) -> int:
            return i

        @ledger.workflow
        async def wide(ctx: Workflow, n: int) -> int:
            total = 0
            for i in range(n):
                total += await ctx.step(f"s{i}", same, i)
            await ctx.wait_for("go")
            return total

        await wide.enqueue("w", n=STEPS)
        await ledger.drive("w")
        took: list[float] = []
        for _ in range(times + 2):  # the first two are to warm up
            await ledger.signal("w", "other")
            began = time.perf_counter()
            await ledger.drive("w")
            took.append(1e3 * (time.perf_counter() - began))
        await ledger.signal("w", "go")
        await ledger.drive("w")
        if await wide.result("w") != sum(range(STEPS)):
            message = "what was resumed has come to another result"
            raise SystemExit(message)
        return took[2:]


def measure(url: str, folder: Path, *, times: int) -> dict[str, list[float]]:
    """Milliseconds of each resume, by store."""
    places = {
        "SQLite": f"sqlite:///{folder / 'resumed.db'}",
        "PostgreSQL": database.fresh_database(url, "bench_resuming"),
    }
    return {store: asyncio.run(_resumed_ms(place, times)) for store, place in places.items()}
