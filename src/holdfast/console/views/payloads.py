"""Payloads as text that a person can check: whole, in one order, integers exact."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from holdfast._core.redact import HIDDEN, redact_names
from holdfast.ledger import AuditEvent, EffectRecord

MOST: Final = 100_000
"""So many characters of a payload are on a page; of a longer one it says how many are missing."""


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload.

    Attributes:
        text: JSON, keys sorted, two spaces in; the start of it where it is longer than :data:`MOST`.
        length: Of the whole, in characters.
        sha256: Of the whole, in hex.
        hidden: How many values under telltale names were left out.
    """

    text: str
    length: int
    lines: int
    sha256: str
    hidden: int

    @property
    def missing(self) -> int:
        """How many characters are not on the page."""
        return self.length - len(self.text)


def payload(value: Any) -> Payload:
    """Return *value*, a JSON value that is redacted already, for a page."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return Payload(
        text=text[:MOST],
        length=len(text),
        lines=text.count("\n") + 1,
        sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        hidden=text.count(json.dumps(HIDDEN)),
    )


def brief(value: Any, most: int = 80) -> str:
    """Return the start of *value* as JSON on one line."""
    text = json.dumps(redact_names(value), sort_keys=True, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]} … ({len(text)} characters)"


def read_json(text: str | None) -> Any:
    """Return a recorded JSON text as the value that it is; one that is sealed as the text."""
    if text is None:
        return None
    try:
        return redact_names(json.loads(text))
    except ValueError:
        return text


def shown_effect(record: EffectRecord) -> EffectRecord:
    """Return *record* without what sits under telltale names."""
    args: Any = None if record.args is None else redact_names(record.args)
    return replace(record, args=args, result=redact_names(record.result))


def shown_event(event: AuditEvent) -> AuditEvent:
    """Return *event* without what sits under telltale names."""
    details: Any = redact_names(event.details)
    return replace(event, details=details)
