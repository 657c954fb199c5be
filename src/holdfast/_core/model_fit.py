"""How much output a model is allowed, so that the request fits into what budgets have left. Pure.

A request wishes for an answer of some length. Where budgets refuse that, it asks for as much as fits, and
is refused only where that would be too short to be of use. One field of what is sent is another then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from holdfast._core.budget import MOST, TOKENS, Level, PlaceHold, Refused
from holdfast._core.graduated import (
    Graduated,
    Plan,
    Route,
    RouteFacts,
    fullest,
    planned,
    share_of,
    with_words,
)
from holdfast._core.money import Money
from holdfast._core.needs import Needs
from holdfast._core.price import PriceRow
from holdfast._core.usage import is_count
from holdfast._core.usage_wire import WireFormat
from holdfast._core.value import value
from holdfast._core.wire import Object, object_of
from holdfast._core.worst_cost import RequestBound, Unbounded, affordable_max_tokens, worst_cost
from holdfast.errors import UnpricedModel

DEFAULT_OUTPUT: Final = 8_192
"""So long is an answer at most, in tokens, when budgets need a bound and the request names none."""
LEAST_OUTPUT: Final = 64
"""A shorter answer is not worth its request."""
_ROUNDS: Final = 8
_WORDS: Final = frozenset({"messages", "input"})
_FIELDS: Final[Mapping[WireFormat, tuple[str, ...]]] = {
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "chat": ("max_completion_tokens", "max_tokens"),
}
_MODERN: Final = frozenset({"openai", "azure"})
"""Who calls the field ``max_completion_tokens``, and refuses the other for models that reason."""


@value
class Quote:
    """What is known of a request before it is sent.

    Attributes:
        model: ``provider/model``.
        bound: What it uses at most.
        row: The model's prices; ``None`` where nobody knows them.
        unpriced: Why that is so.
    """

    model: str
    bound: RequestBound | Unbounded
    row: PriceRow | None = None
    unpriced: str = ""


@value
class Manner:
    """How one client's requests are fitted.

    Attributes:
        wished: Output tokens of each answer, when the request names none.
        least: It is never sent for less.
        graduated: What is done while budgets run short.
        routes: By which other models are asked.
    """

    wished: int = DEFAULT_OUTPUT
    least: int = LEAST_OUTPUT
    graduated: Graduated | None = None
    routes: tuple[Route, ...] = ()


class Fitting:
    """One request, as long as its answer may be for now; see :class:`holdfast._core.needs.Flexible`.

    Args:
        body: As its client made it.
        quoted: Says what is known of a body.
        who: The workflow that it belongs to, and who asks.
    """

    def __init__(
        self,
        wire: WireFormat,
        body: Object,
        quoted: Callable[[Object], Quote],
        manner: Manner,
        who: tuple[str, str] = ("", ""),
    ) -> None:
        self._wire: WireFormat = wire
        self._asked, self._quoted, self._manner, self._who = body, quoted, manner, who
        self._plan = Plan()
        self._is_capped = False
        self._take(body)

    def _take(self, body: Object) -> None:
        """Take a body in the place of the one before."""
        self._body, self._quote, self._rounds = body, self._quoted(body), 0
        self._fields, named = _limit(self._wire, body, self._quote.model)
        self._is_named = named is not None
        self._each = self._wished = self._manner.wished if named is None else named
        self._least = max(min(self._manner.least, self._each), _thinking(self._wire, body) + 1)
        self._needs = self._needed()

    def begin(self) -> None:
        """Ask for all of the answer again: another claim is made, and there may be more room now."""
        self._each, self._rounds = self._wished, 0
        self._needs = self._needed()

    @property
    def is_steered(self) -> bool:
        """Whether it matters how full budgets are, before it is refused."""
        return self._manner.graduated is not None or bool(self._manner.routes)

    def steer(self, levels: Iterable[Level]) -> None:
        """Hear how full the budgets are that it falls under."""
        level, bound = fullest(levels), self._quote.bound
        facts = RouteFacts(
            model=self._quoted(self._asked).model,
            body=self._asked,
            input_tokens=None if isinstance(bound, Unbounded) else bound.input_tokens,
            share=share_of(level),
            workflow_id=self._who[0],
            actor=self._who[1],
        )
        plan = planned(level, facts, self._manner.graduated, self._manner.routes)
        if plan == self._plan:
            return
        self._plan = plan
        body = self._asked if plan.model is None else {**self._asked, "model": plan.model}
        self._take(with_words(self._wire, body, plan.words) if plan.words else body)

    @property
    def delay_s(self) -> float:
        """How long it waits before it is sent."""
        return self._plan.delay_s

    @property
    def told(self) -> Mapping[str, Any]:
        """What is done otherwise, and why; empty for nothing."""
        return self._plan.told

    @property
    def needs(self) -> Needs:
        """What the next attempt may spend at most."""
        return self._needs

    @property
    def row(self) -> PriceRow | None:
        """By which prices it counts."""
        return self._quote.row

    @property
    def body(self) -> Object:
        """What is sent."""
        if self._each == self._wished and (self._is_named or not self._is_capped):
            return self._body
        return {**self._body, **dict.fromkeys(self._fields, self._each)}

    @property
    def changed(self) -> dict[str, Any]:
        """What is sent otherwise than it was asked, but for what the model is told besides."""
        body = self.body
        return {
            name: value
            for name, value in body.items()
            if name not in _WORDS and self._asked.get(name) != value
        }

    def held(self, hold: PlaceHold | None) -> None:
        """Hear what is held: a request under a cap on tokens or money has to name a limit."""
        units = {demand.unit for demand in (() if hold is None else hold.demands)}
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
        bound, row = self._quote.bound, self._quote.row
        left, unit = refused.level.left, refused.level.unit
        if isinstance(bound, Unbounded) or left <= 0:
            return None
        if unit == TOKENS:
            return (left - bound.input_tokens) // bound.answers
        if row is not None and unit == self._needs.currency:
            return affordable_max_tokens(Money(left, row.currency), row, bound, most=self._each)
        return None

    def _needed(self) -> Needs:
        quote, bound = self._quote, self._quote.bound
        if isinstance(bound, Unbounded):
            return Needs(steps=1, model=quote.model, endless=bound.why, unpriced=quote.unpriced)
        bound = replace(bound, max_output=self._each * bound.answers)
        tokens = min(bound.input_tokens + (bound.max_output or 0), MOST)
        needs = Needs(steps=1, tokens=tokens, model=quote.model, unpriced=quote.unpriced)
        if quote.row is None:
            return needs
        try:
            cost = worst_cost(bound, quote.row)
        except UnpricedModel as error:
            return replace(needs, unpriced=str(error))
        money = min(cost.micros, MOST)
        return replace(needs, money=money, currency=cost.currency.lower(), price=quote.row.id)


def _limit(wire: WireFormat, body: Object, model: str) -> tuple[tuple[str, ...], int | None]:
    """Return the fields that limit the output, and what they allow; ``None`` where one of them is no limit.

    Of two fields nobody knows which one a provider reads, so the larger counts, and both are changed.
    """
    names = _FIELDS[wire]
    given = {name: body[name] for name in names if body.get(name) is not None}
    if not given:
        return (names[0] if model.partition("/")[0] in _MODERN else names[-1],), None
    counts = [value for value in given.values() if is_count(value) and value]
    return tuple(given), max(counts) if len(counts) == len(given) else None


def _thinking(wire: WireFormat, body: Object) -> int:
    """Return how much of the output a request sets aside for thinking: its limit must be above that."""
    value: Any = object_of(body.get("thinking")).get("budget_tokens") if wire == "messages" else None
    return value if is_count(value) else 0
