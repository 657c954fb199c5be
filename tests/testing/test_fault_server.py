"""The fault server does on the wire what each fault says, and its log says what was really done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from holdfast.testing import FakeClock
from holdfast.testing.faultserver import Fault, FaultKind, FaultServer
from testing.raw_http import PATIENCE_S, ask, connect, everything, parsed, request, serving, told, until

BEFORE_AND_AFTER = [("before", 0), ("after", 1)]
CHANCES = (
    "drop=0.1,reset=0.1,half=0.05,429=0.05,429_date=0.05:3,503=0.05:2*3,500=0.1,duplicate=0.05,"
    "latency=0.1:0.002,drip=0.05:0.002"
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(seed=7, clock=FakeClock()) as running:
        yield running


def test_a_charge_that_nothing_befalls_is_made_answered_and_logged(server: FaultServer) -> None:
    """TST-15."""
    status, charge = told(ask(server, request()))
    (entry,) = server.log

    assert status == 200
    assert (charge["amount"], charge["status"], charge["idempotency_key"]) == (100, "succeeded", "k1")
    assert (entry.committed, entry.made, entry.key, entry.path) == (True, charge["id"], "k1", "/v1/charges")
    assert (entry.number, entry.method, entry.fault) == (1, "POST", FaultKind.OK)
    assert len(entry.digest) == 64
    assert entry.at == FakeClock()()


@pytest.mark.parametrize(("when", "done"), BEFORE_AND_AFTER)
def test_a_drop_ends_the_connection_without_a_byte(server: FaultServer, when: str, done: int) -> None:
    """TST-15: what the client sees is the same, whether it was done or not."""
    server.plan(f"drop_{when}")
    answer = ask(server, request())

    assert answer == b""
    assert [entry.committed for entry in server.log] == [bool(done)]
    assert server.requests == 1


@pytest.mark.parametrize(("when", "done"), BEFORE_AND_AFTER)
def test_a_reset_is_a_tcp_rst(server: FaultServer, when: str, done: int) -> None:
    """TST-15."""
    server.plan(f"reset_{when}")

    with pytest.raises(ConnectionResetError):
        ask(server, request())

    assert len(server.commits(key="k1")) == done


@pytest.mark.parametrize(("when", "done"), BEFORE_AND_AFTER)
def test_a_hung_request_is_released_when_its_client_leaves(server: FaultServer, when: str, done: int) -> None:
    """TST-15: nothing comes until then, and the books say at once whether it was done."""
    server.plan(f"hang_{when}")
    with connect(server) as connection:
        connection.sendall(request())
        until(lambda: server.log)
        entries = server.log
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        (hung,) = serving()
    hung.join(PATIENCE_S)

    assert not hung.is_alive()
    assert [entry.committed for entry in entries] == [bool(done)]
    assert server.log == entries


def test_a_hang_may_have_an_end(server: FaultServer) -> None:
    server.plan("hang_before:0.05")
    started = time.monotonic()
    answer = ask(server, request())

    assert answer == b""
    assert time.monotonic() - started >= 0.05
    assert server.commits() == ()


@pytest.mark.parametrize(
    ("fault", "status", "retry_after", "done"),
    [
        ("429:2", 429, "2", 0),
        ("429:0.2", 429, "1", 0),
        ("429_date:2", 429, "Thu, 01 Jan 2026 00:00:02 GMT", 0),
        ("429_date:1.2", 429, "Thu, 01 Jan 2026 00:00:02 GMT", 0),
        ("503", 503, None, 0),
        ("503:3", 503, "3", 0),
        ("500_before", 500, None, 0),
        ("500_after", 500, None, 1),
    ],
)
def test_errors_have_their_status_and_the_log_says_whether_it_was_done(
    server: FaultServer, fault: str, status: int, retry_after: str | None, done: int
) -> None:
    """RET-05, TST-15: Retry-After in seconds and as a date; never sooner than what was meant."""
    server.plan(fault)
    seen, headers, body = parsed(ask(server, request()))

    assert seen == status
    assert headers.get("retry-after") == retry_after
    assert "error" in json.loads(body)
    assert len(server.commits()) == done


def test_a_date_in_retry_after_goes_by_the_servers_clock() -> None:
    """RET-05: the date is relative to the Date of the answer."""
    clock = FakeClock()
    with FaultServer(clock=clock) as server:
        clock.advance(3600)
        server.plan("429_date:5")
        _, headers, _ = parsed(ask(server, request()))

    meant = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    assert meant.total_seconds() == 5


def test_a_burst_befalls_as_many_requests_as_it_says(server: FaultServer) -> None:
    """RET-06, TST-15."""
    server.plan(Fault.UNAVAILABLE.in_a_row(3))
    statuses = [parsed(ask(server, request()))[0] for _ in range(4)]

    assert statuses == [503, 503, 503, 200]
    assert server.stats().outcomes == {"503": 3, "ok": 1}
    assert server.planned == 0


def test_a_half_written_body_is_shorter_than_it_says(server: FaultServer) -> None:
    """TST-15: the change was made, and the id cannot be read."""
    server.plan("half")
    status, headers, body = parsed(ask(server, request(close=False)))

    assert status == 200
    assert 0 < len(body) < int(headers["content-length"])
    assert len(server.commits()) == 1


def test_latency_comes_before_the_change() -> None:
    """TST-15."""
    with FaultServer() as server:
        server.plan("latency:0.1")
        sent_at = datetime.now(UTC)
        status, _ = told(ask(server, request()))

    assert status == 200
    assert server.log[0].at - sent_at >= timedelta(seconds=0.1)


def test_what_a_client_gave_up_on_is_done_all_the_same(server: FaultServer) -> None:
    """TST-15: a timeout of the client's says nothing about the service."""
    server.plan("latency:0.05")
    with connect(server) as connection:
        connection.sendall(request())
    until(lambda: server.log)

    assert len(server.commits(key="k1")) == 1


