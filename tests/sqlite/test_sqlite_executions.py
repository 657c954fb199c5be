"""What executions cost on SQLite, and what they survive: flushes, locks, plans by an index, processes that die."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast._core.advance import (
    Advanced,
    BeginExecution,
    Dequeue,
    Leave,
    Outrun,
    Progress,
    QueueRule,
    TakeExecution,
    bell_of_end,
    bell_of_queue,
)
from holdfast._core.execution import ExecutionRecord, StepKind, StepRecord, StepState
from holdfast._core.states import WorkflowStatus
from holdfast.errors import StoreInvariant
from holdfast.stores.migrate import queries
from holdfast.stores.sqlite.store import SqliteStore

NOW: Final = datetime(2026, 11, 28, tzinfo=UTC)
QUEUE: Final = "refunds"
STEP: Final = StepRecord(
    name="ask",
    occurrence=0,
    kind=StepKind.STEP,
    fingerprint="f",
    state=StepState.PENDING,
    position=None,
    attempt=1,
    started_at=NOW,
)
BEGIN: Final = BeginExecution(
    tenant="t",
    workflow_id="w",
    function="refund",
    version="1",
    input="{}",
    actor="a",
    owner="a",
    lease_s=60.0,
    at=NOW,
    queue=QUEUE,
)
NOTE: Final = Progress(
    tenant="t", workflow_id="w", epoch=1, lease_s=60.0, at=NOW, steps=(STEP,), is_note=True
)
DEQUEUE: Final = Dequeue(
    tenant="t",
    rule=QueueRule(name=QUEUE),
    functions=("refund",),
    owner="b",
    limit=1,
    lease_s=60.0,
    at=NOW,
)


QUEUED: Final = """
INSERT INTO holdfast_execution
WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < :count)
SELECT 't', :name || printf('%06d', value), 'refund', '1', :status, '{}', NULL, NULL, 'a', 'refunds', :priority,
       :limit_key, '', 'leave', '', 0, '', 0, 0, :wake_at, '', 0, '', '', 0, NULL, NULL, 0, 0, NULL, ''
FROM n
"""


class Opened:
    """A store on a file, driven from plain functions."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(str(path), blocking=True)
        asyncio.run(self.store.open())
        self.db = self.store.database.connection("write")

    def advance(self, op: Any) -> Advanced | Outrun:
        return asyncio.run(self.store.advance(op))

    def dequeue(self, op: Dequeue = DEQUEUE) -> list[ExecutionRecord]:
        return list(asyncio.run(self.store.dequeue(op)))

    def queue(self, count: int, **columns: Any) -> None:
        """Let *count* executions be due in the queue, by one statement."""
        row = {"limit_key": "", "priority": 0, "wake_at": 0, "status": "queued", "name": "q", **columns}
        self.db.execute(QUEUED, {"count": count, **row})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    made = Opened(path)
    yield made
    asyncio.run(made.store.close())


def flushes(db: sqlite3.Connection) -> list[str]:
    """Return what is done to the flushes of commits from now on, and when something is written."""
    seen: list[str] = []
    patterns = {"NORMAL": "later", "FULL": "at once", "COMMIT": "commit", "ROLLBACK": "rollback"}

    def trace(statement: str) -> None:
        seen.extend(word for text, word in patterns.items() if re.search(rf"\b{text}\b", statement))

    db.set_trace_callback(trace)
    return seen


def test_a_note_is_committed_without_a_flush_and_nothing_else_is(opened: Opened) -> None:
    """IDE-27: what the same connection writes next is durable again."""
    opened.advance(BEGIN)
    seen = flushes(opened.db)

    assert isinstance(opened.advance(NOTE), Advanced)
    opened.advance(replace(NOTE, is_note=False))
    assert isinstance(opened.advance(replace(NOTE, epoch=2)), Outrun)
    opened.advance(replace(BEGIN, workflow_id="w2"))

    assert seen == ["later", "commit", "at once", "commit", "later", "commit", "at once", "commit"]
    assert opened.db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_note_that_fails_leaves_the_flushes_as_they_were(opened: Opened) -> None:
    opened.advance(BEGIN)
    seen = flushes(opened.db)

    with pytest.raises(StoreInvariant):
        opened.advance(replace(NOTE, steps=(replace(STEP, occurrence=-1),)))

    assert seen == ["later", "rollback", "at once"]
    assert opened.db.execute("PRAGMA synchronous").fetchone() == (2,)


