"""What people read of a question, whatever the channel: one set of parts, each labelled by whose words it is.

Nothing in it can hide: characters without a shape of their own, or that reorder others, are shown by their
number.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any, Final, cast

from holdfast._core.approval import Approval, ApprovalState
from holdfast._core.inquiry import SHOWN
from holdfast._core.question_text import at_stake

_SHAPELESS: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SELECTORS: Final = ((0xFE00, 0xFE0F), (0x180B, 0x180F), (0xE0100, 0xE01EF))
_WORDS: Final = {
    ApprovalState.PENDING: "waits for a decision",
    ApprovalState.APPROVED: "approved",
    ApprovalState.CONSUMED: "approved, and used",
    ApprovalState.DENIED: "denied",
    ApprovalState.EXPIRED: "expired: the answer is no",
    ApprovalState.WITHDRAWN: "withdrawn",
}
BY_AUTHOR: Final = "The tool's author says"
BY_AGENT: Final = "The agent's own words, which nobody has checked"


def visible(text: str) -> str:
    """Return *text* with every character that cannot be seen, or that reorders others, by its number."""
    return "".join(f"⟨U+{ord(c):04X}⟩" if _is_hidden(c) else c for c in text)


def _is_hidden(c: str) -> bool:
    if c == " ":
        return False
    kind, place = unicodedata.category(c), ord(c)
    if kind in _SHAPELESS or kind == "Zs" or c in _BLANK:
        return True
    return any(first <= place <= last for first, last in _SELECTORS)


def shortened(text: str, longest: int) -> str:
    """Return the start of *text*, and how much more there is."""
    return text if len(text) <= longest else f"{text[:longest]} … and {len(text) - longest} more characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A question for people to read; all its texts are visible ones.

    Attributes:
        title: What it is.
        standing: How it stands: who has decided, how many are needed, until when.
        asked: Who asks, for whom, and by which rule people are asked.
        summary: In the words of the tool's author; empty when there are none.
        args: Exactly what would be sent, as JSON.
        digest: The fingerprint that people answer to.
        words: What the agent says, by label.
        facts: What the ledger knows besides, by label.
        answers: What people asked the agent, with their name, and what it answered.
    """

    title: str
    standing: tuple[str, ...]
    asked: tuple[str, ...]
    summary: str
    args: str
    digest: str
    words: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    answers: tuple[tuple[str, str], ...]


def card_of(approval: Approval) -> Card:
    """Return what people read of *approval*."""
    behalf = str(approval.binding.get("on_behalf_of") or "")
    asked = [f"asked by {visible(approval.actor)} in {visible(approval.workflow_id)}"]
    if behalf:
        asked.append(f"on behalf of {visible(behalf)}")
    by = f" ({visible(approval.rule)})" if approval.rule else ""
    asked.append(f"because {visible(approval.reason)}{by}")
    return Card(
        title=visible(approval.tool),
        standing=_standing(approval),
        asked=tuple(asked),
        summary=visible(str(approval.shown.get("summary") or "")),
        args=visible(str(approval.binding["args"])),
        digest=approval.digest,
        words=_words(approval.shown.get("context") or {}),
        facts=_facts(approval),
        answers=_answers(approval.shown.get(SHOWN) or []),
    )


def _standing(approval: Approval) -> tuple[str, ...]:
    said = [_WORDS[approval.state]]
    if approval.state is ApprovalState.PENDING:
        stages = len(approval.chain.stages)
        role = f" of the role {visible(approval.asks.role)}" if approval.asks.role else ""
        said.append(_votes(approval, role))
        if stages > 1:
            said.append(f"stage {approval.stage + 1} of {stages}")
        said.append(f"expires {approval.expires_at:%Y-%m-%d %H:%M} UTC")
    if approval.owed is not None:
        said.append(f"{visible(approval.owed.by)} asks the agent first: {visible(approval.owed.question)}")
    said += [
        f"{'approved' if vote.approves else 'denied'} by {visible(vote.person)}"
        + (f" for {visible(vote.acts_for)}" if vote.acts_for else "")
        + (f": {visible(vote.reason)}" if vote.reason else "")
        for vote in approval.votes
    ]
    said += [f"handed by {visible(one.frm)} to {visible(one.to)}" for one in approval.handed]
    if approval.ended and not any(vote.reason == approval.ended for vote in approval.votes):
        said.append(visible(approval.ended))
    return tuple(said)


def _votes(approval: Approval, role: str) -> str:
    yes = [visible(vote.person) for vote in approval.votes if vote.stage == approval.stage and vote.approves]
    if not yes:
        return f"{approval.asks.quorum} needed{role}, 0 given"
    return f"{len(yes)} of {approval.asks.quorum} said yes{role}: {', '.join(yes)}"


def _answers(told: Any) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{visible(str(one['by']))} asked: {visible(str(one['question']))}", visible(str(one["answer"])))
        for one in told
    )


def _words(context: Any) -> tuple[tuple[str, str], ...]:
    sure = context.get("confidence")
    inferred = cast("dict[str, str]", context.get("inferred") or {})
    told = [
        ("It believes", str(context.get("belief") or "")),
        ("It is unsure about", str(context.get("uncertainty") or "")),
        ("If you decline", str(context.get("on_decline") or "")),
        ("Its confidence", "" if sure is None else f"{sure:g}"),
        *((f"It inferred {name}", str(why)) for name, why in inferred.items()),
    ]
    return tuple((visible(label), visible(text) or "(it does not say)") for label, text in told)


def _facts(approval: Approval) -> tuple[tuple[str, str], ...]:
    shown = approval.shown
    called: Any = shown.get("called") or []
    before = ", ".join(f"{visible(str(one['tool']))} ({one['state']})" for one in called)
    told = [
        ("Risk", approval.chain.risk),
        ("Amount", at_stake(shown)),
        ("Can it be undone", str(shown.get("reversal") or "")),
        ("Called before in this workflow", before or "nothing"),
        ("Edited by", visible(str(shown.get("edited_by") or ""))),
    ]
    return tuple((label, text) for label, text in told if text)


def text_of(approval: Approval, link: str) -> str:
    """Return all of a question as plain text, ending with the link to its page."""
    card = card_of(approval)
    lines = [card.title, *card.standing, *card.asked, ""]
    if card.summary:
        lines += [f"{BY_AUTHOR}: {card.summary}", ""]
    lines += ["Exactly what would be sent:", card.args, f"SHA-256 {card.digest}", ""]
    lines += [f"{label}: {text}" for label, text in card.facts]
    lines += ["", f"{BY_AGENT}:", *(f"  {label}: {text}" for label, text in card.words)]
    for asked, said in card.answers:
        lines += [f"  {asked}", f"  It answers: {said}"]
    if link:
        lines += ["", f"Decide on its page (opening it decides nothing): {link}"]
    return "\n".join(lines)
