"""What the Restate engine sends, and what it makes of what comes back. No Restate server is needed."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Ledger, Settings, SyncLedger
from holdfast._runtime.drive import run_sync
from holdfast.engines import restate
from holdfast.engines.restate import RestateEngine, key_of
from holdfast.errors import EngineUnavailable, InvalidTool, MissingExtra, WorkflowNotFound

LIVELY = Settings(lease=0.3, renew_every=0.1)


class Ingress(ThreadingHTTPServer):
    """Takes calls as Restate does, or is in trouble so many times first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.troubles: list[str] = []
        self.seen: list[tuple[str, dict[str, str], bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Ingress

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers, body))
        trouble = self.server.troubles.pop(0) if self.server.troubles else ""
        if trouble == "no answer":
            self.close_connection = True
            return
        self.send_response(503 if trouble else 202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def ingress() -> Iterator[Ingress]:
    with Ingress() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restate, "_PAUSES_S", (0.0, 0.0, 0.0))


async def test_all_tries_of_a_wake_up_have_one_key_and_two_wake_ups_have_two(ingress: Ingress) -> None:
    engine = RestateEngine(ingress.url, headers={"Authorization": "Bearer x", "idempotency-key": "mine"})
    ingress.troubles = ["no answer", "503"]

    await engine.wake("default", "order-1", None)
    await engine.wake("default", "order-1", None)

    keys = [headers["idempotency-key"] for _, headers, _ in ingress.seen]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert {(path, headers["authorization"], body) for path, headers, body in ingress.seen} == {
        ("/holdfast/default%2Forder-1/drive/send", "Bearer x", b'""')
    }


async def test_the_next_node_is_asked_when_one_is_away(ingress: Ingress) -> None:
    await RestateEngine("http://127.0.0.1:1", f"{ingress.url}/", name="shop").wake("a/b", "ü?", None)

    assert [path for path, _, _ in ingress.seen] == ["/shop/a%252Fb%2F%C3%BC%3F/drive/send"]


async def test_a_wake_up_for_later_says_when(ingress: Ingress) -> None:
    engine = RestateEngine(ingress.url)

    await engine.wake("default", "later", datetime.now(UTC) + timedelta(minutes=1))
    await engine.wake("default", "past", datetime.now(UTC) - timedelta(minutes=1))

    later, past = (urlsplit(path) for path, _, _ in ingress.seen)
    (delay,) = parse_qs(later.query)["delay"]
    assert delay.endswith("ms")
    assert 55_000 < int(delay.removesuffix("ms")) <= 60_000
    assert past.query == ""


async def test_an_engine_that_is_away_is_said_to_be(ingress: Ingress) -> None:
    ingress.troubles = ["503"] * 3

    with pytest.raises(EngineUnavailable, match="answers 503"):
        await RestateEngine(ingress.url).wake("default", "order-1", None)
    with pytest.raises(EngineUnavailable, match="refused"):
        await RestateEngine("http://127.0.0.1:1").wake("default", "order-1", None)


def test_a_plain_caller_wakes_without_an_event_loop(ingress: Ingress) -> None:
    run_sync(RestateEngine(ingress.url).wake("default", "order-1", None))

    assert len(ingress.seen) == 1


@pytest.mark.parametrize("urls", [(), ("127.0.0.1:8080",), ("http://127.0.0.1:8080", "file:///etc/passwd")])
def test_only_http_is_spoken(urls: tuple[str, ...]) -> None:
    with pytest.raises(InvalidTool, match="no URL of a Restate ingress"):
        RestateEngine(*urls)


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_no_two_executions_share_an_object(tenant: str, one: str, other: str, another: str) -> None:
    for each in ((tenant, one), (f"{tenant}/{one}", other), (tenant, f"{one}/{other}")):
        assert restate._read(key_of(*each)) == each
    assert (key_of(tenant, one) == key_of(other, another)) is ((tenant, one) == (other, another))


@pytest.mark.parametrize("key", ["", "/", "tenant", "tenant/", "/workflow"])
def test_a_key_that_names_no_execution_is_not_taken_for_one(key: str) -> None:
    assert restate._read(unquote(key)) is None


def test_serving_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "restate":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"holdfast\[restate\]"):
        restate.app(Ledger("memory://"))


class Slow:
    """A ledger's side of driving: lets a test say how it goes."""

    def __init__(self) -> None:
        self.drives: list[tuple[str, str]] = []
        self.may_end = asyncio.Event()
        self.tenant = ""

    def scoped(self, *, tenant: str) -> Slow:
        self.tenant = tenant
        return self

    async def drive(self, workflow_id: str) -> Any:
        self.drives.append((self.tenant, workflow_id))
        await self.may_end.wait()
        return Standing()


class Standing:
    is_ended = False
    wake_at: datetime | None = None
    parent = "order-0"


async def test_an_attempt_that_is_given_up_leaves_its_drive_to_the_next_one() -> None:
    ledger: Any = Slow()
    lives = restate._Lives(ledger)
    given_up = asyncio.create_task(lives.drive("default", "order-1", 60.0))
    while not ledger.drives:
        await asyncio.sleep(0)

    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    following = asyncio.create_task(lives.drive("default", "order-1", 60.0))
    await asyncio.sleep(0)
    ledger.may_end.set()

    assert await following == {"again_s": 60.0, "parent": ""}
    assert ledger.drives == [("default", "order-1")]
    await lives.drive("default", "order-1", 60.0)
    assert len(ledger.drives) == 2, "what is over is not joined"


