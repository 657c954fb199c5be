"""Every promise about crashes is tried on every store; single moments are set up by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from desk import Desk
from holdfast.testing.places import places

STORES = ["memory", "sqlite", "postgres"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """A place for ``every_crash``. Nobody pulls the plug here, so PostgreSQL need not wait for its disk."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("ledger_url")
        return f"{url}%20-csynchronous_commit%3Doff"
    return str(request.param)


@pytest.fixture
def desk(store: str, tmp_path: Path) -> Iterator[Desk]:
    """An empty store of each kind."""
    desk = Desk(places(store, tmp_path)())
    yield desk
    desk.close()
