"""Our own stores against the contract that we hand to others; STA-05, INT-08, I3, I6."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import Settings
from holdfast._core.advance import Advanced
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.postgres.schema import migrate
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FakeClock
from holdfast.testing.conformance import StoreContract
from holdfast.testing.conformance.bells import BellContract
from holdfast.testing.conformance.flows import begin
from holdfast.testing.conformance.subject import Subject, dependency, signal
from pg_server import ForeignServer, PostgresServer


class OwnStoreContract(StoreContract, BellContract):
    """The contract, and the hints that our own stores give."""


class TestMemory(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return MemoryStore(clock=clock)


class TestSqlite(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Store:
        return SqliteStore(str(tmp_path / "ledger.db"), clock=clock)


class TestSqliteWithoutGroupCommit(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Store:
        return SqliteStore(str(tmp_path / "ledger.db"), clock=clock, group_commit=False)


class TestSqliteBlocking(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, tmp_path: Path) -> Store:
        return SqliteStore(str(tmp_path / "ledger.db"), clock=clock, blocking=True)


class TestSqliteInMemory(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return SqliteStore(":memory:", clock=clock)

    def test_what_is_told_of_a_dependency_waits_for_a_local_effect_off_the_event_loop(
        self, subject: Subject
    ) -> None:
        """A handler holds the one connection; blocking its event loop would keep it from ever ending."""

        async def told_meanwhile() -> list[Any]:
            async with subject.store.local():
                telling = [
                    asyncio.ensure_future(subject.store.put_dependency(dependency(subject.clock))),
                    asyncio.ensure_future(subject.store.put_signal(signal(subject.clock))),
                    asyncio.ensure_future(subject.store.advance(begin(subject.clock))),
                    asyncio.ensure_future(subject.store.journal("nobody", "nothing")),
                ]
                await asyncio.sleep(0)  # they have begun
                assert not any(task.done() for task in telling)
            return await asyncio.gather(*telling)

        *told, begun, journal = subject.run(told_meanwhile())

        assert told == [True, True]
        assert isinstance(begun, Advanced)
        assert journal is None


@pytest.fixture(scope="module")
def migrated_url(postgres_server: PostgresServer | ForeignServer) -> Iterator[str]:
    """A URL whose connections live in a schema with the ledger's tables."""
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA holdfast_contract")
        joint = "&" if "?" in postgres_server.url else "?"
        url = f"{postgres_server.url}{joint}options=-csearch_path%3Dholdfast_contract"
        migrate(url)
        yield url
        admin.execute("DROP SCHEMA holdfast_contract CASCADE")


@pytest.fixture
def url(migrated_url: str) -> Iterator[str]:
    """The same, with empty tables."""
    yield migrated_url
    with psycopg.connect(migrated_url, autocommit=True) as admin:
        admin.execute("SET lock_timeout = '10s'")
        admin.execute(
            "TRUNCATE holdfast_effect, holdfast_audit, holdfast_workflow, holdfast_dependency, holdfast_signal,"
            " holdfast_execution, holdfast_step, holdfast_message, holdfast_halt, holdfast_memory, holdfast_handoff"
        )


class TestPostgres(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, url: str) -> Store:
        return PostgresStore(url, settings=Settings(), clock=clock)


class TestPostgresWithoutGroupCommit(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, url: str) -> Store:
        return PostgresStore(url, settings=Settings(group_commit=False), clock=clock)


class TestPostgresBlocking(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, url: str) -> Store:
        return BlockingPostgresStore(url, settings=Settings(), clock=clock)
