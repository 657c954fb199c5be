"""What the tables promise: the states of Python, plans by the right index, records that touch no index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_type_hints

import psycopg
import pytest
from planned import claim, record

from holdfast import Settings
from holdfast._core.dependency import BreakerState, Dependency, DependencyRecord, new_record
from holdfast._core.execution import Pause, StepKind, StepState
from holdfast._core.states import Event, Safety, State, WorkflowStatus
from holdfast.ports import Query, Signal
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.postgres.parameters import dependency_values
from holdfast.stores.postgres.schema import migrate, statements
from holdfast.stores.postgres.wire import listing_of, parameters

SETTINGS = Settings()


@pytest.fixture
def admin(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("state", tuple(State)),
        ("safety", tuple(Safety)),
        ("event", tuple(Event)),
        ("status", tuple(WorkflowStatus)),
        ("breaker", tuple(BreakerState)),
        ("evidence", get_args(get_type_hints(Signal)["outcome"])),
        ("step_kind", tuple(StepKind)),
        ("step_state", tuple(StepState)),
        ("pause", tuple(Pause)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_database_knows_the_words_of_the_state_table_and_no_others(
    admin: psycopg.Connection[Any], name: str, words: tuple[str, ...]
) -> None:
    rows = admin.execute("SELECT unnest(enum_range(NULL::holdfast_" + name + "))::text").fetchall()

    assert [row[0] for row in rows] == [str(word) for word in words]


def test_a_fence_below_one_is_refused(admin: psycopg.Connection[Any]) -> None:
    """I3: the guard of every guard."""
    with pytest.raises(psycopg.errors.CheckViolation):
        admin.execute(
            "INSERT INTO holdfast_effect (tenant, key, workflow_id, tool, intent, safety, fingerprint, args, actor, state,"
            " fence, attempt, owner, lease_until, created_at, updated_at, audit_seq, audit_hash)"
            " VALUES ('t', 'k', 'w', 'x', 'x', 'unsafe', 'f', '{}', 'a', 'pending', 0, 1, 'o', now(), now(), now(), 1, '')"
        )


async def test_a_record_touches_no_index(postgres_url: str, admin: psycopg.Connection[Any]) -> None:
    """PER-05: claims and their records are heap-only; otherwise every index would grow by two per call."""
    store = PostgresStore(postgres_url, settings=SETTINGS)
    for n in range(50):
        change, head = claim(f"h{n}")
        await store.commit(change)
        await store.commit(record(head))
    await store.close()

    assert await updates(admin, "holdfast_effect", 50) == (50, 50)


async def test_what_is_seen_of_a_dependency_touches_no_index(
    postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    """PER-05: one row that every worker writes again and again must not grow."""
    store = PostgresStore(postgres_url, settings=SETTINGS)
    for version in range(1, 52):
        assert await store.put_dependency(seen(version))
    await store.close()

    assert await updates(admin, "holdfast_dependency", 50) == (50, 50)


def test_only_what_is_seen_of_a_dependency_may_be_lost(
    postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    """IDE-27: the connection that wrote it without waiting for the disk writes signals next, durably."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        written = connection.execute(statements()["put_dependency"], dependency_values(seen(1))).fetchall()
        after = connection.execute("SHOW synchronous_commit").fetchone()

    assert written == [(1,)]
    assert after == ("on",)


def seen(version: int) -> DependencyRecord:
    new = new_record("t", Dependency("stripe"), datetime.now(UTC))
    return replace(new, version=version)


async def updates(admin: psycopg.Connection[Any], table: str, count: int) -> tuple[int, int]:
    """How many rows of *table* were updated, and how many of them in place, once *count* were."""
    async with asyncio.timeout(20):
        while True:  # the server reports when a session has ended
            admin.execute("SELECT pg_stat_clear_snapshot()")
            row = admin.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = %s::regclass",
                (table,),
            ).fetchone()
            if row is not None and row[0] == count:
                return row[0], row[1]
            await asyncio.sleep(0)


def plan(admin: psycopg.Connection[Any], name: str, values: dict[str, Any]) -> str:
    rows = admin.execute(b"EXPLAIN (COSTS OFF) " + statements()[name], values).fetchall()
    return "\n".join(row[0] for row in rows)


