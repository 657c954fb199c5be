"""What the database answers: clocks, effects, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.pq.abc import PGresult

from holdfast._core.budget import PlaceHold
from holdfast._core.change import Change, Committed, Conflict
from holdfast._core.model import Record
from holdfast._core.states import State
from holdfast.errors import HoldfastError, SchemaOutdated, StoreInvariant, StoreUnavailable
from holdfast.ports import Found, FoundDependency, Query
from holdfast.stores.migrate import migrations
from holdfast.stores.postgres.budgets import levels_told, refused_in
from holdfast.stores.rows import EFFECT_COLUMNS, dependency_of, in_utc, record_of


@dataclass(frozen=True, slots=True)
class Woke(Committed):
    """The change was applied, and has woken an execution.

    Attributes:
        bell: What rings in this process as well as in the others.
    """

    bell: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was applied: a slice of a budget does not suffice, so all of them must be looked at."""


Answer = Committed | Conflict | HoldfastError
_COLUMNS: Final = tuple(EFFECT_COLUMNS.split(", "))
_UNDEFINED: Final = frozenset({"42P01", "42883", "3F000", "42703", "42704"})
_REFUSED: Final = ("22", "23", "42", "54", "P0")
_NOT_ALLOWED: Final = "42501"
_EVERYBODYS: Final = ("08", "53", "57")  # the connection, the server's resources, an operator
_READ_ONLY: Final = "25006"
_LONGEST: Final = 500
_OPEN: Final = frozenset({State.WAITING, State.RETRYABLE, State.UNKNOWN})


def answer_in(change: Change, result: PGresult) -> Committed | Conflict | Again:
    """Return the answer in what a function's execution told."""
    return answer_of(change, result.get_value(0, 0) or b"")


def answer_of(change: Change, told: bytes) -> Committed | Conflict | Again:
    """Return the answer that a function told in JSON.

    That is the clock, as text; or the clock and what rings; or the clock and the row that is in the way. With
    budgets it is one of these and how full they are; or which of them refused.
    """
    if told.startswith(b'"'):
        return Committed(moment_of(told[1:-1].decode()))
    if told.startswith(b"{"):
        return _answer_with(change, json.loads(told))
    now, row = json.loads(told)
    return Conflict(change.ops[0], None if row is None else effect_in(row), moment_of(now))


def _answer_with(change: Change, told: dict[str, Any]) -> Committed | Conflict | Again:
    if "bell" in told:
        return Woke(moment_of(told["now"]), bell=told["bell"])
    if "told" in told:
        inner: Any = told["told"]
        holds = [op for op in change.ops if isinstance(op, PlaceHold)]
        if isinstance(inner, str):
            now = moment_of(inner)
            return Committed(now, levels_told(told, holds, now))
        now = moment_of(inner["now"])
        return Woke(now, levels_told(told, holds, now), inner["bell"])
    if told["fits"].get("again"):
        return Again()
    now, row = moment_of(told["now"]), told["found"]
    found = None if row is None else effect_in(row)
    return Conflict(change.ops[0], found, now, refused_in(told["fits"], now))


def effect_in(row: dict[str, Any]) -> Record:
    """Return the effect in a row that was told in JSON."""
    row["audit_hash"] = bytes.fromhex(row["audit_hash"].removeprefix("\\x"))
    return record_of([row[name] for name in _COLUMNS], moment_of)


def moment_of(text: str) -> datetime:
    """Return the moment that JSON tells, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def found_in(rows: Sequence[Sequence[Any]], clock: datetime | None) -> Found:
    """Return the answer of ``get_effect``."""
    row = rows[0]
    return Found(None if row[1] is None else record_of(row[1:], in_utc), clock or in_utc(row[0]))


def dependency_in(rows: Sequence[Sequence[Any]], clock: datetime | None) -> FoundDependency:
    """Return the answer of ``get_dependency``."""
    row = rows[0]
    return FoundDependency(
        None if row[1] is None else dependency_of(row[1:], in_utc), clock or in_utc(row[0])
    )


def listing_of(query: Query) -> str:
    """Return the name of the statement whose order *query* asks for, and whose index serves it."""
    if query.due is not None or query.lapsed is not None:
        return "list_due_open_effects" if query.state in _OPEN else "list_due_effects"
    if query.external_id is not None:
        return "list_effects_outside"
    return "list_open_effects" if query.state in _OPEN else "list_effects"


def parameters(query: Query) -> dict[str, Any]:
    """Return the parameters of the listing statements."""
    return {
        "tenant": query.tenant,
        "workflow_id": query.workflow_id,
        "tool": query.tool,
        "intent": query.intent,
        "state": query.state,
        "since": query.since,
        "before": query.before,
        "key_prefix": query.key_prefix,
        "external_id": query.external_id,
        "due": query.due,
        "lapsed": query.lapsed,
        "limit": query.limit,
    }


_LASTING: Final = re.compile(
    r"no password supplied|FATAL: +(password authentication failed|no pg_hba\.conf entry"
    r'|permission denied for database|(role|database) ".*" does not exist|role ".*" is not permitted)'
)
"""What a server says to whoever it will not let in, however often he asks; it tells no state to them."""


def translate(error: psycopg.Error, operation: str, key: str | None = None) -> HoldfastError:
    """Return our error for the driver's: never the driver's parameters, which hold payloads."""
    state = error.sqlstate or ""
    text = error.diag.message_primary or str(error)
    why = " ".join(line.strip() for line in text.splitlines())[:_LONGEST] or type(error).__name__
    if state in _UNDEFINED:
        return SchemaOutdated((), tuple(item.name for item in migrations("postgres")))
    if _is_refusal(state) or (not state and isinstance(error, psycopg.DataError)):
        return StoreInvariant(operation, why, key)
    return StoreUnavailable(operation, why, key, lasts=not state and _LASTING.search(text) is not None)


def refused(error: psycopg.Error) -> bool:
    """Whether one change of a batch may be the reason, so that the others deserve another try."""
    state = error.sqlstate or ""
    return bool(state) and not state.startswith(_EVERYBODYS) and state != _READ_ONLY


def _is_refusal(state: str) -> bool:
    return state.startswith(_REFUSED) and state != _NOT_ALLOWED  # rights can be granted while we wait
