"""From an answer to a response: the page, its JSON, or nothing when the browser has this version already."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from holdfast._core.question_text import pretty
from holdfast.console import look, text
from holdfast.console.access import Visitor
from holdfast.console.asking import OPERATING, Action, Answer, Asked, Page, Site
from holdfast.console.guard import base_of
from holdfast.console.plain import as_json, digest
from holdfast.console.views.payloads import brief, payload

HERE: Final = Path(__file__).parent
_CSP: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx"
)


def environment() -> Environment:
    """Return the templates: everything escaped, hidden characters shown, a missing name an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "visible": text.marked,
        "exact": text.exact,
        "segment": text.segment,
        "clock": text.clock,
        "iso": text.iso,
        "span": text.span,
        "step": text.step,
        "nearly": text.nearly,
        "grouped": text.grouped,
        "money": text.money,
        "amount": text.amount,
        "payload": payload,
        "brief": brief,
        "tojson_text": pretty,
    }
    made.filters.update(filters)
    names: Any = made.globals
    names.update(look=look.look, counted=text.COUNTED)
    return made


@dataclass(frozen=True, slots=True)
class Renderer:
    """Draws pages.

    Attributes:
        name: What stands at the top of each.
        has_entrance: One signs in and out here.
    """

    site: Site
    templates: Environment
    name: str
    has_entrance: bool

    def known(self, request: Request, asked: Asked) -> Response | None:
        """Return that there is no news, if the ledger was not written to since the browser's version.

        Its tag has two parts: what the page shows, and when that was read.
        """
        tag = request.headers.get("hx-ptag", "")
        head = _head(asked)
        if not head or not hmac.compare_digest(tag.partition(".")[2].encode(), head.encode()):
            return None
        return Response(status_code=304, headers={"HX-PTag": tag})

    def shown(
        self,
        request: Request,
        asked: Asked,
        answer: Answer,
        *,
        page: Page | None,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        """Return *answer* as a page.

        Args:
            problem: Why what was asked for was not done.
        """
        shows = digest(answer.data, iso_minute(asked), visitor_facts(asked.visitor), problem, status)
        version = f"{shows}.{_head(asked)}"
        if status == 200 and request.headers.get("hx-ptag", "").partition(".")[0] == shows:  # noqa: PLR2004
            return Response(status_code=304, headers={"HX-PTag": version})
        here = _with_query(base_of(request) + asked.path, request, answer.refresh)
        more = {
            "version": version,
            "here": here if page is not None else "",
            "visitor": asked.visitor,
            "now": asked.exactly,
            "problem": problem,
            "may": self._allowed(page, asked.visitor),
            "page": page,
        }
        return self.drawn(
            request, answer.template, answer.title, {**answer.data, **answer.extra, **more}, status
        )

    def drawn(
        self, request: Request, template: str, title: str, data: Mapping[str, Any], status: int
    ) -> Response:
        """Return a template as a response."""
        nonce = secrets.token_urlsafe(16)
        base = base_of(request)
        known: dict[str, Any] = {
            "base": base,
            "nonce": nonce,
            "site": self.site,
            "title": title,
            "name": self.name,
            "has_entrance": self.has_entrance,
            "visitor": None,
            "here": "",
            "version": "",
            "problem": "",
            "may": {},
            "page": None,
        }
        html = self.templates.get_template(template).render({**known, **data})
        headers = {"Content-Security-Policy": _CSP.format(nonce=nonce)}
        if data.get("version"):
            headers["HX-PTag"] = str(data["version"])
        return HTMLResponse(html, status, headers)

    def _allowed(self, page: Page | None, visitor: Visitor) -> dict[str, Action]:
        return {
            action.word: action
            for action in self.site.actions
            if page is not None and action.page is page and visitor.may(action.roles)
        }


def json_response(value: Any, status: int = 200) -> Response:
    """Return *value* as JSON."""
    return Response(as_json(value), status, media_type="application/json")


def iso_minute(asked: Asked) -> str:
    """Return the minute that what is relative to now was told in."""
    return text.clock(asked.now)


def _head(asked: Asked) -> str:
    """Return what is equal for equal pages only: the ledger's version, the minute, who looks at what."""
    if not asked.version:
        return ""
    facts = (
        asked.version,
        iso_minute(asked),
        visitor_facts(asked.visitor),
        asked.path,
        sorted(asked.query.items()),
    )
    return digest(*facts)


def visitor_facts(visitor: Visitor) -> tuple[str, list[str], bool]:
    """Return what of a visitor changes a page."""
    return visitor.id, sorted(visitor.roles), visitor.may(OPERATING)


def _with_query(path: str, request: Request, refresh: str | None) -> str:
    own = "" if request.method != "GET" else request.url.query
    query = own if refresh is None else refresh
    return f"{path}?{query}" if query else path
