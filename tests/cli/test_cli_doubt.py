"""Doubt is listed with why and what next, and settled by a reconciler or by a person, never by guessing."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from shopkeeping import charge, doubtful, orphaned

from holdfast import SyncLedger


def test_doubt_is_listed_with_its_age_its_reason_and_the_next_commands(shop, read):
    [item] = read("unknown")

    assert (item["key"], item["workflow_id"]) == (shop.doubtful, "order-124")
    assert item["why"] == "attempt 1 ended with ConnectionError"
    assert 0 <= item["age_s"] < 3600
    assert any(f"holdfast resolve {shop.doubtful}" in command for command in item["next"])


def test_a_worker_that_died_is_the_reason_when_its_lease_ran_out(shop, home, read):
    call = charge("order-200")
    key = orphaned(home / "holdfast.db", call)
    with SyncLedger("sqlite:///holdfast.db") as ledger, pytest.raises(Exception, match="in doubt"):
        ledger.run(call, lambda **_: None)

    [item] = read("unknown", "--workflow", "order-200")

    assert item["key"] == key
    assert "lease ran out" in item["why"]


def test_doubt_is_found_by_tool(shop, read):
    assert read("unknown", "--tool", "stripe.refund") == []
    assert len(read("unknown", "--tool", "stripe.charge")) == 1


def test_a_list_of_doubt_is_no_failure_unless_asked_to_be(shop, run):
    assert run("unknown").exit_code == 0
    assert run("unknown", "--exit-code").exit_code == 6
    assert run("unknown", "--exit-code", "--tool", "stripe.refund").exit_code == 0


def test_no_doubt_is_said_on_stderr(shop, run):
    result = run("unknown", "--workflow", "order-123")

    assert (result.stdout, result.stderr) == ("", "nothing is in doubt\n")


RESOLVE = ("--by", "ops@acme.example", "--reason", "seen in the dashboard")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        (("--done", '{"id": "ch_2"}'), "succeeded"),
        (("--not-done",), "retryable"),
        (("--still-unknown",), "unknown"),
    ],
)
def test_a_persons_word_settles_doubt_and_is_in_the_story_with_name_and_reason(shop, run, read, word, state):
    result = run("resolve", shop.doubtful, *word, *RESOLVE)

    assert (result.exit_code, result.stdout) == (0, f"{shop.doubtful}\t{state}\n")
    [effect] = read("show", shop.doubtful)
    assert effect["state"] == state
    assert effect["story"][-1]["actor"] == "ops@acme.example"
    assert "reason: seen in the dashboard" in effect["story"][-1]["note"]


def test_what_a_person_says_was_done_is_what_callers_get(shop, run):
    run("resolve", shop.doubtful, "--done", '{"id": "ch_2"}', *RESOLVE)

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        assert ledger.run(charge("order-124"), lambda **_: pytest.fail("it ran again")) == {"id": "ch_2"}


def test_few_digits_of_the_key_are_enough(shop, run):
    assert run("resolve", shop.doubtful[3:9], "--not-done", *RESOLVE).exit_code == 0


@pytest.mark.parametrize(("name", "code"), [("paid", 4), ("declined", 4), ("waiting", 5)])
def test_only_doubt_can_be_resolved(shop, run, read, name, code):
    key = getattr(shop, name)
    before = read("show", key)

    result = run("resolve", key, "--not-done", *RESOLVE)

    assert (result.exit_code, result.stdout) == (code, "")
    assert "[not-resolvable]" in result.stderr
    assert read("show", key) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*RESOLVE,), "--not-done"),
        (("--not-done", "--still-unknown", *RESOLVE), "only one"),
        (("--done", "1", "--not-done", *RESOLVE), "only one"),
        (("--done", "{", *RESOLVE), "not JSON"),
        (("--done", "NaN", *RESOLVE), "$"),
        (("--not-done", "--by", "me"), "--reason"),
        (("--not-done", "--reason", "r"), "--by"),
        (("--not-done", "--by", " ", "--reason", "r"), "--by"),
    ],
)
def test_a_word_that_is_incomplete_or_contradicts_itself_changes_nothing(shop, run, read, words, told):
    """INT-13."""
    result = run("resolve", shop.doubtful, *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert read("show", shop.doubtful)[0]["state"] == "unknown"


@pytest.mark.parametrize("command", [("resolve", "--not-done", *RESOLVE), ("reconcile", "--app", "x:y")])
def test_a_key_that_can_be_none_is_refused(shop, run, command):
    result = run(command[0], "order-124", *command[1:])

    assert result.exit_code == 2
    assert "is not a key" in result.stderr


APP = """
from holdfast import {kind}, Done, NotDone, StillUnknown

print("the application says hello")
ledger = {kind}("sqlite:///holdfast.db")

{function} find(effect):
    print("looking")
    {found}

@ledger.tool(name="stripe.charge", intent="charge_card", reconcile=find)
{function} charge(amount, currency): ...

