"""Approvals: what am I asked? The visitor's own questions first."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from holdfast._core.approval import ApprovalState
from holdfast.console.access import Role
from holdfast.console.asking import Answer, Asked, Page
from holdfast.console.views.approvals import Wanted, inbox
from holdfast.console.waiting import Queue

_QUEUE: Final = "approvals.queue"


async def _build(asked: Asked) -> Answer:
    query = asked.query
    state = query.get("state", "")
    wanted = Wanted(
        state=ApprovalState(state) if state in set(ApprovalState) else ApprovalState.PENDING,
        view="mine" if query.get("view") == "mine" else "",
        agent=query.get("agent", "").strip(),
        without=query.get("without", "").strip(),
        after=query.get("after", ""),
    )
    queue: Queue = asked.kept.setdefault(_QUEUE, Queue())
    if wanted.state is ApprovalState.PENDING:
        await queue.look(asked.ledger, asked.version)
    found = await inbox(asked.ledger, asked.visitor, wanted, queue, asked.exactly)
    narrowed = {"state": wanted.state, "view": wanted.view, "agent": wanted.agent, "without": wanted.without}
    return Answer(
        "approvals.html",
        "Approvals",
        {"inbox": found},
        {
            "wanted": wanted,
            "chips": [(str(one), found.counts.get(str(one), 0)) for one in ApprovalState],
            "is_approver": Role.APPROVER in asked.visitor.roles,
            "next": _query({**narrowed, "after": found.after or ""}),
            "only": {actor: _query({"state": wanted.state, "agent": actor}) for actor, _ in found.agents},
            "but": {actor: _query({"state": wanted.state, "without": actor}) for actor, _ in found.agents},
        },
    )


def _query(told: dict[str, str]) -> str:
    return urlencode({name: value for name, value in told.items() if value})


PAGE = Page("approvals", "/approvals", _build, title="Approvals", key="a")
