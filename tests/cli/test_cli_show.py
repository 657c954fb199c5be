"""`holdfast show` tells an effect's whole story, finds it by few digits, and compares payloads."""

from __future__ import annotations

import json

import pytest
from shopkeeping import alter, on_terminal, uncoloured

from holdfast import SyncLedger, ToolCall
from holdfast.cli.difference import differences
from holdfast.cli.session import Session


def test_an_effect_is_shown_with_its_attempts_and_its_story(shop, read):
    """INT-08: find one effect by its key."""
    [effect] = read("show", shop.doubtful)

    assert (effect["key"], effect["state"]) == (shop.doubtful, "unknown")
    assert [(a["number"], a["outcome"], a["error"]) for a in effect["attempts"]] == [
        (1, "unknown", "ConnectionError")
    ]
    assert [(e["seq"], e["event"], e["state"]) for e in effect["story"]] == [
        (1, "claim", "pending"),
        (2, "doubt", "unknown"),
    ]


@pytest.mark.parametrize("cut", [slice(0, 9), slice(3, 9), slice(3, 67), slice(0, 67)])
def test_six_digits_of_a_key_are_enough_with_or_without_its_version(shop, read, cut):
    assert read("show", shop.paid[cut])[0]["key"] == shop.paid


def test_digits_are_found_in_upper_case_too(shop, read):
    assert read("show", shop.paid[3:20].upper())[0]["key"] == shop.paid


def test_a_workflow_is_shown_with_its_status_and_its_effects(shop, read):
    [workflow] = read("show", "order-124")

    assert (workflow["status"], workflow["open_reviews"]) == ("needs_review", 1)
    assert [effect["key"] for effect in workflow["effects"]] == [shop.doubtful]


def test_a_workflow_without_doubt_has_no_status_of_its_own_yet(shop, read):
    [workflow] = read("show", "order-123")

    assert (workflow["status"], workflow["open_reviews"]) == (None, 0)


