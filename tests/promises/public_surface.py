"""What the library promises to keep: the names and signatures of its public modules, as plain data.

python tests/promises/public_surface.py    # writes tests/public_api.json; its diff is what to review
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import typing
from pathlib import Path
from typing import Any, Final

MODULES: Final = (
    "holdfast",
    "holdfast.agent",
    "holdfast.codecs",
    "holdfast.engines",
    "holdfast.errors",
    "holdfast.ports",
    "holdfast.prices",
)
FROZEN: Final = Path(__file__).resolve().parents[1] / "public_api.json"


def surface() -> dict[str, Any]:
    """Every public module with what it exports."""
    modules = {name: importlib.import_module(name) for name in MODULES}
    return {
        name: {export: describe(getattr(module, export)) for export in sorted(module.__all__)}
        for name, module in modules.items()
    }


def describe(thing: Any) -> Any:
    """A class by its members, a function by its signature, anything else by its text."""
    if isinstance(thing, enum.EnumMeta):
        return {option.name: option.value for option in thing}
    if not isinstance(thing, type):
        return signature(thing) if inspect.isfunction(thing) else str(thing)
    # A face of the ledger has parts in classes of their own, which are its own all the same.
    parts = [part for part in reversed(thing.__mro__) if part.__module__.startswith("holdfast.ledger")]
    own = {name: value for part in parts or [thing] for name, value in vars(part).items()}
    members = {name: member(value) for name, value in own.items() if is_public(name, value)}
    fields = {
        name: str(kind) for name, kind in vars(thing).get("__annotations__", {}).items() if name[0] != "_"
    }
    bases = [base.__name__ for base in thing.__bases__ if base is not object]
    return {
        "bases": bases,
        "init": signature(thing),
        "fields": fields,
        "members": dict(sorted(members.items())),
    }


def is_public(name: str, value: Any) -> bool:
    """Whether a class member is for users: a method or a property, defined there."""
    kinds = (staticmethod, classmethod, property)
    return not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))


def member(value: Any) -> str:
    """A method's kind and signature, or that it is a property."""
    if isinstance(value, property):
        return "property"
    function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    return f"{'async ' if inspect.iscoroutinefunction(function) else ''}{signature(function)}"


def signature(thing: Any) -> str:
    """A signature as it is written; protocols and some classes have none."""
    if isinstance(thing, type) and getattr(thing, "_is_protocol", False):
        return ""
    try:
        return str(inspect.signature(thing)).replace("typing.", "")
    except (TypeError, ValueError):
        return ""


if __name__ == "__main__":
    del typing
    FROZEN.write_text(json.dumps(surface(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
