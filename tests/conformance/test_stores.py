"""Our own stores against the contract that we hand to others; STA-05, INT-08, I3, I6."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast import Settings
from holdfast._core.advance import Advanced
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FakeClock
from holdfast.testing.conformance import StoreContract
from holdfast.testing.conformance.bells import BellContract
from holdfast.testing.conformance.flows import begin
from holdfast.testing.conformance.subject import Subject, dependency, signal


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


class TestPostgres(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, ledger_url: str) -> Store:
        return PostgresStore(ledger_url, settings=Settings(), clock=clock)


class TestPostgresWithoutGroupCommit(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, ledger_url: str) -> Store:
        return PostgresStore(ledger_url, settings=Settings(group_commit=False), clock=clock)


class TestPostgresBlocking(OwnStoreContract):
    @pytest.fixture
    def store(self, clock: FakeClock, ledger_url: str) -> Store:
        return BlockingPostgresStore(ledger_url, settings=Settings(), clock=clock)
