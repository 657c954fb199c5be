"""Attacks are tried on every store; promises on both faces as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from approvals.office import STORES, Office
from promises.ledgers import KINDS, Book, Place


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "durable: only where a stranger can write to the database.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An office is on each store; a place is one of each kind."""
    if "office" in metafunc.fixturenames:
        is_durable = metafunc.definition.get_closest_marker("durable") is not None
        metafunc.parametrize("office", STORES[1:] if is_durable else STORES, indirect=True)
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("place", KINDS, indirect=True)


@pytest.fixture
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """An empty office on each store."""
    where = kind = request.param
    if kind == "postgres":
        where = f"{request.getfixturevalue('ledger_url')}%20-csynchronous_commit%3Doff"
    office = Office(kind, where, tmp_path)
    yield office
    office.close()


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A place of the test's own, empty at first."""
    kind: str = request.param
    url = f"sqlite:///{tmp_path}/ledger.db"
    place = Place(kind, request.getfixturevalue("ledger_url") if kind.endswith("postgres") else url)
    yield place
    await place.close()


@pytest.fixture
def book(place: Place) -> Book:
    """A ledger opened at the place."""
    return place.open()
