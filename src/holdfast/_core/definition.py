"""What a model is told of a tool: its name, its docstring, and a JSON schema of its arguments."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection
from typing import Any, Final

from holdfast.errors.approvals import ANSWER

_TYPES: Final = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}


def definition(
    name: str, function: Callable[..., Any], schema: Any, injected: Collection[str | None]
) -> dict[str, Any]:
    """Return *function* as a model's tool: ``name``, ``description`` and ``parameters``.

    Args:
        schema: What checks the arguments; a pydantic model, or a method of one, says what they are.
        injected: Parameters that no model fills in.
    """
    model = getattr(schema, "__self__", schema)
    describe = getattr(model, "model_json_schema", None) or getattr(model, "json_schema", None)
    parameters = describe() if callable(describe) else _parameters(function, injected)
    return {"name": name, "description": inspect.getdoc(function) or "", "parameters": parameters}


def _parameters(function: Callable[..., Any], injected: Collection[str | None]) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - names that are known to type checkers only
        hints = {}
    given = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.name not in injected and each.kind not in {each.VAR_KEYWORD, each.VAR_POSITIONAL}
    ]
    return {
        "type": "object",
        "properties": {each.name: _schema(hints.get(each.name, Any)) for each in given},
        "required": [each.name for each in given if each.default is each.empty],
    }


def _schema(hint: Any) -> dict[str, Any]:
    """Return the schema of a type; of one that is not known here: anything."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _schema(parts[0])
    if origin is typing.Literal:
        return {"enum": list(parts)}
    if origin in {typing.Union, types.UnionType}:
        return {"anyOf": [_schema(part) for part in parts]}
    if origin is list and parts:
        return {"type": "array", "items": _schema(parts[0])}
    kind = _TYPES.get(origin or hint)
    return {} if kind is None else {"type": kind}


def with_answer(told: dict[str, Any]) -> dict[str, Any]:
    """Return a tool with the argument under which the model answers what people ask about its call."""
    text = {"type": "string"}
    answer = {
        "type": "object",
        "description": "What you answer to whoever has to decide on this call, and to which question.",
        "properties": {"to": text, "text": text},
        "required": ["to", "text"],
    }
    schema: dict[str, Any] = told["parameters"]
    return {
        **told,
        "parameters": {**schema, "properties": {**schema.get("properties", {}), ANSWER: answer}},
    }


def wait_definition(name: str, signal: str) -> dict[str, Any]:
    """Return the tool *name*, which waits for a signal."""
    what = f"Wait until {signal!r} comes, and return it. Call it when there is nothing else to do until then."
    return {"name": name, "description": what, "parameters": {"type": "object", "properties": {}}}