def test_a_drip_takes_its_time_and_is_whole_in_the_end(server: FaultServer) -> None:
    """TST-15."""
    server.plan("drip:0.1")
    started = time.monotonic()
    status, charge = told(ask(server, request()))

    assert time.monotonic() - started >= 0.1
    assert (status, charge["amount"]) == (200, 100)


def test_a_drip_begins_long_before_it_ends(server: FaultServer) -> None:
    """TST-15: a client whose timeout is for each read waits on and on."""
    server.plan("drip:600")
    with connect(server) as connection:
        connection.sendall(request())
        head = connection.recv(65536)
        server.close()

        assert head.startswith(b"HTTP/1.1 200 OK")
        assert not (head + everything(connection)).endswith(b"}")


@pytest.mark.parametrize(("deduplicates", "charges"), [(True, 1), (False, 2)])
def test_a_duplicated_request_is_processed_twice_and_answered_once(deduplicates: bool, charges: int) -> None:
    """TST-15: with keys honoured there is one charge all the same."""
    with FaultServer(deduplicates=deduplicates) as server:
        server.plan("duplicate")
        status, charge = told(ask(server, request()))

    assert status == 200
    assert [entry.number for entry in server.log] == [1, 1]
    assert len(server.commits(key="k1")) == charges
    assert server.commits()[0].made == charge["id"]


def story(seed: int) -> tuple[list[bytes], object, object]:
    """What a client sees of eighty charges with forty keys, the log, and the counts."""
    seen: list[bytes] = []
    with FaultServer(CHANCES, seed=seed, clock=FakeClock()) as server:
        server.webhooks(lambda event: None, chances="late=0.2,twice=0.1,after_next=0.2,lost=0.1")
        for number in range(80):
            try:
                seen.append(ask(server, request(key=f"k{number // 2}")))
            except ConnectionResetError:
                seen.append(b"reset")
        server.deliver_webhooks()
        return seen, (server.log, server.stats()), server.deliveries


def test_the_same_seed_tells_the_same_story_to_the_byte() -> None:
    """TST-15: answers, log, counts and deliveries."""
    assert story(7) == story(7)
    assert story(7)[1] != story(8)[1]


def test_every_chance_comes_true_and_the_counts_add_up() -> None:
    """TST-15."""
    seen, (log, stats), _ = story(7)

    assert {*stats.outcomes} >= {"ok", "drop_before", "drop_after", "reset_after", "503", "500_after"}
    assert sum(stats.outcomes.values()) == stats.requests == len(seen) == 80
    assert stats.commits == sum(entry.committed for entry in log)
    assert {entry.number for entry in log} == {*range(1, 81)}


def test_twenty_at_once_with_one_key_make_one_charge(server: FaultServer) -> None:
    """TST-15: dev has concurrent users, too."""
    with ThreadPoolExecutor(20) as pool:
        answers = [told(done) for done in pool.map(lambda _: ask(server, request()), range(20))]

    assert len({charge["id"] for _, charge in answers}) == 1
    assert len(server.commits()) == 1
    assert sorted(entry.number for entry in server.log) == [*range(1, 21)]
