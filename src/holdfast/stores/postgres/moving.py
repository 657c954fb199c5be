"""What is written with every step: executions of prepared statements, planned once for each connection.

Which of them may share a transaction is a matter of locks. Batches are sorted by workflow, in which order all
lock executions who lock several; so a batch must lock nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq.abc import PGresult

from holdfast._core.advance import BeginExecution, ExecutionOp, Progress
from holdfast._core.execution import ENDED
from holdfast.errors import StoreInvariant
from holdfast.stores.postgres.wire import translate

_PLACE: Final = re.compile(rb"%\((\w+)\)s")
_NAMES: Final = ("begin_execution", "take_execution", "progress", "send")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A statement with its parameters by number, as the server prepares it.

    Attributes:
        names: What the parameters are called in the file, in the order of their numbers.
    """

    text: bytes
    names: tuple[str, ...]


def numbered(statements: Mapping[str, bytes]) -> dict[str, Numbered]:
    """Return the statements that are prepared."""
    return {name: _numbered(statements[name]) for name in _NAMES}


def _numbered(text: bytes) -> Numbered:
    names: dict[bytes, int] = {}

    def number(place: re.Match[bytes]) -> bytes:
        return b"$%d" % names.setdefault(place[1], len(names) + 1)

    return Numbered(_PLACE.sub(number, text), tuple(name.decode() for name in names))


@dataclass(slots=True)
class Move:
    """One execution of such a statement.

    Attributes:
        alone: It locks more than its own execution: who ends one wakes its parent.
        begins: It locks no execution that is there, but keeps halts off: only its like may go with it.
        is_note: The machine may lose it: it must not share a transaction with what the machine may not lose.
    """

    statement: str
    values: Sequence[Any]
    formats: Sequence[int]
    key: tuple[bytes, bytes]
    alone: bool
    begins: bool
    is_note: bool

    @property
    def size(self) -> int:
        """Its bytes on the wire, roughly."""
        return sum(len(value) for value in self.values if value is not None)


def move(op: ExecutionOp, name: str, statement: Numbered, values: Mapping[str, Any]) -> Move:
    """Return what applies *op*.

    Raises:
        StoreInvariant: It holds what no database text can hold.
    """
    given = [values[each] for each in statement.names]
    adapting = Transformer()
    try:
        sent = adapting.dump_sequence(given, [PyFormat.TEXT] * len(given))
    except psycopg.Error as error:
        raise translate(error, name.replace("_", " ")) from error
    except UnicodeEncodeError as error:
        raise StoreInvariant(name.replace("_", " "), "it holds a lone surrogate") from error
    leave = op.leave if isinstance(op, Progress) else None
    return Move(
        statement=name,
        values=sent,
        formats=adapting.formats or (),
        key=(op.tenant.encode(), op.workflow_id.encode()),
        alone=leave is not None and leave.to in ENDED,
        begins=isinstance(op, BeginExecution),
        is_note=isinstance(op, Progress) and op.is_note,
    )


def rows_in(result: PGresult) -> list[tuple[Any, ...]]:
    """Return the rows that an execution told."""
    adapting = Transformer()
    adapting.set_pgresult(result)
    return adapting.load_rows(0, result.ntuples, tuple)
