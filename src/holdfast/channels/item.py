"""Reads JSON that others wrote: it may be anything."""

from __future__ import annotations

from typing import Any, cast


def item(told: Any, name: str) -> Any:
    """Return what *told* has under *name*; ``None`` when it has nothing, or is no object."""
    return cast("dict[str, Any]", told).get(name) if isinstance(told, dict) else None


def items(told: Any) -> list[Any]:
    """Return what a list has in it; nothing when it is none."""
    return list(cast("tuple[Any, ...]", told)) if isinstance(told, list) else []
