"""`holdfast workflows` is the review queue, `holdfast resume` lets what was stopped go on."""

from __future__ import annotations

import pytest
from shopkeeping import charge, on_terminal, stopped, uncoloured

from holdfast import SyncLedger, ToolCall
from holdfast.errors import WorkflowStopped

MENDED = ("--by", "ops@acme.example", "--reason", "a new API key is in place")


@pytest.fixture
def queue(shop, home):
    """The shop with one workflow in doubt (order-124) and one stopped (order-300); the latter's effect."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        return stopped(ledger, "order-300")


def call_again():
    """Make a further call of the stopped workflow, in a process of its own."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        mail = ToolCall(workflow_id="order-300", tool="ses.send", args={"to": "ada@example.org"})
        return ledger.run(mail, lambda to: f"sent to {to}")


def test_the_queue_lists_what_waits_for_a_person_with_the_reason_and_the_next_commands(queue, read):
    """CMP-07: needs_review appears in the review queue. RET-09: the workflow was stopped."""
    halted, in_doubt = read("workflows", "--status", "needs_review")

    assert (halted["workflow_id"], halted["status"], halted["open_reviews"]) == (
        "order-300",
        "needs_review",
        0,
    )
    assert (halted["stopped"], halted["stopped_by"]) == ("authentication failed (401)", queue)
    assert halted["next"] == [
        f"holdfast show {queue}",
        "holdfast resume order-300 --by YOU --reason WHAT_WAS_MENDED",
    ]
    assert (in_doubt["workflow_id"], in_doubt["open_reviews"], in_doubt["stopped"]) == ("order-124", 1, None)
    assert in_doubt["next"] == ["holdfast unknown --workflow order-124"]


def test_a_stopped_workflow_goes_on_once_a_person_says_so(queue, run, read):
    """CMP-07, RET-09: it can be resolved; until then its calls are refused."""
    with pytest.raises(WorkflowStopped, match="holdfast resume order-300"):
        call_again()

    result = run("resume", "order-300", *MENDED)

    assert (result.exit_code, result.stdout) == (0, "order-300\trunning\n")
    assert "by ops@acme.example: a new API key is in place" in result.stderr
    assert call_again() == "sent to ada@example.org"
    assert [item["workflow_id"] for item in read("workflows", "--status", "needs_review")] == ["order-124"]
    last = read("show", queue)[0]["story"][-1]
    assert "reason: a new API key is in place" in last["note"]
    assert run("audit", "verify").exit_code == 0


def test_show_says_of_a_workflow_that_and_why_it_is_stopped(queue, run, read):
    """CMP-07."""
    [workflow] = read("show", "order-300")
    told = run("show", "order-300").stderr

    assert (workflow["status"], workflow["stopped"], workflow["stopped_by"]) == (
        "needs_review",
        "authentication failed (401)",
        queue,
    )
    assert "it is stopped: authentication failed (401)" in told
    assert "next: holdfast resume order-300" in told
    assert run("show", "order-300", "--exit-code").exit_code == 5
    assert run("show", "order-124", "--exit-code").exit_code == 6


def test_the_queue_is_no_failure_unless_asked_to_be(queue, run):
    assert run("workflows").exit_code == 0
    assert run("workflows", "--exit-code").exit_code == 5
    assert run("workflows", "--status", "running", "--exit-code").exit_code == 0


def test_a_workflow_that_went_on_stays_listed_and_needs_nobody(queue, run, read):
    run("resume", "order-300", *MENDED)

    [running] = read("workflows", "--status", "running")

    assert (running["workflow_id"], running["next"]) == ("order-300", [])


def test_a_long_queue_shows_the_last_touched_and_says_so(queue, run):
    result = run("workflows", "--limit", "1")

    assert result.stdout.split("\t")[0] == "order-300"
    assert len(result.stdout.splitlines()) == 1
    assert "there are more" in result.stderr


def test_an_empty_queue_is_said_on_stderr(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.run(charge("order-1"), lambda **_: 1)

    assert run("workflows").stderr == "there is no such workflow\n"
    assert run("workflows", "--status", "needs_review").stderr == "no workflow is needs_review\n"


def test_a_terminal_shows_the_queue_with_the_reasons(queue):
    shown = uncoloured(on_terminal(["workflows"]))

    assert "why it stands still" in shown
    assert "authentication failed (401)" in shown
    assert "ago" in shown


def test_a_workflow_that_was_not_stopped_is_left_as_it_is(queue, run, read):
    before = read("show", "order-124")

    result = run("resume", "order-124", *MENDED)

    assert (result.exit_code, result.stdout) == (0, "order-124\tneeds_review\n")
    assert "it was not stopped; nothing changed" in result.stderr
    assert "1 effect in doubt: it stays in review" in result.stderr
    assert read("show", "order-124") == before


def test_a_name_with_spaces_is_quoted_in_the_next_command(home, read):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        stopped(ledger, "order of ada")

    [item] = read("workflows")

    assert item["next"][-1].startswith("holdfast resume 'order of ada' --by")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere", *MENDED), 3, "[nothing-found]"),
        (("order-123", *MENDED), 3, "nothing is on record of a workflow 'order-123'"),
        (("order-300", "--by", "me"), 2, "--reason"),
        (("order-300", "--by", "me", "--reason", " "), 2, "--by or --reason is empty"),
        (("order-300", "--by", "me", "--reason", "a\nb"), 2, "no printable text"),
    ],
)
def test_a_word_that_is_incomplete_lets_nothing_go_on(queue, run, words, code, told):
    """INT-13."""
    result = run("resume", *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    with pytest.raises(WorkflowStopped):
        call_again()


def test_another_tenants_workflow_is_not_seen(queue, run):
    assert run("workflows", "--tenant", "acme").stdout == ""
    assert run("resume", "order-300", *MENDED, "--tenant", "acme").exit_code == 3


def test_the_doctor_warns_of_stopped_workflows(queue, read):
    """CMP-07."""
    [check] = [item for item in read("doctor") if item["check"] == "stopped workflows"]

    assert (check["level"], check["says"]) == ("warn", "1 workflow stopped: order-300")
    assert "holdfast workflows --status needs_review" in check["fix"]