def test_a_long_workflow_shows_its_newest_effects_and_says_so(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for n in range(3):
            ledger.run(ToolCall(workflow_id="long", tool="t", args={"n": n}), lambda n: n)

    result = run("show", "long", "--limit", "2")

    assert len(result.stdout.splitlines()) == 2
    assert "there are more" in result.stderr


def test_a_workflow_named_like_digits_wins_over_a_key_that_starts_so(shop, run, read):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for name in (shop.paid[3:9], shop.paid[:9]):
            ledger.run(ToolCall(workflow_id=name, tool="t"), lambda: 1)

    assert "workflow_id" in read("show", shop.paid[3:9])[0]
    assert "effects" in read("show", shop.paid[3:9])[0]
    assert read("show", shop.paid[:9])[0]["key"] == shop.paid


def test_digits_that_fit_several_keys_list_them_and_change_nothing(home, run):
    keys = {}
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for n in range(2):
            call = ToolCall(workflow_id=f"w-{n}", tool="t", args={"n": n})
            keys[n] = ledger.call(call, lambda n: n).key
    twin = keys[0][:12] + keys[1][12:]
    alter(home / "holdfast.db", f"UPDATE holdfast_effect SET key = '{twin}' WHERE key = '{keys[1]}'")

    result = run("show", keys[0][:12])

    assert (result.exit_code, result.stdout) == (2, "")
    assert keys[0] in result.stderr
    assert twin in result.stderr
    assert "more digits" in result.stderr


@pytest.mark.parametrize("ident", ["v1:000000", "0" * 64, "no-such-order", "abc"])
def test_what_is_not_there_is_exit_3_with_the_next_command(shop, run, ident):
    """INT-13."""
    result = run("show", ident)

    assert (result.exit_code, result.stdout) == (3, "")
    assert "holdfast effects" in result.stderr
    assert "[effect-not-found]" in result.stderr


def test_secrets_are_not_shown(shop, run):
    for ident in (shop.paid, shop.waiting, "order-126"):
        for form in ((), ("--json",)):
            output = run("show", ident, *form).output
            assert "hunter2" not in output
            assert "cs_9" not in output


def test_secrets_are_not_shown_on_a_terminal_either(shop):
    for key in (shop.paid, shop.waiting):
        shown = uncoloured(on_terminal(["show", key]))
        assert "[redacted]" in shown
        assert "hunter2" not in shown
        assert "cs_9" not in shown


@pytest.mark.parametrize(("name", "code"), [("paid", 0), ("declined", 1), ("waiting", 5), ("doubtful", 6)])
def test_the_state_becomes_the_exit_code_when_asked_for(shop, run, name, code):
    assert run("show", getattr(shop, name)).exit_code == 0
    assert run("show", getattr(shop, name), "--exit-code").exit_code == code


def test_the_next_command_is_told_for_what_is_in_doubt(shop, run):
    told = run("show", shop.doubtful).stderr

    assert f"holdfast reconcile {shop.doubtful} --app MODULE:LEDGER" in told
    assert f"holdfast resolve {shop.doubtful} --not-done" in told


def test_the_next_command_has_the_options_of_this_one(shop, run):
    told = run("show", shop.doubtful, "--url", "sqlite:///holdfast.db", "--tenant", "default").stderr

    assert "WHAT_WAS_SEEN --url sqlite:///holdfast.db --tenant default" in told
    assert "--app MODULE:LEDGER --tenant default" in told  # which has a URL of its own


def test_a_password_is_not_part_of_the_next_command():
    told = Session(url="postgresql://me:hunter2@127.0.0.1/x").command("unknown")

    assert told == "holdfast unknown --url 'postgresql://me:***@127.0.0.1/x'"


def test_a_pipe_gets_rows_whose_first_cell_says_what_they_are(shop, run):
    rows = [line.split("\t") for line in run("show", shop.paid).stdout.splitlines()]

    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert facts["key"] == shop.paid
    assert json.loads(facts["args"]) == {"amount": 100, "currency": "usd"}
    assert [(row[1], row[4]) for row in rows if row[0] == "execution"] == [("1", "succeeded")]
    assert [row[3:5] for row in rows if row[0] == "story"] == [["claim", "pending"], ["succeed", "succeeded"]]


def offered(home, value):
    (home / "args.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return "args.json"


def test_a_payload_is_compared_place_by_place(shop, read, home):
    """INT-13: PayloadConflict names the places; here are the values."""
    payload = offered(home, {"amount": 250, "customer": {"id": "cus_1"}})

    assert read("show", shop.paid, "--diff", payload) == [
        {"path": "$.amount", "kind": "changed", "recorded": 100, "offered": 250},
        {"path": "$.currency", "kind": "removed", "recorded": "usd", "offered": None},
        {"path": "$.customer", "kind": "added", "recorded": None, "offered": {"id": "cus_1"}},
    ]


def test_a_payload_is_read_from_stdin(shop, run):
    result = run("show", "order-123", "--diff", "-", stdin='{"amount": 1, "currency": "usd"}')

    assert result.stdout == "$.amount\tchanged\t100\t1\n"


def test_equal_payloads_have_no_difference(shop, run, home):
    result = run("show", shop.paid, "--diff", offered(home, {"currency": "usd", "amount": 100.0}))

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no difference" in result.stderr


def test_differing_secrets_are_told_apart_but_not_shown():
    found = differences({"card": {"token": "a"}, "pin": "1"}, {"card": {"token": "b"}, "pin": {"x": 1}})

    assert [(item.path, item.kind, item.recorded, item.offered) for item in found] == [
        ("$.card.token", "changed", "[redacted]", "[redacted]"),
        ("$.pin", "changed", "[redacted]", "[redacted]"),
    ]


def test_what_differs_inside_a_secret_stays_hidden():
    [found] = differences({"token": {"a": [1]}}, {"token": {"a": [2]}})

    assert (found.path, found.recorded, found.offered) == ("$.token.a[0]", "[redacted]", "[redacted]")


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "[1]",
        '"text"',
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        "[" * 100_000,
        '{"a":' * 200 + "1" + "}" * 200,
    ],
)
def test_a_payload_that_is_no_arguments_is_refused(shop, run, home, payload):
    """INT-13."""
    result = run("show", shop.paid, "--diff", offered(home, payload))

    assert (result.exit_code, result.stdout) == (2, "")
    assert "as one JSON object" in result.stderr


def test_a_missing_payload_file_is_named(shop, run):
    result = run("show", shop.paid, "--diff", "nowhere.json")

    assert result.exit_code == 2
    assert "nowhere.json" in result.stderr


def test_a_workflow_with_several_effects_is_not_compared(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for n in range(2):
            ledger.run(ToolCall(workflow_id="w", tool="t", args={"n": n}), lambda n: n)

    result = run("show", "w", "--diff", "-", stdin="{}")

    assert result.exit_code == 2
    assert "by its key" in result.stderr
