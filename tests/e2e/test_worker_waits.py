"""DUR-13: a worker that is started while its PostgreSQL is away waits for it; what waiting does not mend ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from holdfast import SyncLedger, SyncWorkflow
from pg_server import PostgresServer
from promises.ledgers import PATIENCE_S

APP = """
from holdfast import {kind}

ledger = {kind}({url!r})


@ledger.workflow
{define} support(ctx, topic):
    return {wait} ctx.step("shout", str.upper, topic)
"""
Start: TypeAlias = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture(params=["Ledger", "SyncLedger"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts a worker of that face on a URL; whatever happens it ends with the test."""
    is_async = request.param == "Ledger"
    started: list[subprocess.Popen[str]] = []

    def begin(url: str) -> subprocess.Popen[str]:
        define, wait = ("async def", "await") if is_async else ("def", "")
        (tmp_path / "waiting_app.py").write_text(
            APP.format(kind=request.param, url=url, define=define, wait=wait)
        )
        command = [sys.executable, "-W", "error", "-m", "holdfast", "worker", "waiting_app"]
        started.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        watchdog = threading.Timer(PATIENCE_S, started[-1].kill)
        watchdog.daemon = True
        watchdog.start()
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def url(own_postgres: PostgresServer) -> str:
    """An empty schema."""
    schema = f"s{uuid.uuid4().hex[:12]}"
    with psycopg.connect(own_postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE SCHEMA {schema}")
    return f"{own_postgres.url}?options=-csearch_path%3D{schema}"


def heard(process: subprocess.Popen[str], text: str) -> str:
    """Wait until it says so."""
    seen = []
    for line in process.stderr or ():
        seen.append(line)
        if text in line:
            return line
    raise AssertionError("".join(seen))


def declared(ledger: SyncLedger) -> Any:
    @ledger.workflow
    def support(ctx: SyncWorkflow, topic: str) -> None: ...

    return support


def test_a_worker_that_is_started_before_its_database_works_once_that_is_there(
    own_postgres: PostgresServer, url: str, start: Start
) -> None:
    """DUR-13."""
    with SyncLedger(url, migrate=True) as ledger:
        declared(ledger).enqueue("ticket-1", topic="late")
    own_postgres.stop()
    try:
        process = start(url)
        told = heard(process, "waits for its database")
    finally:
        own_postgres.start()

    with SyncLedger(url) as ledger:
        assert declared(ledger).options(wait=PATIENCE_S).result("ticket-1") == "LATE"
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate()

    assert process.returncode == 0, complaints
    assert "Traceback" not in told + complaints
    assert "waits for its database" not in complaints  # once is enough for so short a time


def test_a_worker_that_waits_for_its_database_ends_when_it_is_asked_to(
    own_postgres: PostgresServer, url: str, start: Start
) -> None:
    """DUR-13: and in good order: it has nothing to leave."""
    own_postgres.stop()
    try:
        process = start(url)
        heard(process, "waits for its database")
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate()
    finally:
        own_postgres.start()

    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints


def test_what_waiting_does_not_mend_ends_a_worker_with_its_reason(
    own_postgres: PostgresServer, url: str, start: Start
) -> None:
    """DUR-13: a wrong password, an unknown role, an unknown database, tables that nobody made."""
    user, _, place = url.removeprefix("postgresql://").partition("@")
    name = user.partition(":")[0]
    wrong = {
        f"postgresql://{name}:wrong@{place}": "password authentication failed",
        f"postgresql://{name}@{place}": "no password supplied",
        url.replace("/postgres?", "/nowhere?"): 'database "nowhere" does not exist',
        url: "holdfast migrate",
    }
    for where, why in wrong.items():
        process = start(where)
        _, told = process.communicate()

        assert process.returncode == 1, told
        assert why in told
        assert "Traceback" not in told
        assert "waits for its database" not in told
