"""What every test may rely on: no network, repeatable examples, a real PostgreSQL."""

from __future__ import annotations

import gc
import ipaddress
import os
import sys
import uuid
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings

# pg_server lies beside this file; not every import mode of pytest puts this directory on the path.
sys.path.insert(0, str(Path(__file__).parent))

from holdfast._runtime import context
from pg_server import ForeignServer, PostgresServer
from schemas import Schemas, with_options

# The same examples on every machine and every day; `HOLDFAST_HYPOTHESIS=explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("explore", database=None, deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HOLDFAST_HYPOTHESIS", "repeatable"))


LONGEST = ("conformance", "e2e", "engines")
"""Directories whose files take longer than their few tests tell, or have very many."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: to look again and again for garbage in it takes seconds in each process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that at the end no process waits for another one's long file."""
    sizes = Counter(item.path for item in items)

    def turn(item: pytest.Item) -> tuple[int, int]:
        directory = item.path.parent.name
        return LONGEST.index(directory) if directory in LONGEST else len(LONGEST), -sizes[item.path]

    items.sort(key=turn)


class NetworkRefused(BaseException):
    """A test tried to leave this machine. Not an ``Exception``: no retry may swallow it."""


_is_guarded = False


def _guard(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: refuse every address that is not loopback, whichever library asks."""
    if not _is_guarded or not event.startswith("socket."):
        return
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = args[1]
        # Unix sockets have a path for an address, a connected socket's sendmsg has none.
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = args[0] or "localhost"
    else:
        return
    if not _is_loopback(host):
        message = f"{event} to {host!r}: tests use the loopback interface only"
        raise NetworkRefused(message)


def _is_loopback(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == "localhost"


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Refuse sockets of this process that leave the machine, for the length of each test."""
    global _is_guarded  # noqa: PLW0603 - an audit hook cannot be removed, only told to rest
    _is_guarded = True
    yield
    _is_guarded = False


@pytest.fixture(autouse=True)
def nothing_on_the_stack() -> Iterator[None]:
    """A handler that is over leaves nothing behind: the next call would be taken for one inside it."""
    yield
    left = {var.name: var.get() for var in (context.executing, context.frame, context.workflow) if var.get()}
    assert not left, f"left on the stack: {left}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer | ForeignServer]:
    """The server that all tests share; a test that stops its server takes ``own_postgres``."""
    named = os.environ.get("HOLDFAST_TEST_POSTGRES")
    if named:
        yield ForeignServer(named)
        return
    # Its processes live as long as the tests, and the machine longer: nothing that a test can see waits for a disk.
    with PostgresServer("fsync=off") as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server of this module's own, to be stopped, killed and restarted at will."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer | ForeignServer) -> Iterator[str]:
    """A URL whose connections live in a schema of this test's own, empty at first, dropped afterwards."""
    schema = f"holdfast_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
    yield with_options(postgres_server.url, f"-csearch_path={schema}")
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        # A test that leaves a transaction open fails here instead of hanging.
        admin.execute("SET lock_timeout = '10s'")
        admin.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture(scope="session")
def schemas(postgres_server: PostgresServer | ForeignServer) -> Iterator[Schemas]:
    """Schemas with the ledger's tables, on the shared server."""
    schemas = Schemas(postgres_server.url)
    yield schemas
    schemas.close()


@pytest.fixture
def ledger_url(schemas: Schemas) -> Iterator[str]:
    """A URL whose connections live in a schema that is this test's alone, with the ledger's tables, empty."""
    schema = schemas.lend()
    yield schemas.url(schema)
    schemas.take_back(schema)
