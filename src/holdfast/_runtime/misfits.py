"""What a schema has to say of arguments that do not fit it, without their values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final, cast

_LONGEST: Final = 2000
_QUOTES: Final = frozenset({"value_error", "assertion_error", "union_tag_invalid"})
"""Errors of pydantic whose words are a validator's own, or repeat what was given."""


def misfit(error: Exception, schema: Any, names: Collection[str]) -> str:
    """Return where and what: pydantic and jsonschema say so apart from the values, others only by type.

    Args:
        names: The arguments' names.
    """
    told = None
    with suppress(Exception):  # another library's errors look otherwise
        told = _of_pydantic(error, {*names, *_fields(schema)}) or _of_jsonschema(error, names)
    return (told or type(error).__qualname__)[:_LONGEST]


def _of_pydantic(error: Any, names: Collection[str]) -> str:
    if not callable(getattr(error, "errors", None)):
        return ""
    told: list[str] = []
    for one in error.errors(include_input=False, include_context=False):
        # Only pydantic's own errors have a page; the words of others may hold anything.
        is_plain = "url" in one and one["type"] not in _QUOTES
        known = {*names, *one["loc"][-1:]} if one["type"] == "missing" else names
        told.append(f"{_place(one['loc'], known) or '$'}: {one['msg'] if is_plain else one['type']}")
    return "; ".join(told)


def _of_jsonschema(error: Any, names: Collection[str]) -> str:
    rule, place = getattr(error, "validator", None), getattr(error, "absolute_path", None)
    if not isinstance(rule, str) or place is None:
        return ""
    declared = {name for word, name in pairwise(error.absolute_schema_path) if word == "properties"}
    path = _place(place, {*names, *declared})
    return f"{f'$.{path}' if path else '$'} does not keep {rule[:100]!r}"


def _place(path: Iterable[Any], names: Collection[str]) -> str:
    """Return where that is; a key that is no declared name may be somebody's data."""
    return ".".join(str(each) if isinstance(each, int) or each in names else "*" for each in path)


def _fields(schema: Any) -> set[str]:
    """Return all names that a pydantic model or adapter declares, its parts' as well."""
    found: set[str] = set()
    model = getattr(schema, "__self__", schema)  # a contract keeps what validates, a method of the model
    describe = getattr(model, "model_json_schema", None) or getattr(model, "json_schema", None)
    if not callable(describe):
        return found
    with suppress(Exception):  # not every model can be described
        left: list[Any] = [describe()]
        while left:
            part = left.pop()
            if isinstance(part, dict):
                node = cast("dict[str, Any]", part)
                named = node.get("properties")
                found.update(cast("dict[str, Any]", named) if isinstance(named, dict) else ())
                left.extend(node.values())
            elif isinstance(part, list):
                left.extend(cast("Any", part))
    return found