def test_an_effect_is_found_by_its_key_even_before_anything_is_known_of_the_table(
    admin: psycopg.Connection[Any],
) -> None:
    """On a table without statistics any index that begins with the tenant looks as good as the primary key."""
    admin.execute("SET enable_seqscan = off")

    found = plan(admin, "get_effect", {"tenant": "t", "key": "k"})
    moved = admin.execute(
        "EXPLAIN (COSTS OFF) UPDATE holdfast_effect SET fence = fence + 1 WHERE tenant = 't' AND key = 'k'"
        " AND state = 'pending' AND fence = 1"
    ).fetchall()

    assert "holdfast_effect_pkey" in found
    assert any("holdfast_effect_pkey" in row[0] for row in moved)


FILL = """
INSERT INTO holdfast_effect (
    tenant, key, workflow_id, tool, intent, safety, fingerprint, args, actor, state, fence, attempt, owner, lease_until,
    created_at, updated_at, audit_seq, audit_hash, open_state, external_id)
SELECT 't', 'v1:' || encode(sha256(n::text::bytea), 'hex'), 'w' || n % 3000, 'x', 'x', 'unsafe', 'f', '{}', 'a',
       CASE WHEN n % 3000 = 7 THEN 'unknown' ELSE 'succeeded' END::holdfast_state, 2, 1, 'o', now(),
       now() - n * interval '1 minute', now() - n * interval '1 minute', 2, '',
       CASE WHEN n % 3000 = 7 THEN 'unknown'::holdfast_state END, CASE WHEN n % 5 = 0 THEN 'ch_' || n END
FROM generate_series(1, 30000) AS n
"""


def test_listings_are_answered_by_an_index(admin: psycopg.Connection[Any]) -> None:
    """INT-08, PER-05: by workflow, by time, by what is unfinished; and the oldest for retention."""
    admin.execute(FILL)
    admin.execute("ANALYZE holdfast_effect")
    anything = Query(tenant="t")

    by_workflow = plan(admin, "list_effects", parameters(Query(tenant="t", workflow_id="w5")))
    by_time = plan(admin, "list_effects", parameters(anything))
    since = plan(admin, "list_effects", parameters(Query(tenant="t", since=datetime.now(UTC))))
    unfinished = plan(admin, "list_open_effects", parameters(Query(tenant="t", state=State.UNKNOWN)))
    due = plan(
        admin,
        "list_due_open_effects",
        parameters(Query(tenant="t", state=State.UNKNOWN, due=datetime.now(UTC))),
    )
    outside = plan(admin, "list_effects_outside", parameters(Query(tenant="t", external_id="ch_5")))
    month = {"tenant": "t", "before": datetime.now(UTC) - timedelta(days=60), "limit": 100}
    oldest = plan(admin, "reap", month)
    keys = plan(admin, "list_keys", {"tenant": "t", "after_tenant": "t", "after_key": "v1:5", "limit": 100})

    assert "holdfast_effect_by_workflow" in by_workflow
    assert "holdfast_effect_by_time" in by_time
    assert "holdfast_effect_by_time" in since
    assert "holdfast_effect_open" in unfinished
    assert "holdfast_effect_open" in due
    assert "holdfast_effect_by_external_id" in outside
    assert "holdfast_effect_by_time" in oldest
    assert "holdfast_effect_pkey" in keys
    assert not any(
        "Seq Scan on holdfast_effect" in text
        for text in (by_workflow, by_time, since, unfinished, due, outside, keys)
    )


async def test_unfinished_business_is_listed_by_the_same_rule_everywhere(
    postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    """The column behind the index says what the state says, whichever way an effect came there."""
    store = PostgresStore(postgres_url, settings=SETTINGS)
    for name, event in (("a", Event.DOUBT), ("b", Event.RELEASE), ("c", Event.FAIL), ("d", Event.SUCCEED)):
        change, head = claim(name)
        await store.commit(change)
        await store.commit(record(head, event))
    await store.commit(claim("e")[0])
    await store.close()

    rows = admin.execute("SELECT state::text, open_state::text FROM holdfast_effect").fetchall()

    assert len(rows) == 5
    for state, marked in rows:
        is_open = listing_of(Query(tenant="t", state=State(state))) == "list_open_effects"
        assert marked == (state if is_open else None)
