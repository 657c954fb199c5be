"""Every promise of telling is tried on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from channels.fake_slack import FakeSlack
from holdfast.ports import Store
from holdfast.stores.memory import MemoryStore

STORES = ["memory", "sqlite", "postgres"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """A place for the crash kit."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("ledger_url")
        return f"{url}%20-csynchronous_commit%3Doff"
    return str(request.param)


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | Store]:
    """What a ledger is opened with."""
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
    else:
        yield request.getfixturevalue("ledger_url")


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A Slack on the loopback interface."""
    with FakeSlack().serving() as slack:
        yield slack
