"""Scenes for real processes: each durable store, with processes of each face."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.children import Scene

SCENES = ("sqlite", "sync-sqlite", "postgres", "sync-postgres")


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A database and a world of the test's own."""
    kind: str = request.param
    url = f"sqlite:///{tmp_path}/ledger.db"
    if kind.endswith("postgres"):
        url = request.getfixturevalue("postgres_url")
    return Scene(url, tmp_path, "sync" if kind.startswith("sync") else "async")
