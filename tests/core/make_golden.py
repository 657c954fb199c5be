"""Computes the identity of every call in identity_v1.json, and prints them; it never writes the file.

Needs the standard library only, so that any interpreter can run it:
``PYTHONPATH=src python tests/core/make_golden.py``.
"""

import json
import sys
from collections import namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self
from uuid import UUID

from holdfast._core.identity import canonical, identify, read_args

GOLDEN = Path(__file__).with_name("identity_v1.json")


class Colour(Enum):
    RED = "red"
    MIXED = ("red", 1)


class Level(IntEnum):
    HIGH = 3


class Mode(StrEnum):
    FAST = "fast"


class Size(str, Enum):  # noqa: UP042 - a StrEnum's value is its text; here it is not
    LARGE = ("Large", 42)

    def __new__(cls, text: str, number: int) -> Self:
        member = str.__new__(cls, text)
        member._value_ = number
        return member


class Tag(str):
    __slots__ = ()


@dataclass
class Item:
    sku: str
    price: Any


class Model:
    """Has what tells a pydantic model; the real ones have a test of their own."""

    model_fields = ("order", "total")

    def __init__(self, order: Any, total: Any) -> None:
        self.order, self.total = order, total

    def model_dump(self) -> dict[str, Any]:
        return {"order": self.order, "total": self.total}


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the plain kind is what is under test

DECODERS = {
    "$decimal": Decimal,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$uuid": UUID,
    "$bytes": bytes.fromhex,
    "$bytearray": bytearray.fromhex,
    "$enum": {
        "Colour.RED": Colour.RED,
        "Colour.MIXED": Colour.MIXED,
        "Level.HIGH": Level.HIGH,
        "Mode.FAST": Mode.FAST,
        "Size.LARGE": Size.LARGE,
    }.get,
    "$item": lambda fields: Item(**fields),
    "$model": lambda fields: Model(**fields),
    "$tuple": tuple,
    "$point": lambda xy: Point(*xy),
    "$mapping": MappingProxyType,
    "$tag": Tag,
    "$int": int,
}


def decode(value: Any) -> Any:
    """Turn the file's typed encoding into the values that a caller would pass."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    decoded = {name: decode(item) for name, item in value.items()}
    name = next(iter(decoded), "")
    return DECODERS[name](decoded[name]) if name.startswith("$") else decoded


def compute(call: dict[str, Any]) -> Any:
    """Return what holdfast makes of one call of the file."""
    named = {"tenant": "acme", "workflow_id": "order-123", "tool": "stripe.charge", **call}
    payload = read_args(decode(named.pop("args")), max_bytes=1_000_000)
    identity = identify(payload=payload, **named)
    return SimpleNamespace(
        canonical=canonical(payload.plain),
        key=identity.key,
        fingerprint=identity.fingerprint,
        plain=payload.plain,
    )


if __name__ == "__main__":
    made = {
        case["case"]: compute(case["call"])
        for case in json.loads(GOLDEN.read_text(encoding="utf-8"))["calls"]
    }
    json.dump({name: [one.key, one.fingerprint] for name, one in made.items()}, sys.stdout)
