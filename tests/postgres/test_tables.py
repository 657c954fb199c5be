"""What the tables promise: the states of Python, plans by the right index, records that touch no index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from planned import claim, record

from holdfast import Settings
from holdfast._core.states import Event, Safety, State, WorkflowStatus
from holdfast.ports import Query
from holdfast.stores.postgres import PostgresStore
from holdfast.stores.postgres.schema import migrate, statements
from holdfast.stores.postgres.store import OPEN_STATES
from holdfast.stores.postgres.wire import parameters

SETTINGS = Settings()


@pytest.fixture
def admin(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    migrate(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("name", "words"), [("state", State), ("safety", Safety), ("event", Event), ("status", WorkflowStatus)]
)
def test_the_database_knows_the_words_of_the_state_table_and_no_others(
    admin: psycopg.Connection[Any], name: str, words: type[StrEnum]
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

    async with asyncio.timeout(20):
        while True:  # the server reports when a session has ended
            admin.execute("SELECT pg_stat_clear_snapshot()")
            row = admin.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'holdfast_effect'::regclass"
            ).fetchone()
            if row is not None and row[0] == 50:
                break
            await asyncio.sleep(0)

    assert row == (50, 50)


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
    created_at, updated_at, audit_seq, audit_hash, open_state)
SELECT 't', 'v1:' || encode(sha256(n::text::bytea), 'hex'), 'w' || n % 3000, 'x', 'x', 'unsafe', 'f', '{}', 'a',
       CASE WHEN n % 3000 = 7 THEN 'unknown' ELSE 'succeeded' END::holdfast_state, 2, 1, 'o', now(),
       now() - n * interval '1 minute', now() - n * interval '1 minute', 2, '',
       CASE WHEN n % 3000 = 7 THEN 'unknown'::holdfast_state END
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
    month = {"tenant": "t", "before": datetime.now(UTC) - timedelta(days=60), "limit": 100}
    oldest = plan(admin, "reap", month)
    keys = plan(admin, "list_keys", {"tenant": "t", "after_tenant": "t", "after_key": "v1:5", "limit": 100})

    assert "holdfast_effect_by_workflow" in by_workflow
    assert "holdfast_effect_by_time" in by_time
    assert "holdfast_effect_by_time" in since
    assert "holdfast_effect_open" in unfinished
    assert "holdfast_effect_by_time" in oldest
    assert "holdfast_effect_pkey" in keys
    assert not any(
        "Seq Scan on holdfast_effect" in text for text in (by_workflow, by_time, since, unfinished, keys)
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
    assert all(marked == (state if State(state) in OPEN_STATES else None) for state, marked in rows)
