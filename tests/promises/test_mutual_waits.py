"""Handlers that wait for each other are told so; they would wait for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from holdfast import Ledger, SyncLedger, ToolCall
from holdfast.errors import InProgress

PATIENCE_S = 30


def call_of(name: str) -> ToolCall:
    return ToolCall(workflow_id="order-1", tool=name)


@pytest.mark.parametrize("size", [2, 3, 5])
async def test_c11_tasks_that_wait_in_a_circle_do_not_wait_for_ever(size: int) -> None:
    """Each handler calls the next one's effect, all at once: one is refused, and the others get their answers."""
    met = asyncio.Barrier(size)
    refused: list[int] = []
    async with Ledger("memory://") as ledger:

        def handler(number: int):
            async def run() -> str:
                await met.wait()
                following = (number + 1) % size
                try:
                    return (
                        f"{number}, then {await ledger.run(call_of(f'tool-{following}'), handler(following))}"
                    )
                except InProgress:
                    refused.append(number)
                    return f"{number}"

            return run

        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(
                *(ledger.run(call_of(f"tool-{number}"), handler(number)) for number in range(size))
            )

    [last] = refused
    assert answers[last] == f"{last}"
    assert sorted(map(len, answers)) == sorted(
        len(", then ".join("n" * steps)) for steps in range(1, size + 1)
    )


def test_c11_threads_that_wait_for_each_other_do_not_wait_for_ever() -> None:
    met = threading.Barrier(2, timeout=PATIENCE_S)
    refused: list[str] = []
    with SyncLedger("memory://") as ledger:

        def handler(name: str, other: str):
            def run() -> str:
                met.wait()
                try:
                    return str(ledger.run(call_of(other), handler(other, name)))
                except InProgress:
                    refused.append(name)
                    return name

            return run

        threads = [
            threading.Thread(target=ledger.run, args=(call_of(mine), handler(mine, other)), daemon=True)
            for mine, other in (("a", "b"), ("b", "a"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)

        assert not any(thread.is_alive() for thread in threads)

    assert len(refused) == 1


async def test_a_call_that_waits_only_for_a_while_is_not_refused_at_once() -> None:
    """``wait=`` ends by itself, so nobody is told that it never would."""
    met = asyncio.Barrier(2)
    async with Ledger("memory://") as ledger:

        async def patient() -> str:
            await met.wait()
            return str(await ledger.run(call_of("other"), other))

        async def other() -> str:
            await met.wait()
            try:
                return str(await ledger.run(call_of("patient"), patient, wait=0.05))
            except InProgress:
                return "gave up"

        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(
                ledger.run(call_of("patient"), patient),
                ledger.run(call_of("other"), other),
                return_exceptions=True,
            )

    assert answers == ["gave up", "gave up"]


async def test_two_who_wait_for_a_third_wait_for_nobody_who_waits_for_them() -> None:
    """Only a circle is refused: many may wait for one."""
    begun, go = asyncio.Event(), asyncio.Event()
    async with Ledger("memory://") as ledger:

        async def slow() -> str:
            begun.set()
            await go.wait()
            return "slow"

        async def outer() -> str:
            return str(await ledger.run(call_of("slow"), slow))

        first = asyncio.ensure_future(ledger.run(call_of("slow"), slow))
        await begun.wait()
        rest = [asyncio.ensure_future(ledger.run(call_of(f"outer-{n}"), outer)) for n in range(3)]
        await asyncio.wait(rest, timeout=0.05)
        go.set()
        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(first, *rest)

    assert answers == ["slow"] * 4
