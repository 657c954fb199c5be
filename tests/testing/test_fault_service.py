"""The service behind the fault server: HTTP as it is spoken, payments with and without keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.testing.faultserver import FaultServer, read_log
from testing.raw_http import ask, connect, everything, parsed, request, told, until


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


def charge(server: FaultServer, key: str | None = "k1", **fields: Any) -> tuple[int, Any]:
    return told(ask(server, request(key=key, body={"amount": 100, **fields})))


def read(server: FaultServer, path: str) -> tuple[int, Any]:
    return told(ask(server, request("GET", path, key=None)))


def ids(found: tuple[int, Any]) -> list[str]:
    return [one["id"] for one in found[1]["data"]]


def test_a_known_key_gets_the_first_answer_again_and_nothing_is_done(server: FaultServer) -> None:
    first = ask(server, request())
    second = ask(server, request())

    assert told(first) == told(second)
    assert "idempotent-replayed" not in parsed(first)[1]
    assert parsed(second)[1]["idempotent-replayed"] == "true"
    assert [(entry.committed, bool(entry.made)) for entry in server.log] == [(True, True), (False, False)]


def test_a_key_used_for_something_else_is_refused(server: FaultServer) -> None:
    charge(server)
    status, body = charge(server, amount=200)
    elsewhere, _ = told(ask(server, request(path="/things/a", body={"amount": 100})))

    assert (status, body["error"]["type"], elsewhere) == (400, "idempotency_error", 400)
    assert len(server.commits()) == 1


def test_keys_mean_nothing_to_a_service_that_does_not_honour_them() -> None:
    """IDE-15: the usual interface; the key can be searched for all the same."""
    with FaultServer(deduplicates=False) as server:
        made = [charge(server)[1]["id"] for _ in range(2)]
        found = read(server, "/v1/charges?idempotency_key=k1")

    assert len({*made}) == 2
    assert sorted(ids(found)) == sorted(made)
    assert len(server.commits(key="k1")) == 2


def test_without_a_key_every_request_is_a_change(server: FaultServer) -> None:
    made = {charge(server, key=None)[1]["id"] for _ in range(2)}

    assert len(made) == 2
    assert [entry.key for entry in server.commits()] == [None, None]


def test_charges_are_found_by_any_of_their_fields_newest_first(server: FaultServer) -> None:
    one, two = (
        charge(server, key, reference="o-1", metadata={"order": key})[1]["id"] for key in ("k1", "k2")
    )

    assert ids(read(server, "/v1/charges?reference=o-1")) == [two, one]
    assert ids(read(server, "/v1/charges?reference=o-1&limit=1")) == [two]
    assert ids(read(server, "/v1/charges?metadata[order]=k1&amount=100")) == [one]
    assert ids(read(server, "/v1/charges?reference=o-2")) == []
    assert ids(read(server, "/v1/charges?nothing=None")) == []
    assert read(server, "/v1/charges/ch_none")[0] == 404


def test_a_form_is_read_as_payment_sdks_send_it(server: FaultServer) -> None:
    form = b"amount=250&currency=eur&metadata[order]=7"
    head = (
        f"POST /v1/charges HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Connection: close\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    status, made = told(ask(server, head.encode() + form))

    assert (status, made["amount"], made["currency"], made["metadata"]) == (200, 250, "eur", {"order": "7"})


@pytest.mark.parametrize("amount", [0, -1, "x", "", True, None, 1.5, [100], "9" * 5000])
def test_an_amount_that_is_none_is_refused_and_the_key_stays_unused(server: FaultServer, amount: Any) -> None:
    """RET-08: 400, and nothing was done."""
    status, body = charge(server, amount=amount)

    assert (status, body["error"]["param"]) == (400, "amount")
    assert charge(server)[0] == 200
    assert [entry.committed for entry in server.log] == [False, True]


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_charge_is_refused(server: FaultServer, body: bytes) -> None:
    head = f"POST /v1/charges HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"

    assert told(ask(server, head.encode() + body))[0] == 400


def test_refunds_are_changes_with_keys_of_their_own_and_never_more_than_the_charge(
    server: FaultServer,
) -> None:
    path = f"/v1/charges/{charge(server)[1]['id']}/refunds"
    first, again = (told(ask(server, request(path=path, key="r1", body={"amount": 60}))) for _ in range(2))
    too_much = told(ask(server, request(path=path, key="r2", body={"amount": 60})))
    rest = told(ask(server, request(path=path, key="r3", body={})))
    none_left = told(ask(server, request(path=path, key="r4", body={})))

    assert first == again
    assert [status for status, _ in (first, too_much, rest, none_left)] == [200, 400, 200, 400]
    assert (rest[1]["amount"], none_left[1]["error"]["code"]) == (40, "charge_already_refunded")
    assert ids(read(server, f"{path}?idempotency_key=r3")) == [rest[1]["id"]]
    assert told(ask(server, request(path="/v1/charges/ch_none/refunds", key=None, body={})))[0] == 404
    assert len(server.commits(path=path)) == 2


def test_requests_follow_each_other_on_one_connection(server: FaultServer) -> None:
    with connect(server) as connection:
        connection.sendall(request(key="k1", close=False) + request(key="k2", close=False))
        connection.sendall(request("HEAD", "/v1/charges", close=False))
        connection.sendall(request("GET", "/v1/charges"))
        answers = everything(connection)

    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b'"object": "list"') == 1
    assert server.requests == 4


def test_a_chunked_body_is_put_together(server: FaultServer) -> None:
    chunks = b'5;x=1\r\n{"amo\r\n8\r\nunt": 7}\r\n0\r\nTrailer: 1\r\n\r\n'
    head = b"POST /v1/charges HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

    assert told(ask(server, head + chunks))[1]["amount"] == 7


def test_a_client_that_asks_first_is_told_to_go_on(server: FaultServer) -> None:
    body = json.dumps({"amount": 7}).encode()
    head = (
        f"POST /v1/charges HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with connect(server) as connection:
        connection.sendall(head.encode())
        interim = connection.recv(65536)
        connection.sendall(body)
        answer = everything(connection)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert told(answer)[1]["amount"] == 7


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_counts_as_no_request(server: FaultServer, sent: bytes) -> None:
    assert told(ask(server, sent))[0] == 400
    assert server.requests == 0


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/charges"), ("BREW", "/things/pot")])
def test_a_method_that_means_nothing_there_is_refused(server: FaultServer, method: str, path: str) -> None:
    assert told(ask(server, request(method, path, body={})))[0] == 405
    assert server.commits() == ()


def test_http_1_0_ends_after_one_answer(server: FaultServer) -> None:
    answer = ask(server, b"GET /v1/charges HTTP/1.0\r\n\r\n")

    assert parsed(answer)[1]["connection"] == "close"


def test_a_client_that_leaves_in_the_middle_has_asked_for_nothing(server: FaultServer) -> None:
    """TST-15: it is counted, and nothing is done for it."""
    with connect(server) as connection:
        connection.sendall(request()[:-3])
    until(lambda: server.stats().incomplete)

    assert server.log == ()
    assert (server.stats().incomplete, server.requests) == (1, 0)


def test_the_log_file_has_one_line_for_each_change_and_outlives_the_server(tmp_path) -> None:
    """TST-15: what another process counts."""
    path = tmp_path / "log"
    for key in ("k1", "k2"):
        with FaultServer(log_path=path) as server:
            server.plan("drop_after", "drop_before")
            for _ in range(3):
                ask(server, request(key=key))
            in_memory = server.commits()

        assert read_log(path)[-1:] == in_memory
    with path.open("ab") as file:
        file.write(b'{"half a line')

    assert [entry.key for entry in read_log(path)] == ["k1", "k2"]
