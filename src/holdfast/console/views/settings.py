"""What holds for this ledger, and where each value is from."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any

import holdfast
from holdfast.ledger import Ledger
from holdfast.settings import Settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One value.

    Attributes:
        source: The variable that sets it, ``code``, or ``default``.
    """

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for this ledger."""

    version: str
    tenant: str
    store: str
    is_durable: bool
    is_sealing: bool
    settings: tuple[Setting, ...]


def effective(ledger: Ledger) -> Effective:
    """Say what holds here."""
    engine = ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    parts = engine.parts
    return Effective(
        version=holdfast.__version__,
        tenant=engine.tenant,
        store=type(parts.store).__name__,
        is_durable=parts.store.durable,
        is_sealing=parts.codec is not None,
        settings=tuple(_setting(parts.settings, item.name, item.default) for item in fields(Settings)),
    )


def _setting(settings: Settings, name: str, default: Any) -> Setting:
    value: Any = getattr(settings, name)
    variable = f"HOLDFAST_{name.upper()}"
    if name == "audit_key":  # never shown
        return Setting(
            name, "not set" if value is None else "set", "code or environment" if value else "default"
        )
    source = f"${variable}" if variable in os.environ else "default" if value == default else "code"
    return Setting(name, str(value), source)
