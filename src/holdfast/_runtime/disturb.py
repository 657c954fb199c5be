"""Dev mode: does to the handlers of any program, now and then, what networks, machines and other users do.

It stands around a handler, at that one place in the pipeline: the ledger knows nothing of it, and copes as in
production. Signals go astray on their way. Nothing else is disturbed: no store, no reconciler, no ``begin``
block.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
import math
import os
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from holdfast._core.disturbance import CRASHES, NOT_DONE, Chance, Chaos, Fault, FaultKind, drawn
from holdfast._core.states import Safety
from holdfast._runtime.disturb_signals import Post
from holdfast._runtime.drive import run_sync
from holdfast._runtime.handler import call_plain, shape_of
from holdfast._runtime.injected import (
    InjectedRefusal,
    InjectedReset,
    InjectedStatus,
    InjectedTimeout,
)
from holdfast.ports import Facts, Handler, Runtime

T = TypeVar("T")
log = logging.getLogger("holdfast")
_KILLED: Final = 137
_HANG_S: Final = 5.0  # where the tool has no timeout: then it ends as by a client's own
_OVERTIME_S: Final = 0.5
_HARMLESS: Final = frozenset({Safety.IDEMPOTENT, Safety.READ})
_ANSWERED: Final = frozenset({FaultKind.OK, FaultKind.LATENCY, FaultKind.DRIP, FaultKind.DUPLICATE})


class Draws:
    """Draws what befalls one request or call after another. For one thread at a time.

    The story depends on the seed, the chances and the numbers asked for, and on nothing else.
    """

    def __init__(self, chances: Sequence[Chance], seed: int) -> None:
        self._chances = chances
        self._seed = seed
        self._burst: deque[Fault] = deque()

    def at(self, number: int) -> Fault:
        """Return what befalls the request *number*; a burst that has begun comes first."""
        if self._burst:
            return self._burst.popleft()
        # A generator for each: what is planned for one does not shift the others' draws.
        dice = random.Random(f"{self._seed}/{number}")  # noqa: S311 - a story to repeat, no secret
        fault = drawn(self._chances, dice.random(), dice.random())
        once = fault.in_a_row(1)
        self._burst.extend([once] * (fault.times - 1))
        return once


class Disturber:
    """Stands around handlers and does to some of their executions what *chaos* says. May be used by threads.

    Args:
        chaos: What may happen, and how often.
        runtime: Whose time passes.

    Attributes:
        post: Brings the signals.
    """

    def __init__(self, chaos: Chaos, runtime: Runtime) -> None:
        seed = secrets.randbelow(1_000_000) if chaos.seed is None else chaos.seed
        self._concurrent = chaos.concurrent
        self._runtime = runtime
        self._draws = Draws(chaos.chances, seed)
        self.post = Post(chaos, seed, runtime)
        self._rivals = random.Random(f"{seed}/concurrent")  # noqa: S311 - a story to repeat, no secret
        self._number = 0
        self._down: dict[str, float] = {}
        self._lock = threading.Lock()  # all that is drawn: each execution has one number and one fault
        log.warning(
            "chaos is on: tools fail on purpose, seed=%d; off without $HOLDFAST_CHAOS and Settings.chaos",
            seed,
        )

    def around(self, handler: Handler, facts: Facts) -> Handler:
        """Return *handler*, or what is called in its place."""
        fault = self._next(facts)
        if fault.kind is FaultKind.OK:
            return handler
        # A process that vanishes without a word would be searched for bugs that it does not have.
        level = logging.WARNING if fault.kind in CRASHES else logging.INFO
        log.log(level, "chaos: %s befalls a call of %r", fault, facts.tool)
        mishap = _Mishap(fault, facts, self._runtime)
        return _Async(handler, mishap) if shape_of(handler).is_async else _Plain(handler, mishap)

    async def beside(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the answer to *ask*; now and then somebody else asks the same at the same moment."""
        with self._lock:
            is_alone = self._rivals.random() >= self._concurrent
        if is_alone:
            return await ask()
        log.info("chaos: two users make the same call at once")
        if not self._runtime.blocking:
            answers: list[T] = []
            await self._runtime.together([_into(answers, ask), _quietly(ask)])
            return answers[0]
        rival = threading.Thread(
            target=contextvars.copy_context().run, args=(run_sync, _quietly(ask)), daemon=True
        )
        rival.start()
        try:
            return await ask()
        finally:
            rival.join()

    def _next(self, facts: Facts) -> Fault:
        of = facts.contract.dependency
        place = facts.tool if of is None else of.name
        with self._lock:
            if self._down.get(place, -math.inf) > self._runtime.monotonic():
                return Fault.DOWN.lasting(0)
            self._number += 1
            fault = self._draws.at(self._number)
            if fault.kind is FaultKind.DOWN:
                self._down[place] = self._runtime.monotonic() + fault.seconds
        if fault.kind is FaultKind.DUPLICATE and facts.contract.safety not in _HARMLESS:
            return Fault.OK  # I1: twice would hurt, and it would be we who did it
        return fault


