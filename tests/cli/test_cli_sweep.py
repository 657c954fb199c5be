"""`holdfast sweep` looks after what nobody calls for any more: once, or until it is asked to end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import psycopg
import pytest
from shopkeeping import charge, doubtful, on_terminal, orphaned, uncoloured

from holdfast import SyncLedger

APP = """
from holdfast import {kind}, Done, StillUnknown

print("the application says hello")
ledger = {kind}()


{function} find(effect):
    print("looking")
    {found}


@ledger.tool(name="stripe.charge", reconcile=find)
{function} charge(amount, currency): ...
"""
FOUND = 'return Done({"id": "ch_7", "asked": effect.idem_key})'
NOTHING = 'return StillUnknown("the provider is down")'
AT_THE_GATE = 'open("gate").close(); return Done({"id": "ch_7"})'
"""Stands still until somebody writes to the gate, a named pipe."""
KINDS = pytest.mark.parametrize("kind", ["SyncLedger", "Ledger"])


def app(found=FOUND, kind="SyncLedger"):
    return APP.format(kind=kind, function="async def" if kind == "Ledger" else "def", found=found)


@pytest.fixture
def doubt(home):
    """One effect in doubt; its key."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        return doubtful(ledger, charge("order-1"))


@KINDS
def test_one_pass_settles_doubt_by_the_applications_reconciler(doubt, run_app, read, kind):
    """IDE-15: unknown, the probe is called, succeeded with the remote object's id; nothing ran again."""
    result = run_app(app(kind=kind), "sweep", "--json")

    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert list(told) == ["at", "buried", "settled", "standing", "unattended"]
    assert told["settled"] == {doubt: "succeeded"}
    [effect] = read("show", doubt)
    assert (effect["result"], effect["attempt"]) == ({"id": "ch_7", "asked": doubt[3:]}, 1)


def test_a_dead_workers_claim_is_ended_and_put_to_the_reconciler_in_one_pass(home, run_app, read):
    """IDE-15, DUR-10: nobody has to call again for it."""
    key = orphaned(home / "holdfast.db", charge("order-2"))

    told = json.loads(run_app(app(), "sweep", "--json").stdout)

    assert (told["buried"], told["settled"]) == ([key], {key: "succeeded"})
    assert [event["event"] for event in read("show", key)[0]["story"]] == ["claim", "doubt", "resolve_done"]


def test_what_stays_in_doubt_rests_and_says_when_it_is_looked_at_again(doubt, run_app, read):
    """IDE-15: with patience."""
    assert read("unknown")[0]["retry_at"] is None

    first = run_app(app(NOTHING), "sweep", "--json")
    second = run_app(app(NOTHING), "sweep", "--json")

    assert json.loads(first.stdout)["standing"] == [doubt]
    assert json.loads(second.stdout)["standing"] == []
    assert first.exit_code == second.exit_code == 0
    [item] = read("unknown")
    assert item["since"] < item["retry_at"] == read("show", doubt)[0]["retry_at"]
    assert "the provider is down" in item["why"]


def test_the_next_look_is_shown_on_a_terminal(doubt, run_app):
    assert uncoloured(on_terminal(["unknown"])).count(" due ") == 1

    run_app(app(NOTHING), "sweep")

    assert re.search(r" in \d", uncoloured(on_terminal(["unknown"])))
    assert "next look" in uncoloured(on_terminal(["show", doubt]))


def test_doubt_without_a_source_of_evidence_is_told_and_left_to_people(doubt, run_app):
    source = 'from holdfast import SyncLedger\nledger = SyncLedger("sqlite:///holdfast.db")'

    result = run_app(source, "sweep", "--json")

    assert (result.exit_code, json.loads(result.stdout)["unattended"]) == (0, [doubt])
    assert "1 effect in doubt without a source of evidence: see `holdfast unknown`" in result.stderr


def test_a_pipe_gets_the_counts_of_the_pass(doubt, run_app):
    cells = run_app(app(), "sweep").stdout.rstrip("\n").split("\t")

    assert cells[0].endswith("Z")
    assert cells[1:] == ["0", "1", "0", "0"]


def test_a_terminal_gets_the_pass_in_words(doubt, home):
    (home / "shop_app.py").write_text(app())

    shown = uncoloured(on_terminal(["sweep", "--app", "shop_app:ledger"]))

    assert "buried 0, settled 1 succeeded, still in doubt 0, for a person 0" in shown


def test_a_limit_bounds_the_pass(home, run_app):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for n in range(3):
            doubtful(ledger, charge(f"order-{n}"))

    assert len(json.loads(run_app(app(), "sweep", "--limit", "2", "--json").stdout)["settled"]) == 2


def test_what_the_application_prints_does_not_mix_with_the_data(doubt, run_app):
    result = run_app(app(), "sweep", "--json")

    assert len(result.stdout.splitlines()) == 1
    assert "the application says hello" in result.stderr
    assert "looking" in result.stderr


def test_a_plain_reconciler_may_run_an_event_loop_of_its_own(doubt, run_app):
    found = f"import asyncio; asyncio.run(asyncio.sleep(0)); {FOUND}"

    assert json.loads(run_app(app(found), "sweep", "--json").stdout)["settled"] == {doubt: "succeeded"}


