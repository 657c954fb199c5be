"""Workflows on Restate: it keeps the timers, calls again after every crash, and runs on several machines.

An execution is one virtual object, named by its tenant and its workflow id, with one handler that drives it
once. While the execution has not ended, the handler has itself called again: when the execution is due, and
every *look_every* at the latest. So no call outlives a drive, none is pinned to old code while its workflow
waits for weeks, and nothing depends on a wake-up that may be lost (docs/design/decisions/0015).

Waking takes nothing but this module; serving takes the extra ``restate``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, TypedDict
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from holdfast._core.duration import Duration, seconds
from holdfast._runtime.run import Standing
from holdfast.errors import EngineUnavailable, InvalidTool, MissingExtra, WorkflowNotFound
from holdfast.ledger import Ledger, SyncLedger

if TYPE_CHECKING:
    from restate import VirtualObject

log = logging.getLogger("holdfast")

NAME: Final = "holdfast"
"""Of the service, unless it is given another."""

_PAUSES_S: Final = (0.0, 0.2, 1.0)
"""Before each time that all nodes are asked: one that is restarted is back within a second or two."""

_DUE_S: Final = 1.0
"""What is said to be due after it was driven, e.g. by a clock behind ours, is not driven in a tight loop."""

_FOR_EVER: Final = 2**31 - 1
"""Attempts. The server's own default gives up on a handler after 70 and pauses it, for a person to find."""

_KEPT: Final = timedelta(minutes=10)
"""How long Restate remembers a call: longer than its sender tries, and not a day, which is the default: each
look at each execution that waits is a call."""

_BEAT: Final = "beat"

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""


class Next(TypedDict):
    """What is to be done when an execution was driven; kept by Restate.

    Attributes:
        again_s: Drive it again after so many seconds; ``None``: it has ended.
        parent: Drive this one, which waited for it; empty for none.
    """

    again_s: float | None
    parent: str


class RestateEngine:
    """Wakes executions through a Restate server: ``Ledger(engine=RestateEngine("http://127.0.0.1:8080"))``.

    Args:
        ingress_urls: Where the server takes calls. Several for a cluster: the next is asked when one is away.
        name: Of the service, as given to :func:`service`.
        headers: Sent with each call, e.g. ``{"authorization": "Bearer ..."}``.
        timeout: How long one node may take to accept a call.

    Raises:
        InvalidTool: There is no URL, or one is not of HTTP.
    """

    def __init__(
        self,
        *ingress_urls: str,
        name: str = NAME,
        headers: Mapping[str, str] | None = None,
        timeout: Duration = "10s",
    ) -> None:
        if not ingress_urls or any(urlsplit(url).scheme not in {"http", "https"} for url in ingress_urls):
            raise InvalidTool("no URL of a Restate ingress", "give one like 'http://127.0.0.1:8080'")
        self._urls = [url.rstrip("/") for url in ingress_urls]
        self._name = name
        self._headers = dict(headers or {})
        self._timeout_s = seconds(timeout, name="timeout")

    async def wake(self, tenant: str, workflow_id: str, at: datetime | None) -> None:
        """Have an execution driven soon, or at *at*; see :class:`holdfast.ports.engine.Engine`.

        Raises:
            EngineUnavailable: No node accepted it.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # under a plain ledger, whose callers have no loop that this could hold up
            self._send(tenant, workflow_id, at)
        else:
            await asyncio.to_thread(self._send, tenant, workflow_id, at)

    def _send(self, tenant: str, workflow_id: str, at: datetime | None) -> None:
        path = f"/{quote(self._name)}/{quote(key_of(tenant, workflow_id), safe='')}/drive/send"
        delay_s = 0.0 if at is None else (at - datetime.now(UTC)).total_seconds()
        if delay_s > 0:
            path += f"?delay={int(delay_s * 1000)}ms"
        # One key for all tries: that of a lost answer is not a second wake-up. Never one of two wake-ups.
        headers = {"content-type": "application/json", **self._headers, "idempotency-key": uuid4().hex}
        why = ""
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            for url in self._urls:
                request = Request(url + path, data=b'""', headers=headers, method="POST")  # noqa: S310 - of HTTP, see __init__
                try:
                    with urlopen(request, timeout=self._timeout_s):  # noqa: S310
                        return
                except HTTPError as error:
                    with error:
                        why = f"{url} answers {error.code}"
                except (OSError, HTTPException) as error:
                    why = f"{url}: {getattr(error, 'reason', None) or type(error).__name__}"
        raise EngineUnavailable(workflow_id, why)


def key_of(tenant: str, workflow_id: str) -> str:
    """Name an execution's virtual object: no two have one name, whatever characters are in their ids."""
    return f"{quote(tenant, safe='')}/{workflow_id}"


def _read(key: str) -> tuple[str, str] | None:
    tenant, slash, workflow_id = key.partition("/")
    return (unquote(tenant), workflow_id) if tenant and slash and workflow_id else None


