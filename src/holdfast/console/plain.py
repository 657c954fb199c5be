"""Values as JSON: the ``.json`` twin of a page, and what tells its versions apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from holdfast.console.text import iso


def plain(value: Any) -> Any:
    """Return *value* as what JSON has: moments in UTC, integers exact, sets sorted."""
    match value:
        case None | bool() | int() | float() | str():
            return value if not isinstance(value, str) else str(value)
        case datetime():
            return iso(value)
        case timedelta():
            return value.total_seconds()
        case Mapping():
            found: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
            return {str(name): plain(item) for name, item in found.items()}
        case frozenset() | set():
            return sorted(str(item) for item in cast("set[Any]", value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
        case _:
            return [plain(item) for item in value]


def as_json(value: Any) -> bytes:
    """Return *value* as JSON in ASCII: half a surrogate pair has no UTF-8, and controls show as nothing."""
    return json.dumps(plain(value), separators=(",", ":")).encode()


def digest(*values: Any) -> str:
    """Return what is equal for equal values only."""
    return hashlib.sha256(as_json(values)).hexdigest()[:32]
