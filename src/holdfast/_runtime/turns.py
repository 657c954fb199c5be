"""In which order a workflow's code hears of what it asked for: the order of its record, in every life.

The code is told one end at a time, and is let run until it waits again, so that branches that run at once
meet the same moments in the same order whenever it is gone through again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

from holdfast._core.journal import Script
from holdfast._core.value import value
from holdfast.errors import Suspended

_SETTLING: Final = 10  # turns of the loop in which code that was told something asks for the next thing
_PATIENT_TURNS: Final = 100
_PATIENCE_S: Final = 1.0  # for code that waits for the world outside of a step, when a branch of it is stuck
_LONG_PATIENCE_S: Final = 30.0  # the same, when none is
_LINGER_S: Final = 0.25  # so long code with several branches is held when those that are known all wait


@value
class PutAway:
    """Every branch of the code waits for something that is not there yet."""


class Turns(Protocol):
    """One life's order of events."""

    def branch(self) -> str:
        """Name the branch of the code that runs now: empty for the main one.

        Raises:
            Suspended: The life is over.
        """
        ...

    def asking(self) -> AbstractContextManager[None]:
        """Surround the answering of one question."""
        ...

    async def take(self, position: int) -> None:
        """Wait until the code may be told the end at *position*."""
        ...

    async def live(self) -> None:
        """Wait until the code was told all that is on record."""
        ...

    async def park(self) -> None:
        """Wait for what is not there yet; raises :class:`Suspended` when the workflow is put away."""
        ...

    def writing(self) -> Any:
        """Return an async context manager: one writer at a time, in the order in which they came."""
        ...

    def end(self) -> None:
        """End the life: every branch of the code is told :class:`Suspended` wherever it waits, or asks."""
        ...

    def conduct(self, code: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Run the code to its end, or until every branch of it waits: then return :class:`PutAway`.

        Raises:
            NonDeterminism: It does not ask for what is on record.
        """
        ...


class PlainTurns:
    """For code that does one thing after another."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._is_over = False

    def branch(self) -> str:
        if self._is_over:
            raise Suspended
        return ""

    def asking(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def take(self, position: int) -> None:
        self._script.tell(position)

    async def live(self) -> None:
        if not self._script.is_live:
            raise self._script.divergence()

    async def park(self) -> None:
        self._is_over = True
        raise Suspended

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        with self._lock:
            yield

    def end(self) -> None:
        self._is_over = True

    async def conduct(self, code: Coroutine[Any, Any, Any]) -> Any:
        try:
            ended = await code
        except Suspended as raised:
            if self._is_over:
                return PutAway()
            raise _own(raised) from raised
        except Exception:
            if self._is_over:  # what it made of being put away
                return PutAway()
            if not self._script.is_live:
                raise self._script.divergence() from None
            raise
        finally:
            was_over, self._is_over = self._is_over, True
        if was_over:
            return PutAway()
        if not self._script.is_live:
            raise self._script.divergence()
        return ended


@dataclass(slots=True)
class _Branch:
    task: object
    path: str
    children: int = 0


_here: ContextVar[_Branch | None] = ContextVar("holdfast_branch", default=None)


class LoopTurns:
    """For code with branches on an event loop."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._asks = 0
        self._told: dict[int, asyncio.Future[None]] = {}
        self._lives: list[asyncio.Future[None]] = []
        self._parked: list[asyncio.Future[None]] = []
        self._busy = 0
        self._is_over = False
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._root = _Branch(None, "")
        self._is_alone = True

    def branch(self) -> str:
        if self._is_over:
            raise Suspended
        self._asks += 1
        task, here = asyncio.current_task(), _here.get() or self._root
        if here.task is not task:
            self._is_alone = False
            here.children += 1
            here = _Branch(task, f"{here.path}.{here.children}" if here.path else str(here.children))
            _here.set(here)
            if task is not None:
                task.add_done_callback(_retrieve)
        self._changed.set()
        return here.path

    async def take(self, position: int) -> None:
        self._note_branches()
        if self._is_alone and position == self._script.told + 1 and not self._told and self._busy == 1:
            await asyncio.sleep(0)  # branches that were just made begin now, as they did the first time
            if self._is_alone and not self._is_over:
                self._script.tell(position)
                return
        await self._wait(self._told.setdefault(position, asyncio.get_running_loop().create_future()))

    async def live(self) -> None:
        if self._script.is_live:
            return
        self._lives.append(future := asyncio.get_running_loop().create_future())
        self._changed.set()
        await future

    async def park(self) -> None:
        if self._is_over:
            raise Suspended
        self._note_branches()
        self._parked.append(future := asyncio.get_running_loop().create_future())
        try:
            await self._wait(future)
        finally:
            self._parked.remove(future)

    @contextmanager
    def asking(self) -> Generator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._changed.set()

    async def _wait(self, future: asyncio.Future[None]) -> None:
        self._busy -= 1
        self._changed.set()
        try:
            await future
        finally:
            self._busy += 1

    def _note_branches(self) -> None:
        """Note whether others than the main branch are under way: it may await beside its asker."""
        if asyncio.current_task() is not self._root.task:
            self._is_alone = False

    def writing(self) -> asyncio.Lock:
        return self._lock

    def end(self) -> None:
        self._is_over = True
        for future in (*self._parked, *self._lives, *self._told.values()):
            if not future.done():
                future.set_exception(Suspended())
        self._changed.set()

    async def conduct(self, code: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            _here.set(self._root)
            self._root.task = asyncio.current_task()
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
        if not self._script.is_live:
            if not task.cancelled():
                task.exception()
            raise self._script.divergence()
        if task.cancelled():  # nobody here cancelled it
            raise RuntimeError("the workflow's code was cancelled by something inside of it")
        try:
            return task.result()
        except Suspended as raised:
            raise _own(raised) from raised

    async def _next(self, task: asyncio.Task[Any]) -> None:
        future = None if self._is_over else self._told.pop(self._script.told + 1, None)
        if future is not None:
            self._script.tell(self._script.told + 1)
            if not future.done():
                future.set_result(None)
            await self._settled(task)
            return
        if not self._script.is_live and not self._is_over:
            await self._asked_for(self._script.told + 1, task)
            return
        for waiting in self._lives:
            if not waiting.done():
                waiting.set_result(None)
        self._lives.clear()
        if self._parked and not self._busy and not self._told and not self._is_over:
            await self._settled(task)
            if not self._is_alone:  # another branch may be at something that is not ours to see
                await self._unmoved()
            if self._parked and not self._busy and not self._told and not task.done():
                self.end()
            return  # what came meanwhile rang already, and is looked at first
        await self._changed.wait()
        self._changed.clear()

    async def _settled(self, task: asyncio.Task[Any]) -> None:
        """Let the code run until it asks for something, or has had time to."""
        asks = self._asks
        for _ in range(_SETTLING):
            await asyncio.sleep(0)
            if self._asks != asks or task.done():
                return

    async def _unmoved(self) -> None:
        """Wait for a while for anything to happen."""
        asks, until = self._asks, asyncio.get_running_loop().time() + _LINGER_S
        while self._asks == asks and not self._busy and not self._told:
            if asyncio.get_running_loop().time() >= until:
                return
            self._changed.clear()
            await _soon(self._changed, until - asyncio.get_running_loop().time())

    async def _asked_for(self, position: int, task: asyncio.Task[Any]) -> None:
        """Wait until the code asks for what is on record at *position*, or has gone on to it by itself."""
        loop = asyncio.get_running_loop()
        begun, turns = loop.time(), 0
        while position not in self._told and position == self._script.told + 1 and not task.done():
            turns += 1
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


def _own(raised: Suspended) -> RuntimeError:
    """Return the error of code that raises what only the workflow's own waiting raises."""
    del raised
    return RuntimeError("the workflow's code raised Suspended itself")


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of how a branch ended that was put away: nobody awaits it any more."""
    if not task.cancelled() and isinstance(task.exception(), Suspended):
        return


async def _soon(event: asyncio.Event, at_most_s: float) -> None:
    try:
        async with asyncio.timeout(at_most_s):
            await event.wait()
    except TimeoutError:
        return
