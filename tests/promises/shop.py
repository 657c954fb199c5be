"""A shop whose orders go wrong: what its tools did in the world, in order, and what was undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from holdfast import Undone
from promises.ledgers import Book, Gate

ORDER = "order-123"
STEPS = ("reserve", "charge", "ship")


class Shop:
    """The world outside of every ledger, and the handlers that change it.

    Attributes:
        happened: What was done and undone, in order.
        told: What each compensation was told of the effect that it undoes.
    """

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.told: list[Undone] = []

    def does(
        self, name: str, *, raises: Exception | None = None, gate: Gate | None = None
    ) -> Callable[..., Any]:
        """A handler that changes the world, waits at *gate*, and answers or raises."""

        def handler(item: str) -> dict[str, str]:
            if gate is not None:
                gate.wait()
            self.happened.append(name)
            if raises is not None:
                raise raises
            return {"id": f"{name}-1", "item": item}

        return handler

    def undoes(self, name: str, *ends: Any, gate: Gate | None = None) -> Callable[..., Any]:
        """A compensation; *ends* are its results or errors, one per execution, the last one for ever."""
        left = list(ends or ({"undone": name},))

        def handler(undone: Undone) -> Any:
            if gate is not None:
                gate.wait()
            self.happened.append(f"undo {name}")
            self.told.append(undone)
            end = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(end, Exception):
                raise end
            return end

        return handler

    @property
    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        return Counter(self.happened)

    def opens(
        self, book: Book, *names: str, **undoing: Callable[..., Any]
    ) -> dict[str, Callable[..., Awaitable[Any]]]:
        """Declare tools on *book*, each with a compensation: its own of *undoing*, or one that just works."""
        return {
            name: book.tool(
                self.does(name),
                name=name,
                compensate=book.handler(undoing.get(name) or self.undoes(name)),
            )
            for name in names or STEPS
        }

    async def sells(self, book: Book, *names: str, **undoing: Callable[..., Any]) -> None:
        """Do all the steps of one order."""
        for run in self.opens(book, *names, **undoing).values():
            await run(ORDER, item="book")
