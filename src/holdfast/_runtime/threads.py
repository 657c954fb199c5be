"""Threads for plain handlers. Daemons: a handler that hangs must not keep the process from ending."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from holdfast._runtime.forks import forget_in_child

T = TypeVar("T")
_Job = tuple["Future[Any]", contextvars.Context, Callable[[], Any]]


class HandlerThreads:
    """At most *limit* threads, started when they are needed; what comes on top waits its turn.

    Args:
        spare: How many threads that were given up are replaced at a time; ``None``: all.
    """

    def __init__(self, limit: int, *, spare: int | None = None) -> None:
        self._limit = limit
        self._spare = spare
        self.forget_parent()
        forget_in_child(self)

    def forget_parent(self) -> None:
        """See :class:`holdfast._runtime.forks.Inherited`: threads do not come along into a child."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()  # protects all that follows
        self._threads = 0
        self._open = 0  # jobs that wait for a thread, or have one
        self._running: set[Future[Any]] = set()
        self._lost: set[Future[Any]] = set()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run *work* in a thread, in a copy of the caller's context."""
        future: Future[T] = Future()
        with self._lock:
            self._open += 1
            is_short = self._takes_thread()
        if is_short:
            try:  # before the job is queued: one that nobody serves yet would run at any later time
                self._start()
            except BaseException:
                with self._lock:
                    self._open -= 1
                raise
        self._jobs.put((future, contextvars.copy_context(), work))
        return future

    def give_up(self, future: Future[Any]) -> None:
        """Count the thread of a job no longer, should it be at work: it may never end, and others wait."""
        with self._lock:
            if future not in self._running or (self._spare is not None and len(self._lost) >= self._spare):
                return  # it keeps its place
            self._running.discard(future)
            self._lost.add(future)
            self._threads -= 1
            self._open -= 1
            is_short = self._takes_thread()
        if is_short:
            with suppress(RuntimeError):  # no thread can be had now: the next job will try again
                self._start()

    def _takes_thread(self) -> bool:
        if self._open <= self._threads or self._threads >= self._limit:
            return False
        self._threads += 1
        return True

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name="holdfast-handler", daemon=True).start()
        except BaseException:
            with self._lock:
                self._threads -= 1
            raise

    def _serve(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            future, context, work = job
            with self._lock:
                self._running.add(future)
            if future.set_running_or_notify_cancel():
                run_into(future, functools.partial(context.run, work))
            with self._lock:
                if future in self._lost:  # another has its place
                    self._lost.discard(future)
                    return
                self._running.discard(future)
                self._open -= 1
            del job, future, context, work  # an idle thread holds on to nothing
        with self._lock:
            self._threads -= 1  # sent home: what came after that, or comes later, takes another
            is_short = self._takes_thread()
        if is_short:
            with suppress(RuntimeError):
                self._start()

    def close(self) -> None:
        """Let idle threads end; busy ones end after their job. What still waits for a thread never starts."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is not None:
                job[0].cancel()
                with self._lock:
                    self._open -= 1
        for _ in range(self._threads):
            self._jobs.put(None)


def run_into(future: Future[Any], work: Callable[[], Any]) -> None:
    """Run *work* and put its end, whatever it is, into *future*."""
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - carried over to whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)
