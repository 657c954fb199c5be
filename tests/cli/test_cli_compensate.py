"""`holdfast compensate` undoes a workflow in reverse order and reports what stands, piece by piece."""

from __future__ import annotations

import json
import sys

import pytest
from shopkeeping import doubtful, on_terminal, uncoloured

from holdfast import SyncLedger, ToolCall

ORDER = "order-700"
WHY = ("--reason", "the customer cancelled")

SHOP = """
from holdfast import {kind}, NotDone, Permanent, Undone

print("the application says hello")
ledger = {kind}("sqlite:///holdfast.db")


def log(undone):
    print("undoing", undone.tool)
    with open("undone.log", "a") as log:
        print(undone.tool, file=log)


{function} refund(undone: Undone):
    log(undone)
    return {{"refund": undone.result["id"]}}


{function} release(undone: Undone):
    {release}


@ledger.tool(name="stripe.charge", compensate=refund, external_id="id")
{function} charge(amount): ...


@ledger.tool(name="hotel.book", compensate=release)
{function} book(nights): ...


@ledger.tool(name="ses.send")
{function} send(to): ...
"""


def shop(release="log(undone)", kind="SyncLedger"):
    function = "async def" if kind == "Ledger" else "def"
    return SHOP.format(kind=kind, function=function, release=release)


REFUSES = 'raise Permanent("the hotel keeps the money")'


@pytest.fixture
def ordered(home):
    """An order that was paid, booked and mailed, in this sequence; the keys of its effects by tool."""
    done = {
        "stripe.charge": ({"amount": 100}, {"id": "ch_1"}),
        "hotel.book": ({"nights": 2}, {"id": "b_1"}),
    }
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for tool, (args, result) in done.items():
            call = ToolCall(workflow_id=ORDER, tool=tool, args=args)
            ledger.run(call, lambda result=result, **_: result, external_id="id")
        return {effect.tool: effect.key for effect in ledger.effects(workflow_id=ORDER)}


@pytest.fixture
def mailed(ordered):
    """And a mail about it, which nothing takes back."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        mail = ToolCall(workflow_id=ORDER, tool="ses.send", args={"to": "ada@example.org"})
        ordered["ses.send"] = ledger.call(mail, lambda to: None).key
    return ordered


def undone(home):
    return (home / "undone.log").read_text().splitlines()


@pytest.mark.parametrize("kind", ["SyncLedger", "Ledger"])
def test_a_workflow_is_undone_in_reverse_order_and_each_piece_is_reported(ordered, run_app, home, kind):
    """CMP-02: compensations run in reverse order; the report lists what was undone, with its ids."""
    result = run_app(shop(kind=kind), "compensate", ORDER, *WHY)

    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["undone", "hotel.book", ordered["hotel.book"]],
        ["undone", "stripe.charge", ordered["stripe.charge"]],
    ]
    assert [row[4:] for row in rows] == [["", "b_1"], ["", "ch_1"]]
    assert all(row[3].startswith("v1:") for row in rows)
    assert undone(home) == ["hotel.book", "stripe.charge"]
    assert f"workflow {ORDER}: 2 undone" in result.stderr


def test_the_same_command_again_undoes_nothing_twice(ordered, run_app, home):
    """CMP-03: a compensation is an effect of its own, and happens once."""
    first = run_app(shop(), "compensate", ORDER, *WHY)

    second = run_app(shop(), "compensate", ORDER, *WHY)

    assert (second.exit_code, second.stdout) == (0, first.stdout)
    assert undone(home) == ["hotel.book", "stripe.charge"]


def test_what_was_undone_and_what_undid_it_name_each_other(ordered, run_app, read):
    """CMP-03: both are on record, and linked."""
    run_app(shop(), "compensate", ORDER, *WHY)

    [charge] = read("show", ordered["stripe.charge"])
    [refund] = read("show", charge["undone_by"])

    assert (charge["state"], charge["external_id"]) == ("compensated", "ch_1")
    assert (refund["tool"], refund["undoes"]) == ("stripe.charge:compensate", charge["key"])
    assert refund["result"] == {"refund": "ch_1"}
    for key, told in ((charge["key"], "undone by"), (refund["key"], "undoes")):
        assert told in uncoloured(on_terminal(["show", key]))


def test_what_cannot_be_undone_is_told_to_stand(mailed, run_app, read):
    """CMP-01, CMP-02: nothing pretends that a mail can be taken back."""
    result = run_app(shop(), "compensate", ORDER, *WHY)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split("\t") == [
        "stands",
        "ses.send",
        mailed["ses.send"],
        "",
        "its tool declares no compensation",
        "",
    ]
    assert "1 stands, 2 undone" in result.stderr


def test_what_could_not_be_undone_is_exit_5_and_stops_the_workflow_for_a_person(ordered, run_app, read, run):
    """CMP-02, CMP-08, CMP-07: it escalates, appears in the queue with its reason, and can be resolved."""
    result = run_app(shop(REFUSES), "compensate", ORDER, *WHY, "--json")

    assert result.exit_code == 5
    report = json.loads(result.stdout)
    failed, refunded = report["effects"]
    assert report["needs_review"]
    assert (failed["fate"], failed["key"]) == ("failed", ordered["hotel.book"])
    assert refunded["fate"] == "undone"
    assert read("show", failed["by"])[0]["error"]["message"] == "the hotel keeps the money"
    assert f"holdfast show {failed['by']}" in result.stderr
    assert f"holdfast resume {ORDER} --by YOU" in result.stderr
    [queued] = read("workflows", "--status", "needs_review")
    assert queued["stopped"] == "could not be undone wholly: hotel.book failed"
    assert run("resume", ORDER, "--by", "ops", "--reason", "the hotel was called").exit_code == 0
    assert read("workflows", "--status", "needs_review") == []


def test_what_nobody_knows_of_is_not_undone_and_is_exit_5(ordered, run_app, home):
    """CMP-02: doubt is told, and left to a person."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        doubtful(ledger, ToolCall(workflow_id=ORDER, tool="ses.send", args={"to": "ada"}))

    result = run_app(shop(), "compensate", ORDER, *WHY)

    assert result.exit_code == 5
    assert result.stdout.splitlines()[0].startswith("unknown\tses.send\t")
    assert f"holdfast unknown --workflow {ORDER}" in result.stderr


