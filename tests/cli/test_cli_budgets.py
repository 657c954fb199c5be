"""`holdfast budgets` tells how full budgets are and what was spent, and takes a person's word on a cap."""

from __future__ import annotations

import asyncio
import json

import pytest
from shopkeeping import on_terminal, uncoloured

from holdfast import Budget, SyncLedger, ToolCall
from holdfast._core.states import Event
from holdfast.errors import BudgetExceeded
from promises.ledgers import Book
from promises.spending import Spender

URL = "sqlite:///holdfast.db"
BUDGETS = {"workflow": Budget(tool_calls=2), "tenant": Budget(tool_calls=100, per="day")}
APP = """
from holdfast import Directory, Person, SyncLedger
people = [Person(id="ana", roles=frozenset({"budgets"})), Person(id="ben")]
ledger = SyncLedger("sqlite:///holdfast.db", people=Directory(people))
"""
MORE = ("budgets", "raise", "workflow:w", "tool_calls")


def call(n):
    return ToolCall(workflow_id="w", tool="pay", args={"n": n})


@pytest.fixture
def ledger(home):
    """A ledger with budgets, of which two calls have used some."""
    with SyncLedger(URL, budgets=BUDGETS) as ledger:
        for n in range(2):
            ledger.run(call(n), lambda n: n, safety="idempotent")
        yield ledger


@pytest.fixture
def spent(ledger):
    """What a model and a tool cost, put on record as claims and records put it."""

    async def spend():
        spender = Spender(Book(ledger))
        model = {"tool": "ask", "model": "a/small", "currency": "usd", "money": 900_000, "tokens": 500}
        for event, usd in ((Event.RELEASE, 250_000), (Event.SUCCEED, 500_000)):
            await spender.begin(1, **model)
            usage = json.dumps({"input_tokens": 120, "output_tokens": 7})
            await spender.end(1, event, usd=usd, tokens=100, usage=usage)
        await spender.begin(2, tool="fetch", currency="usd", money=20_000)
        await spender.end(2, Event.DOUBT)

    asyncio.run(spend())
    return ledger


def test_budgets_are_listed_with_what_is_left(ledger, run, read):
    """COS-12."""
    assert run("budgets").stdout.splitlines() == [
        "tenant\ttool_calls\tday\t2\t0\t100\t98\t2\t0",
        "workflow:w\ttool_calls\t\t2\t0\t2\t0\t100\t0",
    ]
    [full] = read("budgets", "--prefix", "workflow:")
    assert (full["used"], full["cap"], full["left"], full["percent"]) == (2, 2, 0, 100)
    few = run("budgets", "--limit", "1")
    assert len(few.stdout.splitlines()) == 1
    assert "raise --limit" in few.stderr
    assert "no budgets" in run("budgets", "--account", "agent:x").stderr


def test_costs_are_told_in_parts_that_add_up_and_what_was_for_nothing(spent, run, read):
    """COS-12, COS-16: in units for people, in micro-units for programs."""
    by_model = run("budgets", "costs", "--by", "model")

    assert by_model.stdout.splitlines() == [
        "\t\t2\t0\t0\t0\t0\t0\t0",
        "\tusd\t1\t0.02\t0\t0.02\t0\t0.02\t0.00",
        "a/small\tusd\t2\t0.75\t200\t0.25\t100\t0.00\t0.00",
    ]
    assert "in all 0.77 usd, of which 0.27 for nothing" in by_model.stderr
    waste = {
        part["name"]: part["money"] for part in read("budgets", "costs", "--by", "waste", "--workflow", "w")
    }
    assert waste["retried"] == 250_000
    assert waste["unknown"] == 20_000
    assert run("budgets", "costs", "--until", "2020-01-01T00:00:00Z").stdout == ""


