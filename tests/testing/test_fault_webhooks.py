"""Webhooks: in order, out of order, twice, late or never, each as scripted or as the seed draws it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.errors import InvalidCall
from holdfast.testing.faultserver import FaultServer
from testing.raw_http import PATIENCE_S, ask, request, serving, told, until

PROCESSING, SUCCEEDED, REFUNDED = "charge.processing", "charge.succeeded", "charge.refunded"


class Consumer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(seed=7) as running:
        yield running


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def test_events_tell_of_the_charge_and_its_key_before_the_client_is_answered(
    server: FaultServer, consumer: Consumer
) -> None:
    """IDE-27, TST-15."""
    server.webhooks(consumer)
    server.plan("drop_after")
    ask(server, request())
    (commit,) = server.commits()
    processing, succeeded = consumer.events

    assert consumer.types == [PROCESSING, SUCCEEDED]
    assert processing["id"].startswith("evt_")
    assert processing["id"] != succeeded["id"]
    assert (processing["data"]["status"], succeeded["data"]["status"]) == ("processing", "succeeded")
    assert {event["data"]["id"] for event in consumer.events} == {commit.made}
    assert {event["data"]["idempotency_key"] for event in consumer.events} == {"k1"}


def test_only_what_was_committed_is_told(server: FaultServer, consumer: Consumer) -> None:
    """A replay, a refusal and a request that was lost on its way are no news."""
    server.webhooks(consumer)
    server.plan("drop_before", "500_before", "ok")
    for _ in range(4):
        ask(server, request())
    refused, _ = told(ask(server, request(key="k2", body={"amount": 0})))

    assert refused == 400
    assert consumer.types == [PROCESSING, SUCCEEDED]


@pytest.mark.parametrize(
    ("fates", "at_once", "in_the_end"),
    [
        (("now", "now"), [PROCESSING, SUCCEEDED], [PROCESSING, SUCCEEDED]),
        (("twice", "now"), [PROCESSING, PROCESSING, SUCCEEDED], [PROCESSING, PROCESSING, SUCCEEDED]),
        (("after_next", "now"), [SUCCEEDED, PROCESSING], [SUCCEEDED, PROCESSING]),
        (("after_next", "late"), [], [PROCESSING, SUCCEEDED]),
        (("late", "now"), [SUCCEEDED], [SUCCEEDED, PROCESSING]),
        (("late", "late"), [], [PROCESSING, SUCCEEDED]),
        (("now", "lost"), [PROCESSING], [PROCESSING]),
    ],
)
def test_each_event_has_the_fate_that_was_scripted_for_it(
    server: FaultServer,
    consumer: Consumer,
    fates: tuple[str, str],
    at_once: list[str],
    in_the_end: list[str],
) -> None:
    """IDE-27, TST-15: out of order, twice, late."""
    server.webhooks(consumer, *fates)
    ask(server, request())
    first = list(consumer.types)
    made = server.deliver_webhooks()

    assert first == at_once
    assert consumer.types == in_the_end
    assert [delivery.event["type"] for delivery in made] == in_the_end[len(at_once) :]
    assert [delivery.event for delivery in server.deliveries] == consumer.events
    assert server.deliver_webhooks() == ()


def test_a_duplicated_event_has_the_same_id(server: FaultServer, consumer: Consumer) -> None:
    server.webhooks(consumer, "twice", "lost")
    ask(server, request())

    assert len({event["id"] for event in consumer.events}) == 1
    assert len(consumer.events) == 2


def test_a_consumer_that_changes_what_it_gets_changes_nothing_else(server: FaultServer) -> None:
    heard: list[str] = []

    def consume(event: dict[str, Any]) -> None:
        heard.append(event["data"]["metadata"].pop("order"))

    server.webhooks(consume, "twice", "lost")
    _, charge = told(ask(server, request(body={"amount": 100, "metadata": {"order": "o-1"}})))

    assert heard == ["o-1", "o-1"]
    assert charge["metadata"] == {"order": "o-1"}


def test_a_refund_is_told_with_its_own_key(server: FaultServer, consumer: Consumer) -> None:
    server.webhooks(consumer)
    _, charge = told(ask(server, request()))
    ask(server, request(path=f"/v1/charges/{charge['id']}/refunds", key="r1", body={}))

    assert consumer.types == [PROCESSING, SUCCEEDED, REFUNDED]
    assert consumer.events[-1]["data"]["idempotency_key"] == "r1"


def test_a_url_is_told_by_post(server: FaultServer) -> None:
    """TST-15: another server of the kind receives them."""
    with FaultServer() as receiver:
        receiver.plan("ok", "500_after", "drop_before")
        server.webhooks(f"{receiver.url}/hooks?from=pay")
        ask(server, request())
        ask(server, request(key="k2"))
        _, last = told(ask(receiver, request("GET", "/hooks", key=None)))

    assert [delivery.problem for delivery in server.deliveries] == ["", "500", "RemoteDisconnected", ""]
    assert [entry.committed for entry in receiver.log] == [True, True, False, True]
    assert last["body"] == server.deliveries[-1].event


def test_a_consumer_that_fails_is_noted_and_breaks_nothing(server: FaultServer) -> None:
    def fail(event: dict[str, Any]) -> None:
        raise KeyError(event["type"])

    server.webhooks(fail)
    status, _ = told(ask(server, request()))

    assert status == 200
    assert [delivery.problem for delivery in server.deliveries] == ["KeyError", "KeyError"]


def test_a_consumer_may_ask_the_server_for_more(server: FaultServer) -> None:
    """What it reads is committed; what it changes is told after what it is being told."""
    seen: list[tuple[str, int, Any]] = []

    def consume(event: dict[str, Any]) -> None:
        status, found = told(ask(server, request("GET", f"/v1/charges/{event['data']['id']}")))
        seen.append((event["type"], status, found["id"]))
        if event["type"] == PROCESSING and event["data"]["idempotency_key"] == "k1":
            ask(server, request(key="k2"))
        server.deliver_webhooks()

    server.webhooks(consume)
    ask(server, request())

    first, second = (entry.made for entry in server.commits())
    assert seen == [
        (PROCESSING, 200, first),
        (SUCCEEDED, 200, first),
        (PROCESSING, 200, second),
        (SUCCEEDED, 200, second),
    ]


def test_flushing_waits_for_what_another_thread_is_delivering(server: FaultServer) -> None:
    """TST-15: once it returns, everything was delivered."""
    reached, may_go_on = threading.Event(), threading.Event()
    finished: list[str] = []

    def consume(event: dict[str, Any]) -> None:
        reached.set()
        assert may_go_on.wait(PATIENCE_S)
        finished.append(event["type"])

    server.webhooks(consume, "now", "late")
    client = threading.Thread(target=ask, args=(server, request()))
    client.start()
    assert reached.wait(PATIENCE_S)
    later = threading.Timer(0.05, may_go_on.set)
    later.start()
    server.deliver_webhooks()
    told_of = list(finished)
    client.join()
    later.join()

    assert told_of == [PROCESSING, SUCCEEDED]


def test_a_consumer_may_close_the_server(server: FaultServer) -> None:
    server.webhooks(lambda event: server.close())

    answer = ask(server, request())
    until(lambda: not serving())

    assert answer == b""
    assert len(server.deliveries) == 2


def test_drawn_fates_follow_the_seed_and_lose_only_what_is_lost(consumer: Consumer) -> None:
    """IDE-27: every event arrives in the end, some of them twice."""
    with FaultServer(seed=3) as server:
        server.webhooks(consumer, chances="late=0.3,twice=0.2,after_next=0.2")
        for number in range(30):
            ask(server, request(key=f"k{number}"))
        early = len(consumer.events)
        server.deliver_webhooks()

    ids = [event["id"] for event in consumer.events]
    assert len({*ids}) == 60
    assert early < len(ids)
    assert len(ids) > 60
    assert consumer.types != [PROCESSING, SUCCEEDED] * 30


async def _coroutine(event: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        (_coroutine, "plain function"),
        (None, "plain function"),
        ("https://127.0.0.1/", "http://127.0.0.1"),
        ("http://example.org/", "http://127.0.0.1"),
        ("hooks", "http://127.0.0.1"),
    ],
)
def test_a_target_that_cannot_be_told_is_refused(server: FaultServer, target: Any, hint: str) -> None:
    with pytest.raises(InvalidCall, match=hint):
        server.webhooks(target)


@pytest.mark.parametrize("chances", ["late", "soon=0.1", "late=0.6,twice=0.6"])
def test_fates_that_are_none_are_refused(server: FaultServer, consumer: Consumer, chances: str) -> None:
    with pytest.raises(InvalidCall):
        server.webhooks(consumer, chances=chances)
    with pytest.raises(InvalidCall, match="use one of now, twice"):
        server.webhooks(consumer, "soon")
