"""A database that older code made becomes the same as a new one, keeps its rows, and still serves that code."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from databases import Database, PostgresSchema, Rows, SqliteFile

from holdfast import Settings
from holdfast._core.audit import verify
from holdfast._core.change import Head, PlainOutcome, Retrying, WorkflowStop
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, State
from holdfast.errors import SchemaOutdated
from holdfast.stores.migrate import migrations
from holdfast.stores.postgres import BlockingPostgresStore
from holdfast.testing import FakeClock
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject, key_of, new_effect, stamp

DIALECTS = ("sqlite", "postgres")
FORMER = [
    pytest.param(dialect, count, id=f"{dialect}-{migrations(dialect)[count - 1].name[:4]}")
    for dialect in DIALECTS
    for count in range(1, len(migrations(dialect)))
]
"""Every schema that there was before the present one."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(request: pytest.FixtureRequest, dialect: str, tmp_path: Path) -> Iterator[Database]:
    found: Database
    if dialect == "sqlite":
        found = SqliteFile(tmp_path / "ledger.db")
    else:
        found = PostgresSchema(request.getfixturevalue("postgres_url"))
    yield found
    found.close()


@pytest.fixture
def present(database: Database, clock: FakeClock) -> Iterator[Subject]:
    """The present code at work on the database, from its first use on."""
    with asyncio.Runner() as runner:
        store = database.store(clock)
        yield Subject(store, clock, runner.run)
        runner.run(store.close())


