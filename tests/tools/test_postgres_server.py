"""The tests' own PostgreSQL is stock, can go away in every way, and comes back with its commits."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from pg_server import PostgresServer


def one(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_the_server_is_as_durable_as_a_stock_one(own_postgres, setting):
    assert one(own_postgres.url, f"SHOW {setting}") == "on"


@pytest.mark.parametrize("how", ["restart", "stop", "stop_immediate", "kill"])
def test_a_commit_outlives_every_way_in_which_the_server_can_go_away(own_postgres: PostgresServer, how):
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        getattr(own_postgres, how)()
        if how != "restart":
            own_postgres.start()

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert one(own_postgres.url, "SELECT n FROM kept") == 7


def test_a_url_without_the_password_is_refused(own_postgres):
    stranger = own_postgres.url.replace("holdfast:", "holdfast:x")

    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(stranger)


def test_the_server_does_not_outlive_tests_that_were_killed():
    code = (
        "import os, signal; from pg_server import PostgresServer; server = PostgresServer();"
        "print(server.url, server._home, server._guardian.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    url, home, guardian = done.stdout.split()

    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(guardian)).wait(60)

    assert done.returncode == -signal.SIGKILL
    assert not Path(home).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_each_test_gets_a_schema_of_its_own(postgres_url):
    schema = one(postgres_url, "SELECT current_schema()")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE mine (n int)")
        found = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'mine'").fetchall()

    assert str(schema).startswith("holdfast_test_")
    assert found == [(schema,)]
