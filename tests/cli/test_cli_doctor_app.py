"""`holdfast doctor --app` warns of clients that would multiply the attempts of a policy, and of nothing else."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import openai
import pytest

from holdfast import SyncLedger
from holdfast.cli.checks import Level
from holdfast.cli.client_retries import retry_checks

APP = """
import openai, requests, stripe, urllib3
from requests.adapters import HTTPAdapter

from holdfast import {kind}

print("the application says hello")
ledger = {kind}("memory://")
model = openai.OpenAI(api_key="sk-secret"{quiet})
plain = requests.Session()


class Payments:
    def __init__(self):
        self.session = requests.Session()
        self.session.mount("https://", HTTPAdapter(max_retries={retries}))

    {function} charge(self, amount):
        return self.session.post("https://payments.example", json=amount)


payments = Payments()
ledger.tool(name="charge")(payments.charge)


@ledger.tool()
{function} describe(text):
    return ask(text)


@ledger.tool()
{function} summarize(text):
    return [ask(text), plain]


def ask(text):
    return model.responses.create(model="m", input=text)


{more}
"""

SPARE = "spare = urllib3.PoolManager()"
STRIPE = """
@ledger.tool()
{function} refund(charge):
    return stripe.Refund.create(charge=charge)
"""
HEALED = {"quiet": ", max_retries=0", "retries": 0}


@pytest.fixture
def doctor(home, run, read, monkeypatch):
    """Write the module ``shop_app``, and ask the doctor about it."""
    monkeypatch.syspath_prepend(home)
    run("migrate")

    def ask(kind="SyncLedger", quiet="", retries=3, more="", app="shop_app:ledger"):
        function = "async def" if kind == "Ledger" else "def"
        more = more.format(function=function)
        source = APP.format(kind=kind, function=function, quiet=quiet, retries=retries, more=more)
        (home / "shop_app.py").write_text(source)
        sys.modules.pop("shop_app", None)  # each command is a process of its own
        importlib.invalidate_caches()
        return [item for item in read("doctor", "--app", app) if item["check"] in {"client retries", "app"}]

    yield ask
    sys.modules.pop("shop_app", None)


@pytest.mark.parametrize("kind", ["SyncLedger", "Ledger"])
def test_a_client_that_retries_is_warned_of_with_its_tools_its_requests_and_the_fix(doctor, run, kind):
    """RET-19."""
    charging, describing = doctor(kind=kind)

    assert charging == {
        "check": "client retries",
        "level": "warn",
        "says": "self.session (Session), used by charge: one attempt may become up to 4 HTTP requests",
        "fix": "write Session.mount(..., HTTPAdapter(max_retries=0)), "
        "or pass it through holdfast.adapters.one_layer",
    }
    assert describing["says"] == (
        "model (OpenAI), used by describe, summarize: one attempt may become up to 3 HTTP requests"
    )
    assert "OpenAI(..., max_retries=0)" in describing["fix"]


def test_a_client_at_the_top_of_the_module_is_warned_of_too(doctor):
    """RET-19."""
    [item] = doctor(**HEALED, more=SPARE)

    assert item["level"] == "warn"
    assert item["says"].startswith("shop_app.spare (PoolManager), used by no tool that is known: ")
    assert "up to 4 HTTP requests" in item["says"]


def test_a_module_that_a_tool_uses_without_a_client_is_warned_of(doctor):
    """RET-19: and one that is only imported is not."""
    [item] = doctor(**HEALED, more=STRIPE)

    assert item["says"].startswith("stripe.Refund (stripe), used by refund: ")
    assert "stripe.max_network_retries = 0" in item["fix"]


def test_clients_that_do_not_retry_are_no_cause_for_warning(doctor):
    """RET-19."""
    [item] = doctor(**HEALED)

    assert (item["level"], item["says"]) == ("ok", "no client retries by itself (3 clients seen)")


def test_warnings_are_no_failure_and_show_no_secret(doctor, run):
    """RET-19."""
    doctor()

    result = run("doctor", "--app", "shop_app:ledger")

    assert result.exit_code == 0
    assert "2 warnings, 0 failed" in result.stderr
    assert "sk-secret" not in result.output


def test_what_the_application_prints_does_not_mix_with_the_data(doctor, run):
    doctor()
    sys.modules.pop("shop_app", None)

    result = run("doctor", "--app", "shop_app", "--json")

    assert "the application says hello" in result.stderr
    assert all(line.startswith("{") for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("app", "told"),
    [("no_such_app:ledger", "no module 'no_such_app'"), ("shop_app:nothing", "try --app shop_app:ledger")],
)
def test_an_application_that_is_not_there_fails_beside_the_other_checks(doctor, run, app, told):
    """INT-13."""
    [item] = doctor(app=app)
    result = run("doctor", "--app", app)

    assert (item["check"], item["level"]) == ("app", "fail")
    assert told in f"{item['says']}; {item['fix']}"
    assert result.exit_code == 1
    assert "clock\tok" in result.stdout


def test_what_is_not_asked_for_is_not_imported(doctor, home, run):
    (home / "shop_app.py").write_text("raise SystemExit")

    assert "client retries" not in run("doctor").stdout


def test_a_ledger_can_be_looked_at_without_its_module():
    """RET-19."""
    client = openai.OpenAI(api_key="k")
    module = ModuleType("shop")
    module.client = client  # type: ignore[attr-defined]

    with SyncLedger("memory://") as ledger:
        ledger.tool(name="ask")(lambda text: client.responses.create(model="m", input=text))
        alone = list(retry_checks(ledger, None))
        together = list(retry_checks(ledger, module))

    assert [check.level for check in alone] == [Level.WARN]
    assert alone == together
