"""What both kinds of workers and whoever checks them have to agree on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from holdfast import RetryPolicy, Settings

LEASE_S: Final = 2.0
SETTINGS: Final = Settings(lease=LEASE_S, renew_every=0.5, reconcile_skew=1.5, store_patience=10, drain=8)

STOPPED_S: Final = (1.5 * LEASE_S, 2 * LEASE_S)
"""So long a worker is frozen: longer than its lease, and shorter than the patience with a tool. Who acts after its
own deadline, when others have looked and found nothing, nobody can defend against."""

TOOL: Final[dict[str, Any]] = {
    "safety": "unsafe",
    "timeout": 8.0,
    "retry": RetryPolicy(initial_interval=0.05, maximum_interval=1.0, maximum_attempts=20),
}
FLAKY: Final = RetryPolicy(initial_interval=0.05, maximum_interval=0.5, maximum_attempts=3)
"""Just as many tries as the step needs: one that a death used up would be missing."""

LIMITS: Final[dict[str, dict[str, Any]]] = {
    "narrow": {"concurrency": 3, "per_key": 1},
    "metered": {"rate": "3/s"},
}
RATE: Final = 3
NARROW: Final = 4
CRON: Final = "*/5 * * * * *"
TICK_S: Final = 5
DEAR: Final = 1000
WORK_S: Final = (0.01, 0.1)


def amount(n: int) -> int:
    """Return what number *n* costs."""
    return 100 + n % 900


@dataclass(frozen=True, slots=True)
class Trouble:
    """How likely it is that the desk cannot be reached, and that its answer is lost after it has charged."""

    refused: float = 0.02
    lost: float = 0.05

    def before(self) -> None:
        if random.random() < self.refused:
            raise ConnectionRefusedError("the desk is closed")

    def after(self) -> None:
        if random.random() < self.lost:
            raise ConnectionResetError("the answer was lost")
