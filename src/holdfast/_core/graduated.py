"""What becomes of model calls while budgets run short: told, slowed, asked of a cheaper model. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from holdfast._core.budget import Level
from holdfast._core.budgeting import CONCURRENCY, COUNTS
from holdfast._core.duration import Duration, seconds
from holdfast._core.spending import FULL, filled
from holdfast._core.usage_wire import WireFormat
from holdfast._core.value import value
from holdfast._core.wire import Object, is_array, is_object
from holdfast.errors import InvalidTool


@value
class RouteFacts:
    """What a rule of routing may know of a request.

    Attributes:
        model: ``provider/model`` that is asked for.
        body: The request, as its client made it.
        input_tokens: It reads no more than so many; ``None`` where nobody can say.
        share: How much of the fullest of its budgets is spent or held, from 0 to 1 and above.
        workflow_id: The workflow that it belongs to.
        actor: Who asks.
    """

    model: str
    body: Mapping[str, Any]
    input_tokens: int | None
    share: float
    workflow_id: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A rule by which another model is asked than the one that was asked for. All that it says must be so.

    Args:
        to: ``provider/model`` that is asked instead; the provider is the client's own.
        model: For which models it holds, ``*`` standing for any letters.
        at: From which share of the fullest budget on, 0 to 1.
        most_input: Only for requests that read so many tokens at most: easy work.
        tools: Only for requests with tools (``True``), or without any (``False``).
        when: Only where this says so; a function of :class:`RouteFacts` that looks at nothing else.
        reason: Why, for the record.

    Raises:
        InvalidTool: It cannot hold.
    """

    to: str
    model: str = "*"
    at: float | None = None
    most_input: int | None = None
    tools: bool | None = None
    when: Callable[[RouteFacts], bool] | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        provider, slash, name = self.to.partition("/")
        if not (provider and slash and name):
            raise InvalidTool(f"a route leads to {self.to!r}", "name the model: to='provider/model'")
        if self.at is not None:
            _share("a route's at", self.at)

    def takes(self, facts: RouteFacts) -> bool:
        """Whether it holds for a request."""
        if facts.model == self.to or not fnmatchcase(facts.model, self.model):
            return False
        if self.at is not None and facts.share < self.at:
            return False
        if self.most_input is not None and not (
            facts.input_tokens is not None and facts.input_tokens <= self.most_input
        ):
            return False
        if self.tools is not None and bool(facts.body.get("tools")) is not self.tools:
            return False
        return self.when is None or bool(self.when(facts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Graduated:
    """From which share of a budget on a model is told of it, and its calls are slowed; ``None`` for never.

    Cheaper models are asked by routes (``Route(to=..., at=0.9)``), and at the cap calls stop in any case.

    Args:
        warn_at: The model reads how much is used, in each request.
        slow_at: Each call waits before it is sent, for *slow_by*.
        slow_by: How long.

    Raises:
        InvalidTool: A share is none.
    """

    warn_at: float | None = 0.5
    slow_at: float | None = 0.7
    slow_by: Duration = 1.0

    def __post_init__(self) -> None:
        for name in ("warn_at", "slow_at"):
            share = getattr(self, name)
            if share is not None:
                _share(name, share)
        seconds(self.slow_by, name="slow_by")

    @property
    def slow_by_s(self) -> float:
        """Seconds of *slow_by*."""
        return seconds(self.slow_by, name="slow_by")


@value
class Plan:
    """What is done otherwise about one request, and why.

    Attributes:
        model: The provider's name of the model that is asked instead; ``None`` for none.
        words: What the model is told; empty for nothing.
        delay_s: How long the call waits.
        told: The same for the record; empty when nothing is done otherwise.
    """

    model: str | None = None
    words: str = ""
    delay_s: float = 0.0
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])


def fullest(levels: Iterable[Level]) -> Level | None:
    """Return the budget that has the least left, as a share; seats that are taken are none."""
    counted = [level for level in levels if level.unit != CONCURRENCY]
    return max(counted, key=filled, default=None)


