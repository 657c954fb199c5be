"""What keeps a ledger's store open, and its release once the last that goes on in a closed one has ended."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Token
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from holdfast._runtime import context
from holdfast._runtime.heartbeat import LiveClaim
from holdfast._runtime.parts import Parts
from holdfast._runtime.traffic import Passage
from holdfast.ports import Caller

P = ParamSpec("P")
T = TypeVar("T")


class _HasParts(Protocol):
    @property
    def parts(self) -> Parts: ...


S = TypeVar("S", bound=_HasParts)


class passing:  # noqa: N801 - used as a word of the language, like contextlib's own
    """Keep the store open for the code inside; whoever comes out last of a closed ledger releases it."""

    __slots__ = ("_parts", "_passage", "_token")

    def __init__(self, parts: Parts, *, is_block: bool = False) -> None:
        self._parts = parts
        self._passage = Passage(is_block)
        self._token: Token[tuple[Passage, ...]] | None = None

    async def __aenter__(self) -> None:
        self.enter()

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def enter(self) -> None:
        """Be under way from now on. Whether the ledger is closed is to be asked after it, not before."""
        self._parts.traffic.under_way.add(self._passage)
        self._token = context.passages.set((*context.passages.get(), self._passage))

    async def leave(self) -> None:
        """Be it no more."""
        if self._token is not None:
            with suppress(ValueError):  # a block may be left in another context than it was entered in
                context.passages.reset(self._token)
        self._parts.traffic.under_way.discard(self._passage)
        await close_when_idle(self._parts)


def keeping_open(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Let the store stay open until *method* has ended."""

    @functools.wraps(method)
    async def passed(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with passing(self.parts):
            return await method(self, *args, **kwargs)

    return passed


async def errand(parts: Parts, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do *work* as a call is made: closing lets it finish, and stops it after that."""

    async def passed(_: Caller) -> T:
        async with passing(parts):
            parts.traffic.ensure_open()
            return await work()

    return await parts.runtime.shielded(passed)


async def close_when_idle(parts: Parts) -> None:
    """Release everything, if the ledger was closed and nothing goes on in it.

    A handler that nobody can stop, or a block that is not left yet, may act until its end: a claim that is
    not renewed any more lets somebody else act as well.
    """
    if _is_idle(parts):
        parts.heartbeat.close()
        await parts.store.close()


def drop(parts: Parts, claim: LiveClaim) -> None:
    """Renew a claim no more that nobody acts under; in any thread, whether or not its event loop still runs.

    The last one of a closed ledger takes the heartbeat along: there may be no loop left to release the rest.
    """
    parts.heartbeat.drop(claim)
    if _is_idle(parts):
        parts.heartbeat.close()


def _is_idle(parts: Parts) -> bool:
    return parts.traffic.is_closed and not parts.traffic.under_way and not parts.heartbeat.is_busy
