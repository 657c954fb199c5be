"""`holdfast dependencies` shows circuits and budgets of retries as all workers see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from shopkeeping import broken, charge, on_terminal, spent, uncoloured

from holdfast import Dependency, SyncLedger
from holdfast.errors import CircuitOpen
from holdfast.stores.sqlite.store import SqliteStore


def with_open_circuit(name="payments", *, ago=timedelta(0), **options):
    """A worker opens the circuit of *name*, so long ago, and ends."""
    store = SqliteStore("holdfast.db", blocking=True, clock=lambda: datetime.now(UTC) - ago)
    with SyncLedger(store) as ledger:
        broken(ledger, name, **options)


def test_an_open_circuit_is_seen_by_every_process_with_the_time_of_the_next_look(home, run, read):
    """RET-16: the state is shared by all workers, through the store."""
    with_open_circuit()

    [dependency] = read("dependencies")
    told = run("dependencies").stderr

    assert (dependency["name"], dependency["state"]) == ("payments", "open")
    assert dependency["updated_at"] < dependency["retry_at"]
    assert (dependency["good"], dependency["bad"]) == (0, 1)
    assert "payments: no calls are sent for " in told
    assert "the same calls go on, under the same keys" in told
    with (
        SyncLedger("sqlite:///holdfast.db") as other,
        pytest.raises(CircuitOpen, match="holdfast dependencies"),
    ):
        other.run(
            charge("order-2"), lambda **_: pytest.fail("it was sent"), dependency=Dependency("payments")
        )


def test_a_circuit_that_may_be_probed_says_that_the_next_call_goes(home, run):
    """RET-16."""
    with_open_circuit(ago=timedelta(hours=1))

    assert "payments: no calls are sent; the next one goes, to see how it is" in run("dependencies").stderr


def test_a_circuit_whose_probe_is_on_its_way_is_half_open(home, run, read):
    """RET-16: exactly one call is let through."""
    with_open_circuit(ago=timedelta(hours=1))
    seen = []

    def probe(**_):
        seen.extend((read("dependencies")[0], run("dependencies").stderr))
        return "paid"

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.run(charge("order-2"), probe, dependency=Dependency("payments"))

    probed, told = seen
    assert probed["state"] == "half_open"
    assert "payments: calls are let through one by one, to see how it is" in told
    [closed] = read("dependencies")
    assert (closed["state"], closed["retry_at"]) == ("closed", None)
    assert run("dependencies").stderr == ""


def test_what_is_left_of_the_retries_is_told(home, read):
    """RET-15: a budget of retries for all workers."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        spent(ledger, "order-500")

    [dependency] = read("dependencies")

    assert dependency["state"] == "closed"
    assert dependency["bad"] == 3
    assert 18 <= dependency["retries_left"] < 20


def test_trouble_is_no_failure_unless_asked_to_be(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        spent(ledger, "order-500")
    assert run("dependencies", "--exit-code").exit_code == 0

    with_open_circuit()

    assert run("dependencies").exit_code == 0
    assert run("dependencies", "--exit-code").exit_code == 1


def test_a_terminal_shows_a_table(home):
    with_open_circuit()

    shown = uncoloured(on_terminal(["dependencies"]))

    assert "retries left" in shown
    assert "payments" in shown


def test_a_ledger_without_dependencies_says_so(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.effects()

    result = run("dependencies")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no worker has told of any dependency\n"


def test_tenants_do_not_see_each_others_dependencies(home, run):
    with_open_circuit()

    assert run("dependencies", "--tenant", "acme").stdout == ""


def test_the_doctor_warns_of_circuits_that_are_not_closed(home, read):
    """RET-16."""
    for name in ("a", "b", "c", "d"):
        with_open_circuit(name)

    [check] = [item for item in read("doctor") if item["check"] == "circuits"]

    assert (check["level"], check["says"]) == ("warn", "4 circuits not closed: a, b, c, ...")
    assert check["fix"] == "see `holdfast dependencies`"
