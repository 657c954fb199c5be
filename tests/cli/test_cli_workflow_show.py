"""`holdfast workflows show` and `events`: the timeline of one, for a person, a pipe and a program."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from shopkeeping import on_terminal, uncoloured
from workflow_desk import KEYS, ask, desk

STEP = [
    *("position", "kind", "name", "state", "attempts", "args", "result", "error", "started_at", "ended_at"),
    *("due_at", "effect", "child"),
]
EVENT = ["offset", "kind", "name", "state", "result", "error", "attempts", "at"]
EVIL = "\x1b[2J\x1b]0;pwned\x07\r\n\tfake\x9b31m\u202egnp.exe\u2028\x7f [red]markup[/red]"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]")


@pytest.fixture
def waiting(home):
    """A workflow that waits for a signal, after two steps."""
    with desk() as here:
        here.waits("ticket-7")


@pytest.fixture
def done(home):
    """A workflow that has ended well."""
    with desk() as here:
        here.done("ticket-7")


def test_a_pipe_gets_a_line_for_each_step_those_under_way_last(waiting, run):
    """DUR-16, OBS: position, kind, name, state, attempts, started, ended, effect, child, result or error."""
    result = run("workflows", "show", "ticket-7")
    lines = [line.split("\t") for line in result.stdout.splitlines()]

    assert {len(line) for line in lines} == {10}
    assert [line[:5] for line in lines] == [
        ["1", "step", "plan", "succeeded", "1"],
        ["2", "step", "answer", "succeeded", "1"],
        ["", "wait", "replied", "pending", "0"],
    ]
    assert [line[9] for line in lines] == ['"T"', '"T"', "null"]
    assert result.stderr == "workflow ticket-7: waiting, it waits for signal 'replied'\n"


def test_json_is_the_execution_and_its_steps(done, read):
    [shown] = read("workflows", "show", "ticket-7")

    assert (shown["status"], shown["output"], shown["name"]) == ("succeeded", "T", "support")
    assert {tuple(step) for step in shown["steps"]} == {tuple(STEP)}
    assert [step["name"] for step in shown["steps"]] == ["plan", "answer", "replied", "close"]
    assert [step["position"] for step in shown["steps"]] == [1, 2, 3, 4]


def test_what_sits_under_a_telltale_name_is_not_shown(done, run):
    """A signal brought a password."""
    for words in (("show", "ticket-7"), ("show", "ticket-7", "--json"), ("events", "ticket-7")):
        told = run("workflows", *words).stdout
        assert "[redacted]" in told
        assert "hunter2" not in told
    assert "hunter2" not in on_terminal(["workflows", "show", "ticket-7"])


def test_a_terminal_shows_a_timeline_with_bars(done):
    shown = uncoloured(on_terminal(["workflows", "show", "ticket-7"]))

    assert "support (version 1), begun 20" in shown
    assert "█" in shown
    assert all(word in shown for word in ("came to", "after", "took", "plan", "replied", "close"))


def test_an_effect_and_a_child_are_named_in_its_step(home, read, run):
    """PLN-06: from the timeline one finds the effect, and the other workflow."""
    with desk() as here:
        here.paying.run("pay-1", amount=5)
        here.parent("parent-1")
        [effect] = here.ledger.effects(workflow_id="pay-1")

    [shown] = read("workflows", "show", "pay-1")
    [parent] = read("workflows", "show", "parent-1")

    assert (shown["steps"][1]["effect"], shown["steps"][1]["args"]) == (effect.key, {"amount": 5})
    assert shown["steps"][1]["result"] == "paid"
    assert run("show", shown["steps"][1]["effect"]).exit_code == 0
    assert run("workflows", "show", parent["steps"][0]["child"]).exit_code == 0


def test_one_that_failed_says_with_what_and_what_comes_next(home, run):
    with desk() as here:
        here.fails("failed-1")

    told = run("workflows", "show", "failed-1").stderr

    assert "workflow failed-1: failed" in told
    assert "no such order" in told
    assert "next: holdfast workflows restart failed-1" in told


@pytest.mark.parametrize("words", [("show", "nowhere"), ("events", "nowhere")])
def test_one_that_is_not_there_is_told_with_what_and_what_next(waiting, run, words):
    """INT-13."""
    result = ask(run, "workflows", *words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "'nowhere'" in result.stderr
    assert "[workflow-not-found]" in result.stderr


def test_events_are_told_by_offset_each_once_and_the_end_is_the_last(done, read):
    """STA-07."""
    events = read("workflows", "events", "ticket-7")
    later = read("workflows", "events", "ticket-7", "--after", "3")

    assert {tuple(event) for event in events} == {tuple(EVENT)}
    assert [event["offset"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["name"] for event in events] == ["plan", "answer", "replied", "close", "support"]
    assert (events[-1]["kind"], events[-1]["state"]) == ("end", "succeeded")
    assert later == events[3:]
    assert read("workflows", "events", "ticket-7", "--after", "5") == []


def test_events_of_one_that_goes_on_are_told_so_far_if_nobody_follows(waiting, run):
    """STA-07."""
    lines = run("workflows", "events", "ticket-7", "--no-follow").stdout.splitlines()

    assert [line.split("\t")[:4] for line in lines] == [
        ["1", "step", "plan", "succeeded"],
        ["2", "step", "answer", "succeeded"],
    ]
    assert {line.count("\t") for line in lines} == {5}
    assert run("workflows", "events", "ticket-7", "--after", "2", "--no-follow").stdout == ""


def test_sealed_payloads_are_shown_as_such_and_the_rest_is_told(home, run, read):
    """Who has no keys sees when what ended, not with what; nothing is refused."""
    with desk(KEYS) as here:
        here.done("ticket-7")
        here.fails("failed-1")
        here.paying.run("pay-1", amount=5)

    [shown] = read("workflows", "show", "ticket-7")
    [paid] = read("workflows", "show", "pay-1")
    failed = run("workflows", "show", "failed-1")
    *_, end = read("workflows", "events", "failed-1")

    assert (shown["status"], shown["input"], shown["output"]) == ("succeeded", "[sealed]", "[sealed]")
    assert {step["result"] for step in shown["steps"]} == {"[sealed]"}
    assert (paid["steps"][1]["args"], paid["steps"][1]["result"]) == ("[sealed]", "[sealed]")
    assert failed.exit_code == 0
    assert (end["state"], end["error"]) == ("failed", {"type": "[sealed]", "message": ""})
    assert "[sealed]" in uncoloured(on_terminal(["workflows", "show", "ticket-7"]))


def test_a_plain_payload_that_only_looks_sealed_is_shown(home, read):
    fake = {"enc": "a", "kid": "b", "ct": "c"}
    with desk() as here:

        @here.ledger.workflow
        def odd(ctx):
            return ctx.step("odd", lambda: fake)

        odd.run("odd-1")

    [shown] = read("workflows", "show", "odd-1")

    assert shown["steps"][0]["result"] == fake


@pytest.fixture
def evil(home):
    """A workflow whose every text is hostile, as far as a hand in the database goes."""
    with desk() as here:
        here.waits("w-1")
        here.ledger.pause("w-1", by="ops", reason="a look")
        here.fails("w-2")

        @here.ledger.workflow
        def telling(ctx):
            return ctx.step("evil", lambda: {EVIL: EVIL})

        telling.run("w-3")
    db = sqlite3.connect(home / "holdfast.db")
    evil = {"evil": EVIL}
    for column in ("function", "version", "actor", "queue", "pause_reason", "waits_for", "limit_key"):
        db.execute(f"UPDATE holdfast_execution SET {column} = :evil", evil)
    db.execute(
        "UPDATE holdfast_execution SET error = :error WHERE error IS NOT NULL", {"error": json.dumps(EVIL)}
    )
    db.execute("UPDATE holdfast_step SET name = :evil || coalesce(position, 0), child = :evil", evil)
    db.commit()
    db.close()


LOOKS = ["", "show w-1", "show w-2", "show w-3", "events w-3", "events w-2"]


@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("command", LOOKS)
def test_nothing_recorded_reaches_a_pipe_raw(evil, run, command, form):
    result = run("workflows", *command.split(), *(["--json"] if form == "json" else []))

    assert result.exit_code == 0
    assert RAW.search(result.stdout.replace("\n", "").replace("\t", "")) is None
    assert RAW.search(result.stderr.replace("\n", "")) is None


@pytest.mark.parametrize("command", ["", "show w-1", "show w-3", "events w-3"])
def test_nothing_recorded_reaches_a_terminal_raw(evil, command):
    shown = uncoloured(on_terminal(["workflows", *command.split()]))

    assert RAW.search(shown.replace("\r", "")) is None
    assert "pwned" in shown


def test_json_gives_back_exactly_what_was_recorded(evil, read):
    [shown] = read("workflows", "show", "w-3")

    assert shown["steps"][0]["result"] == {EVIL: EVIL}
