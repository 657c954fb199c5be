"""Asking the user's functions: written once, awaited only where they are async."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias, TypeGuard, cast

from holdfast._core.contract import Reconciler
from holdfast._core.model import Effect, Evidence
from holdfast.errors import InvalidTool
from holdfast.reconcilers.silence import Silence

_MOST: Final = 100_000
_PAIR: Final = 2

Asking: TypeAlias = Generator[Any, Any, Evidence]
"""Yields whatever a user's function returned, is sent what that stands for, returns the evidence."""


def reconciler(ask: Callable[[Effect], Asking]) -> Reconciler:
    """Make a reconciler of *ask*. It is awaited if a function that it asks has to be, and plain otherwise."""

    def reconcile(effect: Effect) -> Evidence | Awaitable[Evidence]:
        asking = ask(effect)
        try:
            answer = next(asking)
            while not inspect.isawaitable(answer):
                answer = asking.send(answer)
        except StopIteration as stop:
            found: Evidence = stop.value
            return found
        return _awaited(asking, answer)

    return reconcile


async def _awaited(asking: Asking, answer: Any) -> Evidence:
    try:
        while True:
            try:
                found = await answer if inspect.isawaitable(answer) else answer
            except Exception as error:  # noqa: BLE001 - raised again inside, where it may mean something
                answer = asking.throw(error)
            else:
                answer = asking.send(found)
    except StopIteration as stop:
        evidence: Evidence = stop.value
        return evidence


def ask_for(function: Callable[..., Any], given: object, silence: Silence) -> Generator[Any, Any, Any]:
    """Ask *function*; return what it found, or ``None`` if it said that there is nothing."""
    try:
        return (yield function(given))
    except Exception as error:
        if silence.is_meant_by(error):
            return None
        raise


def ask_for_all(
    function: Callable[..., Any], given: object, silence: Silence
) -> Generator[Any, Any, list[Any]]:
    """Ask *function*, which finds any number; an exception may come as late as with the last page.

    Raises:
        InvalidTool: What it returned is one thing, not many.
    """
    candidates: list[Any] = []
    odd = ""
    try:
        found: Any = yield function(given)
        if isinstance(found, AsyncIterable):
            yield _gathered(found, candidates)  # pyright: ignore[reportUnknownArgumentType] - anything may come
        elif is_many(found):
            candidates.extend(islice(found, _MOST + 1))  # in place: what comes before an exception stays
        else:
            odd = f"one {type(found).__name__}"  # pyright: ignore[reportUnknownArgumentType]
    except Exception as error:
        if not silence.is_meant_by(error):
            raise  # else it says after the last page that there is no more
    if odd or len(candidates) > _MOST:  # pages may have no end, and whoever waited may have left
        what = f"the search returned {odd or f'more than {_MOST:,} candidates'}"
        raise InvalidTool(what, "return the candidates, as any iterable, and not too many")
    return candidates


def is_many(found: Any) -> TypeGuard[Iterable[Any]]:
    """Whether that is a number of things, and not one."""
    if not isinstance(found, Iterable) or isinstance(found, Mapping | str | bytes):
        return False
    return not _gives_its_fields(found)  # pyright: ignore[reportUnknownArgumentType] - anything may come


def _gives_its_fields(found: Iterable[Any]) -> bool:
    """Whether it is one object that is gone through field by field, as pydantic's models are.

    Pages of SDKs are such models as well, but give their items.
    """
    if not hasattr(type(found), "model_fields"):
        return False
    first: object = next(iter(found), None)
    pair = cast("tuple[object, ...]", first) if isinstance(first, tuple) else ()
    return len(pair) == _PAIR and hasattr(found, str(pair[0]))


async def _gathered(found: AsyncIterable[Any], candidates: list[Any]) -> None:
    async for each in found:
        candidates.append(each)
        if len(candidates) > _MOST:
            return


def demand_function(shape: str, name: str, function: Any) -> None:
    """Refuse what cannot be asked when the tool is declared, not when there is doubt.

    Raises:
        InvalidTool: It is no function.
    """
    if not callable(function):
        raise InvalidTool(f"{shape}: {name} is {type(function).__name__}", "give a function")


def demand_plain(shape: str, name: str, function: Any) -> None:
    """Refuse what cannot look at something found: such a function asks nobody, so it never waits.

    Raises:
        InvalidTool: It is async, or no function.
    """
    demand_function(shape, name, function)
    if inspect.iscoroutinefunction(function):
        raise InvalidTool(f"{shape}: {name} is async", "give a plain function: it looks at what was found")


def demand_fields(shape: str, name: str, fields: Any) -> None:
    """Refuse what cannot be compared with.

    Raises:
        InvalidTool: It is no mapping of paths to arguments and no plain function; or it would fit anything.
    """
    if not isinstance(fields, Mapping):
        demand_plain(shape, name, fields)
        return
    texts: list[Any] = [*fields.keys(), *fields.values()]  # pyright: ignore[reportUnknownArgumentType]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidTool(f"{shape}: {name} names no fields", "give {path: argument}, at least one")