def planned(
    level: Level | None, facts: RouteFacts, graduated: Graduated | None, routes: Sequence[Route]
) -> Plan:
    """Return what is done about a request whose fullest budget is *level*.

    Raises:
        InvalidTool: The route that holds leads to another provider than the client's. Nothing was sent.
    """
    route = next((each for each in routes if each.takes(facts)), None)
    told: dict[str, Any] = {}
    if route is not None:
        _ensure_same_provider(route, facts)
        why = route.reason or _why(route, level)
        told["route"] = {"from": facts.model, "to": route.to, "why": why}
    words, delay_s = "", 0.0
    if graduated is not None and level is not None:
        if graduated.warn_at is not None and facts.share >= graduated.warn_at:
            words = words_of(level)
            told["warned"] = True
        if graduated.slow_at is not None and facts.share >= graduated.slow_at:
            delay_s = graduated.slow_by_s
            told["slowed_s"] = delay_s
    if told and level is not None:
        told["budget"] = {
            "account": level.account,
            "unit": level.unit,
            "per": level.per,
            "used": level.spent,
            "held": level.held,
            "cap": level.cap,
        }
    model = None if route is None else route.to.partition("/")[2]
    return Plan(model=model, words=words, delay_s=delay_s, told=told)


def share_of(level: Level | None) -> float:
    """Return how much of a budget is spent or held: 0 for nothing, 1 for all."""
    return 0.0 if level is None else filled(level) / FULL


def words_of(level: Level) -> str:
    """Return what a model is told of a budget that runs short."""
    used, cap = (_shown(level.unit, amount) for amount in (level.spent + level.held, level.cap))
    return (
        f"Budget notice: {used} of {cap} are used ({filled(level) * 100 // FULL} %). "
        "Nobody in this conversation can raise it. Finish with what you have: make only calls that are "
        "needed, and give your answer before it runs out."
    )


def with_words(wire: WireFormat, body: Object, words: str) -> Object:
    """Return a request that tells its model something, after all that it has said."""
    if wire == "responses":
        given = body.get("input")
        items: list[Any] = list(given) if is_array(given) else [{"role": "user", "content": given}]
        return {**body, "input": [*items, {"role": "developer", "content": words}]}
    messages: list[Any] = list(body.get("messages") or ())
    if wire == "chat":
        return {**body, "messages": [*messages, {"role": "system", "content": words}]}
    last = messages[-1] if messages else None
    if not is_object(last) or last.get("role") != "user":
        return {**body, "messages": [*messages, {"role": "user", "content": words}]}
    content = last.get("content")
    blocks: list[Any] = list(content) if is_array(content) else [{"type": "text", "text": str(content)}]
    told = {**last, "content": [*blocks, {"type": "text", "text": words}]}
    return {**body, "messages": [*messages[:-1], told]}


def _ensure_same_provider(route: Route, facts: RouteFacts) -> None:
    own = facts.model.partition("/")[0]
    if route.to.partition("/")[0] != own:
        fix = "route to that provider's models, and others by a client of their own"
        raise InvalidTool(f"a route leads to {route.to!r}, and the client asks {own}; nothing ran", fix)


def _why(route: Route, level: Level | None) -> str:
    if route.at is not None and level is not None:
        return f"budget {level.account}/{level.unit} is used to {filled(level) * 100 // FULL} %"
    if route.most_input is not None:
        return f"it reads at most {route.most_input} tokens"
    return "a rule says so"


def _shown(unit: str, amount: int) -> str:
    if unit in COUNTS:
        return f"{amount} {unit.replace('_', ' ')}"
    return f"{amount / 1_000_000:.2f} {unit.upper()}"


def _share(name: str, given: Any) -> None:
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given <= 1:
        raise InvalidTool(f"{name} is {given!r}", "give a share of the budget, e.g. 0.8")