WRITER: Final = """
import asyncio, os, signal, sys
sys.path.insert(0, sys.argv[2])
import test_sqlite_executions as told
opened = told.Opened(told.Path(sys.argv[1]))
opened.advance(told.BEGIN)
opened.advance(told.NOTE)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_note_survives_the_process_that_wrote_it(path: Path) -> None:
    """IDE-01: whoever takes it learns that the step had begun."""
    died = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], check=False, timeout=60
    )

    after = Opened(path)
    journal = asyncio.run(after.store.journal("t", "w"))
    asyncio.run(after.store.close())
    assert died.returncode == -signal.SIGKILL
    assert journal is not None
    assert journal.steps == (STEP,)


def test_who_finds_nothing_waits_for_no_writer(opened: Opened, path: Path) -> None:
    """Workers look often; a lock per look would keep calls waiting."""
    opened.queue(5, wake_at=2**60)
    opened.advance(BEGIN)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    taken = [opened.dequeue(replace(DEQUEUE, rule=rule)) for rule in RULES]

    other.execute("ROLLBACK")
    other.close()
    assert taken == [[]] * len(RULES)


RULES: Final = (
    QueueRule(name=QUEUE),
    QueueRule(name=QUEUE, concurrency=100),
    QueueRule(name=QUEUE, per_key=100),
    QueueRule(name=QUEUE, rate=100, rate_s=60.0),
    QueueRule(name=QUEUE, concurrency=100, per_key=100, rate=100, rate_s=60.0),
)


def steps_of(db: sqlite3.Connection, work: Any) -> int:
    """Return how many steps of SQLite's machine *work* takes: time that does not depend on the machine."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    db.set_progress_handler(counted, 100)
    work()
    db.set_progress_handler(None, 100)
    return count * 100


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_a_backlog_costs_nothing(opened: Opened, rule: QueueRule) -> None:
    """PER-05: neither what is due, nor what sleeps under a higher priority, nor what has ended."""
    opened.queue(20_000, limit_key="k")
    opened.queue(20_000, name="asleep", priority=9, wake_at=2**60, status="waiting")
    read = opened.store.database.connection("read")

    def work() -> None:
        assert [row.workflow_id for row in opened.dequeue(replace(DEQUEUE, rule=rule))] == ["q000001"]

    reading: list[int] = []
    writing = steps_of(opened.db, lambda: reading.append(steps_of(read, work)))

    assert writing + reading[0] < 3000


def test_statements_are_served_by_the_index_that_is_for_them(opened: Opened) -> None:
    """INT-08, PER-05."""
    served = {
        "list_dead_in_queue": "running (tenant=? AND queue=?)",
        "next_priority_in_queue": "due (tenant=? AND queue=? AND priority<?)",
        "list_due_in_queue": "due (tenant=? AND queue=? AND priority=? AND wake_at<?)",
        "count_running_in_queue": "running (tenant=? AND queue=?)",
        "count_started_in_queue": "started (tenant=? AND queue=? AND started_at>?)",
        "list_due_executions": "open (tenant=? AND status=? AND wake_at<?)",
        "list_children": "children (tenant=? AND parent=?)",
        "list_ended_executions": "ended (tenant=? AND status=?",
        "halt_executions": "open (tenant=?)",
        "unhalt_executions": "open (tenant=?)",
        "reap_executions": "ended (tenant=? AND status=? AND ended_at>? AND ended_at<?)",
    }
    plans = {name: plan(opened.db, name) for name in served}

    assert [name for name in served if f"INDEX holdfast_execution_{served[name]}" not in plans[name]] == []
    assert "TEMP B-TREE" not in plans["list_due_in_queue"]


def plan(db: sqlite3.Connection, name: str) -> str:
    statement = queries("sqlite")[name]
    anything = dict.fromkeys(re.findall(r":([a-z_]+)", statement))
    return "\n".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", anything))


@pytest.mark.parametrize("rule", RULES, ids=range(len(RULES)))
def test_workers_of_many_processes_are_never_given_the_same_one(
    opened: Opened, path: Path, rule: QueueRule
) -> None:
    """I3: each on connections of its own, as a process has them; together they keep the rule."""
    most = {"concurrency": 7, "per_key": 2, "rate": 9}
    rule = replace(rule, **{name: most[name] for name in most if getattr(rule, name) is not None})
    for key in ("", "k", "l"):
        opened.queue(20, limit_key=key, name=f"q{key}")
    line = threading.Barrier(8)

    def work(number: int) -> list[ExecutionRecord]:
        worker = Opened(path)
        line.wait(timeout=30)
        op = replace(DEQUEUE, rule=rule, owner=f"w{number}", limit=3)
        found = [row for _ in range(4) for row in worker.dequeue(op)]
        asyncio.run(worker.store.close())
        return found

    with ThreadPoolExecutor(8) as pool:
        given = [row for rows in pool.map(work, range(8)) for row in rows]

    keys = Counter(row.limit_key for row in given)
    assert len({row.workflow_id for row in given}) == len(given)
    assert len(given) == min(
        [60, *(most[name] for name in ("concurrency", "rate") if getattr(rule, name) is not None)]
        + ([20 + 2 + 2] if rule.per_key is not None else [])
    )
    assert rule.per_key is None or max(keys["k"], keys["l"]) <= 2


def test_everybody_who_subscribed_is_rung_and_only_for_what_was_committed(opened: Opened) -> None:
    """Two ledgers may hold one store."""
    heard: list[list[str]] = [[], []]
    for each in heard:
        opened.store.subscribe(each.append)

    opened.advance(replace(BEGIN, owner=""))
    opened.advance(TakeExecution(tenant="t", workflow_id="w", epoch=0, owner="b", lease_s=60.0, at=NOW))
    leaving = replace(NOTE, leave=Leave(to=WorkflowStatus.SUCCEEDED), is_note=False)
    with pytest.raises(StoreInvariant):
        opened.advance(replace(leaving, steps=(replace(STEP, occurrence=-1),)))
    opened.advance(replace(leaving, epoch=2))
    opened.advance(leaving)

    assert heard == [[bell_of_queue("t", QUEUE), bell_of_end("t", "w")]] * 2
