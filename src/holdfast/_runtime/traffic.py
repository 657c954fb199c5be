"""What is under way in a ledger, and how long one of its calls goes on waiting."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast._runtime.forks import forget_in_child
from holdfast.errors import LedgerClosed


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One thing under way: it uses the store, or may use it yet.

    Attributes:
        is_block: It is a ``begin`` block, entered and not left.
    """

    is_block: bool = False


@dataclass(slots=True, weakref_slot=True, eq=False)
class Traffic:
    """What is under way in this ledger.

    Attributes:
        live: Calls; tells a store whether to wait for company.
        under_way: Calls, blocks, lives of workflows, what people and sweepers asked for, what late threads
            bring.
        closers: Those of them from within which the ledger is being closed: nobody waits for these.
        is_closing: No call is taken any more; what is under way may go on.
        is_closed: Nothing new begins, in what is under way neither: no claim is made.
        leavers: Workers that were told to stop, and have not come to their end.
    """

    live: int = 0
    under_way: set[Passage] = field(default_factory=set[Passage])
    closers: set[Passage] = field(default_factory=set[Passage])
    is_closing: bool = False
    is_closed: bool = False
    leavers: set[object] = field(default_factory=set[object])

    def __post_init__(self) -> None:
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget the parent's calls: they go on there."""
        self.live, self.under_way, self.closers, self.leavers = 0, set(), set(), set()

    @property
    def is_leaving(self) -> bool:
        """Whether workflows are left at their next step, for other workers."""
        return self.is_closing or bool(self.leavers)

    def ensure_open(self) -> None:
        """Let what is under way go on to something new.

        Raises:
            LedgerClosed: The ledger is closed. Nothing was begun.
        """
        if self.is_closed:
            raise LedgerClosed

    def awaited(self, *, only_blocks: bool) -> bool:
        """Whether anything is under way that closing lets finish."""
        each = tuple(self.under_way)
        return any(one not in self.closers and (one.is_block or not only_blocks) for one in each)


class Patience:
    """How long a call goes on waiting: for others, and between its own attempts, all in all.

    Args:
        left_s: Seconds; ``None`` for as long as it takes.
    """

    def __init__(self, left_s: float | None) -> None:
        self.left_s = left_s

    @property
    def waits_for_people(self) -> bool:
        """Whether somebody said that this call may wait for a decision, and for how long."""
        return self.left_s is not None and self.left_s > 0

    def covers(self, seconds: float) -> bool:
        """Whether it lasts for so long."""
        return self.left_s is None or seconds <= self.left_s

    def spend(self, seconds: float) -> None:
        """Take off what was waited."""
        if self.left_s is not None:
            self.left_s = max(self.left_s - seconds, 0.0)
