"""Two drivers for one async core: an event loop, or none at all."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar, cast

from holdfast._runtime import context
from holdfast._runtime.handler import call_plain, shape_of
from holdfast._runtime.stops import (
    CalledOff,
    HandlerTimeout,
    NeverStarted,
    Outlasts,
    ReturnedTimeout,
    SourceStopped,
    StillRunning,
    heard,
)
from holdfast._runtime.threads import HandlerThreads
from holdfast.errors import InvalidTool
from holdfast.ports import Caller, Handler

T = TypeVar("T")
Late = Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]
log = logging.getLogger("holdfast")
_SPARE: Final = 8  # so many times the pool's threads may hang in sources that never answer
_STOPS: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit)


def run_sync(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends.

    With a blocking store and a blocking handler nothing in the core ever waits, so no event
    loop is needed, and calling from inside a running one is fine.

    Raises:
        InvalidTool: It did suspend: an async part was plugged into the sync ledger.
    """
    try:
        coro.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        coro.close()
    what = "the sync ledger met an awaitable that suspends"
    raise InvalidTool(what, "use `Ledger` with async handlers and stores")


class Clock:
    """Time and randomness as they are."""

    @property
    def stops(self) -> tuple[type[BaseException], ...]:
        return _STOPS

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def token(self) -> bytes:
        return secrets.token_bytes(16)


