"""The console as an ASGI application, by itself or mounted in another one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from holdfast.console.access import ANYBODY, Access, Callback, Visitor, access_of
from holdfast.console.asking import VIEWING, Action, Answer, Asked, Deed, Misread, NotThere, Page, Site, Stale
from holdfast.console.guard import Guard, base_of, read_form
from holdfast.console.ledgers import as_async, looked
from holdfast.console.recording import Refusals
from holdfast.console.refusals import said, status_of
from holdfast.console.registry import SITE
from holdfast.console.render import HERE, Renderer, environment, json_response
from holdfast.errors import (
    ApprovalNotFound,
    ApprovalVoid,
    DecisionRefused,
    EffectNotFound,
    HoldfastError,
    PayloadSealed,
    StoreUnavailable,
    WorkflowNotFound,
)
from holdfast.ledger import Ledger, SyncLedger

log: Final = logging.getLogger("holdfast.console")
_FINE: Final = 200


def console(
    ledger: Ledger | SyncLedger,
    *,
    access: Access | Callback | None = None,
    name: str = "holdfast",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """Return the console of a ledger: an ASGI application to serve or to mount, for one tenant.

    Args:
        ledger: What is shown; what is done is done through its public methods, and bears the visitor's name.
            It stays the caller's to close.
        access: Who visits, and what they may do: a function of the request, or a way to sign in. Without one
            whoever gets here may read, and nobody may do anything.
        name: What stands at the top of each page.
        now: The time.
    """
    known = access_of(access)
    made = _Console(
        ledger=as_async(ledger),
        access=known,
        renderer=Renderer(SITE, environment(), name, has_entrance=bool(known.entrance)),
        now=now,
        refusals=Refusals(as_async(ledger)),
    )
    app = Starlette(routes=made.routes(SITE), middleware=[Middleware(Guard, on_forged=made.forged)])
    app.state.console = made
    return app


@dataclass(frozen=True, slots=True)
class _Console:
    """One console: a ledger, those who may see it, and what it remembers between requests."""

    ledger: Ledger
    access: Access
    renderer: Renderer
    now: Callable[[], datetime]
    refusals: Refusals
    kept: dict[str, Any] = field(default_factory=dict[str, Any])

    async def forged(self, request: Request) -> None:
        """Put on record that a browser of somebody known sent a form of another site's."""
        try:
            visitor = await self.access.visitor(request)
        except Exception:  # the application's own: whatever it is, the form stays refused
            log.exception("nobody could say whose browser sent the form of another site")
            return
        if visitor is not None and visitor.may(VIEWING):
            await self.refusals.note(visitor, request, "forged", "another site sent this form", self.now())

    def routes(self, site: Site) -> list[BaseRoute]:
        found: list[BaseRoute] = [
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            Route("/healthz", _healthy),
            *self.access.routes(),
        ]
        for page in site.pages:
            twin = "/overview.json" if page.path == "/" else f"{page.path}.json"
            found.append(Route(twin, self._endpoint(page, as_json=True), name=f"{page.name}.json"))
        for action in site.actions:
            path = f"{action.page.path.rstrip('/')}/{action.word}"
            found.append(Route(path, self._doing(action), methods=["POST"], name=action.word))
        found += [Route(page.path, self._endpoint(page), name=page.name) for page in site.pages]
        return found

    def _endpoint(self, page: Page, *, as_json: bool = False) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            visitor = await self.access.visitor(request)
            refusal = self._refused(request, visitor, VIEWING, as_json=as_json)
            if refusal is not None or visitor is None:
                return refusal or _forbidden()
            asked = self._asked(request, visitor, page, await self._version(page))
            if not as_json and (known := self.renderer.known(request, asked)) is not None:
                return known
            answer, status = await _answered(page, asked)
            if as_json:
                return json_response(answer.data, status)
            live = page if status == _FINE else None
            return self.renderer.shown(request, asked, answer, page=live, status=status)

        return endpoint

    def _doing(self, action: Action) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            visitor = await self.access.visitor(request)
            refusal = self._refused(request, visitor, action.roles, as_json=False)
            if visitor is None:
                log.warning("refused %s to nobody", action.word)
                return refusal or _forbidden()
            if refusal is not None:
                await self.refusals.note(visitor, request, action.word, "it takes another role", self.now())
                return refusal
            form, status = await read_form(request)
            if form is None:
                return PlainTextResponse("Send a small form. Nothing was done.\n", status)
            asked = self._asked(request, visitor, action.page, "")
            deed = Deed(asked, self.ledger.scoped(actor=visitor.id), form)
            try:
                done = await action.do(deed)
            except (Misread, Stale, HoldfastError) as error:
                if isinstance(error, Misread | DecisionRefused):  # nothing was tried; it is on record already
                    log.warning("%s by %s was refused: %s", action.word, visitor.id, error)
                else:
                    await self.refusals.note(visitor, request, action.word, _why(error), self.now())
                answer, found = await _answered(action.page, asked)
                status = status_of(error) if found == _FINE else found
                return self.renderer.shown(
                    request, asked, answer, page=action.page, problem=said(error), status=status
                )
            if isinstance(done, Answer):
                return self.renderer.shown(request, asked, done, page=None)
            log.info("%s by %s", action.word, visitor.id)
            return RedirectResponse(base_of(request) + done, 303)

        return endpoint

    async def _version(self, page: Page) -> str:
        """Return what the ledger tells of its newest change, before anything else is read of it."""
        if not page.is_recorded:
            return ""
        try:
            return await looked(self.ledger, lambda engine: engine.pages.version())
        except HoldfastError:
            return ""  # what it is, the page says

    def _asked(self, request: Request, visitor: Visitor, page: Page, version: str) -> Asked:
        exactly = self.now()
        return Asked(
            ledger=self.ledger,
            visitor=visitor,
            now=exactly.replace(second=0, microsecond=0),
            exactly=exactly,
            path=_page_path(page, request.path_params),
            parts={name: str(part) for name, part in request.path_params.items()},
            query=dict(request.query_params),
            kept=self.kept,
            version=version,
        )

    def _refused(
        self, request: Request, visitor: Visitor | None, roles: frozenset[Any], *, as_json: bool
    ) -> Response | None:
        """Return what is told to who may not; ``None`` for who may."""
        if visitor is not None and visitor.may(roles):
            return None
        status = 401 if visitor is None else 403
        if as_json:
            return json_response(
                {"error": "nobody knows you here" if visitor is None else "not allowed"}, status
            )
        data = {
            "status": status,
            "says": "Nobody knows you here." if visitor is None else "You may not do that. Nothing was done.",
            "entrance": self.access.entrance if visitor is None else "",
            # A strict cookie does not come along from another site: after one step of ours it does.
            "again": _is_led_here(request) and visitor is None and bool(self.access.entrance),
            "target": _address(request),
            "visitor": visitor,
        }
        return self.renderer.drawn(request, "problem.html", "Not allowed", data, status)


