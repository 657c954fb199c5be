"""`holdfast workflows ...` refuses what cannot be meant: what, which, why, and what next."""

from __future__ import annotations

import pytest
from workflow_desk import BY, URL, ask, desk

from holdfast import Permanent, SyncLedger
from holdfast.errors import InvalidCall, WorkflowFailed


@pytest.fixture
def waiting(home):
    """A workflow that waits for a signal, after two steps."""
    with desk() as here:
        here.waits("ticket-7")


def status(workflow_id):
    with SyncLedger(URL) as ledger:
        return ledger.execution(workflow_id).status


NOWHERE = [
    ("pause", "nowhere", *BY),
    ("resume", "nowhere", *BY),
    ("cancel", "nowhere", *BY),
    ("restart", "nowhere"),
    ("fork", "nowhere", "new", "--from-step", "1"),
    ("signal", "nowhere", "replied"),
    ("signal", "nowhere", "replied", "{}", "--id", "s-1"),
]


@pytest.mark.parametrize("words", NOWHERE)
def test_of_one_that_is_not_there_nothing_is_done(waiting, run, words):
    """INT-13: what, which and what next; exit 3."""
    result = ask(run, "workflows", *words)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "'nowhere'" in result.stderr
    assert result.stderr.rstrip().endswith("-found]")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("pause", "done-1", *BY), 2, "workflow 'done-1' has ended (succeeded); restart it, or fork it"),
        (("cancel", "done-1", *BY), 2, "workflow 'done-1' has ended (succeeded)"),
        (("restart", "done-1"), 2, "workflow 'done-1' is succeeded, so there is nothing to restart; fork it"),
        (("restart", "ticket-7"), 2, "workflow 'ticket-7' is waiting, so there is nothing to restart"),
        (("fork", "ticket-7", "new", "--from-step", "nosuch"), 2, "give one of: plan, answer"),
        (("fork", "ticket-7", "new", "--from-step", "9"), 2, "give a whole number from 1 to 3"),
        (("fork", "ticket-7", "done-1", "--from-step", "1"), 1, "use another id for another one"),
        (("fork", "ticket-7", "new"), 2, "--from-step"),
        (("signal", "ticket-7", "replied", "{text: yes}"), 2, "BODY is no JSON"),
        (("pause", "ticket-7", "--by", "me"), 2, "--reason"),
        (("cancel", "ticket-7", "--by", " ", "--reason", "r"), 2, "--by or --reason is empty"),
        (("halt", "--by", "me", "--reason", " "), 2, "--by or --reason is empty"),
        (("unhalt", "--by", " ", "--reason", "r"), 2, "--by or --reason is empty"),
        (("pause", "ticket-7", "--by", "a\nb", "--reason", "r"), 2, "printable"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_which_and_what_next(home, run, words, code, told):
    """INT-13."""
    with desk() as here:
        here.waits("ticket-7")
        here.done("done-1")

    result = run("workflows", *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert (status("ticket-7"), status("done-1")) == ("waiting", "succeeded")


def test_what_would_fail_again_is_not_restarted_and_the_fork_is_named(home, run):
    """DUR-14."""
    with SyncLedger(URL) as ledger:

        @ledger.tool()
        def declined():
            raise Permanent("no such card")

        @ledger.workflow
        def buying(ctx):
            ctx.step("plan", str)
            declined()

        with pytest.raises(WorkflowFailed):
            buying.run("ticket-7")

    result = run("workflows", "restart", "ticket-7")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "fork it from step 2" in result.stderr


def test_one_that_is_restarted_from_the_command_line_keeps_its_timeout(home, run, read):
    """RET-18: `timeout=` bounds the whole run, whoever restarts it."""
    with SyncLedger(URL) as ledger:

        @ledger.workflow(timeout="1h")
        def bounded(ctx):
            ctx.step("plan", str)
            raise LookupError

        with pytest.raises(WorkflowFailed):
            bounded.run("ticket-7")

    [restarted] = read("workflows", "restart", "ticket-7")

    assert restarted["deadline_at"] is not None


def test_the_ledger_itself_refuses_a_name_that_is_no_printable_text(waiting):
    """INT-13: pause, cancel and halt as resume does."""
    with SyncLedger(URL) as ledger, pytest.raises(InvalidCall):
        ledger.pause("ticket-7", by="a\nb", reason="r")
