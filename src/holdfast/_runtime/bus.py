"""Who waits for which effect in this process, and how they are woken."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from holdfast._runtime.forks import forget_in_child
from holdfast.ports import Bell


class Bus:
    """Wakes the waiters of an effect; the notification is a hint, the record is the truth."""

    def __init__(self) -> None:
        self._bells: dict[str, list[Bell]] = {}
        self._waits: list[tuple[frozenset[str], str]] = []
        self._lock = threading.Lock()  # protects both: stores ring from their own threads
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget the parent's waiters, and a lock that one of its threads may hold for ever."""
        self._bells, self._waits, self._lock = {}, [], threading.Lock()

    @contextmanager
    def listening(self, key: str, bell: Bell) -> Generator[Bell]:
        """Let *bell* be rung when *key* changes, for as long as the context lasts."""
        with self._lock:
            self._bells.setdefault(key, []).append(bell)
        try:
            yield bell
        finally:
            with self._lock:
                bells = self._bells[key]
                bells.remove(bell)
                if not bells:
                    del self._bells[key]

    @contextmanager
    def waiting(self, key: str, executing: frozenset[str]) -> Generator[bool]:
        """Say that the handlers of *executing* wait for *key*, for as long as the context lasts.

        Gives whether that can end: ``False`` when the handler of *key* itself waits for one of them on this
        ledger, directly or through others.
        """
        wait = executing, key
        with self._lock:
            ends = executing.isdisjoint(self._reached(key))
            if ends:
                self._waits.append(wait)
        try:
            yield ends
        finally:
            if ends:
                with self._lock:
                    self._waits.remove(wait)

    def _reached(self, key: str) -> set[str]:
        """Return all that the handler of *key* waits for, itself included."""
        reached = {key}
        while True:
            more = {awaited for executing, awaited in self._waits if not executing.isdisjoint(reached)}
            if more <= reached:
                return reached
            reached |= more

    def ring(self, key: str) -> None:
        """Wake everybody who waits for *key*; from any thread."""
        if key not in self._bells:
            return
        with self._lock:
            bells = tuple(self._bells.get(key, ()))
        for bell in bells:
            bell.ring()
