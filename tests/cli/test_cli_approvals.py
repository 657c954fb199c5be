"""``holdfast approvals``, ``approve`` and ``deny``: INT-15, HIT-07 at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from shopkeeping import on_terminal, uncoloured

from holdfast import CallContext, Chain, Stage, SyncLedger, ToolCall
from holdfast.errors import ApprovalDenied, ApprovalRequired

FIELDS = [
    *("id", "tenant", "key", "workflow_id", "tool", "number", "state", "digest", "reason", "rule", "actor"),
    *("on_behalf_of", "args", "summary", "risk", "amount", "context", "called", "chain", "stage", "stages"),
    *("role", "quorum", "requests", "votes", "ended", "created_at", "expires_at", "decided_at"),
]
HIDDEN = "cus_9\u202e0001\u200b"
APP = """
from holdfast import Directory, Person, {ledger}

people = Directory([Person(id="ana", roles={{"finance"}}), Person(id="ben")])
ledger = {ledger}("sqlite:///holdfast.db", people=people)
"""


def call(**args: object) -> ToolCall:
    context = CallContext(belief="It came back \x1b[2J damaged", confidence=0.5)
    return ToolCall(
        workflow_id="order-126", tool="stripe.refund", args={"amount": 120} | args, context=context
    )


def refund(amount: int, **_: object) -> int:
    return amount


@pytest.fixture
def asked(home):
    """Ask people about a call; return the question."""

    def ask(chain=True, **args):
        with SyncLedger("sqlite:///holdfast.db") as ledger:
            with pytest.raises(ApprovalRequired) as required:
                ledger.run(call(**args), refund, requires_approval=chain)
            return ledger.approval(required.value.approval)

    return ask


def made(chain=True, **args):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        return ledger.run(call(**args), refund, requires_approval=chain)


def test_the_list_tells_programs_and_pipes_what_they_may_rely_on(asked, read, run):
    question = asked()

    [line] = read("approvals")
    piped = run("approvals").stdout.rstrip("\n").split("\t")

    assert list(line) == FIELDS
    assert (line["id"], line["args"], line["state"]) == (question.id, {"amount": 120}, "pending")
    assert piped[:6] == [
        question.id,
        "pending",
        "stripe.refund",
        "agent",
        "the tool requires approval",
        "0 of 1",
    ]
    assert run("approvals", "--exit-code").exit_code == 5
    assert run("approvals", "--state", "denied", "--exit-code").exit_code == 0


def test_a_script_approves_with_the_whole_fingerprint_and_with_nothing_less(asked, run):
    """HIT-07, attack 12: the first characters of a fingerprint are not one."""
    question = asked()

    blind = run("approve", question.id, "--by", "ana")
    half = run("approve", question.id, "--by", "ana", "--digest", question.digest[:12])
    other = run("approve", question.id, "--by", "ana", "--digest", "0" * 64)
    good = run("approve", question.id[:8], "--by", "ana", "--digest", question.digest, "--reason", "saw it")

    assert [blind.exit_code, half.exit_code, other.exit_code, good.exit_code] == [4, 2, 4, 0]
    assert good.stdout == f"{question.id}\tapproved\n"
    assert made() == 120


def test_a_denial_tells_the_agent_why(asked, run):
    """HIT-09."""
    question = asked()

    assert run("deny", question.id, "--by", "ana", "--reason", "refunded already").exit_code == 0

    with pytest.raises(ApprovalDenied, match="refunded already"):
        made()
    assert run("approve", question.id, "--by", "ben", "--digest", question.digest).exit_code == 4


def test_whoever_may_decide_asks_for_more_and_reads_the_answer(asked, read, run):
    """HIT-09: at a terminal; both sides' words are marked, and nothing in them hides or moves."""
    question = asked()
    asking = run("approvals", "ask-more", question.id[:8], "--by", "ana", "--question", "which\u202e one?")
    again = run("approvals", "ask-more", question.id, "--by", "ben", "--question", "and?")
    owing = run("approvals", "show", question.id).stdout
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.answer_info(question.id, answer="the \x1b[2J seventh")
    stale = run("approve", question.id, "--by", "ana", "--digest", question.digest)

    told = run("approvals", "show", question.id).stdout
    [request] = read("approvals", "show", question.id)[0]["requests"]

    assert (asking.exit_code, asking.stdout) == (0, f"{question.id}\tpending\n")
    assert "the agent owes an answer" in asking.stderr
    assert (again.exit_code, stale.exit_code) == (4, 4)
    assert "which⟨U+202E⟩ one?" in owing
    assert "(the agent has not answered)" in owing
    assert "the ⟨U+001B⟩[2J seventh  [the agent's words]" in told
    assert (request["by"], request["answer"]) == ("ana", "the \x1b[2J seventh")
    assert run("show", question.key).stdout.count("ana asked for more") == 1


