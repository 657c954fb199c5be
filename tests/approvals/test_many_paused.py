"""Ten thousand workflows that wait for people hold nothing but their rows."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import sqlite3
import threading
import tracemalloc
from contextlib import closing
from typing import Any

import psycopg
import pytest

from holdfast import Ledger, Settings, ToolCall
from holdfast._runtime.life import Life
from holdfast._runtime.parts import Work
from holdfast.engines import Worker

MANY = 10_000
TABLES = ("holdfast_execution", "holdfast_step", "holdfast_effect", "holdfast_approval")
NAME = "holdfast_many_paused"


def connect(url: str) -> Any:
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    return psycopg.connect(url, autocommit=True)


def copied(url: str, count: int) -> None:
    """Write the rows of one paused workflow *count* times more, each under names of its own."""
    mark = "?" if url.startswith("sqlite") else "%s"
    with closing(connect(url)) as db:
        db.execute("BEGIN")
        for table in TABLES:
            cursor = db.execute(f"SELECT * FROM {table} WHERE workflow_id = 'run-0'")
            names, rows = [column[0] for column in cursor.description], cursor.fetchall()
            places = ", ".join([mark] * len(names))
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"
            many = [
                [_renamed(name, value, n) for name, value in zip(names, row, strict=True)]
                for row in rows
                for n in range(1, count + 1)
            ]
            (db if mark == "?" else db.cursor()).executemany(statement, many)
        db.execute("COMMIT")


def _renamed(name: str, value: Any, n: int) -> Any:
    if name == "workflow_id":
        return f"run-{n}"
    if name in {"key", "effect"} and value:
        return "v1:" + hashlib.sha256(f"{value} {n}".encode()).hexdigest()
    return hashlib.sha256(f"{value} {n}".encode()).hexdigest()[:32] if name == "id" else value


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return f"{request.getfixturevalue('ledger_url')}&application_name={NAME}"


def declared(ledger: Ledger, *, deployed: int) -> Any:
    """The program, in two versions of its code; the tool says that it is the same one."""

    @ledger.tool(requires_approval=True, version="1")
    async def charge(amount: int) -> dict[str, int]:
        return {"charged": amount, "by": deployed}

    @ledger.workflow
    async def order(ctx: Any, amount: int) -> Any:
        return await charge(amount=amount)

    return order


def held() -> list[Any]:
    """What this process holds of the calls and the workflows that wait here, and not of other tests' leavings."""
    lives = [
        each for each in gc.get_objects() if isinstance(each, Life) and each.workflow_id.startswith("run-")
    ]
    works = [each for each in gc.get_objects() if isinstance(each, Work)]
    return [*lives, *(each for each in works if each.new.workflow_id.startswith("run-"))]


async def test_ten_thousand_that_wait_for_people_hold_neither_tasks_nor_threads_nor_connections(
    url: str,
) -> None:
    """HIT-08: all processes stop; new code starts; a yes lets its one workflow go on, and the others cost nothing."""
    settings = Settings(pool_size=4)
    async with Ledger(url, settings=settings, migrate=not url.startswith("sqlite")) as ledger:
        order = declared(ledger, deployed=1)
        await order.enqueue("run-0", amount=100)
        worker = Worker(ledger)
        working = asyncio.create_task(worker.run())
        while not await ledger.approvals():
            await asyncio.sleep(0.01)
        worker.stop()
        await working
    copied(url, MANY - 1)
    gc.collect()
    tasks, threads, before = len(asyncio.all_tasks()), threading.active_count(), len(held())

    tracemalloc.start()
    try:
        async with Ledger(url, settings=settings) as ledger:
            order = declared(ledger, deployed=2)
            worker = Worker(ledger)
            working = asyncio.create_task(worker.run())
            [asked] = await ledger.approvals(workflow_id="run-0")
            assert dict(await ledger.approval_counts()) == {"pending": MANY}
            await ledger.approve(asked.id, by="ana", digest=asked.digest)
            assert await order.result("run-0") == {"charged": 100, "by": 2}
            seen = len(asyncio.all_tasks()) - tasks, threading.active_count() - threads, len(held()) - before
            connections = 0
            if not url.startswith("sqlite"):
                with closing(connect(url.replace(NAME, "onlooker"))) as db:
                    known = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
                    [(connections,)] = db.execute(known, (NAME,)).fetchall()
            _, peak = tracemalloc.get_traced_memory()
            worker.stop()
            await working
    finally:
        tracemalloc.stop()

    assert seen[0] <= 16
    assert seen[1] <= 16
    assert seen[2] <= 16
    assert connections <= settings.pool_size + 7
    assert peak < 32 << 20


async def test_a_call_outside_of_a_workflow_is_gone_on_with_by_new_code(url: str) -> None:
    """HIT-08: whoever asked has gone; whoever calls again, with the tool's version the same, needs no second word."""
    call = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})

    async def old(amount: int) -> int:
        return amount

    async def new(amount: int) -> int:
        return amount * 1

    async with Ledger(url, migrate=not url.startswith("sqlite")) as ledger:
        with pytest.raises(Exception, match="waits for approval"):
            await ledger.run(call, old, requires_approval=True, version="1")
    async with Ledger(url) as ledger:
        [asked] = await ledger.approvals()
        await ledger.approve(asked.id, by="ana", digest=asked.digest)
    async with Ledger(url) as ledger:
        assert await ledger.run(call, new, requires_approval=True, version="1") == 100
