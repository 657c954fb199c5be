"""Connections that break, callers that leave, threads, event loops: what must not take anybody else along."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from planned import claim, record, stamp

from holdfast import Ledger, Settings, SyncLedger, ToolCall
from holdfast._core.change import Committed, Conflict
from holdfast._core.plan import plan_move
from holdfast._core.states import Event
from holdfast._runtime.drive import run_sync
from holdfast.errors import StoreInvariant, StoreUnavailable
from holdfast.ports import Lease
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.postgres.lane import Lanes
from holdfast.stores.postgres.parameters import execution
from holdfast.stores.postgres.pool import connect
from holdfast.stores.postgres.schema import statements
from holdfast.stores.postgres.wire import answer_in

SETTINGS = Settings()


def call(number: int) -> ToolCall:
    return ToolCall(workflow_id="w", tool="charge", args={"n": number})


async def charge(n: int) -> int:
    return n


@pytest.fixture
async def store(ledger_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    await made.open()
    yield made
    await made.close()


def cut(admin: psycopg.Connection[Any], name: str) -> int:
    """Cut the connections of the application *name* from the server's side; wait until they are gone."""
    ended = admin.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", (name,)
    )
    return len(ended.fetchall())


async def test_a_connection_that_was_cut_while_idle_is_replaced_unnoticed(ledger_url: str) -> None:
    """The server's goodbye is in the socket: nobody's commit or read fails for it."""
    store = PostgresStore(f"{ledger_url}&application_name=idle_cut", settings=SETTINGS, migrate=True)
    change, head = claim("a")
    await store.open()
    await store.commit(change)
    await store.find("t", head.key)
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        assert cut(admin, "idle_cut") == 2
    while store._here().lanes._links:
        await asyncio.sleep(0)  # the loop hears of it by itself

    answer = await store.commit(record(head))
    found = await store.find("t", head.key)
    await store.close()

    assert isinstance(answer, Committed)
    assert found.record is not None


def test_threads_do_not_notice_a_cut_either(ledger_url: str) -> None:
    store = BlockingPostgresStore(
        f"{ledger_url}&application_name=idle_cut_b", settings=SETTINGS, migrate=True
    )
    run_sync(store.open())
    change, head = claim("a")
    run_sync(store.commit(change))
    run_sync(store.find("t", head.key))
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        assert cut(admin, "idle_cut_b") == 2

    answer = run_sync(store.commit(record(head)))
    found = run_sync(store.find("t", head.key))
    run_sync(store.close())

    assert isinstance(answer, Committed)
    assert found.record is not None


async def test_a_connection_that_is_cut_under_two_batches_fails_both_and_serves_the_next(
    ledger_url: str,
) -> None:
    """Nothing is known of what was on its way: that is StoreUnavailable, and the next commit gets through."""
    store = PostgresStore(f"{ledger_url}&application_name=busy_cut", settings=SETTINGS, migrate=True)
    await store.open()
    change, head = claim("a")
    await store.commit(change)
    with psycopg.connect(ledger_url) as holder, psycopg.connect(ledger_url, autocommit=True) as admin:
        holder.execute("SELECT 1 FROM holdfast_effect FOR UPDATE")
        stuck = asyncio.create_task(store.commit(record(head)))
        async with asyncio.timeout(20):
            while not admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                await asyncio.sleep(0)
        behind, _ = claim("b")
        queued = asyncio.create_task(store.commit(behind))
        await asyncio.sleep(0)
        cut(admin, "busy_cut")
        with pytest.raises(StoreUnavailable) as caught:
            await stuck
        with pytest.raises(StoreUnavailable) as caught_behind:
            await queued
        other = await store.commit(behind)

    assert caught.value.key == head.key
    assert caught_behind.value.key == behind.ops[0].key
    assert isinstance(other, Committed)
    await store.close()


