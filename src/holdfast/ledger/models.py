"""``ledger.model``: a client, or a function, whose model calls are effects of the ledger."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypedDict, TypeVar, cast

from holdfast._core.duration import Duration
from holdfast._core.graduated import Graduated, Route
from holdfast._core.model_fit import DEFAULT_OUTPUT, LEAST_OUTPUT, Manner
from holdfast._core.retry import RetryPolicy
from holdfast.errors import InvalidTool
from holdfast.ledger import model_functions as functions
from holdfast.ledger.engine import Engine
from holdfast.ledger.model_calls import AsyncLedgerAsks, LedgerAsks, Wishes
from holdfast.models import wrapped

T = TypeVar("T")
_OF_CONTRACT: Final = frozenset({"retry", "timeout"})


class ModelOptions(TypedDict, total=False):
    """How the model calls of a client are made.

    Attributes:
        model: Of a function: ``provider/model`` that it asks.
        provider: Whose models a client asks, e.g. ``openrouter``; by default its maker's.
        workflow_id: The execution that calls outside of any workflow belong to: the same calls in the same
            order are answered from the record. By default each client has one of its own.
        default_output: So long is an answer at most, in tokens, when a budget needs a bound and the request
            names none.
        least_output: A request that budgets leave less for is refused.
        tool_rounds: So often the provider may ask its model again by itself for tools that it executes.
        usage: Of a function: reads what a reply used.
        retry: How a call is tried again; by default as every effect of the ledger is.
        timeout: How long one attempt may take; by default as long as the client lets it.
        graduated: What is done while a budget runs short: the model is told, calls are slowed.
        routes: Rules by which another model is asked; the first that holds is followed.
        others: Whether a client's other requests that may cost are refused, or let through unseen.
    """

    model: str
    provider: str
    workflow_id: str
    default_output: int
    least_output: int
    tool_rounds: int
    usage: functions.UsageOf
    retry: RetryPolicy | Literal[False]
    timeout: Duration
    graduated: Graduated
    routes: Sequence[Route]
    others: Literal["refuse", "allow"]


def model(engine: Engine, client: T, options: ModelOptions) -> T:
    """Return *client* with its model calls made through the ledger.

    Raises:
        InvalidTool: It is no client, or one that awaits while the ledger waits, or the other way round.
    """
    if inspect.isroutine(client) or (callable(client) and "model" in options):
        blocking = engine.parts.runtime.blocking
        return cast("T", _function(engine, client, _wishes(engine, options), options, blocking=blocking))
    asks = asks_of(engine, options)
    return wrapped(client, asks, provider=options.get("provider"), others=options.get("others", "refuse"))


def asks_of(engine: Engine, options: ModelOptions) -> LedgerAsks | AsyncLedgerAsks:
    """Return the model calls of one client; awaited unless the ledger waits."""
    kind = LedgerAsks if engine.parts.runtime.blocking else AsyncLedgerAsks
    return kind(engine, engine.shared.prices, _wishes(engine, options))


def _wishes(engine: Engine, options: ModelOptions) -> Wishes:
    return Wishes(
        workflow_id=options.get("workflow_id") or f"model:{engine.parts.runtime.token().hex()[:24]}",
        manner=Manner(
            wished=_count("default_output", options.get("default_output", DEFAULT_OUTPUT)),
            least=_count("least_output", options.get("least_output", LEAST_OUTPUT)),
            graduated=options.get("graduated"),
            routes=tuple(options.get("routes", ())),
        ),
        tool_rounds=options.get("tool_rounds"),
        contract={name: value for name, value in options.items() if name in _OF_CONTRACT},
    )


def _function(
    engine: Engine, function: Callable[..., Any], wishes: Wishes, options: ModelOptions, *, blocking: bool
) -> Callable[..., Any]:
    named = options.get("model")
    if named is None:
        raise InvalidTool("a function as a model says not what it asks", "name it: model='provider/model'")
    if functions.is_async(function) is blocking:
        is_what, fix = ("plain", "SyncLedger, or an async function") if not blocking else ("async", "Ledger")
        raise InvalidTool(f"the function for {named!r} is {is_what}, and the ledger is not", f"use {fix}")
    if options.get("routes") and not functions.takes_model(function):
        raise InvalidTool(f"the function for {named!r} takes no model, and has routes", "let it take model=")
    is_bounded = functions.takes_limit(function) or "default_output" in options
    endless = "" if is_bounded else "the function takes no max_tokens, and default_output= is not given"
    own = replace(wishes, usage=functions.reader_of(options.get("usage")), endless=endless)
    prices = engine.shared.prices
    if blocking:
        return functions.asking(function, LedgerAsks(engine, prices, own), named)
    return functions.asking_async(function, AsyncLedgerAsks(engine, prices, own), named)


def _count(name: str, given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidTool(f"{name} is {given!r}", "give a positive number of tokens")
    return given
