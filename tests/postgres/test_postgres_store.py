"""What only PostgreSQL can get wrong: batches, locks, connections, event loops, forks."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from holdfast import Ledger, Settings, SyncLedger, ToolCall
from holdfast._core.change import Change, Committed, Conflict, InsertEffect, NewEffect, Stamp
from holdfast._core.model import EffectKey, Fingerprint
from holdfast._core.plan import plan_insert
from holdfast._core.states import Event, Safety
from holdfast.errors import SchemaOutdated, StoreInvariant, StoreUnavailable
from holdfast.stores.migrate import migrations
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.postgres.schema import statements

SETTINGS = Settings()


def claim(name: str, **changes: Any) -> Change:
    digest = hashlib.sha256(name.encode()).hexdigest()
    new = NewEffect(
        tenant="t",
        key=EffectKey(f"v1:{digest}"),
        fingerprint=Fingerprint(digest),
        workflow_id="w",
        tool="charge",
        intent="charge",
        safety=Safety.UNSAFE,
        args="{}",
        call_id=None,
    )
    stamp = Stamp(
        actor="a", at=datetime.now(UTC), salt=os.urandom(16), secret=None, seal=lambda text, _: text
    )
    change, _ = plan_insert(new, Event.CLAIM, stamp, owner=name, lease_s=10)
    insert = change.ops[0]
    assert isinstance(insert, InsertEffect)
    return Change((replace(insert, **changes), *change.ops[1:]))


def call(number: int) -> ToolCall:
    return ToolCall(workflow_id="w", tool="charge", args={"n": number})


async def charge(n: int) -> int:
    return n


@pytest.fixture
async def store(ledger_url: str) -> Any:
    made = PostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def blocking(ledger_url: str) -> Iterator[BlockingPostgresStore]:
    from holdfast._runtime.drive import run_sync

    made = BlockingPostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    run_sync(made.open())
    yield made
    run_sync(made.close())


async def test_each_change_of_a_batch_succeeds_or_conflicts_alone(store: PostgresStore) -> None:
    await store.commit(claim("known"))

    answers = await asyncio.gather(*(store.commit(claim(n)) for n in ("a", "known", "b", "a", "known", "a")))

    assert [type(answer) for answer in answers] == [
        Committed,
        Conflict,
        Committed,
        Conflict,
        Conflict,
        Conflict,
    ]
    assert all(isinstance(a, Committed) or (a.found is not None) for a in answers)


async def test_a_change_that_the_database_refuses_fails_alone(store: PostgresStore) -> None:
    """A poisoned batch is rolled back whole, then tried one by one."""
    poisoned = [claim(f"p{n}") for n in range(20)]
    poisoned[7] = claim("p7", state="nonsense")  # no such state

    answers = await asyncio.gather(*(store.commit(change) for change in poisoned), return_exceptions=True)

    assert [n for n, answer in enumerate(answers) if not isinstance(answer, Committed)] == [7]
    assert isinstance(answers[7], StoreInvariant)


async def test_overlapping_batches_of_two_stores_never_deadlock(ledger_url: str) -> None:
    """Batches are sorted by key: opposite orders of arrival take their locks in one order."""
    one = PostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    two = PostgresStore(ledger_url, settings=SETTINGS)
    await one.open()
    await two.open()
    for turn in range(15):
        names = [f"{turn}-{n}" for n in range(40)]
        ends = await asyncio.gather(
            *(one.commit(claim(name)) for name in names),
            *(two.commit(claim(name)) for name in reversed(names)),
        )
        assert sum(isinstance(end, Committed) for end in ends) == len(names)
    await one.close()
    await two.close()


def test_threads_of_the_blocking_store_share_commits_and_agree(blocking: BlockingPostgresStore) -> None:
    from holdfast._runtime.drive import run_sync

    answers: list[Any] = []
    barrier = threading.Barrier(16)

    def work(n: int) -> None:
        barrier.wait()
        answers.extend(run_sync(blocking.commit(claim(f"{(n + m) % 20}"))) for m in range(20))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 320
    assert sum(isinstance(answer, Committed) for answer in answers) == 20


async def test_a_thousand_calls_at_once_keep_to_the_pool_and_closing_drops_all(postgres_url: str) -> None:
    """STA-13: pool limits hold, nothing leaks."""
    name = "holdfast_sta13"
    url = f"{postgres_url}&application_name={name}"
    most = 0
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        def connections() -> int:
            row = admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (name,)
            ).fetchone()
            assert row is not None
            return row[0]

        for group_commit in (True, False):
            settings = Settings(pool_size=4, group_commit=group_commit)
            async with Ledger(url, settings=settings, migrate=True) as ledger:

                async def look(n: int) -> int:
                    nonlocal most
                    if n % 100 == 0:
                        most = max(most, await asyncio.to_thread(connections))
                    return n

                base = 10_000 * group_commit
                await asyncio.gather(
                    *(
                        ledger.run(ToolCall(workflow_id="w", tool="x", args={"n": base + n}), look)
                        for n in range(1000)
                    )
                )
            async with asyncio.timeout(10):
                while connections():
                    await asyncio.sleep(0)  # the server takes note of a closed connection by itself

    assert 1 <= most <= 4 + 2  # the lane's, and the heartbeat's


def test_a_ledger_outlives_its_event_loop(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, migrate=True)

    first = asyncio.run(ledger.run(call(1), charge))
    again = asyncio.run(ledger.call(call(1), charge))
    asyncio.run(ledger.close())

    assert (first, again.result, again.replayed) == (1, 1, True)


def test_a_forked_child_opens_its_own_connections(ledger_url: str) -> None:
    with SyncLedger(ledger_url, migrate=True) as ledger:
        ledger.run(call(1), lambda n: n)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                ledger.run(call(2), lambda n: n)
                os.write(writer, b"ok")
            finally:
                os._exit(0)
        os.close(writer)
        assert os.waitpid(child, 0)[1] == 0
        told = os.read(reader, 10)
        os.close(reader)
        receipt = ledger.call(call(2), lambda n: n)

    assert told == b"ok"
    assert receipt.replayed


async def test_a_listener_whose_connection_was_cut_listens_again(ledger_url: str) -> None:
    """PER-03: waiters look by themselves meanwhile; notifications come back."""
    rung: list[str] = []
    store = PostgresStore(f"{ledger_url}&application_name=holdfast_cut", settings=SETTINGS, migrate=True)
    store.subscribe(rung.append)
    await store.open()
    await store.joining("t", EffectKey("v1:" + "0" * 64))
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN holdfast'"
        assert admin.execute(cut + " AND application_name = 'holdfast_cut'").fetchall() == [(True,)]
        async with asyncio.timeout(20):
            while "again" not in rung:
                admin.execute("NOTIFY holdfast, 'again'")
                await asyncio.sleep(0.01)
    await store.close()

    assert "again" in rung


async def test_an_empty_database_is_refused_with_the_command_that_helps(postgres_url: str) -> None:
    """INT-12, INT-13."""
    async with Ledger(postgres_url) as ledger:
        with pytest.raises(SchemaOutdated, match="holdfast migrate"):
            await ledger.run(call(1), charge)


async def test_a_server_that_is_not_there_is_a_typed_error(unused_port: int) -> None:
    async with Ledger(
        f"postgresql://nobody:secret@127.0.0.1:{unused_port}/none", settings=Settings(store_patience=0.1)
    ) as ledger:
        with pytest.raises(StoreUnavailable) as caught:
            await ledger.run(call(1), charge)

    assert "secret" not in str(caught.value)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_every_statement_is_understood_by_the_database(store: PostgresStore, ledger_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        for number, (name, text) in enumerate(statements().items()):
            positional = _numbered(text.decode())
            try:
                await connection.execute(f"PREPARE s{number} AS {positional}".encode(), prepare=False)
            except psycopg.Error as error:
                pytest.fail(f"{name}: {error}")


def _numbered(sql: str) -> str:
    import re

    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, sql)


async def test_eight_processes_may_create_the_tables_at_once(postgres_url: str) -> None:
    """X12, INT-12: migrations wait for each other under a lock; one of them does the work."""
    stores = [PostgresStore(postgres_url, settings=SETTINGS) for _ in range(8)]

    done = await asyncio.gather(*(store.migrate() for store in stores))

    assert sorted(map(len, done)) == [0] * 7 + [len(migrations("postgres"))]
    assert await stores[0].pending_migrations() == ()