async def _answered(page: Page, asked: Asked) -> tuple[Answer, int]:
    """Return what a page shows, or what stands in its place."""
    try:
        return await page.build(asked), 200
    except (ApprovalNotFound, EffectNotFound, WorkflowNotFound, NotThere) as error:
        return _problem(404, "Not found", f"There is no such thing in this ledger: {error}"), 404
    except StoreUnavailable as error:
        return _problem(503, "Away", said(error)), 503
    except (ApprovalVoid, PayloadSealed) as error:
        return _problem(409, "Not to be read", said(error)), 409
    except (HoldfastError, Misread) as error:
        return _problem(400, "Not understood", said(error)), 400


def _problem(status: int, title: str, says: str) -> Answer:
    return Answer(
        "problem.html",
        title,
        {"status": status, "says": says},
        {"entrance": "", "again": False, "target": ""},
    )


def _why(error: Exception) -> str:
    """Return why something was refused, by its kind: errors repeat what was typed, and that stays out."""
    return error.code if isinstance(error, HoldfastError) else "it has changed since it was looked at"


def _page_path(page: Page, parts: dict[str, Any]) -> str:
    """Return the address of a page below the console's, as links have it."""
    path = page.path
    for name, part in parts.items():
        path = path.replace(f"{{{name}}}", str(part).replace("%", "%25"))
    return path


def _is_led_here(request: Request) -> bool:
    return request.method == "GET" and request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def _address(request: Request) -> str:
    """Return the address of a request as the browser has it, without the site."""
    below = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    path = base_of(request) + quote(below, safe="/:@")
    return f"{path}?{request.url.query}" if request.url.query else path


def _forbidden() -> Response:
    return PlainTextResponse("Not allowed.\n", 403)


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok\n")


__all__ = ["ANYBODY", "console"]
