"""What a tool is, so that another one under the same name is told from it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Iterable
from types import CodeType
from typing import Any, Final, cast

from holdfast._core.contract import Contract
from holdfast.ports import Handler

_DEEPEST: Final = 8


def version_of(contract: Contract, handler: Handler | None) -> str:
    """Return the version of a tool: what people approve is a call of this one.

    A declared version stands for the code; without one, other code is another tool. In either case other
    parameters, other defaults and another schema are.
    """
    told = {
        "version": contract.version,
        "safety": contract.safety,
        "schema": _schema_text(contract.schema),
        "parameters": None if handler is None else _parameters(handler),
        "code": None if handler is None or contract.version else _code_text(handler),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _parameters(handler: Any) -> list[list[str]] | None:
    try:
        found = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):  # some that are written in C tell of none
        return None
    return [
        [
            one.name,
            one.kind.name,
            _plain(one.default),
            "" if one.annotation is one.empty else str(one.annotation),
        ]
        for one in found
    ]


def _plain(default: Any) -> str:
    """Return a default as text that is the same in every process."""
    if default is inspect.Parameter.empty:
        return ""
    try:
        return json.dumps(default, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(default).__qualname__}>"


def _schema_text(schema: Any) -> str:
    if schema is None:
        return ""
    describe = getattr(getattr(schema, "__self__", None), "model_json_schema", None)
    if describe is not None:
        return json.dumps(describe(), sort_keys=True)
    return _code_text(schema)


def _code_text(function: Any) -> str:
    """Return the code of a function and of what it wraps, as it is in every process of one Python."""
    parts: list[str] = []
    for _ in range(_DEEPEST):
        if isinstance(function, functools.partial):
            bound: Any = [list(function.args), dict(function.keywords)]
            parts.append(_plain(bound))
            function = function.func
            continue
        code = _code_of(function)
        parts.append(_name(function) if code is None else _told(code) + _surroundings(function))
        function = getattr(function, "__wrapped__", None)
        if function is None:
            break
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _name(function: object) -> str:
    """Return what tells a class, or what is written in C, from another one."""
    named: object = function if hasattr(function, "__qualname__") else function.__class__
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


def _surroundings(function: Any) -> str:
    """Return the plain values that a function closes over: with others it does something else.

    What is not plain, such as a client or a list that fills, is told by its type: each process has its own.
    """
    cells: Any = getattr(function, "__closure__", None) or ()
    told: list[str] = []
    for cell in cells:
        try:
            held: Any = cell.cell_contents
        except ValueError:  # it has no value yet
            held = None
        told.append(_constant(held) if _is_plain(held) else f"<{type(held).__qualname__}>")
    return json.dumps(told)


def _is_plain(held: Any) -> bool:
    if isinstance(held, tuple | frozenset):
        return all(map(_is_plain, cast("Iterable[Any]", held)))
    return held is None or type(held) in {str, bytes, int, float, bool}


def _code_of(function: Any) -> CodeType | None:
    for bearer in (function, getattr(function, "__call__", None)):  # noqa: B004 - an object's own is wanted
        found: Any = getattr(bearer, "__code__", None)
        if isinstance(found, CodeType):
            return found
    return None


def _told(code: CodeType) -> str:
    consts = [_constant(one) for one in code.co_consts]
    return json.dumps([code.co_code.hex(), consts, code.co_names, code.co_varnames, code.co_freevars])


def _constant(one: Any) -> str:
    if isinstance(one, CodeType):
        return _told(one)
    if isinstance(one, frozenset | tuple):
        members = [_constant(member) for member in cast("Iterable[Any]", one)]
        is_set = isinstance(one, frozenset)  # whose order is another in every process
        return f"{'set' if is_set else 'tuple'}:{sorted(members) if is_set else members}"
    return f"{type(one).__name__}:{one!r}"
