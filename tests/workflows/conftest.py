"""Each promise of workflows is tried on every kind of ledger that it concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.testing.places import places
from promises.ledgers import KINDS, Place
from workflows.sites import Site


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kinds(*names): the kinds of ledger that a promise concerns, not all.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a site or a place gets one of each kind; ``kinds(...)`` chooses."""
    for name in ("site", "place"):
        if name in metafunc.fixturenames:
            mark = metafunc.definition.get_closest_marker("kinds")
            metafunc.parametrize(name, KINDS if mark is None else mark.args, indirect=True)


@pytest.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A store of the test's own on a clock that stands still."""
    kind: str = request.param
    where = kind.removeprefix("sync-")
    if where == "postgres":
        where = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
    site = Site(kind, places(where, tmp_path, blocking=kind.startswith("sync-"))())
    yield site
    await site.close()


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A store of the test's own in real time, empty at first."""
    kind: str = request.param
    url = f"sqlite:///{tmp_path}/ledger.db"
    if kind.endswith("postgres"):
        url = request.getfixturevalue("ledger_url")
    place = Place(kind, url)
    yield place
    await place.close()
