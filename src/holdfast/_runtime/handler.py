"""What kind of function a handler is, and what it is called with. Checked before anything is claimed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any, Final

from holdfast._core.model import Effect, Undone
from holdfast.errors import InvalidCall, InvalidTool, SchemaMismatch
from holdfast.ports import Handler

_ANY_KIND: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True, slots=True)
class Shape:
    """How a handler wants to be called.

    Attributes:
        is_async: It returns an awaitable or is an async generator.
        is_stream: It is a generator, plain or async: its items are the result.
        effect_param: The parameter that receives the :class:`Effect`, or ``None``.
        undone_param: The one that receives the :class:`Undone` effect of a compensation, or ``None``.
        required: Arguments that the call must bring.
        allowed: Arguments that it may bring; ``None`` when it takes any.
    """

    name: str
    is_async: bool
    is_stream: bool
    effect_param: str | None
    undone_param: str | None
    required: frozenset[str]
    allowed: frozenset[str] | None

    def kwargs(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Return *args* as keyword arguments, or say why the handler cannot take them.

        Raises:
            InvalidCall: Missing, unexpected or injected arguments. Nothing was recorded.
        """
        names = args.keys()
        if self.undone_param is not None and self.undone_param in names:
            what = f"call of {tool!r} brings the argument {self.undone_param!r}, which holdfast injects"
            raise InvalidCall(what, "leave it out")
        if self.effect_param is not None and self.effect_param in names:
            what = f"call of {tool!r} brings the argument {self.effect_param!r}, which holdfast injects"
            raise InvalidCall(what, "rename the argument, or annotate another parameter with Effect")
        missing = self.required - names
        if missing:
            what = f"call of {tool!r} lacks {_names(missing)} of handler {self.name}"
            raise SchemaMismatch(what, "complete the arguments; nothing ran")
        extra: set[str] = set() if self.allowed is None else set(names - self.allowed)
        if extra:
            what = f"call of {tool!r} brings {_names(extra)}, which handler {self.name} does not take"
            raise SchemaMismatch(what, "drop the arguments or extend the handler; nothing ran")
        return dict(args)


_PLAIN: Final = Shape("step", False, False, None, None, frozenset(), frozenset())  # noqa: FBT003 - see Shape
_ASYNC: Final = replace(_PLAIN, is_async=True)


class Ready:
    """A function that has its arguments: made for one call, so that nothing is to be remembered of it."""

    __slots__ = ("call", "shape")

    def __init__(self, call: Callable[[], Any], *, is_async: bool) -> None:
        self.call = call
        self.shape = _ASYNC if is_async else _PLAIN

    def __call__(self) -> Any:
        return self.call()


def call_plain(handler: Handler, kwargs: Mapping[str, Any]) -> Any:
    """Call a plain handler; a generator's items are its result.

    Raises:
        RuntimeError: The handler raised StopIteration, which no coroutine can pass on.
    """
    try:
        returned = handler(**kwargs)
    except StopIteration as stop:
        msg = "the handler raised StopIteration"
        raise RuntimeError(msg) from stop
    return list(returned) if inspect.isgenerator(returned) else returned


def _names(names: Any) -> str:
    shown = sorted(names)[:5]
    return ", ".join(repr(name[:40]) for name in shown) + (" …" if len(names) > len(shown) else "")


def shape_of(handler: Handler) -> Shape:
    """Return the shape of *handler*.

    Raises:
        InvalidTool: It is not a function that can be called with keyword arguments.
    """
    if isinstance(handler, Ready):
        return handler.shape
    # Only functions are remembered: they are equal to nothing but themselves. Objects that merely compare
    # equal may hold different accounts.
    if type(handler) is FunctionType:
        return _cached(handler)
    function: object = getattr(handler, "__func__", None)
    if type(handler) is MethodType and isinstance(function, FunctionType):
        return _of_method(function)
    return _inspect(handler)


def _inspect(handler: Handler) -> Shape:
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    if inspect.isawaitable(handler):
        if inspect.iscoroutine(handler):
            handler.close()
        raise InvalidTool(
            f"handler {name} is a coroutine, not a function", "pass the function, without calling it"
        )
    target = handler
    while isinstance(target, functools.partial):
        target = target.func
    if not callable(handler) or isinstance(target, type):
        raise InvalidTool(f"handler {name} is not a function", "pass a plain or async function")
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (ValueError, TypeError):
        parameters = None
    call = target if inspect.isroutine(target) else type(target).__call__
    is_async = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
    is_stream = inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)
    if parameters is None:  # some builtins do not tell: they are called as they are
        return Shape(name, is_async, is_stream, None, None, frozenset(), None)
    positional = [
        p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY and p.default is p.empty
    ]
    if positional:
        what = f"handler {name} has positional-only parameters ({', '.join(positional)})"
        raise InvalidTool(what, "arguments are passed by keyword: drop the '/'")
    named = [p for p in parameters if p.kind in _ANY_KIND]
    effect_param = _effect_param(name, named)
    undone_param = next((p.name for p in named if _is_undone(p)), None)
    injected = {effect_param, undone_param}
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return Shape(
        name,
        is_async,
        is_stream,
        effect_param,
        undone_param,
        frozenset(p.name for p in named if p.default is p.empty and p.name not in injected),
        None if takes_any else frozenset(p.name for p in named if p.name not in injected),
    )


_cached: Final = functools.lru_cache(maxsize=1024)(_inspect)


@functools.lru_cache(maxsize=1024)
def _of_method(function: FunctionType) -> Shape:
    """Return the shape that all bound methods of *function* share."""
    return _inspect(MethodType(function, object()))


def _effect_param(handler: str, parameters: list[inspect.Parameter]) -> str | None:
    annotated = [p.name for p in parameters if _is(Effect, p.annotation)]
    if len(annotated) > 1:
        raise InvalidTool(
            f"handler {handler} annotates {annotated} with Effect", "only one parameter receives it"
        )
    if annotated:
        return annotated[0]
    by_name = next((p for p in parameters if p.name == "effect"), None)
    if by_name is None:
        return None
    if by_name.annotation is not by_name.empty and by_name.annotation not in {Any, "Any", object, "object"}:
        what = f"handler {handler} has a parameter 'effect' annotated {by_name.annotation!r}"
        raise InvalidTool(
            what, "that name receives the Effect: rename it, or annotate another parameter with Effect"
        )
    return "effect"


def _is_undone(parameter: inspect.Parameter) -> bool:
    by_name = parameter.name == "undone" and parameter.annotation is parameter.empty
    return by_name or _is(Undone, parameter.annotation)


def _is(kind: type, annotation: object) -> bool:
    if isinstance(annotation, str):
        return any(part.strip().rpartition(".")[2] == kind.__name__ for part in annotation.split("|"))
    return annotation is kind or kind in getattr(annotation, "__args__", ())
