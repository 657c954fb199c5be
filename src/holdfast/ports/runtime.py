"""Time, randomness and execution: what differs between async users, sync users and tests."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
Handler: TypeAlias = "Callable[..., Any]"
"""A plain, async or generator function; it is called with the arguments by keyword."""


class Bell(Protocol):
    """Wakes one waiter."""

    def ring(self) -> None:
        """Wake it; may be called from any thread."""
        ...

    async def heard(self, timeout_s: float) -> bool:
        """Wait for a ring (``True``) or for the time to pass; a ring before the wait counts."""
        ...


class Caller(Protocol):
    """The other side of a call: whoever waits for its answer."""

    @property
    def left(self) -> bool:
        """Whether the caller was cancelled."""
        ...

    def shield(self, on: bool) -> None:  # noqa: FBT001 - reads as a switch
        """While on, a caller that leaves does not stop the work."""
        ...


class Runtime(Protocol):
    """Time, randomness and execution: all that differs between async users, sync users and tests."""

    @property
    def stops(self) -> tuple[type[BaseException], ...]:
        """Exceptions by which a handler is stopped from outside (cancelled, interrupted)."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether waiting blocks the calling thread, so that it cannot wait for its own claims."""
        ...

    def now(self) -> datetime:
        """Return the present time (aware, UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def token(self) -> bytes:
        """Return 16 random bytes."""
        ...

    def bell(self) -> Bell:
        """Return a new bell."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def shielded(self, work: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
        """Run *work* in a task of its own, so that it outlives a cancelled caller."""
        ...

    async def together(self, works: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        """Run *works* side by side, where that is possible; return their results in order."""
        ...

    def aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin *work* beside whoever calls, in surroundings of its own; closing lets it finish.

        It tells of no error: *work* raises none.
        """
        ...

    async def close(self, drain_s: float) -> None:
        """Let running handlers finish for *drain_s*, then stop them."""
        ...

    async def invoke(
        self,
        handler: Handler,
        kwargs: Mapping[str, Any],
        *,
        timeout_s: float | None,
        late: Callable[[Callable[[], Any]], Coroutine[Any, Any, None]],
    ) -> Any:
        """Run *handler* to its end and return what it returned.

        Args:
            timeout_s: After this long it is stopped, where it can be.
            late: Given the outcome of a handler that could not be stopped and ended afterwards;
                the function it is given returns the result or raises.

        Raises:
            HandlerTimeout: It took longer than *timeout_s*.
        """
        ...

    async def ask(self, source: Callable[[Any], Any], subject: Any, *, timeout_s: float) -> Any:
        """Return what *source*, a reconciler or a probe, says of *subject*.

        Where callers share a thread, a plain function that blocks must not keep the others waiting; where
        each has a thread, it is called in place, and takes as long as it takes.

        Raises:
            HandlerTimeout: It took longer than *timeout_s*.
        """
        ...
