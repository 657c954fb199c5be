"""When people are told of a budget: which marks it has reached, and what each alert is named. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from holdfast._core.budget import Level
from holdfast._core.value import value
from holdfast.errors import InvalidTool
from holdfast.errors.budgets import amount_shown

WHOLE: Final = 1000
"""Marks are thousandths of a cap: sums of floats are for nobody."""
BURNS: Final = 0
"""Stands in the place of a mark for "at this rate it will not last"."""
USUAL: Final = (500, 800, WHOLE)


@value
class Crossing:
    """One alert: a budget, as it was when it was seen, and which mark it had reached.

    Attributes:
        mark: In thousandths of the cap; :data:`BURNS` for a rate that is too high.
        is_refusal: A call did not fit.
        left_s: For a rate: in how many seconds the cap is reached.
    """

    level: Level
    mark: int
    is_refusal: bool = False
    left_s: float = 0.0

    @property
    def name(self) -> str:
        """The same for every process that sees it: one per budget, window, cap and mark.

        A cap that was raised is another one: each of its marks is told of again when it is reached.
        """
        level = self.level
        place = level.owner, level.account, level.unit, level.per
        told = json.dumps([*place, level.window_start.isoformat(), level.cap, self.mark])
        return f"budget-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def marks_of(given: Any) -> tuple[int, ...]:
    """Return the marks in what a budget was given: shares of its cap.

    Raises:
        InvalidTool: One is no share.
    """
    fix = "give shares of the cap, e.g. alert_at=(0.5, 0.8, 1.0), or () for none"
    if not isinstance(given, list | tuple):
        raise InvalidTool("a budget's alert_at is no list", fix)
    return tuple(sorted({_mark(share, fix) for share in given}))  # pyright: ignore[reportUnknownVariableType] - anything may come


def _mark(share: Any, fix: str) -> int:
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise InvalidTool(f"a budget's alert_at has {type(share).__name__}", fix)
    try:
        exact = Decimal(str(share)) * WHOLE
        whole = int(exact)
    except (InvalidOperation, ValueError, OverflowError):
        raise InvalidTool(f"a budget's alert_at has {share!r}", fix) from None
    if whole != exact or not 0 < whole <= WHOLE:
        raise InvalidTool(f"a budget's alert_at has {share!r}", fix)
    return whole


def reached(level: Level, marks: Sequence[int], *, is_refusal: bool) -> tuple[int, ...]:
    """Return which of *marks* a budget has reached: by what was spent, which nothing gives back.

    Args:
        is_refusal: A call did not fit: that is the end of the budget, whatever was spent by then.
    """
    return tuple(
        mark for mark in marks if level.spent * WHOLE >= mark * level.cap or (is_refusal and mark == WHOLE)
    )


def subject_of(level: Level) -> str:
    """Return what names a budget to people."""
    return f"{level.account}/{level.unit}" + (f"/{level.per}" if level.per else "")


def message_of(crossing: Crossing) -> str:
    """Return what people are told: which budget, whose, how full it is, and what to do."""
    level = crossing.level
    window = f" per {level.per}" if level.per else ""
    whose = f" of tenant {level.owner!r}" if level.owner else ""
    told = ", ".join(
        f"{amount_shown(level.unit, amount)} {word}"
        for amount, word in ((level.spent, "used"), (level.held, "held"))
    )
    budget = f"budget {level.account}/{level.unit}{window}{whose}"
    return f"{budget} {_what(crossing)}: {told}, cap {amount_shown(level.unit, level.cap)}; {_FIX}"


_FIX: Final = "see who spends it, and raise the cap or let it hold"


def _what(crossing: Crossing) -> str:
    if crossing.mark == BURNS:
        return f"will be used up in {_length(crossing.left_s)} at this rate"
    if crossing.is_refusal:
        return "has no room: a call was refused"
    return f"has reached {crossing.mark / 10:g} %"


def _length(left_s: float) -> str:
    minutes = max(round(left_s / 60), 1)
    if minutes < 120:  # noqa: PLR2004 - two hours are told in hours
        return f"{minutes} min"
    return f"{minutes / 60:.0f} h"
