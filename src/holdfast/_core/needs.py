"""What one attempt of a call may spend at most, as far as that is known before it is made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from holdfast._core.budget import Level, PlaceHold, Refused
from holdfast._core.money import Money
from holdfast._core.value import value

DECLARED: Final = "declared"
"""Who set a tool's price: whoever declared the tool."""


@value
class Needs:
    """What one attempt may spend at most.

    Attributes:
        steps: Calls of a model.
        tool_calls: Calls of a tool.
        tokens: That models read and write.
        money: What it costs, in micro-units of *currency*.
        currency: A code in small letters; empty where nothing is known of money.
        model: ``provider/model`` that is asked; empty for a tool.
        price: By which price *money* was computed; ``None`` where nothing is known of money.
        endless: Why nobody can say how many tokens it uses at most; empty when that is known.
        unpriced: Why nobody can say what it costs at most; empty when that is known.
    """

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    money: int = 0
    currency: str = ""
    model: str = ""
    price: str | None = None
    endless: tuple[str, ...] = ()
    unpriced: str = ""

    @property
    def is_recorded(self) -> bool:
        """Whether it goes on record even where no budget asks for it."""
        return bool(self.model or self.currency)

    @property
    def amounts(self) -> dict[str, int]:
        """The same by unit, without what it does not need."""
        named = {"steps": self.steps, "tool_calls": self.tool_calls, "tokens": self.tokens}
        if self.currency:
            named[self.currency] = self.money
        return {unit: amount for unit, amount in named.items() if amount}


TOOL: Final = Needs(tool_calls=1)
"""A tool of which nobody said what it costs."""


def needs_of_tool(cost: Money | None) -> Needs:
    """Return what one attempt of a tool needs that costs so much."""
    if cost is None:
        return TOOL
    return Needs(tool_calls=1, money=cost.micros, currency=cost.currency.lower(), price=DECLARED)


class Flexible(Protocol):
    """A call that can do with less, if that is all there is: a model's answer may be shorter."""

    @property
    def needs(self) -> Needs:
        """What its next attempt may spend at most."""
        ...

    def begin(self) -> None:
        """Need all that was asked for again: another claim is made, and there may be more room now."""
        ...

    @property
    def is_steered(self) -> bool:
        """Whether it matters how full budgets are, before it is refused."""
        ...

    def steer(self, levels: Iterable[Level]) -> None:
        """Hear how full the budgets are that it falls under."""
        ...

    @property
    def told(self) -> Mapping[str, Any]:
        """What its attempt does otherwise than it was asked, and why, for the record."""
        ...

    def held(self, hold: PlaceHold | None) -> None:
        """Hear what its next attempt holds of budgets."""
        ...

    def shrunk(self, refused: Refused) -> bool:
        """Need less, for the room that there is; whether it can."""
        ...
