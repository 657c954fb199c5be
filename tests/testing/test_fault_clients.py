"""The fault server and the HTTP clients that people use: each sees what it would see of a real service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.testing import FakeClock
from holdfast.testing.faultserver import FaultServer
from testing.http_clients import CLIENTS, Client, Seen

UNANSWERED = {
    "drop_before": 0,
    "drop_after": 1,
    "reset_before": 0,
    "reset_after": 1,
    "half": 1,
    "hang_before:0.05": 0,
    "hang_after:0.05": 1,
}
"""Faults that leave a client without an answer, and how many changes each makes."""

each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(clock=FakeClock()) as running:
        yield running


def charge(client: Client, server: FaultServer, key: str = "k1") -> Seen:
    return client.send("POST", f"{server.url}/v1/charges", {"amount": 100}, {"Idempotency-Key": key})


@each_client
def test_a_client_charges_looks_up_and_refunds(client: Client, server: FaultServer) -> None:
    """TST-15."""
    made = charge(client, server).body
    of_charge = f"{server.url}/v1/charges/{made['id']}"
    found = client.send("GET", f"{server.url}/v1/charges?idempotency_key=k1", None, {})
    refund = client.send("POST", f"{of_charge}/refunds", {"amount": 40}, {"Idempotency-Key": "r1"})
    read = client.send("GET", of_charge, None, {})

    assert [one["id"] for one in found.body["data"]] == [made["id"]]
    assert (refund.body["charge"], refund.body["amount"]) == (made["id"], 40)
    assert read.body == {**made, "amount_refunded": 40}
    assert [entry.made for entry in server.commits()] == [made["id"], refund.body["id"]]


@each_client
@pytest.mark.parametrize("fault", UNANSWERED)
def test_a_client_without_an_answer_cannot_know_but_the_log_does(
    client: Client, fault: str, server: FaultServer
) -> None:
    """TST-15: and with the same key once more, there is one charge in the end."""
    server.plan(fault, method="POST")
    with pytest.raises(client.no_answer):
        charge(client, server)
    done = len(server.commits(key="k1"))
    again = charge(client, server)

    assert done == UNANSWERED[fault]
    assert again.status == 200
    assert [entry.made for entry in server.commits(key="k1")] == [again.body["id"]]
    assert (again.headers.get("idempotent-replayed") == "true") is bool(done)


@each_client
def test_a_client_reads_both_forms_of_retry_after(client: Client, server: FaultServer) -> None:
    """RET-05."""
    server.plan("429:2", "429_date:2", "503:3", "503")
    answers = [charge(client, server) for _ in range(4)]

    assert [answer.status for answer in answers] == [429, 429, 503, 503]
    assert [answer.headers.get("retry-after") for answer in answers] == [
        "2",
        "Thu, 01 Jan 2026 00:00:02 GMT",
        "3",
        None,
    ]
    assert server.commits() == ()


@each_client
def test_a_client_is_refused_while_the_server_is_down(client: Client, server: FaultServer) -> None:
    """TST-15."""
    server.down()
    with pytest.raises(client.refused):
        charge(client, server)
    server.up()

    assert charge(client, server).status == 200
    assert server.requests == 1


@each_client
def test_a_client_waits_for_what_is_slow(client: Client, server: FaultServer) -> None:
    server.plan("latency:0.01", "drip:0.02", "duplicate")
    answers = [charge(client, server, key) for key in ("k1", "k2", "k3")]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.body["id"] for answer in answers] == [entry.made for entry in server.commits()]


@each_client
def test_any_path_is_a_thing_that_is_kept_and_echoed(client: Client, server: FaultServer) -> None:
    """TST-15: whatever a tool talks to."""
    url = f"{server.url}/things/door"
    put = client.send("PUT", url, {"open": True}, {"Idempotency-Key": "k1"})
    read = client.send("GET", url, None, {})
    deleted = client.send("DELETE", url, None, {})
    gone = client.send("GET", url, None, {})

    assert (put.body["body"], put.body["idempotency_key"], put.body["method"]) == (
        {"open": True},
        "k1",
        "PUT",
    )
    assert read.body == put.body
    assert (deleted.status, gone.status) == (200, 404)
    assert [entry.method for entry in server.commits(path="/things/door")] == ["PUT", "DELETE"]
