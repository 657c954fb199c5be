"""The driver for callers without an event loop, or blocking inside one."""

from __future__ import annotations

import contextvars
import inspect
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from holdfast._runtime.drive import Clock, Late, run_sync
from holdfast._runtime.handler import call_plain, shape_of
from holdfast._runtime.stops import HandlerTimeout, StillRunning, heard
from holdfast._runtime.threads import run_into
from holdfast.errors import InvalidTool
from holdfast.ports import Caller, Handler

T = TypeVar("T")
log = logging.getLogger("holdfast")


class _Present:
    """A caller that cannot leave: it stands on the same stack."""

    left = False

    def shield(self, on: bool) -> None:  # noqa: FBT001 - the port's signature
        del on


class _ThreadBell:
    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        self._event.set()

    async def heard(self, timeout_s: float) -> bool:
        heard = self._event.wait(timeout_s)
        self._event.clear()
        return heard


class SyncRuntime(Clock):
    """For callers without an event loop, or blocking inside one."""

    def __init__(self) -> None:
        self._abandoned: set[threading.Thread] = set()

    @property
    def blocking(self) -> bool:
        return True

    def bell(self) -> _ThreadBell:
        return _ThreadBell()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - this runtime blocks, by design

    async def shielded(self, work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
        return await work(_Present())

    async def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        return await one_by_one(works)

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        def done() -> None:
            try:
                contextvars.Context().run(run_sync, work())
            finally:
                self._abandoned.discard(threading.current_thread())

        thread = threading.Thread(target=done, name="holdfast-aside", daemon=True)
        self._abandoned.add(thread)
        thread.start()

    async def invoke(
        self, handler: Handler, kwargs: Mapping[str, Any], *, timeout_s: float | None, late: Late
    ) -> Any:
        if shape_of(handler).is_async:
            raise InvalidTool("an async handler was given to SyncLedger", "use Ledger, or a plain function")
        if timeout_s is None:
            return _refuse_awaitable(call_plain(handler, kwargs))
        ended: Future[Any] = Future()
        context = contextvars.copy_context()

        def work() -> None:
            run_into(ended, lambda: context.run(lambda: _refuse_awaitable(call_plain(handler, kwargs))))

        thread = threading.Thread(target=work, name="holdfast-handler", daemon=True)
        thread.start()
        try:
            return ended.result(timeout_s)
        except TimeoutError as error:
            if ended.done():
                return ended.result()  # it ended just now, or the error is its own
            self._abandon(thread, ended, lambda: context.run(run_sync, late(ended.result)))
            raise HandlerTimeout from error
        except (KeyboardInterrupt, SystemExit) as stop:
            if ended.done():
                raise
            self._abandon(thread, ended, lambda: context.run(run_sync, late(ended.result)))
            raise StillRunning(stop) from None

    def _abandon(self, thread: threading.Thread, ended: Future[Any], offer: Callable[[], None]) -> None:
        """Give up waiting for a thread, which cannot be stopped: whatever it still brings is evidence.

        Args:
            offer: Offers that, in the handler's surroundings: they know whose errors it met.
        """
        self._abandoned.add(thread)
        ended.add_done_callback(lambda _: _quietly(offer))
        ended.add_done_callback(lambda _: self._abandoned.discard(thread))  # only then is it over

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        del timeout_s  # what is bound to this thread (a session, a cursor) must be asked in it
        return _refuse_awaitable(heard(lambda: source(subject)))

    async def close(self, drain_s: float) -> None:
        until = time.monotonic() + drain_s
        for thread in self._abandoned - {threading.current_thread()}:  # one that closes cannot be awaited
            thread.join(max(until - time.monotonic(), 0))


async def one_by_one(works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
    """Do *works* in order; what comes after one that is stopped at never begins."""
    try:
        return [await work for work in works]
    finally:
        for work in works:
            work.close()


def _refuse_awaitable(returned: Any) -> Any:
    if inspect.iscoroutine(returned):
        returned.close()
        raise InvalidTool("the handler returned a coroutine to SyncLedger", "use Ledger, or a plain function")
    if inspect.isasyncgen(returned):
        raise InvalidTool(
            "the handler returned an async generator to SyncLedger", "use Ledger, or a plain function"
        )
    return returned


def _quietly(offer: Callable[[], None]) -> None:
    try:
        offer()
    except Exception:
        log.exception("late evidence could not be recorded")