def test_an_account_is_shown_with_its_costs_and_their_factors(spent, run, read):
    """COS-12, COS-21."""
    [shown] = read("budgets", "show", "workflow:w")

    assert [level["unit"] for level in shown["budgets"]] == ["tool_calls"]
    assert set(shown["costs"]) == {"tool", "model", "agent", "outcome", "day", "waste"}
    totals = {by: sum(part["money"] for part in parts) for by, parts in shown["costs"].items()}
    assert set(totals.values()) == {770_000}
    factors = shown["factors"]
    assert (factors["model_calls"], factors["retries"], factors["input_tokens_last"]) == (1, 1, 120)
    assert factors["context_growth"] == 1.0
    piped = run("budgets", "show", "workflow:w").stdout.splitlines()
    assert "cost by tool\task\tusd\t2\t0.75\t200\t0.25\t100\t0.00\t0.00" in piped
    assert "factor model_calls\t1" in piped


def test_what_people_see_has_a_bar_and_says_what_is_not_known(ledger):
    listed = uncoloured(on_terminal(["budgets"]))
    shown = uncoloured(on_terminal(["budgets", "show", "workflow:w"]))

    assert "########## 100%" in listed.replace("\n", "")
    assert "context growth" in shown
    assert "not known" in shown


def test_a_person_gives_more_and_the_next_call_fits(ledger, run):
    """COS-05."""
    with pytest.raises(BudgetExceeded):
        ledger.run(call(3), lambda n: n, safety="idempotent")

    raised = run(*MORE, "--add", "1", "--by", "ana", "--reason", "a large order")

    assert (raised.exit_code, raised.stdout) == (0, "workflow:w\ttool_calls\t\t2\t0\t3\t1\t67\t1\n")
    assert "the cap is 3 tool_calls now, by ana: a large order" in raised.stderr
    ledger.run(call(3), lambda n: n, safety="idempotent")
    assert run("audit", "verify").exit_code == 0


def test_money_is_raised_in_units(home, run):
    with SyncLedger(URL) as ledger:

        async def spend():
            await Spender(Book(ledger)).begin(1, currency="usd", money=20_000)

        asyncio.run(spend())
    none = run("budgets", "raise", "tenant", "usd", "--to", "5", "--by", "ana", "--reason", "r")

    assert none.exit_code == 2
    assert "there is no budget tenant/usd" in none.stderr


def test_with_the_directory_only_who_may_does(ledger, run_app, run):
    """COS-05: and that somebody tried is on record."""
    told = ("--add", "1", "--reason", "please")

    refused = run_app(APP, *MORE, *told, "--by", "ben")
    raised = run_app(APP, *MORE, *told, "--by", "ana")

    assert (refused.exit_code, raised.exit_code) == (4, 0)
    assert "cap-refused" in refused.stderr
    assert "ben is nobody who may change caps" in refused.stderr
    found = [line.split("\t")[1:3] for line in run("effects").stdout.splitlines()]
    # People are told of budgets beside the calls: that may come on record before these or after them.
    assert [each for each in found if each[1] != "holdfast:alert"][:2] == [
        ["succeeded", "holdfast:person.raise_budget"],
        ["denied", "holdfast:person.raise_budget.refused"],
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--by", "a", "--reason", "r"), 2, "one of --add and --to"),
        (("--add", "1", "--to", "2", "--by", "a", "--reason", "r"), 2, "one of --add and --to"),
        (("--add", "much", "--by", "a", "--reason", "r"), 2, "is no number"),
        (("--add", "0.5", "--by", "a", "--reason", "r"), 2, "no whole number of tool_calls"),
        (("--add", "NaN", "--by", "a", "--reason", "r"), 2, "no whole number of tool_calls"),
        (("--add", "1", "--by", " ", "--reason", "r"), 2, "--by or --reason is empty"),
        (("--add", "-9", "--by", "a", "--reason", "r"), 2, "would be -7"),
    ],
)
def test_what_cannot_be_meant_changes_nothing_and_says_what_to_do(ledger, run, words, code, says):
    done = run(*MORE, *words)

    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr
    assert run("budgets", "--account", "workflow:w").stdout.split("\t")[5] == "2"


def test_nothing_on_record_is_nothing_found(ledger, run):
    assert run("budgets", "show", "agent:nobody").exit_code == 3
    assert run("budgets", "costs", "--since", "yesterday").exit_code == 2
