"""Who waits for which effect in this process, and how they are woken."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from holdfast.ports import Bell


class Bus:
    """Wakes the waiters of an effect; the notification is a hint, the record is the truth."""

    def __init__(self) -> None:
        self._bells: dict[str, list[Bell]] = {}
        self._lock = threading.Lock()  # protects the dict: stores ring from their own threads

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

    def ring(self, key: str) -> None:
        """Wake everybody who waits for *key*; from any thread."""
        if key not in self._bells:
            return
        with self._lock:
            bells = tuple(self._bells.get(key, ()))
        for bell in bells:
            bell.ring()
