"""Has people told beside whoever asks and decides: nobody waits for a channel, nobody meets its errors."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from holdfast._runtime.forks import forget_in_child
from holdfast._runtime.parts import Parts
from holdfast._runtime.telling import tell_all, tell_quietly

log = logging.getLogger("holdfast")
_BACKLOG_EVERY_S: Final = 30.0


class Herald:
    """Has people told beside whoever asks and decides, in this process; each question by one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects the two sets: blocking callers come from many threads
        self._under_way: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()
        self._looked_at = -math.inf
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget what the parent tells: it goes on there."""
        self._lock, self._under_way, self._again = threading.Lock(), set(), set()

    def announce(self, parts: Parts, tenant: str, approval_id: str) -> None:
        """Have people told of one question's notices, soon. Whoever calls waits for nothing."""
        place = tenant, approval_id

        async def told() -> None:
            if not self._begin(place):
                return
            try:
                while True:
                    await tell_quietly(parts, tenant, approval_id)
                    if not self._goes_on(place):
                        return
            finally:
                self._end(place)

        _begun(parts, told)

    def make_round(self, parts: Parts, tenant: str, limit: int) -> None:
        """Have people told of all notices that are left, soon, unless that is under way."""
        place = tenant, ""

        async def gone() -> None:
            if not self._begin(place):
                return
            now = parts.runtime.monotonic()
            looks = now >= self._looked_at + _BACKLOG_EVERY_S
            self._looked_at = now if looks else self._looked_at
            try:
                await tell_all(parts, tenant, limit, looks=looks)
            except Exception as error:  # noqa: BLE001 - the next round looks again
                log.warning("people could not be told of questions (%s)", type(error).__qualname__)
            finally:
                self._end(place)

        _begun(parts, gone)

    def _begin(self, place: tuple[str, str]) -> bool:
        with self._lock:
            if place in self._under_way:
                self._again.add(place)
                return False
            self._under_way.add(place)
            return True

    def _goes_on(self, place: tuple[str, str]) -> bool:
        with self._lock:
            if place in self._again:
                self._again.discard(place)
                return True
            self._under_way.discard(place)
            return False

    def _end(self, place: tuple[str, str]) -> None:
        with self._lock:
            self._under_way.discard(place)
            self._again.discard(place)


def _begun(parts: Parts, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin *work* aside; where that cannot be, a worker or a sweep tells people later."""
    try:
        parts.runtime.aside(work)
    except Exception as error:  # noqa: BLE001 - no more threads, or no loop: whoever asked has asked all the same
        log.warning("people are told of questions later (%s)", type(error).__qualname__)