class _Mishap:
    """What one fault does before and after the handler.

    Attributes:
        pause_before_s: How long it takes until the handler is called.
        pause_after_s: How long it takes from its end until that is known.
        is_twice: The handler is called a second time; nobody sees how that ends.
    """

    def __init__(self, fault: Fault, facts: Facts, runtime: Runtime) -> None:
        self._fault = fault
        self._facts = facts
        self.runtime = runtime
        timeout_s = facts.contract.timeout_s
        hang_s = fault.seconds or (_HANG_S if timeout_s is None else timeout_s + _OVERTIME_S)
        kind = fault.kind
        before = {FaultKind.LATENCY: fault.seconds, FaultKind.HANG_BEFORE: hang_s}
        after = {FaultKind.DRIP: fault.seconds, FaultKind.HANG_AFTER: hang_s}
        self.pause_before_s = before.get(kind, 0.0)
        self.pause_after_s = after.get(kind, 0.0)
        self.is_twice = kind is FaultKind.DUPLICATE

    def strike_before(self) -> None:
        """End it here, if the handler is not to be called at all."""
        if self._fault.kind in NOT_DONE:
            self._strike("the tool was not called")

    def strike_after(self) -> None:
        """End it here, if nobody is to know what it did."""
        if self._fault.kind not in _ANSWERED:
            self._strike("the tool was called and came to its end")

    def _strike(self, truth: str) -> None:
        kind = self._fault.kind
        what = f"injected into {self._facts.tool!r} by chaos ({self._fault}): {truth}"
        match kind:
            case FaultKind.CRASH_BEFORE | FaultKind.CRASH_AFTER:
                os._exit(_KILLED)  # as kill -9 does it: nothing is tidied up
            case FaultKind.HANG_BEFORE | FaultKind.HANG_AFTER:
                raise InjectedTimeout(what)
            case FaultKind.DOWN:
                raise InjectedRefusal(what)
            case FaultKind.RATE_LIMITED | FaultKind.RATE_LIMITED_DATE:
                raise self._answered(what, 429)
            case FaultKind.UNAVAILABLE:
                raise self._answered(what, 503)
            case FaultKind.ERROR_BEFORE | FaultKind.ERROR_AFTER:
                raise self._answered(what, 500)
            case _:
                raise InjectedReset(what)

    def _answered(self, what: str, status: int) -> InjectedStatus:
        """Return an answer as a client knows it: what it asked for is what makes a refusal evidence."""
        headers = {"Retry-After": wait} if (wait := self._retry_after()) else {}
        method = "GET" if self._facts.contract.safety is Safety.READ else "POST"
        return InjectedStatus(what, status, headers, method)

    def _retry_after(self) -> str:
        seconds = math.ceil(self._fault.seconds)
        match self._fault.kind:
            case FaultKind.RATE_LIMITED:
                return str(seconds)
            case FaultKind.RATE_LIMITED_DATE:  # dates have no fractions: never earlier than what is meant
                # Imported here: it is rarely needed, and slow to import.
                from email.utils import format_datetime  # noqa: PLC0415

                return format_datetime(self.runtime.now() + timedelta(seconds=seconds + 1), usegmt=True)
            case FaultKind.UNAVAILABLE:
                return str(seconds) if seconds else ""
            case _:
                return ""


class _Plain:
    """A plain handler with a mishap; called in a thread, or by a caller that waits."""

    def __init__(self, handler: Handler, mishap: _Mishap) -> None:
        self._handler = handler
        self._mishap = mishap

    def __call__(self, **kwargs: Any) -> Any:
        mishap = self._mishap
        time.sleep(mishap.pause_before_s)
        mishap.strike_before()
        returned = call_plain(self._handler, kwargs)
        if inspect.isawaitable(returned) or inspect.isasyncgen(returned):
            # A plain function around an async one: it is the loop that brings it to its end.
            return returned if mishap.runtime.blocking else _ended(returned, self._handler, mishap, kwargs)
        if mishap.is_twice:
            with suppress(Exception):
                call_plain(self._handler, kwargs)
        time.sleep(mishap.pause_after_s)
        mishap.strike_after()
        return returned


class _Async:
    """An async handler with a mishap."""

    def __init__(self, handler: Handler, mishap: _Mishap) -> None:
        self._handler = handler
        self._mishap = mishap

    async def __call__(self, **kwargs: Any) -> Any:
        mishap = self._mishap
        await mishap.runtime.sleep(mishap.pause_before_s)
        mishap.strike_before()
        return await _ended(self._handler(**kwargs), self._handler, mishap, kwargs)


async def _ended(returned: Any, handler: Handler, mishap: _Mishap, kwargs: Mapping[str, Any]) -> Any:
    """Bring what an async handler returned to its end, then do what comes after it."""
    result = await _whole(returned)
    if mishap.is_twice:
        with suppress(Exception):
            await _whole(handler(**kwargs))
    await mishap.runtime.sleep(mishap.pause_after_s)
    mishap.strike_after()
    return result


async def _whole(returned: Any) -> Any:
    """Return what *returned* comes to; a generator's items are its result."""
    if not inspect.isasyncgen(returned):
        returned = await returned
    return [item async for item in returned] if inspect.isasyncgen(returned) else returned


async def _into(answers: list[T], ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
    answers.append(await ask())


async def _quietly(ask: Callable[[], Coroutine[Any, Any, object]]) -> None:
    with suppress(Exception):  # that user's errors are that user's
        await ask()
