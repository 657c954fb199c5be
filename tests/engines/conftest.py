"""A Restate server for the tests, or a visible reason why there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.restate_package import NotToBeHad, server_binary


@pytest.fixture(scope="session")
def restate_binary() -> Path:
    """The server's program; ``HOLDFAST_ENGINES=require`` insists on it."""
    try:
        return server_binary()
    except NotToBeHad as error:
        if os.environ.get("HOLDFAST_ENGINES") == "require":
            raise
        pytest.skip(f"not proven on a real Restate server: {error}")