class OldCode:
    """The code that came with migration 0001, whose connection stays open."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database = database
        self.clock = clock

    def insert(self, n: int, event: Event = Event.CLAIM) -> Head:
        claim = {"owner": "old", "lease_s": LEASE_S} if event is Event.CLAIM else {}
        change, head = plan_insert(new_effect(n), event, stamp(self.clock), **claim)
        assert self.database.commit_old(change, self.clock())
        assert not self.database.commit_old(change, self.clock())
        return head

    def move(self, head: Head, event: Event, outcome: PlainOutcome | None = None) -> Head:
        claim: dict[str, Any] = {"owner": "old", "lease_s": LEASE_S} if event is Event.CLAIM else {}
        change, after = plan_move(head, event, stamp(self.clock), outcome=outcome, **claim)
        assert self.database.commit_old(change, self.clock())
        assert not self.database.commit_old(change, self.clock())  # I3: it is another state now
        assert self.database.look_old(change)[10:13] == (after.state, after.fence, after.attempt)
        return after

    def live(self) -> list[Head]:
        """Leave an effect in every state that a worker leaves: with a result, in doubt, released, claimed, asked for."""
        heads = [self.insert(n) for n in range(4)]
        heads.append(self.insert(4, Event.ASK))
        heads[0] = self.move(heads[0], Event.SUCCEED, PlainOutcome(result='{"id":1}'))
        heads[1] = self.move(heads[1], Event.DOUBT, PlainOutcome(error='{"type":"E","message":""}'))
        heads[2] = self.move(heads[2], Event.RELEASE)
        return heads


@pytest.fixture
def old(database: Database, clock: FakeClock) -> OldCode:
    return OldCode(database, clock)


def former_columns(rows: Rows, before: Rows) -> Rows:
    """*rows* of the tables and columns that there were *before*."""
    return {
        table: [{name: value for name, value in row.items() if name in known[0]} for row in rows[table]]
        for table, known in before.items()
        if known and table != "holdfast_migration"
    }


@pytest.mark.parametrize(("dialect", "count"), FORMER)
def test_an_upgraded_database_is_the_same_as_a_new_one(database: Database, old: OldCode, count: int) -> None:
    """INT-12, INT-13: to the last column, index and function; the rows in it change nothing."""
    database.make(len(migrations("sqlite" if isinstance(database, SqliteFile) else "postgres")))
    fresh = database.catalog()
    database.wipe()
    database.make(count)
    old.live()
    before = database.catalog()

    done = database.upgrade()

    assert len(done) >= 1
    assert before != fresh
    assert database.catalog() == fresh
    assert database.upgrade() == ()


@pytest.mark.parametrize(("dialect", "count"), FORMER)
def test_an_upgrade_keeps_every_row_as_it_was(database: Database, old: OldCode, count: int) -> None:
    """STA-05, INT-12: nothing that was done is forgotten, nothing in doubt is decided."""
    database.make(count)
    old.live()
    before = database.rows()

    database.upgrade()

    expected = {table: rows for table, rows in before.items() if rows and table != "holdfast_migration"}
    assert {table: len(rows) for table, rows in expected.items()} == {
        "holdfast_effect": 5,
        "holdfast_audit": 8,
        "holdfast_workflow": 1,
    }
    assert former_columns(database.rows(), before) == expected


@pytest.mark.parametrize(("dialect", "count"), FORMER)
def test_what_older_code_recorded_is_read_as_if_nothing_had_been_known_of_the_new(
    database: Database, old: OldCode, present: Subject, count: int
) -> None:
    """I2, I6: no retry is spent, nothing is uncertain, nothing has to wait, and every trail verifies."""
    database.make(count)
    heads = old.live()
    database.upgrade()

    records = [present.find(n) for n in range(5)]

    assert [record.state for record in records] == [
        State.SUCCEEDED,
        State.UNKNOWN,
        State.RETRYABLE,
        State.PENDING,
        State.WAITING,
    ]
    for record, head in zip(records, heads, strict=True):
        assert (record.fence, record.attempt, record.audit_hash) == (
            head.fence,
            head.attempt,
            head.audit_hash,
        )
        assert (record.uncertain, record.spent, record.retry_from) == (False, False, 0)
        assert (record.retry_since, record.not_before, record.external_id, record.undoes) == (None,) * 4
        trail = present.run(present.store.trail(TENANT, record.key))
        assert verify(record, trail, plain={entry.seq: entry.body for entry in trail}, secret=None) == []
    workflow = present.workflow(1)
    assert (workflow.open_reviews, workflow.stopped, workflow.stopped_by) == (1, None, None)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_code_that_was_running_goes_on_over_the_upgrade(
    database: Database, old: OldCode, present: Subject
) -> None:
    """INT-12: what is added is for the new code; the old one finishes what it began, and begins more."""
    database.make(1)
    heads = old.live()
    database.upgrade()

    old.move(heads[3], Event.SUCCEED, PlainOutcome(result='{"id":4}'))
    old.move(heads[1], Event.RESOLVE_NOT_DONE)
    old.move(heads[2], Event.CLAIM)
    old.move(old.insert(5), Event.FAIL, PlainOutcome(error='{"type":"E","message":""}'))

    states = [present.find(n).state for n in range(6)]
    assert states == [
        State.SUCCEEDED,
        State.RETRYABLE,
        State.PENDING,
        State.SUCCEEDED,
        State.WAITING,
        State.FAILED,
    ]
    assert present.workflow(1).open_reviews == 0
    for record in present.effects():
        trail = present.run(present.store.trail(TENANT, record.key))
        assert verify(record, trail, plain={entry.seq: entry.body for entry in trail}, secret=None) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_old_and_new_code_take_turns_with_one_effect(
    database: Database, old: OldCode, present: Subject
) -> None:
    """INT-12, I3: neither overwrites the other, and the old one leaves what it knows nothing of."""
    database.make(1)
    head = old.live()[2]
    database.upgrade()
    told = Retrying(uncertain=True, spent=True, delay_s=5.0)
    outcome = PlainOutcome(error='{"type":"E","message":""}', external_id="ch_1")

    noted = present.move(
        head, Event.NOTE, retrying=told, outcome=outcome, workflow=WorkflowStop(reason="401")
    )
    known = present.find(2)
    stale, _ = plan_move(head, Event.CLAIM, stamp(present.clock), owner="old", lease_s=LEASE_S)
    refused = not database.commit_old(stale, present.clock())
    claimed = old.move(noted, Event.CLAIM)
    taken = present.find(2)
    present.move(claimed, Event.SUCCEED, outcome=PlainOutcome(result="1"))

    assert refused
    assert (taken.owner, taken.state, taken.attempt) == ("old", State.PENDING, 2)
    assert (taken.uncertain, taken.spent, taken.external_id) == (True, True, "ch_1")
    assert taken == replace(
        known,
        state=State.PENDING,
        owner="old",
        fence=claimed.fence,
        attempt=2,
        lease_until=taken.lease_until,
        deadline_at=None,
        audit_seq=claimed.audit_seq,
        audit_hash=claimed.audit_hash,
    )
    done = present.find(2)
    assert (done.state, done.uncertain, done.spent) == (State.SUCCEEDED, False, False)
    assert present.workflow(0).stopped == "401"


def test_a_file_that_older_code_made_is_upgraded_when_it_is_opened(tmp_path: Path, clock: FakeClock) -> None:
    """INT-12: an embedded ledger needs no command."""
    file = SqliteFile(tmp_path / "ledger.db")
    file.make(1)
    OldCode(file, clock).live()
    file.close()

    with asyncio.Runner() as runner:
        store = file.store(clock)
        runner.run(store.open())
        found = runner.run(store.find(TENANT, key_of(0))).record
        runner.run(store.close())

    assert found is not None
    assert (found.state, found.result) == (State.SUCCEEDED, '{"id":1}')


def test_a_server_that_older_code_set_up_is_refused_until_it_is_upgraded(postgres_url: str) -> None:
    """INT-12, INT-13: with the names of what is missing; many machines share it, so somebody has to say when."""
    schema = PostgresSchema(postgres_url)
    schema.make(1)
    schema.close()
    store = BlockingPostgresStore(postgres_url, settings=Settings())

    with asyncio.Runner() as runner:
        with pytest.raises(SchemaOutdated, match="0002_pre_retry"):
            runner.run(store.open())
        runner.run(store.close())
