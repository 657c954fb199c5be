"""How much output a model is allowed, so that the request fits into what budgets have left. Pure.

A request wishes for an answer of some length. Where budgets refuse that, it asks for as much as fits, and
is refused only where that would be too short to be of use. One field of what is sent is another then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from holdfast._core.budget import MOST, TOKENS, PlaceHold, Refused
from holdfast._core.money import Money
from holdfast._core.needs import Needs
from holdfast._core.price import PriceRow
from holdfast._core.usage import is_count
from holdfast._core.usage_wire import WireFormat
from holdfast._core.wire import Object, object_of
from holdfast._core.worst_cost import RequestBound, Unbounded, affordable_max_tokens, worst_cost
from holdfast.errors import UnpricedModel

DEFAULT_OUTPUT: Final = 8_192
"""So long is an answer at most, in tokens, when budgets need a bound and the request names none."""
LEAST_OUTPUT: Final = 64
"""A shorter answer is not worth its request."""
_ROUNDS: Final = 8
_FIELDS: Final[Mapping[WireFormat, tuple[str, ...]]] = {
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "chat": ("max_completion_tokens", "max_tokens"),
}
_MODERN: Final = frozenset({"openai", "azure"})
"""Who calls the field ``max_completion_tokens``, and refuses the other for models that reason."""


class Fitting:
    """One request, as long as its answer may be for now; see :class:`holdfast._core.needs.Flexible`.

    Args:
        model: ``provider/model``.
        bound: What the request uses at most.
        row: The model's prices; ``None`` where nobody knows them.
        unpriced: Why that is so.
        wished: Output tokens of each answer, when the request names none.
        least: It is never sent for less.
    """

    def __init__(
        self,
        wire: WireFormat,
        body: Object,
        model: str,
        *,
        bound: RequestBound | Unbounded,
        row: PriceRow | None,
        unpriced: str = "",
        wished: int = DEFAULT_OUTPUT,
        least: int = LEAST_OUTPUT,
    ) -> None:
        self._body, self._model, self._row, self._unpriced = body, model, row, unpriced
        self._bound = bound
        self._field, named = _limit(wire, body, model)
        self._is_named = named is not None
        self._each = wished if named is None else named
        self._asked = self._each
        self._least = max(min(least, self._each), _thinking(wire, body) + 1)
        self._is_capped = False
        self._rounds = 0
        self._needs = self._needed()

    @property
    def needs(self) -> Needs:
        """What the next attempt may spend at most."""
        return self._needs

    @property
    def row(self) -> PriceRow | None:
        """By which prices it counts."""
        return self._row

    @property
    def body(self) -> Object:
        """What is sent: as it was asked, but for the length of the answer."""
        if self._each == self._asked and (self._is_named or not self._is_capped):
            return self._body
        return {**self._body, self._field: self._each}

    @property
    def changed(self) -> dict[str, Any]:
        """What is sent otherwise than it was asked."""
        body = self.body
        return {name: value for name, value in body.items() if self._body.get(name) != value}

    def held(self, hold: PlaceHold | None) -> None:
        """Hear what is held: a request under a cap on tokens or money has to name a limit."""
        units = set() if hold is None else {demand.unit for demand in hold.demands}
        self._is_capped = bool(units & {TOKENS, self._needs.currency or TOKENS})

    def shrunk(self, refused: Refused) -> bool:
        """Ask for as much as there is room for; whether that is less, and still of use."""
        room = self._room(refused)
        self._rounds += 1
        if room is None or not self._least <= room < self._each or self._rounds > _ROUNDS:
            return False
        self._each = room
        self._needs = self._needed()
        return True

    def _room(self, refused: Refused) -> int | None:
        """Return how long each answer may be for what is left of a budget."""
        bound, left, unit = self._bound, refused.level.left, refused.level.unit
        if isinstance(bound, Unbounded) or left <= 0:
            return None
        if unit == TOKENS:
            return (left - bound.input_tokens) // bound.answers
        if self._row is not None and unit == self._needs.currency:
            money = Money(left, self._row.currency)
            return affordable_max_tokens(money, self._row, bound, most=self._each)
        return None

    def _needed(self) -> Needs:
        if isinstance(self._bound, Unbounded):
            return Needs(steps=1, model=self._model, endless=self._bound.why, unpriced=self._unpriced)
        bound = replace(self._bound, max_output=self._each * self._bound.answers)
        tokens = min(bound.input_tokens + (bound.max_output or 0), MOST)
        needs = Needs(steps=1, tokens=tokens, model=self._model, unpriced=self._unpriced)
        if self._row is None:
            return needs
        try:
            cost = worst_cost(bound, self._row)
        except UnpricedModel as error:
            return replace(needs, unpriced=str(error))
        money = min(cost.micros, MOST)
        return replace(needs, money=money, currency=cost.currency.lower(), price=self._row.id)


def _limit(wire: WireFormat, body: Object, model: str) -> tuple[str, int | None]:
    """Return the field that limits the output, and what it says."""
    for name in _FIELDS[wire]:
        value: Any = body.get(name)
        if is_count(value) and value:
            return name, value
    names = _FIELDS[wire]
    return (names[0] if model.partition("/")[0] in _MODERN else names[-1]), None


def _thinking(wire: WireFormat, body: Object) -> int:
    """Return how much of the output a request sets aside for thinking: its limit must be above that."""
    value: Any = object_of(body.get("thinking")).get("budget_tokens") if wire == "messages" else None
    return value if is_count(value) else 0
