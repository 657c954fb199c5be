"""A question as a Slack message: seven parts, in which nothing that others wrote is anything but text.

What agents, tools and people wrote stands in ``plain_text`` and ``rich_text`` alone, which know no links,
mentions or channels; what stands in ``mrkdwn`` is ours.
"""

from __future__ import annotations

import hmac
import re
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState
from holdfast.channels.card import BY_AGENT, BY_AUTHOR, card_of, shortened, visible

LONGEST: Final = 2500
"""Whoever is to decide on more than this has to open the page: a message hides what is at its end."""
APPROVE: Final = "holdfast_approve"
DENY: Final = "holdfast_deny"
ASK: Final = "holdfast_ask"
OPEN: Final = "holdfast_open"
REASON: Final = "reason"
_SHORT: Final = 12
_NONCE: Final = 32
_LINE: Final = 280
_HEADER: Final = 150  # Slack's own bounds: a message beyond one of them is refused as a whole
_REST: Final = 40
_PARAGRAPH: Final = 600
_MOST_LINES: Final = 8
_MOST_ANSWERS: Final = 5
_DOMAIN: Final = b"holdfast-slack/1\0"
_VALUE: Final = re.compile(r"([0-9a-zA-Z]{1,128})\.([0-9a-f]{32})\.([0-9a-f]{12})")
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
Block = dict[str, Any]


def escaped(text: str) -> str:
    """Return *text* as Slack wants it in text objects: no link, no mention, no channel can begin."""
    return text.translate(_ESCAPES)


def value_of(approval_id: str, digest: str, secret: bytes) -> str:
    """Return what a button carries: the question, the start of its fingerprint, proof that both are ours."""
    return f"{approval_id}.{_nonce(approval_id, digest, secret)}.{digest[:_SHORT]}"


def read_value(value: Any) -> tuple[str, str, str] | None:
    """Return the question's id, the proof and the start of the fingerprint; ``None`` for no such value."""
    found = _VALUE.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else (found[1], found[2], found[3])


def meant_digest(approval: Approval, nonce: str, short: str, secret: bytes) -> str | None:
    """Return the whole fingerprint that a button was made for; ``None`` if this question never had it."""
    earlier = {*(edit.digest for edit in approval.edits), *(asked.digest for asked in approval.requests)}
    known = {approval.digest, *earlier}
    meant = [
        digest
        for digest in known
        if digest.startswith(short) and hmac.compare_digest(_nonce(approval.id, digest, secret), nonce)
    ]
    return meant[0] if len(meant) == 1 else None


def _nonce(approval_id: str, digest: str, secret: bytes) -> str:
    return hmac.digest(secret, _DOMAIN + f"{approval_id}.{digest}".encode(), "sha256").hex()[:_NONCE]


def may_decide_here(approval: Approval) -> bool:
    """Whether all of it can be read in a message, and a wrong decision does little harm."""
    is_short = len(visible(str(approval.binding["args"]))) <= LONGEST
    return is_short and approval.chain.risk != "high"


def blocks_of(approval: Approval, link: str, secret: bytes, *, asks: bool = True) -> list[Block]:
    """Return the message about *approval* as it stands now.

    Args:
        asks: Whether it is decided here: there may be a newer message.
    """
    card = card_of(approval)
    blocks: list[Block] = [
        {"type": "header", "text": _plain(card.title, _HEADER)},
        _small(card.standing),
        _small(card.asked),
    ]
    if card.summary:
        blocks += [_label(BY_AUTHOR), _rich("rich_text_quote", card.summary, _PARAGRAPH)]
    blocks += [
        _label("Exactly what would be sent"),
        _rich("rich_text_preformatted", card.args, LONGEST),
        _small((f"SHA-256 {card.digest}", *(f"{label}: {text}" for label, text in card.facts))),
        _label(BY_AGENT),
        _rich("rich_text_quote", "\n".join(f"{label}: {text}" for label, text in card.words), _PARAGRAPH * 3),
    ]
    if len(card.answers) > _MOST_ANSWERS:
        blocks.append(_small((f"{len(card.answers) - _MOST_ANSWERS} earlier answers are on its page",)))
    for asked, said in card.answers[-_MOST_ANSWERS:]:
        blocks += [_small((asked,)), _rich("rich_text_quote", f"It answers: {said}", _PARAGRAPH * 3)]
    if not asks:
        blocks.append(_small(("This question has moved to another room.",)))
    elif approval.state is ApprovalState.PENDING:
        blocks += _actions(approval, link, secret if may_decide_here(approval) else None)
    return blocks


