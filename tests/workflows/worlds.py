"""The world outside of workflows: what their steps and tools do, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from promises.ledgers import PATIENCE_S


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once something holds that others bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.001)


class Turnstile:
    """Async functions of steps that end when the test says so, in its order.

    Attributes:
        begun: Those that were called, in order.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Event()

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def __call__(self, name: str) -> str:
        """What a step calls."""
        self.begun.append(name)
        self._changed.set()
        await self._gate(name).wait()
        return name

    async def reached(self, count: int) -> None:
        """Return once so many calls were made."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.begun) < count:
                self._changed.clear()
                await self._changed.wait()

    def open(self, *names: str) -> None:
        """Let those end that are called so, whenever they begin."""
        for name in names:
            self._gate(name).set()


class Counted:
    """Functions that count their calls, over all lives of all processes.

    Attributes:
        calls: What was called, in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def step(self, name: str, result: Any = None) -> Callable[..., Any]:
        """A function of that name, which returns *result*, or its name."""

        def function(*args: Any, **given: Any) -> Any:
            self.calls.append(name)
            return name if result is None else result

        function.__name__ = function.__qualname__ = name
        return function

    def count(self, name: str) -> int:
        return self.calls.count(name)


def numbered(prefix: str, count: int) -> Iterator[str]:
    """Names of steps."""
    return (f"{prefix}-{number:02d}" for number in range(1, count + 1))
