"""One SQLite file: connections, migrations, and changes applied in batches. Blocking."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from holdfast._core.advance import bells_of_due
from holdfast._core.audit import micros
from holdfast._core.budget import Level, PlaceHold, Refused, SettleHold
from holdfast._core.change import (
    AppendAudit,
    Change,
    Committed,
    Conflict,
    InsertEffect,
    MoveApproval,
    MoveEffect,
    Op,
    OpenApproval,
    ReviewWorkflow,
)
from holdfast._core.model import Record
from holdfast._runtime.forks import forget_in_child
from holdfast.errors import HoldfastError, StoreInvariant, StoreUnavailable
from holdfast.ports import Lease
from holdfast.stores.migrate import TRACKING, Migration, migrations, outstanding, queries
from holdfast.stores.rows import execution_of, from_micros, record_of
from holdfast.stores.sqlite.approvals import approval_row, move_approval_row
from holdfast.stores.sqlite.budgets import apply_hold, latest
from holdfast.stores.sqlite.connect import (
    BUSY_S,
    MEMORY,
    connect,
    lazy,
    looking,
    savepoint,
    statements,
    transaction,
    translate,
)
from holdfast.stores.sqlite.memory_index import reap_memories
from holdfast.stores.sqlite.parameters import Bound, audit_row, insert_row, move_row, review_row

Answer = Committed | Conflict | HoldfastError
_WRITES: Final = (
    "insert_effect",
    "move_effect",
    "review_workflow",
    "append_audit",
    "open_approval",
    "move_approval",
)
_KNOWN: Final = "SELECT name, sha256 FROM holdfast_migration"


class Database:
    """One file, or one database in memory.

    Args:
        path: The file; ``":memory:"`` for a database that one connection holds.
        clock: The time by which leases are measured.

    Attributes:
        rings: Who is told of executions.
        bells: Of what was committed: they ring when no lock is held any more, for whoever is rung may ask.
    """

    def __init__(self, path: str, clock: Callable[[], datetime]) -> None:
        # Once: a relative path would name another file after a chdir.
        self.path = path if path == MEMORY else str(Path(path).absolute())
        self.clock = clock
        self.sql: Final = queries("sqlite")
        self._write: Final = {name: Bound(self.sql[name]) for name in _WRITES}
        self.write_lock = threading.Lock()  # one writer of this process at a time
        self._read_lock = threading.Lock()  # cursors of one connection must not interleave
        self.first_look = threading.Lock()  # threads that come at once look at the schema one by one
        self._opening = threading.Lock()  # ... and open one connection, not two
        self._connections: dict[str, sqlite3.Connection] = {}
        self._inherited: list[sqlite3.Connection] = []
        self._marked: tuple[sqlite3.Connection, str] | None = None
        self._pid = os.getpid()
        forget_in_child(self)
        self._known: tuple[Migration, ...] = migrations("sqlite")
        self.rings: list[Callable[[str], None]] = []
        self.bells: deque[str] = deque()

    @property
    def in_memory(self) -> bool:
        """Whether it vanishes with its connection."""
        return self.path == MEMORY

    def connection(self, use: str, busy_s: float = BUSY_S) -> sqlite3.Connection:
        """Return the connection for a use (``write``, ``inline``, ``read``), opening it if need be."""
        if self.in_memory:
            use = "memory"
        known = self._connections.get(use)
        if known is not None:
            return known
        with self._opening:
            known = self._connections.get(use)
            if known is None:
                known = self._connections[use] = connect(self.path, busy_s)
            return known

    def forget_parent(self) -> None:
        """Forget the parent process's connections, which must not be used, nor closed, across a fork."""
        self._inherited += self._connections.values()
        self._connections, self._pid = {}, os.getpid()
        self.bells.clear()
        self.write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self.first_look, self._opening = threading.Lock(), threading.Lock()

    def open(self) -> None:
        """Connect; create or upgrade the tables."""
        if self.pending_migrations():
            self.migrate()

    def pending_migrations(self) -> tuple[Migration, ...]:
        """Return what :meth:`migrate` would run."""
        if not self.in_memory and not Path(self.path).exists():
            return self._known
        try:
            with self._looking() as db:
                applied = dict(db.execute(_KNOWN).fetchall())
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise translate(error, f"read the schema of {self.path}") from error
            applied = {}
        except sqlite3.Error as error:
            raise translate(error, f"read the schema of {self.path}") from error
        return outstanding(self._known, applied)

    @contextmanager
    def _looking(self) -> Generator[sqlite3.Connection]:
        if self.in_memory:
            yield self.connection("write")
        else:
            with looking(self.path) as db:
                yield db

    def migrate(self) -> tuple[str, ...]:
        """Bring the tables up to date; safe when several processes do it at once."""
        db = self.connection("write")
        done: list[str] = []
        try:
            with self.write_lock, transaction(db):
                db.execute(TRACKING["sqlite"])
                for migration in outstanding(self._known, dict(db.execute(_KNOWN).fetchall())):
                    for statement in statements(migration.sql):
                        db.execute(statement)
                    row = migration.name, migration.sha256, micros(self.clock())
                    db.execute("INSERT INTO holdfast_migration VALUES (?, ?, ?)", row)
                    done.append(migration.name)
        except sqlite3.Error as error:
            raise translate(error, f"create the tables in {self.path}") from error
        return tuple(done)

    def known_already(self, change: Change) -> Conflict | None:
        """Return the conflict that inserting would meet, without taking the write lock."""
        op = change.ops[0]
        if not isinstance(op, InsertEffect):
            return None
        record = self.find(op.tenant, op.key)
        return None if record is None else Conflict(op, record, self.clock())

    def apply(self, changes: Sequence[Change], db: sqlite3.Connection) -> list[Answer]:
        """Apply each change or report its conflict, all in one transaction and one durable commit.

        A change that the database refuses takes the others down with it, so each is then tried alone.
        """
        try:
            db.execute("BEGIN IMMEDIATE")
            bells: list[str] = []
            answers: list[Answer] = [self.apply_one(db, change, bells) for change in changes]
            db.execute("COMMIT")
            self.bells.extend(bells)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the lock must be given back
            if db.in_transaction:
                db.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                strange = self._strange(error, changes)
                return strange or [answer for change in changes for answer in self.apply([change], db)]
            if len(changes) == 1:
                op = changes[0].ops[0]
                key = op.key if isinstance(op, InsertEffect | MoveEffect) else None
                return [translate(error, "commit a change", key)]
            failed = translate(error, "commit a change")
            if isinstance(failed, StoreUnavailable):
                return [failed for _ in changes]
            return [answer for change in changes for answer in self.apply([change], db)]
        return answers

    def _strange(self, error: BaseException, changes: Sequence[Change]) -> list[Answer]:
        """Answer for an error that is not the database's: a value that cannot be bound, or a stop."""
        if not isinstance(error, Exception):
            raise error
        if len(changes) == 1:
            return [StoreInvariant("commit a change", f"{type(error).__name__}: a value cannot be stored")]
        return []

    def apply_one(self, db: sqlite3.Connection, change: Change, bells: list[str]) -> Committed | Conflict:
        """Apply *change* inside an open transaction; a conflict has written nothing.

        Args:
            bells: Gets what is to ring after the commit.
        """
        now, first = self.clock(), change.ops[0]
        # With a second guard it may be the second that does not hold, when the first has been written.
        has_guards = any(isinstance(op, MoveApproval | PlaceHold) for op in change.ops)
        rung: list[str] = []
        touched: list[Level] = []
        with savepoint(db) if has_guards else nullcontext() as place:
            for op in change.ops:
                answer = self._apply_op(db, op, now, touched)
                if answer is not True:
                    if place is not None:
                        place.roll_back()
                    return Conflict(first, self._present(db, first), now, answer or None)
                rung += self._woken(db, op, now)
        bells += rung
        return Committed(now, latest(touched))

    def _woken(self, db: sqlite3.Connection, op: Op, now: datetime) -> list[str]:
        if isinstance(op, ReviewWorkflow) and (op.delta < 0 or op.resumes):
            return self.wake(db, op.tenant, op.workflow_id, op.at, now)
        if isinstance(op, MoveApproval) and op.wakes:
            return self.wake(db, op.after.tenant, op.after.workflow_id, op.after.updated_at, now)
        return []

    def wake(
        self, db: sqlite3.Connection, tenant: str, workflow_id: str, at: datetime, now: datetime
    ) -> list[str]:
        """Tell an execution, if there is one, that something happened; return what is to ring for it."""
        place = {"tenant": tenant, "workflow_id": workflow_id}
        woken = {**place, "at": micros(at), "now": micros(now)}
        if db.execute(self.sql["wake_execution"], woken).rowcount != 1:
            return []
        row = db.execute(self.sql["get_execution"], place).fetchone()
        return bells_of_due(execution_of(row, from_micros), now)

    def ring(self, bells: Sequence[str] = ()) -> None:
        """Ring for *bells* and for what was committed before; the caller holds no lock."""
        self.bells.extend(bells)
        while self.bells:
            try:
                bell = self.bells.popleft()
            except IndexError:  # another thread rings it
                return
            for ring in tuple(self.rings):
                ring(bell)

    def _apply_op(
        self, db: sqlite3.Connection, op: Op, now: datetime, touched: list[Level]
    ) -> bool | Refused:
        match op:
            case PlaceHold() | SettleHold():
                answer = apply_hold(db, self.sql, op, now)
                if isinstance(answer, Refused):
                    return answer
                touched += answer
                return True
            case InsertEffect():
                return self._write["insert_effect"].run(db, insert_row(op, now))
            case MoveEffect():
                return self._write["move_effect"].run(db, move_row(op, now))
            case ReviewWorkflow():
                return self._write["review_workflow"].run(db, review_row(op))
            case OpenApproval():
                return self._write["open_approval"].run(db, approval_row(op.approval))
            case MoveApproval():
                return self._write["move_approval"].run(db, move_approval_row(op, now))
            case AppendAudit():
                return self._write["append_audit"].run(db, audit_row(op))

    def _present(self, db: sqlite3.Connection, op: Op) -> Record | None:
        if not isinstance(op, InsertEffect | MoveEffect):
            return None
        row = db.execute(self.sql["get_effect"], {"tenant": op.tenant, "key": op.key}).fetchone()
        return None if row is None else record_of(row, from_micros)

    def find(self, tenant: str, key: str) -> Record | None:
        """Return one effect."""
        rows = self.read("get_effect", {"tenant": tenant, "key": key})
        return record_of(rows[0], from_micros) if rows else None

    def read(self, name: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run a named query."""
        db = self.connection("read")
        try:
            with self._read_lock:
                return db.execute(self.sql[name], parameters).fetchall()
        except sqlite3.Error as error:
            raise translate(error, name.replace("_", " ")) from error

    def mark(self) -> str:
        """Return a word that is another one once anything was written, through whatever connection.

        SQLite tells a connection of the writes of others (``data_version``), and counts its own.
        """
        db = self.connection("read")
        try:
            with self._read_lock:
                (version,) = db.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            raise translate(error, "look for news") from error
        if self._marked is None or self._marked[0] is not db:
            self._marked = (db, secrets.token_hex(8))  # what it counts means nothing to another connection
        return f"{self._marked[1]} {version} {db.total_changes}"

    def renew(self, db: sqlite3.Connection, leases: Sequence[Lease], lease_s: float) -> set[Lease]:
        """Extend the leases that are still held; return those.

        The clock is read with the write lock in hand: whoever counts a queue's places may have had it.
        """
        held: set[Lease] = set()
        try:
            with self.write_lock if self.in_memory else nullcontext(), transaction(db):
                now = micros(self.clock())
                for name, is_execution in (("renew_leases", False), ("renew_executions", True)):
                    wanted = [
                        [of.tenant, of.key, of.fence] for of in leases if of.is_execution is is_execution
                    ]
                    row = {
                        "now": now,
                        "lease_until": now + round(lease_s * 1e6),
                        "leases": json.dumps(wanted),
                    }
                    rows = db.execute(self.sql[name], row).fetchall() if wanted else []
                    held.update(Lease(tenant, key, fence, is_execution) for tenant, key, fence in rows)
        except sqlite3.Error as error:
            raise translate(error, "renew leases") from error
        return held.intersection(leases)

    @contextmanager
    def writing(self, *, lazily: bool = False) -> Generator[sqlite3.Connection]:
        """Write in a transaction of its own, as the one writer of this process.

        Args:
            lazily: Without a flush to disk: it outlives the process, and maybe not the machine.
        """
        db = self.connection("write")
        with self.write_lock, lazy(db) if lazily else nullcontext(), transaction(db):
            yield db

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Read at one moment. In memory there is one connection, so writers are kept away meanwhile."""
        db = self.connection("read")
        with self.write_lock if self.in_memory else self._read_lock:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("COMMIT")

    def put(self, name: str, row: dict[str, Any]) -> bool:
        """Run a named write that stands alone, in a transaction of its own; whether it touched one row."""
        try:
            with self.writing() as db:
                return db.execute(self.sql[name], row).rowcount == 1
        except sqlite3.Error as error:
            raise translate(error, name.replace("_", " ")) from error

    def reap(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete finished effects and their trails in one transaction."""
        horizon = micros(before)
        reaped = 0
        try:
            with self.writing() as db:
                wanted = {"tenant": tenant, "before": horizon, "limit": limit}
                for (key,) in db.execute(self.sql["reap_candidates"], wanted).fetchall():
                    db.execute(self.sql["delete_trail"], {"tenant": tenant, "key": key})
                    row = {"tenant": tenant, "key": key, "before": horizon}
                    reaped += db.execute(self.sql["delete_effect"], row).rowcount
        except sqlite3.Error as error:
            raise translate(error, "reap old effects") from error
        return reaped

    def reap_rest(self, tenant: str, before: datetime, limit: int) -> int:
        """Delete signals, what is known of dependencies, memories and ended executions, at once."""
        db = self.connection("write")
        wanted = {"tenant": tenant, "before": micros(before), "limit": limit, "now": micros(self.clock())}
        try:
            with self.write_lock, transaction(db):
                names = ("reap_signals", "reap_dependencies", "reap_approvals", "reap_holds", "reap_budgets")
                count = reap_memories(db, self.sql, wanted)
                count += sum(db.execute(self.sql[name], wanted).rowcount for name in names)
                ended = db.execute(self.sql["reap_executions"], wanted).fetchall()
                places = [{"tenant": tenant, "workflow_id": workflow_id} for (workflow_id,) in ended]
                for name in ("delete_steps", "delete_messages"):
                    db.executemany(self.sql[name], places)
                return count + len(ended)
        except sqlite3.Error as error:
            raise translate(error, "reap what is old") from error

    def close(self) -> None:
        """Close every connection of this process."""
        if self._pid == os.getpid():
            with self.write_lock, self._read_lock:
                for db in self._connections.values():
                    db.close()
                self._connections = {}