def test_another_tenants_doubt_is_swept_when_named(home, run_app):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        key = doubtful(ledger, charge("order-1"))

    assert json.loads(run_app(app(), "sweep", "--json").stdout)["settled"] == {}
    told = run_app(app(), "sweep", "--tenant", "acme", "--json")

    assert json.loads(told.stdout)["settled"] == {key: "succeeded"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--every", "soon"), "--every='soon'"),
        (("--every", "0s"), "not a positive length of time"),
        (("--limit", "0"), "x>=1"),
        (("--url", "sqlite:///other.db"), "name two ledgers"),
    ],
)
def test_a_wish_that_cannot_be_meant_is_refused(doubt, run_app, read, words, told):
    """INT-13."""
    result = run_app(app(), "sweep", *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert read("show", doubt)[0]["state"] == "unknown"


def test_nothing_is_swept_without_the_application(doubt, run):
    """INT-13."""
    result = run("sweep")

    assert result.exit_code == 2
    assert "the reconcilers are part of your code" in result.stderr


@contextmanager
def sweeper(home, source, *words):
    """A process that sweeps until it is asked to end; whatever happens it ends with the test."""
    (home / "shop_app.py").write_text(source)
    command = [sys.executable, "-W", "error", "-m", "holdfast", "sweep", "--app", "shop_app:ledger", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def heard(stream, text):
    """Wait until a line with *text* comes; return it."""
    seen = []
    for line in stream:
        seen.append(line)
        if text in line:
            return line
    raise AssertionError(f"no {text!r} in {''.join(seen)}")


@KINDS
def test_a_sweeper_goes_on_until_sigterm_and_tells_only_of_passes_that_did_something(doubt, home, kind):
    """IDE-15: what comes into doubt later is settled too. The end is an orderly one: exit 0."""
    with sweeper(home, app(kind=kind), "--every", "20ms", "--json") as process:
        first = json.loads(process.stdout.readline())
        with SyncLedger("sqlite:///holdfast.db") as ledger:
            later = doubtful(ledger, charge("order-2"))
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, complaints = process.communicate()

    assert (first["settled"], second["settled"]) == ({doubt: "succeeded"}, {later: "succeeded"})
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in complaints


@KINDS
@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_a_pass_that_is_under_way_is_finished_first(doubt, home, read, kind, asked_by):
    """IDE-15: a reconciler is not cut off half-way."""
    os.mkfifo("gate")
    with sweeper(home, app(AT_THE_GATE, kind), "--every", "1h", "--json") as process:
        heard(process.stderr, "looking")
        process.send_signal(asked_by)
        with (home / "gate").open("w"):
            told, complaints = process.communicate()

    assert process.returncode == 0, complaints
    assert json.loads(told)["settled"] == {doubt: "succeeded"}
    assert "ending" in complaints
    assert read("show", doubt)[0]["result"] == {"id": "ch_7"}


def test_a_sweeper_at_rest_ends_at_once(doubt, home):
    with sweeper(home, app(), "--every", "1d") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert process.returncode == 0


@KINDS
def test_who_asks_twice_does_not_wait_for_the_pass(doubt, home, read, kind):
    """DUR-10: the end is that of a crash, and no worse: the doubt stays, for the next sweeper."""
    os.mkfifo("gate")
    with sweeper(home, app(AT_THE_GATE, kind), "--every", "1h") as process:
        heard(process.stderr, "looking")
        process.send_signal(signal.SIGTERM)
        if kind == "SyncLedger":  # a reconciler that blocks the loop keeps that from saying so
            heard(process.stderr, "ending")
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert read("show", doubt)[0]["state"] == "unknown"


def test_a_sweeper_waits_for_a_database_that_is_away_and_goes_on(own_postgres, home, monkeypatch):
    """IDE-15: PostgreSQL is restarted under a sweeper."""
    monkeypatch.setenv("HOLDFAST_URL", own_postgres.url)
    monkeypatch.setenv("HOLDFAST_STORE_PATIENCE", "100ms")
    with SyncLedger(own_postgres.url, migrate=True) as ledger:
        doubtful(ledger, charge("order-1"))

    with sweeper(home, app(), "--every", "50ms", "--json") as process:
        first = json.loads(process.stdout.readline())
        own_postgres.kill()
        told = heard(process.stderr, "[store-unavailable]")
        own_postgres.start()
        with SyncLedger(own_postgres.url) as ledger:
            key = doubtful(ledger, charge("order-2"))
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert len(first["settled"]) == 1
    assert told.startswith("error: ")
    assert second["settled"] == {key: "succeeded"}
    assert process.returncode == 0
    with psycopg.connect(own_postgres.url) as db:
        assert db.execute("SELECT count(*) FROM holdfast_effect WHERE state = 'succeeded'").fetchone() == (2,)


def test_a_sweeper_that_cannot_begin_says_why_and_fails(home, run_app):
    """INT-13: a wrong URL is not waited for."""
    source = app().replace("()", '("postgresql://me:hunter2@127.0.0.1:1/shop")', 1)

    result = run_app(source, "sweep", "--every", "1h")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "[store-unavailable]" in result.stderr
    assert "hunter2" not in result.stderr
