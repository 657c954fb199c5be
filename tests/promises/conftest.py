"""Each promise is tried on every kind of ledger that it concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promises.ledgers import KINDS, Book, Place


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kinds(*names): the kinds of ledger that a promise concerns, not all.")
    config.addinivalue_line("markers", "bare: nobody has made the ledger's tables before.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a place gets one of each kind; ``@pytest.mark.kinds(...)`` chooses."""
    if "place" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("kinds")
        metafunc.parametrize("place", KINDS if mark is None else mark.args, indirect=True)


@pytest.fixture
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A place of the test's own, empty at first."""
    kind: str = request.param
    url = f"sqlite:///{tmp_path}/ledger.db"
    if kind.endswith("postgres"):
        is_bare = request.node.get_closest_marker("bare") is not None
        url = request.getfixturevalue("postgres_url" if is_bare else "ledger_url")
    place = Place(kind, url)
    yield place
    await place.close()


@pytest.fixture
def book(place: Place) -> Book:
    """A ledger opened at the place."""
    return place.open()