@pytest.mark.parametrize("kind", ["Ledger", "SyncLedger"])
def test_the_people_of_the_application_decide_and_nobody_else(asked, run_app, kind):
    """HIT-10: who may approve what is code, at a terminal too."""
    question = asked(Chain(stages=(Stage(role="finance"),)))
    source = APP.format(ledger=kind)
    seen = ("--digest", question.digest)

    stranger = run_app(source, "approve", question.id, "--by", "eve", *seen)
    colleague = run_app(source, "approve", question.id, "--by", "ben", *seen)
    finance = run_app(source, "approve", question.id, "--by", "ana", *seen)

    assert [stranger.exit_code, colleague.exit_code, finance.exit_code] == [4, 4, 0]


def test_somebody_hands_over_and_a_question_is_taken_back(asked, run_app, run):
    """HIT-09."""
    question, other = asked(Chain(stages=(Stage(role="finance"),))), asked(amount=5)
    source = APP.format(ledger="SyncLedger")

    handed = run_app(source, "approvals", "reassign", question.id, "--by", "ana", "--to", "ben")
    by_ben = run_app(source, "approve", question.id, "--by", "ben", "--digest", question.digest)
    taken = run("approvals", "withdraw", other.id, "--by", "ops", "--reason", "by mistake")

    assert [handed.exit_code, by_ben.exit_code, taken.exit_code] == [0, 0, 0]
    assert taken.stdout == f"{other.id}\twithdrawn\n"


def test_changed_arguments_are_what_runs(asked, run, home):
    """HIT-09."""
    question = asked()
    (home / "changed.json").write_text('{"amount": 100}')
    (home / "twice.json").write_text('{"amount": 100, "amount": 1}')
    seen = ("--by", "ana", "--digest", question.digest)

    assert run("approve", question.id, *seen, "--args", "twice.json").exit_code == 2
    assert run("approve", question.id, *seen, "--args", "changed.json").exit_code == 0

    assert made() == 100


def test_a_terminal_shows_everything_and_nothing_of_it_can_hide(asked):
    """Attacks 5, 41, 42: hidden characters have numbers, escapes do nothing, no argument is left out."""
    question = asked(customer=HIDDEN, secret_amount=10_000, many="\n" * 200)

    shown = uncoloured(on_terminal(["approvals", "show", question.id]))

    assert "⟨U+202E⟩" in shown
    assert "⟨U+200B⟩" in shown
    assert "cannot be seen" in shown
    assert "\x1b[2J" not in shown
    assert "10000" in shown
    assert question.digest in shown
    assert "[the agent's words]" in shown
    assert "[the tool author's words]" in shown


def test_a_terminal_asks_before_it_approves_and_wants_the_fingerprint_when_the_risk_is_high(asked):
    """COS-05: high risk takes a second look."""
    question = asked(Chain(risk="high"))

    assert typed("n\n", "approve", asked(amount=1).id, "--by", "ana") == 4
    assert typed("000000\n", "approve", question.id, "--by", "ana") == 4
    assert typed(question.digest[:6] + "\n", "approve", question.id, "--by", "ana") == 0
    assert made(Chain(risk="high")) == 120


def typed(answer: str, *words: str) -> int:
    """Run a command on a pseudo-terminal, type *answer*, and return its exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "holdfast", *words]
    environ = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        try:
            while os.read(ours, 65536):
                pass
        except OSError:  # the other side is closed
            pass
    os.close(ours)
    return process.returncode


def test_what_was_written_by_hand_is_refused_with_the_code_of_broken_integrity(asked, run, home):
    """HIT-06, exit 7."""
    import sqlite3

    question = asked()
    db = sqlite3.connect(home / "holdfast.db")
    db.execute("UPDATE holdfast_approval SET binding = replace(binding, '120', '999')")
    db.commit()
    db.close()

    answer = run("approve", question.id, "--by", "ana", "--digest", question.digest)

    assert answer.exit_code == 7
    assert "approval-void" in answer.stderr
    assert json.loads(run("audit", "verify", "--json").stdout)["ok"] is True  # the trail itself is whole
