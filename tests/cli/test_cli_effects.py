"""`holdfast effects` finds what the agent did, by workflow, tool, intent, state and time."""

from __future__ import annotations

import sqlite3

import pytest

ALL = {"order-123", "order-124", "order-125", "order-126"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ((), ALL),
        (("--workflow", "order-124"), {"order-124"}),
        (("--tool", "stripe.refund"), {"order-126"}),
        (("--intent", "charge_card"), {"order-123", "order-124"}),
        (("--state", "unknown"), {"order-124"}),
        (("--since", "1h"), ALL),
        (("--since", "2999-01-01T00:00:00Z"), set()),
        (("--intent", "charge_card", "--state", "succeeded"), {"order-123"}),
    ],
)
def test_effects_are_found_by_every_filter_and_by_their_combination(shop, read, filters, expected):
    """INT-08: list by workflow, tool, intent, state and time."""
    assert {effect["workflow_id"] for effect in read("effects", *filters)} == expected


def test_an_intent_brings_its_effects_with_arguments_times_and_outcome(shop, read):
    """IDE-14: the intent is recorded; asking for it lists all of its operations. OBS-03."""
    paid = next(e for e in read("effects", "--intent", "charge_card") if e["state"] == "succeeded")

    assert paid["args"] == {"amount": 100, "currency": "usd"}
    assert paid["result"] == {"id": "ch_1", "client_secret": "[redacted]"}
    assert paid["created_at"] < paid["observed_at"]


def test_the_same_is_there_for_people_with_a_sql_prompt(shop, home):
    """OBS-03: inputs, outputs, timing and status of each call are one SELECT away."""
    db = sqlite3.connect(home / "holdfast.db")
    rows = db.execute(
        "SELECT tool, args, result, state, took_ms, created_at FROM holdfast_effects_v "
        "WHERE intent = 'charge_card' AND state = 'succeeded'"
    ).fetchall()
    db.close()

    [(tool, args, result, state, took_ms, created_at)] = rows
    assert (tool, state) == ("stripe.charge", "succeeded")
    assert '"amount":100' in args
    assert '"ch_1"' in result
    assert took_ms >= 0
    assert created_at.endswith("Z")


def test_a_limit_keeps_the_newest_and_says_that_there_are_more(shop, run):
    result = run("effects", "--limit", "1")

    assert len(result.stdout.splitlines()) == 1
    assert shop.waiting in result.stdout
    assert "there are more" in result.stderr


def test_a_limit_that_is_not_reached_says_nothing(shop, run):
    assert run("effects", "--limit", "4").stderr == ""


def test_no_match_is_no_error_and_is_said_on_stderr(shop, run):
    result = run("effects", "--tool", "nobody.knows")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no effects match\n"


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (("--state", "lost"), "'unknown'"),
        (("--since", "soon"), "1h30m"),
        (("--since", "2026-13-01T00:00:00Z"), "2026-01-31T09:00:00Z"),
        (("--since", "2026-01-01T00:00:00"), "time zone"),
        (("--limit", "0"), "x>=1"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused_with_what_would_be_right(shop, run, filters, told):
    """INT-13: what is wrong, and what to do."""
    result = run("effects", *filters)

    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_tenants_do_not_see_each_other(shop, run):
    assert run("effects", "--tenant", "acme").stdout == ""
    assert run("--tenant", "default", "effects").stdout != ""