def service(ledger: Ledger | SyncLedger, *, name: str = NAME, look_every: Duration = "60s") -> VirtualObject:
    """Return the Restate service that drives the executions of *ledger*, of all its tenants.

    Args:
        ledger: The one on which the workflows are declared.
        name: Of the service; one for each set of workflows that has workers of its own.
        look_every: An execution that waits is looked at so often even if nothing is heard of it. Each look
            costs Restate a call and the ledger a read.

    Raises:
        MissingExtra: The extra ``restate`` is not installed.
    """
    sdk = _sdk()
    longest_s = seconds(look_every, name="look_every")
    lives = _Lives(ledger)
    text = sdk.serde.JsonSerde()
    again = sdk.InvocationRetryPolicy(
        initial_interval=timedelta(milliseconds=100),
        exponentiation_factor=2,
        max_interval=timedelta(seconds=5),
        max_attempts=_FOR_EVER,
    )
    served: VirtualObject = sdk.VirtualObject(
        name,
        description="Drives holdfast's workflows, one execution each.",
        invocation_retry_policy=again,
        journal_retention=_KEPT,
        idempotency_retention=_KEPT,
    )

    async def drive(ctx: Any, beat: Any) -> None:
        """Drive the execution once, and have it driven again unless it has ended."""
        if beat and beat != await ctx.get(_BEAT, serde=text):
            return  # it was driven since, and what is to be done next was arranged then
        at = _read(ctx.key())
        if at is None:
            raise sdk.TerminalError(f"{ctx.key()!r} names no execution", status_code=400)

        async def look() -> Next:
            return await lives.drive(*at, longest_s)

        then: Next = await ctx.run_typed("drive", look, sdk.RunOptions(serde=text))
        again_s = then["again_s"]
        if again_s is None:
            ctx.clear(_BEAT)
            if then["parent"]:  # it waits for this one
                ctx.object_send(handler, key_of(at[0], then["parent"]), "")
            return
        following = ctx.request().id  # of this call alone, and the same in all its attempts
        ctx.set(_BEAT, following, serde=text)
        ctx.object_send(handler, ctx.key(), following, send_delay=timedelta(seconds=again_s))

    handler = served.handler(input_serde=text, output_serde=text)(drive)
    return served


def app(
    ledger: Ledger | SyncLedger,
    *,
    name: str = NAME,
    look_every: Duration = "60s",
    identity_keys: Sequence[str] = (),
) -> Application:
    """Return an ASGI application that serves :func:`service`, for an HTTP/2 server such as hypercorn.

    It closes the ledger when it is shut down.

    Args:
        ledger: See :func:`service`; so are *name* and *look_every*.
        identity_keys: Public keys of the Restate servers whose calls are taken; without any, everybody's are.

    Raises:
        MissingExtra: The extra ``restate`` is not installed.
    """
    driven = service(ledger, name=name, look_every=look_every)
    served: Any = _sdk().app([driven], identity_keys=list(identity_keys))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(ledger, receive, send)
        else:
            await _call(served(scope, receive, send))

    return application


async def _call(served: Coroutine[Any, Any, None]) -> None:
    """Serve a call, and let go of it when the server stops.

    Cancelled, the SDK waits for Restate to hang up, which Restate does when it hears of the drive. The drive
    is brought to an end by closing the ledger, and that the server does after it has stopped its calls.
    """
    call = asyncio.ensure_future(served)
    try:
        await asyncio.shield(call)
    except asyncio.CancelledError:
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # of no use any more
        call.cancel()
        raise


async def _lifespan(ledger: Ledger | SyncLedger, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    closed = ledger.close()
    if inspect.isawaitable(closed):
        await closed
    await send({"type": "lifespan.shutdown.complete"})


class _Lives:
    """The executions that this process is driving.

    Restate gives an attempt up when it takes too long, or its connection breaks. What the attempt began goes
    on: the next attempt joins it, here or, in another process, by the ledger's word that it is taken.
    """

    def __init__(self, ledger: Ledger | SyncLedger) -> None:
        self._ledger = ledger
        self._under_way: dict[tuple[str, str], asyncio.Future[Standing]] = {}

    async def drive(self, tenant: str, workflow_id: str, longest_s: float) -> Next:
        """Drive an execution; return what is to be done then."""
        at = tenant, workflow_id
        life = self._under_way.get(at)
        if life is None:
            life = self._under_way[at] = asyncio.ensure_future(self._driven(tenant, workflow_id))
            life.add_done_callback(lambda _: self._under_way.pop(at))
        try:
            standing = await asyncio.shield(life)
        except WorkflowNotFound as error:
            log.warning("nothing is left to drive: %s", error)  # reaped, or another ledger's
            return Next(again_s=None, parent="")
        if standing.is_ended:
            return Next(again_s=None, parent=standing.parent)
        due_s = longest_s
        if standing.wake_at is not None:
            due_s = (standing.wake_at - datetime.now(UTC)).total_seconds()
        return Next(again_s=min(due_s if due_s > 0 else _DUE_S, longest_s), parent="")

    async def _driven(self, tenant: str, workflow_id: str) -> Standing:
        scoped = self._ledger.scoped(tenant=tenant)
        if isinstance(scoped, SyncLedger):
            return await asyncio.to_thread(scoped.drive, workflow_id)
        return await scoped.drive(workflow_id)


def _sdk() -> Any:
    try:
        import restate  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtra("restate", "restate-sdk") from error
    return restate
