"""`holdfast migrate` makes the tables, once, and says what it did or would do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

from shopkeeping import alter, charge

from holdfast import SyncLedger
from holdfast.stores.migrate import migrations

NEWEST = [item.name for item in migrations("sqlite")]


def test_one_command_makes_the_tables_and_says_which_migrations_ran(home, read, run):
    """INT-12: the schema is created by one command, and versioned."""
    ran = read("migrate")

    assert [(item["migration"], item["status"]) for item in ran] == [(name, "applied") for name in NEWEST]
    again = run("migrate")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "up to date" in again.stderr


def test_a_check_tells_what_is_outstanding_and_creates_nothing(home, run):
    """INT-12."""
    result = run("migrate", "--check")

    assert result.exit_code == 1
    assert [line.split("\t")[:2] for line in result.stdout.splitlines()] == [
        [n, "outstanding"] for n in NEWEST
    ]
    assert "holdfast migrate" in result.stderr
    assert not (home / "holdfast.db").exists()


def test_a_check_of_what_is_up_to_date_is_silent_and_0(shop, run):
    result = run("migrate", "--check")

    assert (result.exit_code, result.stdout) == (0, "")


def test_the_printed_sql_makes_the_same_ledger_by_hand(home, run):
    """INT-12: for who may not let programs change tables."""
    script = run("migrate", "--sql").stdout
    assert not (home / "holdfast.db").exists()
    with closing(sqlite3.connect(home / "holdfast.db")) as by_hand:
        by_hand.executescript(script)

    assert run("migrate", "--check").exit_code == 0
    assert run("migrate", "--sql").stdout == ""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        assert ledger.run(charge("order-1"), lambda **_: 1) == 1


def test_processes_that_migrate_at_once_all_succeed(home):
    """INT-12: safe under concurrency."""
    command = [sys.executable, "-m", "holdfast", "migrate", "--url", "sqlite:///new.db"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate()[1] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0, 0], told


def test_what_has_no_tables_cannot_be_migrated(run):
    result = run("migrate", "--url", "memory://")

    assert result.exit_code == 2
    assert "has no tables" in result.stderr


def test_two_questions_at_once_are_refused(run):
    assert run("migrate", "--check", "--sql").exit_code == 2


def test_a_migration_that_was_changed_afterwards_is_broken_integrity(shop, home, run):
    alter(home / "holdfast.db", "UPDATE holdfast_migration SET sha256 = 'x'")

    result = run("migrate")

    assert result.exit_code == 7
    assert NEWEST[0] in result.stderr


def test_a_ledger_newer_than_the_library_is_refused_with_what_to_do(shop, home, run):
    """INT-13."""
    alter(home / "holdfast.db", "INSERT INTO holdfast_migration VALUES ('9999_pre_future', 'x', 0)")

    for command in ("effects", "migrate"):
        result = run(command)
        assert result.exit_code == 1
        assert "upgrade holdfast" in result.stderr
