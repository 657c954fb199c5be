"""The very first calls of a ledger may come all at once; they must meet in one database."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import SyncLedger, ToolCall
from holdfast.stores.sqlite.db import Database
from holdfast.stores.sqlite.store import SqliteStore

THREADS = 8
ROUNDS = 15


@pytest.fixture(autouse=True)
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can, so that they meet."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work) -> list:
    """What *work* gives in each of several threads that start together."""
    found, start = [], threading.Barrier(THREADS)

    def run() -> None:
        start.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("name", [":memory:", "ledger.db"])
def test_ide_03_threads_whose_first_calls_meet_execute_once(tmp_path: Path, name: str) -> None:
    """With a database in memory each connection is a database of its own: there must be one."""
    place = name if name == ":memory:" else str(tmp_path / name)
    for number in range(ROUNDS):
        with SyncLedger(f"sqlite:///{place}") as ledger:
            ran: list[int] = []

            def charge(amount: int, ran: list[int] = ran) -> int:
                ran.append(amount)
                return amount

            call = ToolCall(workflow_id=f"order-{number}", tool="charge", args={"amount": number})
            results = at_once(
                lambda ledger=ledger, call=call, charge=charge: ledger.run(call, handler=charge)
            )

            assert (ran, results) == ([number], [number] * THREADS)


@pytest.mark.parametrize("name", [":memory:", "ledger.db"])
def test_threads_that_come_at_once_share_one_connection(tmp_path: Path, name: str) -> None:
    for number in range(ROUNDS):
        place = name if name == ":memory:" else str(tmp_path / f"{number}-{name}")
        database: Database = SqliteStore(place, blocking=True).database
        try:
            assert (
                len({id(each) for each in at_once(lambda database=database: database.connection("read"))})
                == 1
            )
        finally:
            database.close()
