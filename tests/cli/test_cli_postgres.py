"""On PostgreSQL the command line keeps the same promises."""

from __future__ import annotations

import json
import subprocess
import sys

import psycopg
import pytest
from shopkeeping import broken, charge, fill, spent, stopped

from holdfast import SyncLedger
from holdfast.stores.migrate import migrations

NEWEST = [item.name for item in migrations("postgres")]


@pytest.fixture
def pg(home, postgres_url, monkeypatch):
    """An empty schema, named by the environment."""
    monkeypatch.setenv("HOLDFAST_URL", postgres_url)
    return postgres_url


@pytest.fixture
def pg_shop(pg):
    with SyncLedger(pg, migrate=True) as ledger:
        return fill(ledger)


def test_only_migrate_makes_the_tables(pg, run, read):
    """INT-12, INT-13: looking changes nothing, and says which command does."""
    result = run("effects")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "`holdfast migrate`" in result.stderr
    assert run("migrate", "--check").exit_code == 1
    assert run("doctor").exit_code == 1

    assert [(item["migration"], item["status"]) for item in read("migrate")] == [
        (n, "applied") for n in NEWEST
    ]

    assert run("migrate", "--check").exit_code == 0
    assert run("effects").exit_code == 0


def test_the_printed_sql_makes_the_same_tables_by_hand(pg, run):
    """INT-12: for who may not let programs change tables."""
    with psycopg.connect(pg) as by_hand:
        by_hand.execute(run("migrate", "--sql").stdout)

    assert run("migrate", "--check").exit_code == 0
    with SyncLedger(pg) as ledger:
        assert ledger.run(charge("order-1"), lambda **_: 1) == 1


def test_processes_that_migrate_at_once_all_succeed(pg):
    """INT-12: safe under concurrency."""
    command = [sys.executable, "-m", "holdfast", "migrate"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate()[1] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0, 0], told


def test_effects_are_found_by_key_workflow_tool_intent_and_state(pg_shop, read):
    """INT-08."""
    assert len(read("effects")) == 4
    for filters in (("--workflow", "order-123"), ("--intent", "charge_card", "--state", "succeeded")):
        assert [effect["key"] for effect in read("effects", *filters)] == [pg_shop.paid]
    assert [effect["key"] for effect in read("effects", "--tool", "stripe.refund")] == [pg_shop.waiting]
    assert read("show", pg_shop.paid[3:12])[0]["result"]["id"] == "ch_1"
    assert read("show", "order-124")[0]["status"] == "needs_review"


def test_an_effects_story_is_told(pg_shop, read):
    [effect] = read("show", pg_shop.doubtful)

    assert [event["event"] for event in effect["story"]] == ["claim", "doubt"]
    assert effect["created_at"].endswith("Z")


def test_doubt_is_listed_and_settled_by_a_person(pg_shop, read, run):
    assert [item["key"] for item in read("unknown")] == [pg_shop.doubtful]

    words = ("--done", '{"id": 1}', "--by", "ops", "--reason", "seen")
    assert run("resolve", pg_shop.doubtful[3:9], *words).exit_code == 0

    assert read("unknown") == []


def test_what_is_unfinished_is_cared_for(pg_shop, pg, read, run):
    """RET-11, RET-16, CMP-07, IDE-27: budgets, circuits, the queue and signals, as on SQLite."""
    with SyncLedger(pg) as ledger:
        key = spent(ledger, "order-500")
        stopped(ledger, "order-300")
        broken(ledger, "payments")

    assert read("show", key)[0]["spent"]
    assert run("retry", key, "--by", "ops", "--reason", "it is back").exit_code == 0
    assert not read("show", key)[0]["spent"]
    assert [item["workflow_id"] for item in read("workflows")] == [
        *("order-of-payments", "order-300", "order-124"),
    ]
    assert run("resume", "order-300", "--by", "ops", "--reason", "new key").stdout == "order-300\trunning\n"
    assert {item["name"]: item["state"] for item in read("dependencies")}["payments"] == "open"
    signalled = run("signal", pg_shop.doubtful, "done", "--result", "1", "--id", "evt_1")
    assert signalled.stdout == f"{pg_shop.doubtful}\tsucceeded\tnew\n"
    assert run("audit", "verify").exit_code == 0


@pytest.mark.parametrize("kind", ["Ledger", "SyncLedger"])
def test_doubt_is_settled_by_the_applications_reconciler(pg_shop, home, kind):
    (home / "pg_app.py").write_text(
        f"from holdfast import {kind}, Done\nledger = {kind}()\n"
        '@ledger.tool(name="stripe.charge", reconcile=lambda effect: Done({"id": "ch_2"}))\n'
        "def charge(amount, currency): ...\n"
    )

    command = [sys.executable, "-m", "holdfast", "reconcile", pg_shop.doubtful, "--app", "pg_app", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == {"id": "ch_2"}


def test_trails_are_verified_and_what_was_altered_is_found(pg_shop, pg, read, run):
    assert read("audit", "verify")[0]["chains"] == 4
    with psycopg.connect(pg) as by_hand:
        by_hand.execute("UPDATE holdfast_audit SET actor = 'someone else' WHERE event = 'doubt'")

    result = run("audit", "verify")

    assert result.exit_code == 7
    assert pg_shop.doubtful in result.stdout


def test_a_healthy_ledger_passes_every_check(pg_shop, read):
    checks = {item["check"]: item for item in read("doctor")}

    assert {item["level"] for item in checks.values()} == {"ok", "warn"}
    assert checks["effects"]["says"] == "1 waiting, 1 retryable, 1 unknown, 1 succeeded"
    assert [name for name, item in checks.items() if item["level"] == "warn"] == ["in doubt"]
    assert "this machine's" in checks["clock"]["says"]


def test_old_finished_effects_are_deleted_and_unfinished_ones_listed(pg_shop, read, run):
    """IDE-20."""
    [rehearsed] = read("reap", "--older-than", "0.001ms", "--dry-run")
    [done] = read("reap", "--older-than", "0.001ms", "--yes")

    assert rehearsed["removed"] == done["removed"] == 1
    assert set(done["kept"]) == {pg_shop.doubtful, pg_shop.declined, pg_shop.waiting}
    assert run("show", pg_shop.paid).exit_code == 3


def test_a_server_that_is_not_there_is_told_without_a_traceback(home, run):
    """INT-13."""
    result = run("effects", "--url", "postgresql://me:hunter2@127.0.0.1:1/shop")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "[store-unavailable]" in result.stderr
    assert "hunter2" not in result.stderr
