"""Whatever a provider says, it is paid once, counted by no less than it may have cost, and tells no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from holdfast import Budget, Ledger, SyncLedger
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidCall
from holdfast.ports import HoldQuery
from holdfast.prices import PriceBook
from holdfast.stores.memory import MemoryStore
from holdfast.testing.model import fails
from models.asking import QUICK, Desk, serve
from models.gated import events, gated
from models.test_streams_through_a_ledger import ERRORS, reading
from testing.model_clients import PLAIN, STREAMS, TASK, Way

PRICES = PriceBook(
    {name: {"input": "1", "output": "10"} for name in ("openai/m", "anthropic/m")}, bundled=False
)
KEY = "sk-a-secret-of-mine"
REFUSED: Any = (openai.APIStatusError, anthropic.APIStatusError)
SYNC_CHAT = PLAIN[0]

each_plain = pytest.mark.parametrize("way", PLAIN, ids=str)
each_stream = pytest.mark.parametrize("way", STREAMS, ids=str)


def desk_of(way: Way, store: Any = None) -> Desk:
    return Desk(way, store, prices=PRICES, budgets={"tenant": Budget(usd="9")})


def holds(desk: Desk) -> list[Any]:
    async def read(store: Any) -> list[Any]:
        return list(await store.budgets.holds(HoldQuery(tenant="default")))

    with SyncLedger(desk.store) as ledger:
        return run_sync(read(ledger._engine.parts.store))


def written(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@each_stream
def test_an_error_after_the_beginning_of_an_answer_is_not_free_although_nobody_heard_that(way: Way) -> None:
    """COS-11, COS-14: what came in one piece with the error was made, and may be paid."""
    first, second, *_ = events(way.api)
    desk = desk_of(way)
    with gated([first + second + ERRORS[way.api]]) as server:
        with pytest.raises(REFUSED):
            desk.use(server, reading(way), retry=QUICK)
        requests = server.requests

    assert requests == len(holds(desk)) == 3
    assert {(hold.state, hold.spent_money == hold.money) for hold in holds(desk)} == {("assumed", True)}


@each_stream
def test_an_error_that_a_stream_begins_with_is_free(way: Way) -> None:
    """COS-11."""
    desk = desk_of(way)
    script = [b'event: ping\ndata: {"type": "ping"}\n\n' + ERRORS[way.api]]
    with gated(script) as server, pytest.raises(REFUSED):
        desk.use(server, reading(way), retry=False)

    assert [hold.spent_money for hold in holds(desk)] == [0]


@each_plain
@pytest.mark.parametrize(
    ("status", "is_free"), [(408, False), (502, False), (504, False), (429, True), (503, True)]
)
def test_a_gateway_that_heard_no_answer_does_not_say_that_none_was_made(
    way: Way, status: int, *, is_free: bool
) -> None:
    """COS-11, COS-14."""
    desk = desk_of(way)
    with serve(then=fails(status)) as server, pytest.raises(REFUSED):
        desk.ask(server, wishes={"retry": False})

    [hold] = holds(desk)
    assert hold.money > 0
    assert hold.spent_money == (0 if is_free else hold.money)


@each_plain
def test_a_provider_that_repeats_a_key_puts_it_on_no_record(way: Way, tmp_path: Path) -> None:
    """I8."""
    desk = desk_of(way, f"sqlite:///{tmp_path}/ledger.db")
    refused = fails(400, f"No such key: {KEY}, or Bearer {KEY}.")
    with serve(then=refused) as server, pytest.raises(REFUSED) as raised:
        desk.ask(server, client={"api_key": KEY})

    assert "No such key: [hidden]" in str(raised.value)
    assert KEY not in str(raised.value)
    kept = written(tmp_path)
    assert KEY.encode() not in kept
    assert b"No such key: [hidden]" in kept


@each_plain
def test_a_key_that_cannot_be_sent_is_on_no_record(way: Way, tmp_path: Path) -> None:
    """I8: HTTP libraries say which header they refuse, and what is in it."""
    desk = desk_of(way, f"sqlite:///{tmp_path}/ledger.db")
    with serve("Yes.") as server, pytest.raises(way.connection_error):
        desk.ask(server, client={"api_key": f"{KEY}\n{KEY}"}, wishes={"retry": False})

    [effect] = desk.effects()
    assert "[hidden]" in effect.error.message
    assert KEY.encode() not in written(tmp_path)


def answer(**more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Yes."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


ODD = {
    "no number": json.dumps(answer(odd=float("nan"))),
    "no finite number": json.dumps(answer(odd=1)).replace('"odd": 1', '"odd": 1e999'),
    "half a character": json.dumps(answer(odd="\ud800")),
    "no character": json.dumps(answer(odd="\0")),
    "a deep one": json.dumps(answer(odd=1)).replace('"odd": 1', '"odd": ' + "[" * 200 + "]" * 200),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_odd_answer_is_heard_and_heard_again_from_the_record(text: str, tmp_path: Path) -> None:
    """COS-15."""
    desk = desk_of(SYNC_CHAT, f"sqlite:///{tmp_path}/ledger.db")
    with gated([text.encode()], content_type="application/json") as server:
        heard = [
            desk.use(
                server, lambda sdk, _: sdk.chat.completions.create(model="m", messages=TASK), workflow_id="w"
            )
            for _ in range(2)
        ]
        requests = server.requests

    assert requests == 1
    assert repr(heard[0]) == repr(heard[1])
    assert [(hold.state, hold.spent_tokens) for hold in holds(desk)] == [("settled", 7)]


@pytest.mark.parametrize("tier", ["\ud800", "\0", "x" * 2_000_000], ids=["half", "none", "long"])
def test_usage_in_words_that_no_provider_has_is_unknown(tier: str, tmp_path: Path) -> None:
    """COS-11: and the answer is on record all the same."""
    desk = desk_of(SYNC_CHAT, f"sqlite:///{tmp_path}/ledger.db")
    with gated([json.dumps(answer(service_tier=tier)).encode()], content_type="application/json") as server:
        desk.use(server, lambda sdk, _: sdk.chat.completions.create(model="m", messages=TASK))

    [hold] = holds(desk)
    assert (hold.state, hold.spent_money) == ("assumed", hold.money)
    assert [effect.state for effect in desk.effects()] == ["succeeded"]


def test_an_answer_that_nests_without_end_is_asked_for_once() -> None:
    """COS-15: nobody can read it, and it is paid."""
    text = json.dumps(answer(odd=1)).replace('"odd": 1', '"odd": ' + "[" * 5_000 + "]" * 5_000)
    desk = desk_of(SYNC_CHAT)
    with gated([text.encode()], content_type="application/json") as server:
        with pytest.raises(RecursionError):
            desk.use(
                server, lambda sdk, _: sdk.chat.completions.create(model="m", messages=TASK), retry=QUICK
            )
        requests = server.requests

    assert requests == 1
    assert [effect.state for effect in desk.effects()] == ["succeeded"]


@pytest.mark.parametrize(
    "path", ["/chat/completions%3F/moderations", "/embeddings/..%2fmoderations", "/embeddings;/moderations"]
)
def test_a_path_that_servers_may_read_in_two_ways_is_not_free(path: str) -> None:
    """COS-11."""
    with serve("Yes.") as server:

        def act(sdk: Any, _: Any) -> None:
            sdk.post(path, body={"model": "m"}, cast_to=object)

        with pytest.raises(InvalidCall):
            Desk(SYNC_CHAT).use(server, act)
        requests = server.requests

    assert requests == 0


def test_a_request_that_says_the_same_thing_twice_is_not_sent() -> None:
    """COS-01: nobody knows which of two limits a provider reads."""
    body = b'{"model": "m", "messages": [], "max_tokens": 999999, "max_tokens": 1}'
    with serve("Yes.") as server:

        def act(sdk: Any, _: Any) -> None:
            sdk.post("/chat/completions", content=body, cast_to=object)

        with pytest.raises(InvalidCall):
            Desk(SYNC_CHAT).use(server, act)
        requests = server.requests

    assert requests == 0


@pytest.mark.parametrize("others", ["refuse", "allow"])
def test_no_model_is_asked_by_a_web_socket_unseen(others: Any) -> None:
    """COS-11: no request is seen there, and each may cost."""
    with serve("Yes.") as server:
        wishes = {"others": others}

        def act(sdk: Any, _: Any) -> None:
            for connection in (sdk.realtime.connect(model="m"), sdk.responses.connect()):
                with pytest.raises(Exception) as raised, connection:
                    pass
                assert isinstance(raised.value, InvalidCall) is (others == "refuse")
            assert (sdk.copy().chat.completions.create(model="m", messages=TASK)).choices

        Desk(SYNC_CHAT).use(server, act, **wishes)
        asked = server.asked

    assert [one.body["model"] for one in asked] == ["m"]


async def test_no_web_socket_is_opened_unseen_by_a_client_that_is_awaited() -> None:
    """COS-11."""
    with serve("Yes.") as server:
        async with Ledger(MemoryStore()) as ledger, ledger.model(PLAIN[1].client(server)) as sdk:
            with pytest.raises(InvalidCall):
                await sdk.realtime.connect(model="m").enter()
        azure = openai.AzureOpenAI(azure_endpoint=server.url, api_key="k", api_version="1")
        with SyncLedger(MemoryStore()) as blocking, blocking.model(azure) as sdk, pytest.raises(InvalidCall):
            sdk.realtime.connect(model="m").enter()


def test_a_process_that_is_forked_hears_an_answer_of_its_own(tmp_path: Path) -> None:
    """COS-15: workers that were forked with a client ask each for themselves."""
    with (
        serve(then="Yes.") as server,
        SyncLedger(f"sqlite:///{tmp_path}/ledger.db") as ledger,
        ledger.model(SYNC_CHAT.client(server)) as sdk,
    ):
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            try:
                sdk.chat.completions.create(model="m", messages=TASK)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        sdk.chat.completions.create(model="m", messages=TASK)
        requests = server.requests

    assert requests == 2
