"""Hostile input is tried on real ledgers; what has to be so afterwards is the same for all of it."""

from __future__ import annotations

from promises.conftest import book, place, pytest_configure, pytest_generate_tests

__all__ = ["book", "place", "pytest_configure", "pytest_generate_tests"]