other = 7
"""


@pytest.fixture
def app(home, monkeypatch):
    """Write the module ``shop_app`` with a ledger whose reconciler finds what is asked for."""
    monkeypatch.syspath_prepend(home)

    def write(found='return Done({"id": "ch_7", "asked": effect.idem_key})', kind="SyncLedger", text=None):
        function = "async def" if kind == "Ledger" else "def"
        source = APP.format(kind=kind, function=function, found=found) if text is None else text
        (home / "shop_app.py").write_text(source)
        sys.modules.pop("shop_app", None)  # each command is a process of its own
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("shop_app", None)


@pytest.mark.parametrize("kind", ["SyncLedger", "Ledger"])
@pytest.mark.parametrize("name", ["shop_app:ledger", "shop_app"])
def test_the_applications_reconciler_settles_doubt(shop, app, run, read, kind, name):
    app(kind=kind)

    result = run("reconcile", shop.doubtful, "--app", name)

    assert (result.exit_code, result.stdout) == (0, f"{shop.doubtful}\tsucceeded\n")
    assert read("show", shop.doubtful)[0]["result"] == {"id": "ch_7", "asked": shop.doubtful[3:]}


@pytest.mark.parametrize("kind", ["SyncLedger", "Ledger"])
def test_doubt_that_remains_is_exit_6_with_what_was_looked_at(shop, app, run, kind):
    app('return StillUnknown("the provider is down")', kind=kind)

    result = run("reconcile", shop.doubtful[:12], "--app", "shop_app:ledger", "--json")

    assert result.exit_code == 6
    assert json.loads(result.stdout)["state"] == "unknown"
    assert "the provider is down" in result.stderr


def test_a_reconciler_that_raises_has_found_nothing(shop, app, run):
    app('raise RuntimeError("no network")')

    result = run("reconcile", shop.doubtful, "--app", "shop_app:ledger")

    assert result.exit_code == 6
    assert "RuntimeError" in result.stderr


def test_what_the_application_prints_does_not_mix_with_the_data(shop, app, run):
    app()

    result = run("reconcile", shop.doubtful, "--app", "shop_app:ledger", "--json")

    assert json.loads(result.stdout)["state"] == "succeeded"
    assert "the application says hello" in result.stderr
    assert "looking" in result.stderr


@pytest.mark.parametrize(("name", "code"), [("paid", 4), ("waiting", 5)])
def test_only_doubt_can_be_reconciled(shop, app, run, name, code):
    app()

    assert run("reconcile", getattr(shop, name), "--app", "shop_app:ledger").exit_code == code


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("no_such_app:ledger", 2, "no module 'no_such_app'"),
        ("shop_app:nothing", 2, "try --app shop_app:ledger"),
        ("shop_app:other", 2, "is of type int"),
        ("shop_app:other.real.x", 2, "try --app shop_app:ledger"),
    ],
)
def test_an_application_that_is_not_there_is_told_with_what_is(shop, app, run, name, code, told):
    """INT-13."""
    app()

    result = run("reconcile", shop.doubtful, "--app", name)

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("import no_such_package", 1, "it needs 'no_such_package'"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("nothing = 1", 2, "has 0 ledgers"),
        (
            'from holdfast import SyncLedger\na = SyncLedger("memory://")\nb = a.scoped(tenant="b")',
            2,
            "shop_app:a or --app shop_app:b",
        ),
        ('from holdfast import SyncLedger\nledger = SyncLedger("sqlite:///typo.db")', 3, "typo.db"),
    ],
)
def test_an_application_that_cannot_be_used_is_told_without_a_traceback(
    shop, app, run, home, text, code, told
):
    """INT-13: expected errors have no traceback."""
    app(text=text)

    result = run("reconcile", shop.doubtful, "--app", "shop_app")

    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not (home / "typo.db").exists()


def test_a_tool_without_a_reconciler_is_told(shop, app, run):
    app(text='from holdfast import SyncLedger\nledger = SyncLedger("sqlite:///holdfast.db")')

    result = run("reconcile", shop.doubtful, "--app", "shop_app")

    assert result.exit_code == 2
    assert "holdfast resolve" in result.stderr


def test_another_tenants_doubt_is_reconciled_when_named(home, app, run):
    with SyncLedger("sqlite:///holdfast.db", tenant="acme") as ledger:
        key = doubtful(ledger, charge("order-1"))
    app()
    assert run("reconcile", key, "--app", "shop_app").exit_code == 3
    app()

    assert run("reconcile", key, "--app", "shop_app", "--tenant", "acme").exit_code == 0


def test_without_an_application_it_is_told_what_to_pass(shop, run):
    result = run("reconcile", shop.doubtful)

    assert result.exit_code == 2
    assert "--app MODULE:LEDGER" in result.stderr


def test_two_ledgers_at_once_are_refused(shop, run):
    result = run("reconcile", shop.doubtful, "--app", "shop_app", "--url", "sqlite:///holdfast.db")

    assert result.exit_code == 2
    assert "leave --url out" in result.stderr


def test_the_claim_of_a_dead_worker_is_doubt_that_can_be_listed_and_settled(shop, home, read, run):
    """Nobody may ever make the same call again; monitoring sees it all the same."""
    key = orphaned(home / "holdfast.db", charge("order-200"))

    [item] = read("unknown", "--workflow", "order-200")
    assert item["key"] == key
    assert "lease ran out" in item["why"]
    assert run("unknown", "--workflow", "order-200", "--exit-code").exit_code == 6

    assert run("resolve", key, "--not-done", *RESOLVE).stdout == f"{key}\tretryable\n"
    assert read("unknown", "--workflow", "order-200") == []


def test_a_claim_of_a_living_worker_is_no_doubt(shop, home, read, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger, ledger.begin(charge("order-300")) as claim:
        assert read("unknown", "--workflow", "order-300") == []
        refused = run("resolve", claim.key, "--not-done", *RESOLVE)
        claim.succeed(None)

    assert refused.exit_code == 4
    assert "wait until it is done or its lease has ended" in refused.stderr
