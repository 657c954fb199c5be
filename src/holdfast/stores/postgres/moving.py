"""What is written with every step: executions of prepared statements, planned once for each connection.

Which of them may share a transaction is a matter of locks. Batches are sorted by workflow, in which order all
lock executions who lock several; so a batch must lock nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGresult

from holdfast._core.advance import BeginExecution, ExecutionOp, Progress
from holdfast._core.execution import ENDED
from holdfast.errors import StoreInvariant
from holdfast.stores.postgres.wire import translate

_FORMATS: Final = (0,) * 64
_PLACE: Final = re.compile(rb"%\((\w+)\)s")
_MOVES: Final = ("begin_execution", "take_execution", "progress", "keep_step", "send")
LOOKS: Final = frozenset({"dequeue", "get_journal"})
"""What a worker asks for with every workflow; it locks what nobody waits for."""


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
    return {name: _numbered(statements[name]) for name in (*_MOVES, *LOOKS)}


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
    def operation(self) -> str:
        return self.statement.replace("_", " ")

    @property
    def looks(self) -> bool:
        """Whether it is what a worker asks for, which nobody's step waits behind."""
        return self.statement in LOOKS

    @property
    def size(self) -> int:
        """Its bytes on the wire, roughly."""
        return sum(len(value) for value in self.values if value is not None)


def move(op: ExecutionOp, name: str, statement: Numbered, values: Mapping[str, Any]) -> Move:
    """Return what applies *op*.

    Raises:
        StoreInvariant: It holds what no database text can hold.
    """
    sent, formats = _sent(name, statement, values)
    leave = op.leave if isinstance(op, Progress) else None
    return Move(
        statement=name,
        values=sent,
        formats=formats,
        key=(op.tenant.encode(), op.workflow_id.encode()),
        alone=leave is not None and leave.to in ENDED,
        begins=isinstance(op, BeginExecution),
        is_note=isinstance(op, Progress) and op.is_note,
    )


def look(name: str, statement: Numbered, values: Mapping[str, Any], subject: str) -> Move:
    """Return what looks something up, or takes it; by itself.

    Raises:
        StoreInvariant: It holds what no database text can hold.
    """
    sent, formats = _sent(name, statement, values)
    key = (values["tenant"].encode(), subject.encode())
    return Move(name, sent, formats, key, alone=True, begins=False, is_note=False)


def _sent(
    name: str, statement: Numbered, values: Mapping[str, Any]
) -> tuple[Sequence[bytes | memoryview | None], Sequence[int]]:
    """Return the parameters of a statement in their order, as they go over the wire."""
    given = [values[each] for each in statement.names]
    try:
        return [_in_text(each) for each in given], _FORMATS[: len(given)]
    except psycopg.Error as error:
        raise translate(error, name.replace("_", " ")) from error
    except UnicodeEncodeError as error:
        raise StoreInvariant(name.replace("_", " "), "it holds a lone surrogate") from error


def _in_text(value: Any) -> bytes | None:
    """Return a parameter as the server reads it; a general adapter takes as long as the whole answer."""
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return value.encode()
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, list):
        texts = cast("list[str]", value)
        return _in_text("{" + ",".join(map(_element, texts)) + "}")
    return str(value).encode()


def _element(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rows_in(result: PGresult) -> list[tuple[Any, ...]]:
    """Return the rows that an execution told."""
    adapting = Transformer()
    adapting.set_pgresult(result)
    return adapting.load_rows(0, result.ntuples, tuple)