def short_blocks(approval: Approval, link: str) -> list[Block]:
    """Return a message that Slack takes whatever it has against the whole one; it is decided elsewhere."""
    standing = "\n".join(card_of(approval).standing)
    blocks: list[Block] = [
        {"type": "header", "text": _plain(visible(approval.tool), _HEADER)},
        {"type": "section", "text": _plain(f"Slack could not show all of it.\n{standing}", _PARAGRAPH)},
    ]
    return blocks + (_actions(approval, link, None) if approval.state is ApprovalState.PENDING else [])


def _actions(approval: Approval, link: str, secret: bytes | None) -> list[Block]:
    """Return the buttons; without a *secret* none that decides."""
    buttons: list[Block] = []
    if secret is not None:
        value = value_of(approval.id, approval.digest, secret)
        buttons += [
            {
                "type": "button",
                "action_id": APPROVE,
                "text": _plain("Approve once", _LINE),
                "value": value,
                "confirm": {
                    "title": _plain("Approve once?", _LINE),
                    "text": _plain(
                        f"fingerprint {approval.digest[:_SHORT]}, {visible(approval.tool)}", _LINE
                    ),
                    "confirm": _plain("Approve once", _LINE),
                    "deny": _plain("Not yet", _LINE),
                },
            },
            {"type": "button", "action_id": DENY, "text": _plain("Deny …", _LINE), "value": value},
        ]
        if approval.owed is None:
            ask = {"type": "button", "action_id": ASK, "text": _plain("Ask for more …", _LINE)}
            buttons.append({**ask, "value": value})
    if link:
        buttons.append({"type": "button", "action_id": OPEN, "text": _plain("Open", _LINE), "url": link})
    if not buttons:
        return [_small((f"Decide where all of it can be read: holdfast approvals show {approval.id}",))]
    return [{"type": "actions", "elements": buttons}]


def text_of(approval: Approval, kind: str) -> str:
    """Return the line that notifications show; also what stands in threads."""
    tool, standing = visible(approval.tool), "; ".join(card_of(approval).standing)
    words = {
        "asked": f"Please decide on {tool}",
        "answered": f"Please decide on {tool}",
        "questioned": f"The agent is asked for more: {tool}",
        "reminded": f"Still to be decided: {tool}",
        "escalated": f"Escalated: {tool}",
        "ended": tool,
    }
    return escaped(shortened(f"{words[kind]}: {standing}", _PARAGRAPH))


_VIEWS: Final = {
    DENY: ("Deny", "Deny", "Reason (the agent is told)"),
    ASK: ("Ask for more", "Ask", "What the agent should tell before you decide"),
}
"""By what was clicked: the title of its dialogue, its button, and what is to be written."""


def text_view(action: str, approval: Approval, told: str) -> Block:
    """Return the dialogue that asks for the reason of a no, or for what the agent is asked.

    Args:
        told: What comes back with the answer.
    """
    title, button, label = _VIEWS[action]
    return {
        "type": "modal",
        "callback_id": action,
        "private_metadata": told,
        "title": _plain(title, _LINE),
        "submit": _plain(button, _LINE),
        "close": _plain("Cancel", _LINE),
        "blocks": [
            {"type": "section", "text": _plain(visible(approval.tool), _LINE)},
            {
                "type": "input",
                "block_id": REASON,
                "label": _plain(label, _LINE),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "multiline": True,
                    "max_length": 1000,
                },
            },
        ],
    }


def _label(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": f"*{text}*", "verbatim": True}}


def _plain(text: str, longest: int) -> Block:
    """Return a text of at most *longest* characters as Slack counts them."""
    kept = longest - _REST if len(text) > longest else longest
    while len(escaped(shortened(text, kept))) > longest:
        kept -= max(kept // 8, 1)
    return {"type": "plain_text", "text": escaped(shortened(text, kept)), "emoji": False}


def _small(lines: tuple[str, ...]) -> Block:
    shown = lines if len(lines) <= _MOST_LINES else (*lines[: _MOST_LINES - 1], "… and more on its page")
    return {"type": "context", "elements": [_plain(line, _LINE) for line in shown]}


def _rich(kind: str, text: str, longest: int) -> Block:
    element = {"type": kind, "elements": [{"type": "text", "text": shortened(text, longest)}]}
    return {"type": "rich_text", "elements": [element]}
