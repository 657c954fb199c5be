"""The question page: what an agent wants to do, exactly; and how a person answers it."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from holdfast._core.approval import Approval
from holdfast._core.approval_text import exact_text
from holdfast._core.question_text import editable, pretty
from holdfast.console.asking import DECIDING, Action, Answer, Asked, Deed, Misread, Page
from holdfast.console.people import principal_of
from holdfast.console.strict import read_object
from holdfast.console.text import segment
from holdfast.console.views.payloads import MOST
from holdfast.console.views.question import against, approved_lately, compared, live_of, question_of

_USED: Final = "question.used"
_PROVING: Final = "question.proving"
TYPED: Final = 6
"""So many characters of a fingerprint are typed where the risk is high."""


async def _found(asked: Asked) -> Approval:
    return await asked.ledger.approval(asked.part("id"))


async def _used(asked: Asked) -> Sequence[Approval]:
    """Return what was approved and used, as of this minute: to look for it is dear where much waits."""
    kept: tuple[datetime, Sequence[Approval]] | None = asked.kept.get(_USED)
    if kept is None or kept[0] != asked.now:
        kept = (asked.now, await approved_lately(asked.ledger))
        asked.kept[_USED] = kept
    return kept[1]


async def _build(asked: Asked) -> Answer:
    approval = await _found(asked)
    query = asked.query
    is_whole = query.get("whole") == "1"
    seen = query.get("seen") or approval.digest
    compares = against(approval, await _used(asked), query.get("against", ""))
    kept = {"against": query.get("against", ""), "whole": "1" if is_whole else ""}
    question = question_of(asked.ledger, asked.visitor, approval, asked.exactly, whole=is_whole)
    return Answer(
        "question.html",
        f"{approval.tool} {approval.id[:8]}",
        {
            "live": live_of(approval),
            "question": question,
            "against": compares,
            "is_current": seen == approval.digest,
        },
        {
            "is_pending": approval.state == "pending",
            "is_high": approval.chain.risk == "high",
            "typed": TYPED,
            "seen_whole": _proof(asked, approval.id, approval.digest) if question.is_whole else "",
            "draft": editable(approval.args) if question.length <= MOST // 3 else "",
            "links": {name: _query({**kept, "against": name}) for name in compares.names},
            "whole": _query({**kept, "whole": "1"}),
        },
        refresh=_query({**kept, "seen": seen}),
    )


def _query(told: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in told.items() if value})


def _address(deed: Deed) -> str:
    return f"/approvals/{segment(deed.asked.part('id'))}"


def _proof(asked: Asked, approval_id: str, digest: str) -> str:
    """Return what only a page has that shows this visitor the whole of this question."""
    secret: bytes = asked.kept.setdefault(_PROVING, secrets.token_bytes(32))
    told = json.dumps([approval_id, digest, asked.visitor.id]).encode()
    return hmac.new(secret, told, "sha256").hexdigest()


async def _approve(deed: Deed) -> str:
    digest = deed.told("digest")
    await _ensure_seen_whole(deed, digest)
    await _ensure_second_look(deed, digest)
    await deed.ledger.approve(
        deed.asked.part("id"),
        by=principal_of(deed.asked.visitor),
        digest=digest,
        reason=deed.form.get("reason", "").strip(),
    )
    return _address(deed)


async def _ensure_seen_whole(deed: Deed, fingerprint: str) -> None:
    """Let nobody say yes to what they were not shown: what is too long at first is asked for whole.

    Raises:
        Misread: The form is not from a page that showed this person all of it.
    """
    approval = await _found(deed.asked)
    if len(pretty(approval.args)) <= MOST:
        return
    proof = _proof(deed.asked, approval.id, fingerprint)
    if not hmac.compare_digest(deed.form.get("seen_whole", "").encode(), proof.encode()):
        raise Misread("You were not shown all that would be sent: open all of it first. Nothing was done.")


async def _ensure_second_look(deed: Deed, fingerprint: str) -> None:
    """Let nobody say yes by a click where the risk is high.

    Raises:
        Misread: What they typed is not how *fingerprint* begins.
    """
    approval = await _found(deed.asked)
    typed = deed.form.get("typed", "").strip().lower()
    if approval.chain.risk == "high" and not hmac.compare_digest(
        typed.encode(), fingerprint[:TYPED].encode()
    ):
        raise Misread(
            f"The risk is high: type the first {TYPED} characters of the fingerprint. Nothing was done."
        )


async def _deny(deed: Deed) -> str:
    await deed.ledger.deny(
        deed.asked.part("id"),
        by=principal_of(deed.asked.visitor),
        reason=deed.told("reason"),
        digest=deed.told("digest"),
    )
    return _address(deed)


async def _ask_more(deed: Deed) -> str:
    await deed.ledger.request_info(
        deed.asked.part("id"),
        by=principal_of(deed.asked.visitor),
        question=deed.told("question"),
        digest=deed.told("digest"),
    )
    return _address(deed)


async def _hand_over(deed: Deed) -> str:
    to = deed.told("to")
    await deed.ledger.reassign(deed.asked.part("id"), by=principal_of(deed.asked.visitor), to=to)
    return _address(deed)


async def _change(deed: Deed) -> Answer:
    """Show how changed arguments differ, before anybody says yes to them. Nothing is done."""
    approval = await _found(deed.asked)
    args = read_object(deed.told("args"), "arguments")
    text = exact_text(args)
    if text == approval.binding["args"]:
        raise Misread("Nothing is changed: approve the question as it is, or change it. Nothing was done.")
    lines = compared(approval.args, args)
    return Answer(
        "change.html",
        f"Change {approval.tool}",
        {
            "question": {"id": approval.id, "tool": approval.tool, "digest": deed.told("digest")},
            "is_high": approval.chain.risk == "high",
            "lines": lines or (),
            "is_too_long": lines is None,
            "text": pretty(args),
            "sha256": _sha256(text),
            "args_text": text,
            "typed": TYPED,
        },
    )


async def _approve_changed(deed: Deed) -> str:
    args = read_object(deed.told("args"), "arguments")
    digest = deed.told("digest")
    await _ensure_second_look(deed, _sha256(exact_text(args)))
    await deed.ledger.approve(
        deed.asked.part("id"),
        by=principal_of(deed.asked.visitor),
        digest=digest,
        reason=deed.told("reason"),
        args=args,
    )
    return _address(deed)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


PAGE = Page("question", "/approvals/{id}", _build)
ACTIONS = (
    Action(PAGE, "approve", DECIDING, _approve),
    Action(PAGE, "deny", DECIDING, _deny),
    Action(PAGE, "ask-more", DECIDING, _ask_more),
    Action(PAGE, "hand-over", DECIDING, _hand_over),
    Action(PAGE, "change", DECIDING, _change),
    Action(PAGE, "approve-changed", DECIDING, _approve_changed),
)
