"""What a budget refuses: nothing ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.errors.base import HoldfastError


class BudgetExceeded(HoldfastError):
    """A call does not fit into a budget. Nothing ran, nothing is held, and nothing was recorded.

    A read has been made by then, for it is counted when it is recorded; nothing of it is told or recorded.

    Attributes:
        account: Whose budget it is: ``global``, ``tenant``, ``agent:<id>``, ``workflow:<id>`` or
            ``scope:<name>``.
        unit: What is counted: ``tokens``, ``steps``, ``tool_calls``, ``concurrency``, or the code of a
            currency, in small letters.
        per: The window that it begins anew in; empty when it does not.
        used: What was spent (money in micro-units).
        held: What calls under way may still spend.
        cap: What may be spent in all.
        needed: What this call may spend at most.
        key: The call's key.
        was_read: It is a read that was made.
    """

    code = "budget-exceeded"

    def __init__(
        self,
        account: str,
        unit: str,
        per: str,
        *,
        used: int,
        held: int,
        cap: int,
        needed: int,
        key: str | None = None,
        was_read: bool = False,
    ) -> None:
        super().__init__(account, unit, per, used, held, cap, needed, key, was_read)
        self.account = account
        self.unit = unit
        self.per = per
        self.used = used
        self.held = held
        self.cap = cap
        self.needed = needed
        self.key = key
        self.was_read = was_read

    def __str__(self) -> str:
        window = f" per {self.per}" if self.per else ""
        call = f" for effect {self.key!r}" if self.key else ""
        what = f"budget {self.account}/{self.unit}{window}"
        used, held, cap, needed = (
            amount_shown(self.unit, amount) for amount in (self.used, self.held, self.cap, self.needed)
        )
        wait = "wait for its window, " if self.per else ""
        fix = f"{wait}let what is under way end, or raise the cap, and call again"
        done = "it was read, and nothing of it is told" if self.was_read else "nothing ran"
        level = f"{used} used, {held} held, cap {cap}"
        return f"{what} has no room for {needed} more{call}: {level}; {done}; {fix}"

    def __reduce__(self) -> tuple[object, ...]:
        named = {name: getattr(self, name) for name in _NAMED}
        return _again, (self.account, self.unit, self.per, named)


_CODE_LENGTH: Final = 3  # of a currency; the names of what is counted are longer


def amount_shown(unit: str, amount: int) -> str:
    """Return an amount as people read it: money in units of its currency, not in millionths."""
    if len(unit) != _CODE_LENGTH:
        return str(amount)
    sign, whole = "-" * (amount < 0), abs(amount)
    return f"{sign}{whole // 1_000_000}.{whole % 1_000_000:06d} {unit.upper()}"


_NAMED: Final = ("used", "held", "cap", "needed", "key", "was_read")


def _again(account: str, unit: str, per: str, named: dict[str, Any]) -> BudgetExceeded:
    return BudgetExceeded(account, unit, per, **named)


class UnboundedRequest(HoldfastError):
    """A budget caps what nobody can say of a request: how many tokens it uses, or what it costs. Nothing ran.

    Attributes:
        model: ``provider/model`` that it asks.
        account: The budget's.
        why: What of it has no bound.
    """

    code = "unbounded-request"

    def __init__(self, model: str, account: str, why: Sequence[str]) -> None:
        super().__init__(model, account, tuple(why))
        self.model = model
        self.account = account
        self.why = tuple(why)

    def __str__(self) -> str:
        named = "; ".join(self.why[:3])
        fix = "leave that out of the request, give the model's price and context window, or take off the cap"
        what = f"a request to {self.model!r} has no bound, and budget {self.account} needs one: {named}"
        return f"{what}; nothing ran; {fix}"
