"""Both kinds of ledger as one: a blocking one is asked in threads, so that nobody else's page waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from starlette.concurrency import run_in_threadpool

from holdfast._runtime.drive import run_sync
from holdfast.ledger import Ledger, SyncLedger
from holdfast.ledger.engine import Engine

T = TypeVar("T")


class _InThreads:
    """A SyncLedger that is awaited."""

    def __init__(self, ledger: SyncLedger) -> None:
        self._ledger = ledger
        self._engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def scoped(self, **scope: str) -> Ledger:
        """Return the same for another actor."""
        return as_async(self._ledger.scoped(**scope))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._ledger, name)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await run_in_threadpool(method, *args, **kwargs)

        return ask


async def looked(ledger: Ledger, look: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
    """Have the ledger's engine asked for what only pages read; a blocking one in a thread."""
    engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    behind: Any = ledger  # maybe :func:`as_async` made it look like one
    if isinstance(behind, Ledger):
        return await look(engine)
    return await run_in_threadpool(run_sync, look(engine))


def as_async(ledger: Ledger | SyncLedger) -> Ledger:
    """Return *ledger* as one whose methods are awaited."""
    return ledger if isinstance(ledger, Ledger) else cast("Ledger", _InThreads(ledger))