def test_people_are_told_once_of_what_could_not_be_undone(ordered, home):
    """CMP-08: in the report; the alert goes where the application's alerts go."""
    (home / "shop_app.py").write_text(shop(REFUSES))

    shown = on_terminal(["compensate", ORDER, "--app", "shop_app", *WHY], code=5)

    assert "could not be undone wholly" not in shown
    assert shown.count(f"holdfast resume {ORDER}") == 1


def test_what_the_application_prints_does_not_mix_with_the_data(ordered, run_app):
    result = run_app(shop(), "compensate", ORDER, *WHY, "--json")

    assert list(json.loads(result.stdout)) == ["workflow_id", "tenant", "needs_review", "effects"]
    assert "the application says hello" in result.stderr
    assert "undoing stripe.charge" in result.stderr


def test_a_terminal_shows_the_report_as_a_table(mailed, home):
    (home / "shop_app.py").write_text(shop())

    shown = uncoloured(on_terminal(["compensate", ORDER, "--app", "shop_app", *WHY]))

    assert "external id" in shown
    assert "its tool declares no compensation" in shown


def test_another_tenants_workflow_is_undone_when_named(home, run_app):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        ledger.run(
            ToolCall(workflow_id="order-1", tool="stripe.charge", args={"amount": 1}),
            lambda amount: {"id": "c"},
        )
    assert run_app(shop(), "compensate", "order-1", *WHY).exit_code == 3

    result = run_app(shop(), "compensate", "order-1", *WHY, "--tenant", "acme", "--json")

    assert (result.exit_code, json.loads(result.stdout)["tenant"]) == (0, "acme")


def test_the_applications_own_tenant_is_told_and_is_part_of_the_next_commands(home, run_app):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        booking = ToolCall(workflow_id="order-1", tool="hotel.book", args={"nights": 1})
        ledger.run(booking, lambda nights: None)
    source = shop(REFUSES).replace('holdfast.db"', 'holdfast.db", tenant="acme"')

    result = run_app(source, "compensate", "order-1", *WHY, "--json")

    assert (result.exit_code, json.loads(result.stdout)["tenant"]) == (5, "acme")
    assert "holdfast resume order-1 --by YOU --reason WHAT_WAS_MENDED --tenant acme" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere", *WHY), 3, "workflow 'nowhere' has no effects"),
        ((ORDER,), 2, "--reason"),
        ((ORDER, "--reason", " "), 2, "--reason is empty"),
        ((ORDER, "--reason", "a\x07b"), 2, "no printable text"),
        ((ORDER, *WHY, "--url", "sqlite:///other.db"), 2, "name two ledgers"),
    ],
)
def test_a_wish_that_cannot_be_met_undoes_nothing(ordered, run_app, home, words, code, told):
    """INT-13."""
    result = run_app(shop(), "compensate", *words)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert not (home / "undone.log").exists()


def test_nothing_is_undone_without_the_application(ordered, run):
    """INT-13."""
    result = run("compensate", ORDER, *WHY)

    assert result.exit_code == 2
    assert "pass --app MODULE:LEDGER" in result.stderr
    assert "shop_app" not in sys.modules