async def test_a_caller_that_leaves_breaks_neither_connection_nor_batch(store: PostgresStore) -> None:
    await store.commit(claim("warm")[0])
    tasks = [asyncio.create_task(store.commit(claim(f"c{n}")[0])) for n in range(60)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()

    ends = await asyncio.gather(*tasks, return_exceptions=True)
    after = await store.commit(claim("after")[0])

    assert all(isinstance(end, asyncio.CancelledError) for end in ends[::3])
    assert all(isinstance(end, Committed) for n, end in enumerate(ends) if n % 3)
    assert isinstance(after, Committed)
    assert len(store._here().lanes._links) == 1


LATE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.owner = 'unlucky' THEN RAISE EXCEPTION 'too late' USING ERRCODE = 'integrity_constraint_violation'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON holdfast_effect DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_commit_that_fails_at_its_very_end_is_not_taken_for_one(
    store: PostgresStore, ledger_url: str
) -> None:
    """I2: the function has answered, the Sync has not: only the Sync commits. The others are committed."""
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        admin.execute(LATE)
    names = ["a", "b", "unlucky", "c"]

    ends = await asyncio.gather(*(store.commit(claim(n)[0]) for n in names), return_exceptions=True)
    known = [(await store.find("t", claim(n)[1].key)).record is not None for n in names]

    assert known == [True, True, False, True]
    assert [isinstance(end, Committed) for end in ends] == known
    assert isinstance(ends[2], StoreInvariant)


def test_a_blocking_commit_that_fails_at_its_very_end_is_not_taken_for_one(ledger_url: str) -> None:
    blocking = BlockingPostgresStore(ledger_url, settings=SETTINGS, migrate=True)
    run_sync(blocking.open())
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        admin.execute(LATE)

    with pytest.raises(StoreInvariant, match="too late"):
        run_sync(blocking.commit(claim("unlucky")[0]))
    after = run_sync(blocking.commit(claim("a")[0]))
    run_sync(blocking.close())

    assert isinstance(after, Committed)


async def test_doubts_about_the_same_workflows_never_deadlock(ledger_url: str) -> None:
    """A change that locks a workflow's row too travels alone: batches are sorted by effect only."""
    stores = [PostgresStore(ledger_url, settings=SETTINGS, migrate=True) for _ in range(2)]
    for each in stores:
        await each.open()
    for turn in range(5):
        heads = []
        for n in range(40):
            change, head = claim(f"{turn}-{n}", workflow=f"w{(n * 7) % 10}")
            assert isinstance(await stores[0].commit(change), Committed)
            heads.append(head)
        halves = (heads[:20], heads[20:][::-1])

        ends = await asyncio.gather(
            *(s.commit(record(h, Event.DOUBT)) for s, half in zip(stores, halves, strict=True) for h in half)
        )

        assert all(isinstance(end, Committed) for end in ends)
    open_reviews = [await stores[0].workflow("t", f"w{n}") for n in range(10)]
    for each in stores:
        await each.close()

    assert [w.open_reviews for w in open_reviews if w is not None] == [20] * 10


async def test_renewing_many_leases_never_deadlocks_with_batches(store: PostgresStore) -> None:
    claims = [claim(f"r{n}") for n in range(60)]
    await asyncio.gather(*(store.commit(change) for change, _ in claims))
    renewer = await asyncio.to_thread(store.renewer)
    leases = [Lease("t", head.key, head.fence) for _, head in reversed(claims)]
    for _ in range(10):
        notes = [plan_move(head, Event.NOTE, stamp()) for _, head in claims]
        held, *ends = await asyncio.gather(
            asyncio.to_thread(renewer.renew, leases, 10.0), *(store.commit(change) for change, _ in notes)
        )
        claims = [(change, head) for change, head in notes]
        assert held <= set(leases)  # a row that is being written is left for the next beat
        assert all(isinstance(end, Committed) for end in ends)
    assert await asyncio.to_thread(renewer.renew, leases, 10.0) == set(leases)
    renewer.close()


async def test_a_row_that_a_stranger_holds_keeps_no_other_claim_from_being_renewed(
    store: PostgresStore, ledger_url: str
) -> None:
    claims = [claim(f"h{n}") for n in range(5)]
    await asyncio.gather(*(store.commit(change) for change, _ in claims))
    leases = [Lease("t", head.key, head.fence) for _, head in claims]
    renewer = await asyncio.to_thread(store.renewer)
    with psycopg.connect(ledger_url) as stranger:
        stranger.execute("SELECT 1 FROM holdfast_effect WHERE key = %s FOR UPDATE", (leases[2].key,))
        held = await asyncio.to_thread(renewer.renew, leases, 10.0)
    renewer.close()

    assert held == {*leases} - {leases[2]}


async def test_a_row_that_a_stranger_holds_stops_nobody_else(ledger_url: str) -> None:
    """Its own caller learns that the store is away; whoever shared its batch gets through meanwhile."""
    settings = Settings(store_patience=1)
    async with Ledger(ledger_url, settings=settings, migrate=True) as ledger:
        held = [await ledger.call(call(n), charge, safety="idempotent") for n in range(3)]
        with psycopg.connect(ledger_url) as stranger:
            stranger.execute("UPDATE holdfast_effect SET state = 'retryable', open_state = 'retryable'")
            stranger.commit()
            stranger.execute("SELECT 1 FROM holdfast_effect FOR UPDATE")
            stuck = [
                asyncio.ensure_future(ledger.run(call(n), charge, safety="idempotent")) for n in range(3)
            ]
            async with asyncio.timeout(30):
                others = await asyncio.gather(*(ledger.run(call(100 + n), charge) for n in range(50)))
                ends = await asyncio.gather(*stuck, return_exceptions=True)

    assert len(held) == 3
    assert others == [100 + n for n in range(50)]
    assert [type(end) for end in ends] == [StoreUnavailable] * 3


async def test_a_connection_attempt_that_failed_leaves_room_for_the_next(ledger_url: str) -> None:
    """A commit that comes in the very turn in which an attempt fails makes another one."""
    tried = 0

    async def connecting() -> Any:
        nonlocal tried
        tried += 1
        raise StoreUnavailable("connect", "away")

    lanes = Lanes(connecting, {}, width=1, most=128)
    ends = []

    async with asyncio.timeout(20):
        for number in range(50):
            for name in "xy":
                change = claim(f"{name}{number}")[0]
                ends.append(await lanes.commit(execution(change, None), partial(answer_in, change)))

    assert tried == 100
    assert all(isinstance(end, StoreUnavailable) for end in ends)
    lanes.close()


def test_one_store_serves_the_event_loops_of_several_threads_at_once(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, migrate=True)
    ends: list[int] = []
    barrier = threading.Barrier(4)

    async def work(n: int) -> None:
        barrier.wait()
        ends.extend([await ledger.run(call(100 * n + m), charge) for m in range(10)])

    threads = [threading.Thread(target=asyncio.run, args=(work(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(ledger.close())

    assert sorted(ends) == sorted(100 * n + m for n in range(4) for m in range(10))


async def test_a_local_effect_may_look_at_the_ledger_while_its_transaction_is_open(postgres_url: str) -> None:
    """IDE-30: the connections of local effects are their own, so that the last one cannot wait for itself."""
    async with Ledger(postgres_url, migrate=True, settings=Settings(pool_size=1)) as ledger:

        async def book(n: int, effect: Any) -> int:
            await effect.tx.execute("CREATE TABLE IF NOT EXISTS booked (n int)")
            await effect.tx.execute("INSERT INTO booked VALUES (%s)", (n,))
            return len(await ledger.effects())

        async with asyncio.timeout(20):
            seen = await ledger.run(call(1), book, safety="local")

    assert seen == 1


@pytest.mark.parametrize("text", ["\x00", "\ud800"], ids=["NUL", "surrogate"])
async def test_text_that_no_database_holds_is_refused_alone_and_not_cut_short(
    store: PostgresStore, text: str
) -> None:
    await store.commit(claim("warm")[0])
    bad, head = claim("bad", args=f'"before{text}after"')

    ends = await asyncio.gather(
        store.commit(claim("a")[0]), store.commit(bad), store.commit(claim("b")[0]), return_exceptions=True
    )

    assert [type(end) for end in ends] == [Committed, StoreInvariant, Committed]
    assert (await store.find("t", head.key)).record is None


async def test_a_payload_larger_than_any_buffer_arrives_whole(store: PostgresStore) -> None:
    text = '"' + "näh" * 1_500_000 + '"'
    change, head = claim("large", args=text)

    await asyncio.gather(store.commit(change), *(store.commit(claim(f"s{n}")[0]) for n in range(9)))
    found = (await store.find("t", head.key)).record
    again = await store.commit(claim("large")[0])

    assert found is not None
    assert found.args == text
    assert isinstance(again, Conflict)
    assert again.found == found


async def test_whatever_the_session_prints_the_same_is_read(ledger_url: str) -> None:
    """Zone, date style and bytea format are the database's business, an hour is an hour."""
    odd = f"{ledger_url}%20-cTimeZone%3DAsia/Kolkata%20-cbytea_output%3Descape%20-csynchronous_commit%3Doff"
    store, plain = (PostgresStore(url, settings=SETTINGS, migrate=True) for url in (odd, ledger_url))
    await store.open()
    await plain.open()
    change, head = claim("a")

    first = await store.commit(change)
    again = await store.commit(change)
    found = await plain.find("t", head.key)
    for each in (store, plain):
        await each.close()

    assert isinstance(first, Committed)
    assert isinstance(again, Conflict)
    assert again.found == found.record
    assert abs((first.now - datetime.now(UTC)).total_seconds()) < 60
    assert first.now.utcoffset() == again.now.utcoffset() == datetime.now(UTC).utcoffset()


async def test_what_is_reported_is_on_disk_even_where_commits_are_lazy(ledger_url: str) -> None:
    for session in ("begin_session", "begin_local"):
        lazy = await connect(f"{ledger_url}%20-csynchronous_commit%3Doff", statements()[session])
        async with lazy:
            shown = await (await lazy.execute("SHOW synchronous_commit")).fetchone()

        assert shown == ("on",)


async def test_text_is_utf_8_whatever_the_client_is_set_to(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    text = ToolCall(workflow_id="w", tool="say", args={"text": "5 € für 猫"})
    async with Ledger(f"{ledger_url}&client_encoding=WIN1252", migrate=True) as ledger:
        receipt = await ledger.call(text, lambda text: text)
        effect, report = await ledger.effect(receipt.key), await ledger.verify()

    assert effect.result == "5 € für 猫"
    assert report.ok


async def test_a_database_that_cannot_hold_every_text_is_refused(postgres_url: str) -> None:
    name = f"latin_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")  # type: ignore[arg-type]
        url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}", query=""))
        try:
            ledger = Ledger(url, migrate=True)
            with pytest.raises(StoreUnavailable, match=r"its encoding is LATIN1.*UTF8"):
                await ledger.run(call(1), charge)
            await ledger.close()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.mark.parametrize("ledger", [Ledger, SyncLedger])
def test_a_database_without_tables_does_not_keep_its_callers_waiting(
    ledger_url: str, ledger: Callable[..., Any]
) -> None:
    """INT-12: tables that vanish under an open ledger are a typed error, not a hang."""
    made = ledger(ledger_url, migrate=True)
    store = made._engine.parts.store
    asyncio.run(store.open())
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        admin.execute("DROP VIEW holdfast_effects_v")
        admin.execute("DROP TABLE holdfast_effect, holdfast_audit, holdfast_workflow CASCADE")
        admin.execute("DROP FUNCTION holdfast_insert_v1, holdfast_move_v1")

    async def commit() -> None:
        try:
            await store.commit(claim("a")[0])
        finally:
            await store.close()

    with pytest.raises(Exception, match="holdfast migrate"):
        asyncio.run(asyncio.wait_for(commit(), 20))


async def test_a_state_that_only_a_newer_version_knows_stops_its_own_caller_alone(
    store: PostgresStore, ledger_url: str
) -> None:
    """Its answer cannot be read; those who shared its batch get theirs, and nobody waits for ever."""
    strange, _ = claim("strange")
    await store.commit(strange)
    with psycopg.connect(ledger_url, autocommit=True) as admin:
        admin.execute("ALTER TYPE holdfast_state ADD VALUE 'melted'")
        admin.execute("UPDATE holdfast_effect SET state = 'melted'")

    async with asyncio.timeout(20):
        ends = await asyncio.gather(
            *(store.commit(change) for change in (strange, claim("b")[0], claim("c")[0])),
            return_exceptions=True,
        )

    assert isinstance(ends[0], StoreInvariant)
    assert "its answer cannot be read" in str(ends[0])
    assert [type(end) for end in ends[1:]] == [Committed, Committed]
