"""In which order a workflow's code hears of what it asked for: the order of its record, in every life.

Here: what a life needs of it, and the simple one. Code with branches on an event loop has its own.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

from holdfast._core.journal import Script
from holdfast._core.value import value
from holdfast.errors import Suspended


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

    def acting(self) -> AbstractContextManager[None]:
        """Surround what changes something beside the journal.

        Raises:
            Suspended: The code has come to its end: nothing more begins.
        """
        ...

    async def still(self) -> None:
        """Wait until nothing is acting: a branch may be at it when the code has come to its end."""
        ...

    async def take(self, position: int) -> None:
        """Wait until the code may be told the end at *position*."""
        ...

    def forgo(self, position: int) -> None:
        """Let the order go on without the end at *position*: whoever asked for it was called off."""
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

    @property
    def is_free(self) -> bool:
        """Whether nobody writes."""
        ...

    async def whole(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let *write* come to its end, whatever calls off the branch that began it: it is others' as well."""
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

    def acting(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def still(self) -> None:
        """Plain code that has come to its end is at nothing."""

    async def take(self, position: int) -> None:
        self._script.tell(position)

    def forgo(self, position: int) -> None:
        """Plain code cannot be called off."""

    async def live(self) -> None:
        if not self._script.is_through():
            raise self._script.divergence()

    async def park(self) -> None:
        self._is_over = True
        raise Suspended

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        with self._lock:
            yield

    @property
    def is_free(self) -> bool:
        return not self._lock.locked()

    async def whole(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await write()

    def end(self) -> None:
        self._is_over = True

    async def conduct(self, code: Coroutine[Any, Any, Any]) -> Any:
        try:
            ended = await code
        except Suspended as raised:
            if self._is_over:
                return PutAway()
            raise own(raised) from raised
        except Exception:
            if self._is_over:  # what it made of being put away
                return PutAway()
            if not self._script.is_through():
                raise self._script.divergence() from None
            raise
        finally:
            was_over, self._is_over = self._is_over, True
        if was_over:
            return PutAway()
        if not self._script.is_through():
            raise self._script.divergence()
        return ended


def own(raised: Suspended) -> RuntimeError:
    """Return the error of code that raises what only the workflow's own waiting raises."""
    del raised
    return RuntimeError("the workflow's code raised Suspended itself")
