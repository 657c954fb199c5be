"""Dev mode's post: signals come late, twice, or with older ones behind them, as webhooks do."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeAlias

from holdfast._core.disturbance import Chaos
from holdfast._core.model import Record
from holdfast.ports import Runtime

Delivery: TypeAlias = Callable[[], Coroutine[Any, Any, "tuple[Record | None, bool]"]]
log = logging.getLogger("holdfast")
_KEPT: Final = 16


class Post:
    """Delivers signals. May be used by threads.

    Args:
        chaos: How many go astray, and how late they come.
        seed: Another seed is another story.
        runtime: Whose time passes.
    """

    def __init__(self, chaos: Chaos, seed: int, runtime: Runtime) -> None:
        self._chance = chaos.webhooks
        self._latest_s = chaos.latest_s
        self._runtime = runtime
        self._dice = random.Random(f"{seed}/webhooks")  # noqa: S311 - a story to repeat, no secret
        self._lock = threading.Lock()
        self._earlier: deque[Delivery] = deque(maxlen=_KEPT)

    async def bring(self, deliver: Delivery) -> tuple[Record | None, bool]:
        """Deliver a signal, and return the answer to its own first coming."""
        late_s, again = self._drawn(deliver)
        if late_s:
            log.info("chaos: a signal is %.2f s late; what comes meanwhile overtakes it", late_s)
            await self._runtime.sleep(late_s)
        answer = await deliver()
        with self._lock:  # only now is it an older one: until then it would be its own first coming
            self._earlier.append(deliver)
        if again is not None:
            log.info("chaos: %s signal is delivered again", "the same" if again is deliver else "an older")
            with suppress(Exception):  # who sends it again sees its own errors
                await again()
        return answer

    def _drawn(self, deliver: Delivery) -> tuple[float, Delivery | None]:
        """Return how late it comes, and which signal comes after it once more."""
        with self._lock:
            earlier = tuple(self._earlier)
            if self._dice.random() >= self._chance:
                return 0.0, None
            match self._dice.choice(("late", "twice", "older")):
                case "late":
                    return self._dice.random() * self._latest_s, None
                case "older" if earlier:
                    return 0.0, self._dice.choice(earlier)
                case _:
                    return 0.0, deliver
