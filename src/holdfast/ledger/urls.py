"""A ledger's URL -> the store behind it."""

from __future__ import annotations

import importlib
import os
import re
from typing import Any, Final

from holdfast.errors import InvalidURL, MissingExtra
from holdfast.ports import Store
from holdfast.settings import DEFAULT_URL, Settings
from holdfast.stores.memory import MemoryStore
from holdfast.stores.sqlite.store import SqliteStore

_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):[^@/]*@|(password=)[^&\s]*", re.IGNORECASE)


def open_store(url: str | Store | None, settings: Settings, *, blocking: bool, migrate: bool) -> Store:
    """Return the store that *url* names; a store is returned as it is.

    Raises:
        InvalidURL: No store can be named like this.
        MissingExtra: The store's driver is not installed.
    """
    if url is not None and not isinstance(url, str):
        if not hasattr(url, "commit"):
            raise InvalidURL(f"<{type(url).__name__}>", "is neither text nor a store")
        return url
    url = url if url is not None else os.environ.get("HOLDFAST_URL", DEFAULT_URL)
    scheme, separator, rest = url.partition("://")
    if separator:
        if scheme == "memory":
            return MemoryStore()
        if scheme == "sqlite":
            return SqliteStore(_sqlite_path(url, rest), blocking=blocking, group_commit=settings.group_commit)
        if scheme in {"postgresql", "postgres"}:
            return _postgres(url, settings, blocking=blocking, migrate=migrate)
    raise InvalidURL(without_password(url), "names no store that holdfast knows")


def without_password(url: str) -> str:
    """Return *url* fit for showing."""
    return _PASSWORD.sub(lambda found: f"{found[2]}***" if found[2] else f"{found[1]}:***@", url)


def _sqlite_path(url: str, rest: str) -> str:
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path:
        raise InvalidURL(without_password(url), "needs three slashes and a path (four for an absolute path)")
    if "\0" in path or "?" in path:
        raise InvalidURL(url.replace("\0", "\\0"), "has a character that no ledger file may have")
    return path


def _postgres(url: str, settings: Settings, *, blocking: bool, migrate: bool) -> Store:
    try:
        module: Any = importlib.import_module("holdfast.stores.postgres")
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        raise MissingExtra("postgres", "psycopg") from error
    kind = module.BlockingPostgresStore if blocking else module.PostgresStore
    store: Store = kind(url, settings=settings, migrate=migrate)
    return store
