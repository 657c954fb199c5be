"""Workflows: which one? Chips with counts, a search line, fifty to a page."""

from __future__ import annotations

from urllib.parse import urlencode

from holdfast._core.states import WorkflowStatus
from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.search import QUALIFIERS, read_search
from holdfast.console.views.workflows import workflow_list


async def _build(asked: Asked) -> Answer:
    line = asked.query.get("q", "")
    status = asked.query.get("status", "")
    search = read_search(line, asked.now)
    if status in set(WorkflowStatus):
        search.wanted["status"] = status
    found = await workflow_list(asked.ledger, search, asked.query.get("after"))
    chosen = search.of("status") or ""
    return Answer(
        "workflows.html",
        "Workflows",
        {"workflows": found},
        {
            "q": line,
            "chosen": chosen,
            "chips": [(str(one), found.counts.get(str(one), 0)) for one in WorkflowStatus],
            "total": sum(found.counts.values()),
            "qualifiers": QUALIFIERS,
            "link": _link(line),
            "next": urlencode({"q": line, "status": chosen, "after": found.after or ""}),
        },
    )


def _link(line: str) -> dict[str, str]:
    """Return, for each status, the query that asks for it along with the search line."""
    return {status: urlencode({"q": line, "status": status}) for status in ("", *map(str, WorkflowStatus))}


PAGE = Page("workflows", "/workflows", _build, title="Workflows", key="w")