class _LoopBell:
    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def heard(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


_inside: Final[ContextVar[tuple[object, ...]]] = ContextVar("holdfast_inside", default=())
"""Marks of the calls around the current code: closing from within them does not wait for them."""


class _TaskCaller:
    """A caller on an event loop: it may be cancelled while its work goes on."""

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self.answer = answer
        self.mark = object()
        self.shielded = False
        self.is_inside = bool(context.executing.get())  # of a handler, which is under way

    @property
    def left(self) -> bool:
        return self.answer.cancelled()  # at once, not when the caller's task comes round to it

    def shield(self, on: bool) -> None:  # noqa: FBT001 - the port's signature
        self.shielded = on


class AsyncRuntime(Clock):
    """For asyncio: async handlers run on the loop, plain ones in threads of their own pool."""

    @property
    def blocking(self) -> bool:
        return False

    def __init__(self, handler_threads: int = 32) -> None:
        self._threads = HandlerThreads(handler_threads)
        self._askers = HandlerThreads(handler_threads, spare=_SPARE * handler_threads)
        self._callers: dict[asyncio.Task[Any], _TaskCaller] = {}
        self._resting: set[asyncio.Task[Any]] = set()
        self._closing: set[asyncio.AbstractEventLoop] = set()
        self._closers: set[object] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Future[Any]] = set()

    def bell(self) -> _LoopBell:
        return _LoopBell()

    async def sleep(self, seconds: float) -> None:
        task: Any = asyncio.current_task()
        caller = self._callers.get(task)
        if caller is None or caller.shielded or caller.is_inside:
            await asyncio.sleep(seconds)
            return
        if task.get_loop() in self._closing:
            raise asyncio.CancelledError  # nothing is under way
        self._resting.add(task)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._resting.discard(task)

    async def shielded(self, work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
        # As asyncio.shield, with one turn of the loop less: the work itself wakes its caller.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        caller = _TaskCaller(answer)
        task = loop.create_task(self._answering(functools.partial(work, caller), answer, caller.mark))
        self._tasks.add(task)
        self._callers[task] = caller
        try:
            return await answer
        except asyncio.CancelledError:
            if not caller.shielded:
                task.cancel()
            raise

    async def _answering(
        self, work: Callable[[], Coroutine[Any, Any, T]], answer: asyncio.Future[T], mark: object
    ) -> None:
        """Run *work* and hand its end to whoever waits for *answer*, if anybody still does.

        It is begun here, so that nothing is left over of a task that is cancelled before it began.
        """
        task: Any = asyncio.current_task()
        _inside.set((*_inside.get(), mark))  # the task's own: nothing to take back
        try:
            result = await work()
        except (KeyboardInterrupt, SystemExit):
            task.add_done_callback(self._ended)
            raise  # ends the loop, and everybody's waiting with it
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except BaseException as error:  # noqa: BLE001 - handed on to the caller
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)
        finally:  # here and not in a callback: that would be one more turn of the loop
            self._tasks.discard(task)
            self._callers.pop(task, None)

    async def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        return await asyncio.gather(*works)

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work(), context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller has it; if the caller left, the ledger has it

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: Late
    ) -> Any:
        shape = shape_of(handler)
        if not shape.is_async:
            caller = self._callers.get(cast("asyncio.Task[Any]", asyncio.current_task()))
            return await self._in_thread(self._threads, handler, kwargs, timeout_s, late, caller=caller)
        if timeout_s is None:
            return await _run_async(handler, kwargs)
        clock = asyncio.timeout(timeout_s)
        try:
            async with clock:
                return await _run_async(handler, kwargs)
        except TimeoutError as error:
            if clock.expired():
                raise HandlerTimeout from error
            raise

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        asked = functools.partial(source, subject)
        if _is_plain(source):
            return await self._asked_in_thread(functools.partial(heard, asked, stops=()), timeout_s)
        clock = asyncio.timeout(timeout_s)
        try:
            async with clock:
                return await _heard(asked)
        except TimeoutError as error:
            if clock.expired():
                raise HandlerTimeout from error
            raise

    async def _asked_in_thread(self, asked: Callable[[], Any], timeout_s: float) -> Any:
        try:
            return await self._in_thread(self._askers, asked, {}, timeout_s, _unheard, start_s=timeout_s)
        except CalledOff as off:
            raise off.stop from None  # it was the asker who was called off

    async def _in_thread(
        self,
        threads: HandlerThreads,
        handler: Handler,
        kwargs: Mapping[str, Any],
        timeout_s: float | None,
        late: Late,
        *,
        start_s: float | None = None,
        caller: _TaskCaller | None = None,
    ) -> Any:
        loop = asyncio.get_running_loop()
        started = loop.create_future()

        def work() -> _Ended:
            loop.call_soon_threadsafe(started.set_result, None)
            return _Ended.of(handler, kwargs)

        job = threads.submit(work)
        future = asyncio.wrap_future(job)
        try:
            # The handler's time runs from its start; until then it waits for a thread.
            leaving = set[asyncio.Future[Any]]() if caller is None else {caller.answer}
            begun, _ = await asyncio.wait(
                {future, started} | leaving, timeout=start_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not begun and job.cancel():
                raise HandlerTimeout
            if caller is not None and caller.left and job.cancel():
                raise NeverStarted(asyncio.CancelledError())
            done, _ = await asyncio.wait({future}, timeout=timeout_s)
        except asyncio.CancelledError as stop:
            if job.cancel():
                raise NeverStarted(stop) from None
            self._abandon(future, late)
            if loop in self._closing:  # nobody has its place: nothing more may start
                raise Outlasts(stop, job.add_done_callback) from None
            threads.give_up(job)
            raise StillRunning(stop) from None
        if not done:
            self._abandon(future, late)
            threads.give_up(job)
            raise HandlerTimeout
        if future.cancelled():  # the pool was closed while it waited
            raise NeverStarted(asyncio.CancelledError())
        return await _run_returned(future.result().get(), timeout_s)

    def _abandon(self, future: asyncio.Future[_Ended], late: Late) -> None:
        """Give up waiting for a thread, which cannot be stopped: whatever it still brings is evidence."""

        async def offer() -> None:
            try:
                await late(lambda: future.result().get())
            except Exception:
                log.exception("late evidence could not be recorded")

        def ended(_: asyncio.Future[Any]) -> None:
            self._abandoned.discard(future)
            if not future.cancelled():
                task = asyncio.get_running_loop().create_task(offer())
                self._tasks.add(task)
                task.add_done_callback(self._ended)

        self._abandoned.add(future)
        future.add_done_callback(ended)

    async def close(self, drain_s: float) -> None:
        """Let running handlers finish for *drain_s*, then stop those that can be; they leave doubt on record.

        Callers that merely rest between two attempts are not waited for.
        """
        loop, around = asyncio.get_running_loop(), _inside.get()
        self._closing.add(loop)
        self._closers.update(around)
        try:
            await self._drained(loop, loop.time() + drain_s)
        finally:
            self._closers.difference_update(around)
        self._threads.close()
        self._askers.close()

    async def _drained(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        for resting in tuple(self._resting):
            if resting.get_loop() is loop:
                resting.cancel()
        while live := self._under_way() | {each for each in self._abandoned if each.get_loop() is loop}:
            left = until - loop.time()
            if left <= 0:
                break
            await asyncio.wait(live, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        stopped = self._under_way()
        for task in stopped:
            task.cancel()
        if stopped:
            await asyncio.wait(stopped, timeout=5)

    def _under_way(self) -> set[asyncio.Future[Any]]:
        """Return this loop's; those of another thread's loop are its own affair."""
        loop = asyncio.get_running_loop()
        return {
            task
            for task in tuple(self._tasks)
            if not task.done() and task.get_loop() is loop and not self._closes(task)
        }

    def _closes(self, task: asyncio.Task[Any]) -> bool:
        """Whether the ledger is being closed from within *task*."""
        caller = self._callers.get(task)
        return caller is not None and caller.mark in self._closers


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a handler ended in its thread; a future would take some errors for its own cancellation."""

    returned: Any
    error: BaseException | None

    @classmethod
    def of(cls, handler: Handler, kwargs: Mapping[str, Any]) -> Self:
        try:
            return cls(call_plain(handler, kwargs), None)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            return cls(None, error)

    def get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.returned


async def _heard(asked: Callable[[], Any]) -> Any:
    task: Any = asyncio.current_task()
    try:
        return await asked()
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and task.cancelling():
            raise
        raise SourceStopped(type(error).__qualname__) from error


def _is_plain(source: Callable[[Any], Any]) -> bool:
    call = getattr(source, "__call__", None)  # noqa: B004 - an object with an async __call__ is async as well
    return not (inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(call))


async def _unheard(_: Callable[[], Any]) -> None:
    """What nobody waits for any more is looked at again by whoever asks next."""


async def _run_returned(returned: Any, timeout_s: float | None) -> Any:
    """Run what a plain function around an async one returned: its time runs now."""
    if inspect.isasyncgen(returned):
        return [item async for item in returned]
    if not inspect.isawaitable(returned):
        return returned
    clock = asyncio.timeout(timeout_s)
    try:
        async with clock:
            return await returned
    except TimeoutError as error:
        if clock.expired():
            raise ReturnedTimeout from error
        raise


async def _run_async(handler: Handler, kwargs: Mapping[str, Any]) -> Any:
    returned = handler(**kwargs)
    if not inspect.isasyncgen(returned):
        returned = await returned
    return [item async for item in returned] if inspect.isasyncgen(returned) else returned
