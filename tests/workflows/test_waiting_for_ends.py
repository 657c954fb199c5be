"""Who waits for the end of a workflow looks at it when it ends, not when others have something to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from holdfast._core.advance import bell_of_end, bell_of_queue
from holdfast._core.execution import ExecutionRecord
from holdfast.ports import ExecutionQuery
from holdfast.stores.memory import MemoryStore
from holdfast.testing.virtual import virtual_time

WAITERS = 16


class Watched(MemoryStore):
    """Counts how often it is asked for executions."""

    looks = 0

    async def executions(self, query: ExecutionQuery) -> Sequence[ExecutionRecord]:
        self.looks += 1
        return await super().executions(query)


def test_who_waits_for_a_result_does_not_look_whenever_something_is_due_in_its_queue() -> None:
    """PER-03: a thousand who wait would look a thousand times for each workflow that somebody wakes."""
    with virtual_time() as time:
        store = Watched(clock=time, is_test=True)
        ledger = time.ledger(store)

        @ledger.workflow
        async def waits(ctx: Any) -> Any:
            return await ctx.wait_for("go")

        async def settled() -> None:
            looks, turns = store.looks, 0
            while turns < 20:
                await asyncio.sleep(0)
                turns, looks = (turns + 1, looks) if looks == store.looks else (0, store.looks)

        async def main() -> tuple[int, int, list[Any]]:
            await waits.enqueue("w")
            results = [asyncio.ensure_future(waits.result("w")) for _ in range(WAITERS)]
            await settled()
            bus, before = ledger._engine.parts.bus, store.looks
            for _ in range(10):
                bus.ring(bell_of_queue("default", ""))
                await settled()
            due = store.looks - before
            bus.ring(bell_of_end("default", "w"))
            await settled()
            ends = store.looks - before - due
            await ledger.signal("w", "go", "gone")
            await ledger.drive("w")
            return due, ends, await asyncio.gather(*results)

        assert time.run(main()) == (0, WAITERS, ["gone"] * WAITERS)
