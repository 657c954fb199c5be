"""`holdfast workflows` lists what runs as code: filters, columns of a pipe, fields of --json, the review queue."""

from __future__ import annotations

import pytest
from shopkeeping import charge, doubtful, on_terminal, uncoloured
from workflow_desk import ask, desk

from holdfast import SyncLedger

BARE = ["workflow_id", "tenant", "status", "open_reviews", "stopped", "stopped_by", "updated_at", "next"]
CODE = [
    *(
        "workflow_id",
        "tenant",
        "status",
        "name",
        "version",
        "actor",
        "queue",
        "priority",
        "limit_key",
        "parent",
    ),
    *("input", "output", "error", "waits_for", "wake_at", "pause", "pause_reason", "is_cancelled", "crashes"),
    *("owner", "deadline_at", "created_at", "started_at", "updated_at", "ended_at"),
]


@pytest.fixture
def many(home):
    """One workflow of each fate, of two kinds of code, in two queues, and one of bare calls that is in doubt."""
    with desk() as here:
        here.waits("waiting-1")
        here.done("done-1")
        here.fails("failed-1")
        here.parent("parent-1")
        here.support.options(queue="mail").enqueue("queued-1", topic="t")
        here.waits("paused-1")
        here.ledger.pause("paused-1", by="ops", reason="a look")
        here.waits("cancelled-1")
        here.ledger.cancel("cancelled-1", by="ops", reason="sent twice")
        doubtful(here.ledger, charge("bare-1"))


def ids(lines):
    return {line["workflow_id"] for line in lines}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--status", "waiting"), {"waiting-1", "parent-1", "paused-1"}),
        (("--status", "succeeded"), {"done-1"}),
        (("--status", "failed"), {"failed-1"}),
        (("--status", "cancelled"), {"cancelled-1"}),
        (("--status", "needs_review"), {"bare-1"}),
        (("--name", "failing"), {"failed-1"}),
        (("--name", "nobody"), set()),
        (("--queue", "mail"), {"queued-1"}),
        (("--paused",), {"paused-1"}),
        (("--paused", "--status", "failed"), set()),
    ],
)
def test_a_filter_leaves_what_it_says(many, read, words, found):
    """OBS, DUR-14: also of those of bare calls, where the filter concerns them."""
    assert ids(read("workflows", *words)) == found


def test_those_that_another_one_began_are_found_by_it(many, read):
    """DUR-14."""
    [child] = read("workflows", "--parent", "parent-1")

    assert (child["name"], child["parent"], child["status"]) == ("support", "parent-1", "queued")
    assert child["next"] == ["holdfast worker MODULE:LEDGER"]


def test_all_are_listed_last_touched_first_whatever_they_are(many, read):
    lines = read("workflows")

    assert len(lines) == 9
    assert lines[0]["workflow_id"] == "bare-1"
    assert [line["updated_at"] for line in lines] == sorted(
        (line["updated_at"] for line in lines), reverse=True
    )


def test_the_fields_of_one_that_runs_as_code_and_of_bare_calls_are_the_documented_ones(many, read):
    lines = {line["workflow_id"]: line for line in read("workflows")}

    assert list(lines["bare-1"]) == BARE
    assert list(lines["waiting-1"]) == [*CODE, "next"]
    assert lines["waiting-1"]["input"] == {"topic": "t"}
    assert lines["waiting-1"]["waits_for"] == "signal 'replied'"
    assert lines["done-1"]["output"] == "T"
    assert lines["failed-1"]["error"] == {"type": "LookupError", "message": "no such order"}


def test_a_workflow_of_code_whose_effect_is_in_doubt_is_one_line_and_in_the_queue(home, read, run):
    """CMP-07: it is told once, with both what its code waits for and how much is in doubt."""
    with desk() as here:
        here.in_doubt("doubt-1")

    [line] = read("workflows", "--status", "needs_review")

    assert (line["workflow_id"], line["open_reviews"], line["name"]) == ("doubt-1", 1, "paying")
    assert line["waits_for"].startswith("evidence about v1:")
    assert line["next"] == ["holdfast unknown --workflow doubt-1"]
    assert run("workflows", "--exit-code").exit_code == 5


def test_code_that_does_not_fit_its_record_is_in_the_queue_with_the_reason(home, read, run):
    """STA-16: a person sees what differs."""
    with desk() as here:
        here.diverges("odd-1")

    [line] = read("workflows", "--status", "needs_review")
    cells = run("workflows").stdout.rstrip("\n").split("\t")

    assert line["waits_for"].startswith("code that fits its record: the code differs")
    assert line["next"][0] == "holdfast workflows show odd-1"
    assert cells[3].startswith("waits for code that fits its record")


def test_the_columns_of_a_pipe_are_the_documented_ones(many, run):
    rows = {row[0]: row for row in (line.split("\t") for line in run("workflows").stdout.splitlines())}

    assert {len(row) for row in rows.values()} == {6}
    assert rows["waiting-1"][1:5] == ["waiting", "0", "waits for signal 'replied'", ""]
    assert rows["paused-1"][1:5] == ["waiting", "0", "paused: ops: a look", ""]
    assert rows["bare-1"][1:4] == ["needs_review", "1", ""]


def test_more_than_the_limit_is_said(many, run):
    result = run("workflows", "--limit", "2")

    assert len(result.stdout.splitlines()) == 2
    assert "there are more: raise --limit" in result.stderr


def test_a_terminal_shows_them_as_a_table(many):
    shown = uncoloured(on_terminal(["workflows"]))

    assert "why it stands still" in shown
    assert "waits for signal 'replied'" in shown


def test_another_tenants_are_not_seen(many, run):
    assert run("workflows", "--tenant", "acme").stdout == ""


def test_an_unknown_status_is_wrong_usage(home, run):
    with SyncLedger("sqlite:///holdfast.db"):
        pass

    assert run("workflows", "--status", "lost").exit_code == 2
    assert ask(run, "workflows", "nosuch").exit_code == 2
