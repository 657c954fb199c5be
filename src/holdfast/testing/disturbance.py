"""What can be done to the first life of a scenario."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

from holdfast._runtime import context
from holdfast._runtime.handler import shape_of
from holdfast._runtime.stops import HandlerTimeout
from holdfast.ports import Handler
from holdfast.testing.faults import Faults, Late
from holdfast.testing.history import Disturbance, History

Lost: TypeAlias = Literal["answer", "late"]


class Nothing:
    """An undisturbed life."""

    name = "plain retry"
    happened = True

    async def first(self, history: History) -> None:
        await history.live(Faults())


class Killed:
    """The process dies at a boundary."""

    def __init__(self, at: int) -> None:
        self._faults = Faults(at)

    @property
    def name(self) -> str:
        return f"crash at {self._faults.died_at}"

    @property
    def happened(self) -> bool:
        return self._faults.died_at is not None

    async def first(self, history: History) -> None:
        await history.live(self._faults)


class Frozen:
    """The process stands still at a boundary past its lease, and goes on after another one was there."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._where = ""
        self._stands = asyncio.Event()
        self._goes_on = asyncio.Event()

    @property
    def name(self) -> str:
        return f"freeze at {self._where}"

    @property
    def happened(self) -> bool:
        return self._stands.is_set()

    async def reach(self, name: str) -> None:
        if self._stands.is_set() or context.in_transaction.get():
            return  # an open transaction would keep out everybody else: that is not what is tried here
        if self._left == 0:
            self._where = name
            self._stands.set()
            await self._goes_on.wait()
        self._left -= 1

    async def first(self, history: History) -> None:
        frozen = asyncio.create_task(history.live(self))
        stands = asyncio.create_task(self._stands.wait())
        await asyncio.wait({frozen, stands}, return_when=asyncio.FIRST_COMPLETED)
        stands.cancel()
        if self._stands.is_set():
            history.recover()
            await history.live(Faults())
            self._goes_on.set()
        await frozen


class Unheard:
    """An execution whose answer is lost, or arrives when nobody waits for it any more."""

    def __init__(self, at: int, lost: Lost) -> None:
        self._left = at
        self._lost = lost
        self._tool = ""
        self._late: list[Callable[[], Awaitable[None]]] = []

    @property
    def name(self) -> str:
        return f"{'lost' if self._lost == 'answer' else 'late'} answer of {self._tool}"

    @property
    def happened(self) -> bool:
        return bool(self._tool)

    async def first(self, history: History) -> None:
        async with history.process(Faults(), self) as ledger:
            await history.try_in(ledger)
            if self._late:
                await history.live(Faults())
            for bring in self._late:
                await bring()

    async def invoke(
        self, run: Callable[[], Awaitable[Any]], handler: Handler, timeout_s: float | None, late: Late
    ) -> Any:
        """Run a handler, or do to it what this disturbance does."""
        able = self._lost == "answer" or (timeout_s is not None and not shape_of(handler).is_async)
        if self._tool or not able or self._left > 0:
            self._left -= able
            return await run()
        self._tool = getattr(handler, "__name__", "handler")
        if self._lost == "answer":
            await run()
            if timeout_s is None:
                raise TimeoutError("the answer was lost")
            raise HandlerTimeout
        surroundings = contextvars.copy_context()

        async def bring() -> None:
            returned = await asyncio.create_task(_as_task(run), context=surroundings)
            await late(lambda: returned)

        self._late.append(bring)
        raise HandlerTimeout


class Duplicates:
    """The whole scenario is run twice at the same time."""

    happened = True

    def __init__(self, among: str) -> None:
        self._among = among

    @property
    def name(self) -> str:
        return f"duplicate calls of {self._among}"

    async def first(self, history: History) -> None:
        if self._among == "one process":
            async with history.process(Faults()) as ledger:
                await asyncio.gather(history.try_in(ledger), history.try_in(ledger))
        else:
            await asyncio.gather(history.live(Faults()), history.live(Faults()))


def disturbances() -> Sequence[Callable[[int], Disturbance]]:
    """Return the ways of disturbing the n-th boundary or execution."""
    return (Killed, Frozen, lambda at: Unheard(at, "answer"), lambda at: Unheard(at, "late"))


async def _as_task(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()
