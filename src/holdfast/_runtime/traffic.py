"""What is under way in a ledger, and how long one of its calls goes on waiting."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast._runtime.forks import forget_in_child


@dataclass(slots=True, weakref_slot=True, eq=False)
class Traffic:
    """What is under way in this ledger.

    Attributes:
        live: Calls; tells a store whether to wait for company.
        blocks: ``begin`` blocks that were entered and not left.
        lives: Workflows whose code is gone through.
        is_closing: Nothing new begins; what is under way is the last.
        is_leaving: Workflows are left at their next step, for other workers.
    """

    live: int = 0
    blocks: int = 0
    lives: int = 0
    is_closing: bool = False
    is_leaving: bool = False

    def __post_init__(self) -> None:
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget the parent's calls: they go on there."""
        self.live = self.blocks = self.lives = 0


class Patience:
    """How long a call goes on waiting: for others, and between its own attempts, all in all.

    Args:
        left_s: Seconds; ``None`` for as long as it takes.
    """

    def __init__(self, left_s: float | None) -> None:
        self.left_s = left_s

    def covers(self, seconds: float) -> bool:
        """Whether it lasts for so long."""
        return self.left_s is None or seconds <= self.left_s

    def spend(self, seconds: float) -> None:
        """Take off what was waited."""
        if self.left_s is not None:
            self.left_s = max(self.left_s - seconds, 0.0)
