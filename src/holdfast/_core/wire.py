"""Looks into JSON that others wrote, where anything may stand anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

Object: TypeAlias = Mapping[str, Any]
"""An object of JSON."""


def is_object(value: Any) -> TypeGuard[Object]:
    """Whether *value* is an object of JSON."""
    return isinstance(value, Mapping)


def is_array(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether *value* is an array of JSON."""
    return isinstance(value, list | tuple)


def object_of(value: Any) -> Object:
    """Return *value* if it is an object, else an empty one."""
    return value if is_object(value) else {}


def objects_of(value: Any) -> list[Object]:
    """Return the objects of an array; none for what is no array."""
    return [item for item in value if is_object(item)] if is_array(value) else []
