"""Group commit for threads: whoever gets the lock commits for all who wait behind it.

No timer and no thread of its own: a lone caller is its own leader and waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from holdfast._core.change import Change, Committed, Conflict
from holdfast.errors import HoldfastError, StoreUnavailable

Answer = Committed | Conflict | HoldfastError
_T = TypeVar("_T", bound="Ticket")


class Ticket:
    """One change on its way, and its answer."""

    __slots__ = ("answer", "change")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.answer: Answer | None = None


class Combiner:
    """Lets threads that commit at the same time share one commit.

    Args:
        apply: Commits a batch; one answer per change.
        lock: Held while *apply* runs.
        limit: The largest batch.
        key_of: Batches are sorted by it, one order of locks for everybody, and two changes of equal key
            never share one. ``None`` when there is no need.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[Change]], Sequence[Answer]],
        lock: Callable[[], threading.Lock],
        *,
        limit: int,
        key_of: Callable[[Change], tuple[str, str]] | None = None,
    ) -> None:
        self._apply = apply
        self._lock = lock
        self._limit = limit
        self._key_of = key_of
        self._queue: deque[Ticket] = deque()

    def commit(self, change: Change) -> Answer:
        """Commit *change*, alone or together with what others have queued up."""
        ticket = Ticket(change)
        self._queue.append(ticket)
        while ticket.answer is None:
            with self._lock():
                if ticket.answer is not None:
                    break
                batch = take(self._queue, self._limit, self._key_of)
                if self._key_of is not None:
                    key_of = self._key_of
                    batch.sort(key=lambda waiting: key_of(waiting.change))
                self._lead(batch)
        return ticket.answer

    def _lead(self, batch: Sequence[Ticket]) -> None:
        """Commit for everybody in *batch*; should the leader be stopped, the others must not wait."""
        answers: Sequence[Answer] = ()
        try:
            answers = self._apply([waiting.change for waiting in batch])
        finally:
            lost = StoreUnavailable("commit a change", "its thread was stopped on the way")
            for number, waiting in enumerate(batch):
                waiting.answer = answers[number] if number < len(answers) else lost


def take(queue: deque[_T], limit: int, key_of: Callable[[Change], tuple[str, str]] | None) -> list[_T]:
    """Take the next batch off *queue*; what shares a key with something in it stays for the next."""
    if key_of is None:
        return [queue.popleft() for _ in range(min(len(queue), limit))]
    batch: list[_T] = []
    later: list[_T] = []
    seen: set[tuple[str, str]] = set()
    while queue and len(batch) < limit:
        ticket = queue.popleft()
        key = key_of(ticket.change)
        (later if key in seen else batch).append(ticket)
        seen.add(key)
    queue.extendleft(reversed(later))
    return batch
