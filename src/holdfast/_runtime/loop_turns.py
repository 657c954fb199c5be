"""Turns of code with branches on an event loop.

The code is told one end at a time, and is let run until it waits again, so that branches that run at once
meet the same moments in the same order whenever it is gone through again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from holdfast._core.journal import Script
from holdfast._runtime.branches import Branches
from holdfast._runtime.turns import PutAway, own
from holdfast.errors import Suspended

_PATIENT_TURNS: Final = 100
_PATIENCE_S: Final = 1.0  # for code that waits for the world outside of a step, when a branch of it is stuck
_LONG_PATIENCE_S: Final = 30.0  # the same, when none is
_GREEDY: Final = 50  # answers from the record in a row
_LINGER_S: Final = 0.25  # so long code with several branches is held when those that are known all wait


class LoopTurns:
    """For code with branches on an event loop."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._told: dict[int, asyncio.Future[None]] = {}
        self._lives: list[asyncio.Future[None]] = []
        self._parked: list[asyncio.Future[None]] = []
        self._busy = 0
        self._is_over = False
        self._changed = asyncio.Event()
        self._rests = False  # the conductor: nothing is left to it but what comes
        self._lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()  # the loop itself keeps no task
        self._branches = Branches()
        self._answers = 0
        self._asking = _Asking(self)
        self._acts = 0
        self._is_still = asyncio.Event()

    def branch(self) -> str:
        if self._is_over:
            raise Suspended
        path = self._branches.asking()
        self._ring()
        return path

    def _ring(self) -> None:
        """Let the conductor look, unless it would rest again: a turn of the loop costs as much as a step."""
        if not self._rests or self._told or self._lives or self._parked:
            self._changed.set()

    async def take(self, position: int) -> None:
        if self._script.is_gone(position):
            return
        branches = self._branches
        branches.note()
        if branches.is_alone and position == self._script.told + 1 and not self._told and self._busy == 1:
            self._answers += 1
            if self._answers % _GREEDY == 0:  # others are not to wait for a long record
                await asyncio.sleep(0)
            if (
                branches.is_astir()
            ):  # branches that were just made come to what they ask for, as the first time
                await branches.settled()
            if branches.is_alone and not self._is_over and not self._told:
                self._script.tell(position)
                return
        await self._wait(self._told.setdefault(position, asyncio.get_running_loop().create_future()))

    def forgo(self, position: int) -> None:
        self._told.setdefault(position, asyncio.get_running_loop().create_future()).cancel()
        self._changed.set()

    async def live(self) -> None:
        if self._script.is_live:
            return
        self._lives.append(future := asyncio.get_running_loop().create_future())
        self._changed.set()
        await future

    async def park(self) -> None:
        if self._is_over:
            raise Suspended
        self._branches.note()
        self._parked.append(future := asyncio.get_running_loop().create_future())
        try:
            await self._wait(future)
        finally:
            self._parked.remove(future)

    def asking(self) -> AbstractContextManager[None]:
        return self._asking

    @contextmanager
    def acting(self) -> Generator[None]:
        if self._is_over:
            raise Suspended
        self._acts += 1
        self._is_still.clear()
        try:
            yield
        finally:
            self._acts -= 1
            if not self._acts:
                self._is_still.set()

    async def still(self) -> None:
        if self._acts:
            await self._is_still.wait()

    def busier(self, by: int) -> None:
        """Count what was asked for and is not answered."""
        self._busy += by
        if by < 0:
            self._ring()

    async def _wait(self, future: asyncio.Future[None]) -> None:
        self._busy -= 1
        self._changed.set()
        try:
            await future
        finally:
            self._busy += 1

    def writing(self) -> asyncio.Lock:
        return self._lock

    async def whole(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # As asyncio.shield, with one turn of the loop less: what is written wakes whoever waits for it.
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writes.add(task := asyncio.create_task(_written(write(), written)))
        task.add_done_callback(self._writes.discard)
        await written

    @property
    def is_free(self) -> bool:
        return not self._lock.locked()

    def end(self) -> None:
        self._is_over = True
        for future in (*self._parked, *self._lives, *self._told.values()):
            if not future.done():
                future.set_exception(Suspended())
        self._changed.set()

    async def conduct(self, code: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            self._branches.begin()
            return await code

        task = asyncio.create_task(main())
        task.add_done_callback(lambda _: self._changed.set())
        try:
            while not task.done():
                await self._next(task)
        except BaseException:
            await self._stopped(task)
            raise
        was_over, self._is_over = self._is_over, True
        if was_over:
            if not task.cancelled():
                task.exception()  # whatever it made of being put away
            return PutAway()
        if not self._script.is_through():
            if not task.cancelled():
                task.exception()
            raise self._script.divergence()
        if task.cancelled():  # nobody here cancelled it
            raise RuntimeError("the workflow's code was cancelled by something inside of it")
        try:
            return task.result()
        except Suspended as raised:
            raise own(raised) from raised

    async def _next(self, task: asyncio.Task[Any]) -> None:
        if self._is_over:
            await self._left(task)
            return
        await self._branches.settled()
        if task.done() or self._is_over:
            return
        future = self._told.pop(self._script.told + 1, None)
        if future is not None:
            self._script.tell(self._script.told + 1)
            if not future.done():
                future.set_result(None)
            return
        if not self._script.is_told:
            await self._asked_for(self._script.told + 1, task)
            return
        if self._lives and not self._script.is_live:
            await self._asked_for_begun(task)
            return
        self._release()
        if self._waits():
            if not self._branches.is_alone:  # another branch may be at something that is not ours to see
                await self._unmoved(task)
            if self._waits() and not task.done():
                self.end()
            return  # what came meanwhile rang already, and is looked at first
        self._rests = True
        await self._changed.wait()
        self._rests = False
        self._changed.clear()

    def _release(self) -> None:
        """Let go on what waited until the code was told all that is on record."""
        for waiting in self._lives:
            if not waiting.done():
                waiting.set_result(None)
        self._lives.clear()

    def _waits(self) -> bool:
        """Whether every branch that is known waits for what is not there yet."""
        return bool(self._parked) and not self._busy and not self._told

    async def _unmoved(self, task: asyncio.Task[Any]) -> None:
        """Wait for a while for anything to happen."""
        asks, until = self._branches.asks, asyncio.get_running_loop().time() + _LINGER_S
        while self._branches.asks == asks and not self._busy and not self._told and not task.done():
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0:
                return
            self._changed.clear()
            await _soon(self._changed, left_s)

    async def _left(self, task: asyncio.Task[Any]) -> None:
        """Wait until the code of a life that is over has ended; what it waits for outside may never come."""
        until = asyncio.get_running_loop().time() + _LINGER_S
        while not task.done() and (self._busy or asyncio.get_running_loop().time() < until):
            self._changed.clear()
            await _soon(self._changed, _LINGER_S)
        task.cancel()

    async def _asked_for(self, position: int, task: asyncio.Task[Any]) -> None:
        """Wait until the code asks for what is on record at *position*, or has gone on to it by itself."""
        await self._patiently(
            lambda: position in self._told or position != self._script.told + 1 or task.done(),
            instead=self._script.skip_gate,
        )

    async def _asked_for_begun(self, task: asyncio.Task[Any]) -> None:
        """Wait until the code asks for what was begun, before anything new."""
        await self._patiently(lambda: self._script.is_live or not self._lives or task.done())

    async def _patiently(
        self, is_so: Callable[[], bool], instead: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until something is so, or *instead* has done something about it once others wait for long.

        Raises:
            NonDeterminism: Neither.
        """
        loop = asyncio.get_running_loop()
        begun, turns = loop.time(), 0
        while not is_so():
            turns += 1
            if turns > _PATIENT_TURNS and (self._lives or self._told) and instead():
                return
            patience_s = _PATIENCE_S if self._lives or self._told else _LONG_PATIENCE_S
            if turns > _PATIENT_TURNS and loop.time() > begun + patience_s:
                raise self._script.divergence(min(self._told, default=None))
            self._changed.clear()
            if turns < _PATIENT_TURNS:
                await asyncio.sleep(0)
            else:
                await _soon(self._changed, 0.01)

    async def _stopped(self, task: asyncio.Task[Any]) -> None:
        self.end()
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


class _Asking:
    """While something that was asked for is not answered. Generators would cost more than the answer."""

    def __init__(self, turns: LoopTurns) -> None:
        self._turns = turns

    def __enter__(self) -> None:
        self._turns.busier(1)

    def __exit__(self, *_: object) -> None:
        self._turns.busier(-1)


async def _written(write: Coroutine[Any, Any, None], written: asyncio.Future[None]) -> None:
    try:
        await write
    except asyncio.CancelledError:
        written.cancel()
        raise
    except BaseException as error:
        if written.done():
            raise
        written.set_exception(error)
    else:
        if not written.done():
            written.set_result(None)


async def _soon(event: asyncio.Event, at_most_s: float) -> None:
    try:
        async with asyncio.timeout(at_most_s):
            await event.wait()
    except TimeoutError:
        return
