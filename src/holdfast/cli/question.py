"""A question to people, as a terminal shows it: what is asked, and exactly what would be sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from holdfast._core.approval import Approval, ApprovalState, InfoRequest, Vote
from holdfast._core.question_text import at_stake, laid_out, warnings
from holdfast._core.visible import visible
from holdfast.cli.output import Line, clock, iso, span

SHORT: Final = 12
_THEIRS: Final = "  [the agent's words]"
HEADS: Final = ("approval", "state", "tool", "asked by", "why", "given", "expires")


def question_fields(approval: Approval) -> dict[str, Any]:
    """Return an approval as programs read it."""
    return {
        "id": approval.id,
        "tenant": approval.tenant,
        "key": approval.key,
        "workflow_id": approval.workflow_id,
        "tool": approval.tool,
        "number": approval.number,
        "state": approval.state,
        "digest": approval.digest,
        "reason": approval.reason,
        "rule": approval.rule,
        "actor": approval.actor,
        "on_behalf_of": approval.binding.get("on_behalf_of") or None,
        "args": dict(approval.args),
        "summary": approval.shown.get("summary") or None,
        "risk": approval.chain.risk,
        "amount": approval.shown.get("amount"),
        "context": approval.shown.get("context"),
        "called": approval.shown.get("called"),
        "chain": approval.chain.name,
        "stage": approval.stage + 1,
        "stages": len(approval.chain.stages),
        "role": approval.asks.role or None,
        "quorum": approval.asks.quorum,
        "requests": [_request_fields(one) for one in approval.requests],
        "votes": [_vote_fields(vote) for vote in approval.votes],
        "ended": approval.ended or None,
        "created_at": iso(approval.created_at),
        "expires_at": iso(approval.expires_at),
        "decided_at": iso(approval.decided_at),
    }


def _vote_fields(vote: Vote) -> dict[str, Any]:
    return {
        "by": vote.person,
        "acts_for": vote.acts_for or None,
        "approves": vote.approves,
        "stage": vote.stage + 1,
        "at": iso(vote.at),
        "reason": vote.reason or None,
        "method": vote.method,
    }


def _request_fields(one: InfoRequest) -> dict[str, Any]:
    return {
        "number": one.number,
        "by": one.by,
        "acts_for": one.acts_for or None,
        "at": iso(one.at),
        "question": one.question,
        "answer": one.answer or None,
        "answered_at": iso(one.answered_at),
    }


def line(approval: Approval) -> Line:
    """Return one approval of a listing."""
    given = sum(vote.stage == approval.stage and vote.approves for vote in approval.votes)
    needed = f"{given} of {approval.asks.quorum}"
    left_s = (approval.expires_at - datetime.now(UTC)).total_seconds()
    expires = span(left_s) if approval.state is ApprovalState.PENDING and left_s > 0 else "-"
    cells = (approval.id, approval.state, approval.tool, approval.actor, approval.reason, needed)
    return Line(
        fields=question_fields(approval),
        cells=(*cells, iso(approval.expires_at) or ""),
        brief=(approval.id[:SHORT], *cells[1:], expires),
    )


def facts(approval: Approval) -> Iterator[tuple[str, str]]:
    """Return the parts of a question, each with its name; what models wrote is marked as theirs."""
    asked = approval.asks
    yield "approval", approval.id
    yield "state", approval.state
    if approval.ended:
        yield "because", visible(approval.ended)
    yield "asked by", f"{visible(approval.actor)} in workflow {visible(approval.workflow_id)}"
    rule = f" (rule {approval.rule})" if approval.rule else ""
    yield "why", f"{visible(approval.reason)}{rule}"
    if amount := at_stake(approval.shown):
        yield "at stake", amount
    yield "risk", approval.chain.risk
    role = f"the role {asked.role}" if asked.role else "anybody who did not ask"
    yield (
        "who decides",
        f"{asked.quorum} of {role}, stage {approval.stage + 1} of {len(approval.chain.stages)}",
    )
    yield "expires", clock(approval.expires_at)
    for vote in approval.votes:
        word = "yes" if vote.approves else "no"
        place = f" for {vote.acts_for}" if vote.acts_for else ""
        yield "answer", f"{word}, {vote.person}{place}, {clock(vote.at)}: {visible(vote.reason) or '-'}"
    yield "what it will do", f"{visible(approval.shown.get('summary') or '-')}  [the tool author's words]"
    yield "exactly what is sent", approval.tool
    for number, text in enumerate(laid_out(approval.args)):
        yield "" if number else "args", text
    for warning in warnings(approval.args):
        yield "look closely", warning
    yield "sha-256", approval.digest
    yield from _believed(approval.shown.get("context") or {})
    for one in approval.requests:
        yield "asked for more", f"{one.by}, {clock(one.at)}: {visible(one.question)}"
        yield "", f"{visible(one.answer)}{_THEIRS}" if one.answer else "(the agent has not answered)"
    for number, called in enumerate(approval.shown.get("called") or ()):
        yield "" if number else "called before", f"{called['tool']} {called['state']} {called['key'][:SHORT]}"


def _believed(context: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, label in (
        ("belief", "the agent believes"),
        ("uncertainty", "it does not know"),
        ("on_decline", "if you say no"),
    ):
        said = str(context.get(name) or "")
        yield label, f"{visible(said)}{_THEIRS}" if said else "(nothing said)"
    sure = context.get("confidence")
    yield "its confidence", "(not said: taken as low)" if sure is None else f"{sure}{_THEIRS}"
    inferred: Mapping[str, str] = context.get("inferred") or {}
    for argument, why in inferred.items():
        yield "inferred", f"{visible(argument)}: {visible(why)}{_THEIRS}"