@pytest.mark.parametrize(
    ("ended", "due_in", "expected"),
    [
        (True, None, None),
        (False, None, 60),
        (False, 3600, 60),
        (False, 30, 30),
        (False, 0.2, 0.2),
        (False, -5, 1),
    ],
)
async def test_when_it_is_driven_again(ended: bool, due_in: float | None, expected: float | None) -> None:
    ledger: Any = Slow()
    ledger.may_end.set()
    standing = Standing()
    standing.is_ended = ended
    standing.wake_at = None if due_in is None else datetime.now(UTC) + timedelta(seconds=due_in)

    async def drive(workflow_id: str) -> Standing:
        return standing

    ledger.drive = drive

    then = await restate._Lives(ledger).drive("default", "order-1", 60.0)

    assert then["again_s"] == pytest.approx(expected, abs=0.15)
    assert then["parent"] == ("order-0" if ended else "")


async def test_what_is_not_on_record_is_not_driven_again() -> None:
    ledger: Any = Slow()

    async def drive(workflow_id: str) -> Standing:
        raise WorkflowNotFound(workflow_id)

    ledger.drive = drive

    assert (await restate._Lives(ledger).drive("default", "reaped", 60.0))["again_s"] is None


async def test_a_plain_ledger_is_driven_beside_the_event_loop() -> None:
    with SyncLedger("memory://") as ledger:

        @ledger.workflow
        def order(ctx: Any, number: str) -> str:
            return str(ctx.step("loop", lambda: threading.current_thread() is threading.main_thread()))

        order.enqueue("order-1", "o1")
        then = await restate._Lives(ledger).drive("default", "order-1", 60.0)

        assert then == {"again_s": None, "parent": ""}
        assert order.result("order-1") == "False"


async def test_a_signal_that_the_engine_does_not_hear_of_is_kept(ingress: Ingress) -> None:
    async with Ledger("memory://", engine=RestateEngine(ingress.url)) as ledger:

        @ledger.workflow
        async def order(ctx: Any) -> Any:
            return await ctx.wait_for("approved")

        ingress.troubles = ["503"] * 3
        with pytest.raises(EngineUnavailable):
            await order.enqueue("order-1")
        await order.enqueue("order-1")
        await ledger.drive("order-1")

        ingress.troubles = ["503"] * 3
        assert await ledger.signal("order-1", "approved", {"by": "me"})
        await ledger.drive("order-1")
        assert await order.result("order-1") == {"by": "me"}


async def test_a_child_that_the_engine_does_not_hear_of_is_begun_again(ingress: Ingress) -> None:
    async with Ledger("memory://", engine=RestateEngine(ingress.url), settings=LIVELY) as ledger:

        @ledger.workflow
        async def part(ctx: Any) -> str:
            return "done"

        @ledger.workflow
        async def whole(ctx: Any) -> Any:
            try:
                return await ctx.child(part)
            except Exception as error:  # noqa: BLE001 - as workflows do
                return f"heard of {error!r}"

        await whole.enqueue("whole")
        ingress.troubles = ["503"] * 3
        with pytest.raises(EngineUnavailable):
            await ledger.drive("whole")
        (child,) = await ledger.executions(parent="whole")
        standing = await ledger.drive("whole")
        while standing.is_taken:
            await asyncio.sleep(0.02)
            standing = await ledger.drive("whole")

        assert standing.waits_for == f"workflow {child.workflow_id!r}"
        assert [path for path, _, _ in ingress.seen[-1:]] == [
            f"/holdfast/{quote(key_of('default', child.workflow_id), safe='')}/drive/send"
        ]
        assert (await ledger.drive(child.workflow_id)).parent == "whole"
        await ledger.drive("whole")
        assert await whole.result("whole") == "done"


async def test_a_paused_workflow_is_left_to_who_lets_it_go_on(ingress: Ingress) -> None:
    async with Ledger("memory://", engine=RestateEngine(ingress.url)) as ledger:

        @ledger.workflow
        async def order(ctx: Any) -> Any:
            return await ctx.wait_for("approved")

        await order.enqueue("order-1")
        await ledger.pause("order-1", by="me", reason="looking")
        await ledger.signal("order-1", "approved")
        lives = restate._Lives(ledger)
        assert (await lives.drive("default", "order-1", 60.0))["again_s"] == 60.0

        ingress.seen.clear()
        await ledger.resume("order-1", by="me", reason="looked")
        assert len(ingress.seen) == 1
        assert (await lives.drive("default", "order-1", 60.0))["again_s"] is None


async def test_halted_workflows_are_driven_again_when_they_may_go_on(ingress: Ingress) -> None:
    async with Ledger("memory://", engine=RestateEngine(ingress.url)) as ledger:

        @ledger.workflow
        async def order(ctx: Any) -> Any:
            return await ctx.wait_for("approved")

        for number in (1, 2):
            await order.enqueue(f"order-{number}")
        await ledger.halt(by="me", reason="looking")
        lives = restate._Lives(ledger)
        await ledger.signal("order-1", "approved")
        assert (await lives.drive("default", "order-1", 60.0))["again_s"] == 60.0

        ingress.seen.clear()
        assert await ledger.unhalt(by="me", reason="looked") == 2
        assert [path for path, _, _ in ingress.seen] == [
            f"/holdfast/default%2Forder-{number}/drive/send" for number in (1, 2)
        ]
        assert (await lives.drive("default", "order-1", 60.0))["again_s"] is None
