"""Any function that asks a model, as a model call of a ledger."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from holdfast._core.model_request import ModelAnswer, ModelRequest
from holdfast._core.usage import Reading, UnknownUsage, Usage
from holdfast._core.usage_wire import WireFormat, usage_of
from holdfast._core.wire import object_of
from holdfast.errors import InvalidCall, InvalidTool
from holdfast.ledger.model_answers import UsageReader
from holdfast.ledger.model_calls import AsyncLedgerAsks, LedgerAsks

UsageOf: TypeAlias = Callable[[Any], Usage | Mapping[str, Any] | None]
"""Reads what a function's reply says that it used: as :class:`holdfast.prices.Usage`, or its fields."""
MODEL: Final = "model"
LIMIT: Final = "max_tokens"
"""By which names a function is told what to ask, and how long its answer may be."""


def is_async(function: Callable[..., Any]) -> bool:
    """Whether what it gives has to be awaited."""
    call = function if inspect.isroutine(function) else getattr(type(function), "__call__", function)  # noqa: B004 - to look at, not to test
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(function)


def takes_model(function: Callable[..., Any]) -> bool:
    """Whether it can be told which model to ask."""
    parameters = inspect.signature(function).parameters
    return MODEL in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def takes_limit(function: Callable[..., Any]) -> bool:
    """Whether it can be told how long its answer may be."""
    parameters = inspect.signature(function).parameters
    return LIMIT in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def reader_of(usage: UsageOf | None) -> UsageReader:
    """Return what reads an answer's usage: by a user's function, or as the providers' answers tell it."""
    if usage is None:
        return _provider_usage

    def read(answer: ModelAnswer) -> Reading:
        try:  # it is asked when the answer is paid: what it cannot read is unknown, and asked no second time
            told = usage(json.loads(answer.text)["reply"])
        except Exception as error:  # noqa: BLE001 - a user's function
            return UnknownUsage(f"usage= raised {type(error).__name__}")
        if isinstance(told, Usage):
            return told
        try:
            return Usage(**told) if told else UnknownUsage("usage= gave nothing")
        except (TypeError, ValueError) as error:
            return UnknownUsage(f"usage= gave no usage ({type(error).__name__})")

    return read


def _provider_usage(answer: ModelAnswer) -> Reading:
    reply = object_of(json.loads(answer.text)["reply"])
    if "choices" in reply:
        return usage_of("chat", reply)
    kinds: dict[Any, WireFormat] = {"message": "messages", "response": "responses"}
    wire = kinds.get(reply.get("type")) or kinds.get(reply.get("object"))
    return UnknownUsage("no usage= was given to read it with") if wire is None else usage_of(wire, reply)


def asking(function: Callable[..., Any], asks: LedgerAsks, model: str) -> Callable[..., Any]:
    """Return *function* as a model call that waits."""
    request_of, named = _requests(function, model), model.partition("/")[2]
    is_limited = takes_limit(function)

    @functools.wraps(function)
    def ask(*args: Any, **kwargs: Any) -> Any:
        request, given = request_of(args, kwargs)

        def send(body: Mapping[str, Any]) -> ModelAnswer:
            return _answer(function(**_limited(body, given, named, is_limited=is_limited)))

        return _reply(asks.ask(request, send))

    return ask


def asking_async(function: Callable[..., Any], asks: AsyncLedgerAsks, model: str) -> Callable[..., Any]:
    """Return *function* as a model call that is awaited."""
    request_of, named = _requests(function, model), model.partition("/")[2]
    is_limited = takes_limit(function)

    @functools.wraps(function)
    async def ask(*args: Any, **kwargs: Any) -> Any:
        request, given = request_of(args, kwargs)

        async def send(body: Mapping[str, Any]) -> ModelAnswer:
            return _answer(await function(**_limited(body, given, named, is_limited=is_limited)))

        return _reply(await asks.ask(request, send))

    return ask


def _requests(
    function: Callable[..., Any], model: str
) -> Callable[[Any, Any], tuple[ModelRequest, dict[str, Any]]]:
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise InvalidTool(f"the model of a function is {model!r}", "name it: model='provider/model'")
    signature = inspect.signature(function)
    where = getattr(function, "__qualname__", type(function).__qualname__)

    def request_of(args: Any, kwargs: Any) -> tuple[ModelRequest, dict[str, Any]]:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidCall(f"call of {where}: {error}", "correct its arguments; nothing ran") from error
        given: dict[str, Any] = {}
        for parameter, value in bound.arguments.items():
            match signature.parameters[parameter].kind:
                case inspect.Parameter.VAR_KEYWORD:
                    given |= value
                case inspect.Parameter.VAR_POSITIONAL:
                    what = f"call of {where} with unnamed arguments that it collects"
                    raise InvalidCall(what, "pass them by name; nothing ran")
                case _:
                    given[parameter] = value
        body = {"model": name, **given}
        return ModelRequest(
            wire="chat", provider=provider, url=f"function:{where}", host=provider, body=body
        ), given

    return request_of


def _limited(
    body: Mapping[str, Any], given: Mapping[str, Any], model: str, *, is_limited: bool
) -> dict[str, Any]:
    """Return a function's arguments, with what is changed of them in the end.

    One that takes no limit keeps to ``default_output`` by itself.
    """
    changed = {name: body[name] for name in given if name in body}
    if MODEL in given or body.get(MODEL) != model:
        changed[MODEL] = body[MODEL]
    limit = next((body[name] for name in ("max_completion_tokens", LIMIT) if name in body), None)
    return {**given, **changed} if limit is None or not is_limited else {**given, **changed, LIMIT: limit}


def _answer(reply: Any) -> ModelAnswer:
    dump = getattr(reply, "model_dump", None)
    try:
        text = json.dumps({"reply": dump(mode="json") if callable(dump) else reply})
    except Exception as error:
        what = f"a function that asks a model replied with a {type(reply).__name__}, which is no JSON"
        raise InvalidTool(what, "let it return JSON values, or an object with model_dump()") from error
    return ModelAnswer(status=200, content_type="application/json", text=text)


def _reply(answer: ModelAnswer) -> Any:
    return json.loads(answer.text)["reply"]
