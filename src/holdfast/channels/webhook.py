"""Tells another system of questions by signed webhooks: each notice under an id that never changes."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast._core.approval import Approval
from holdfast._core.contract import SafetyName
from holdfast._core.inquiry import SHOWN
from holdfast.channels.reach import Lookup, Reach
from holdfast.channels.signing import keys_of, signed
from holdfast.errors import InvalidTool, Permanent
from holdfast.ports import Telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one tenant's webhooks go.

    Attributes:
        url: Fixed here: nothing that an agent says has a part in it.
        secrets: ``whsec_…``; two while one takes the place of the other: each message is signed with all.
        allow: Networks that are let through although they are not public, e.g. ``10.1.0.0/16``.
    """

    url: str = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    allow: Sequence[str] = ()


class WebhookChannel:
    """Sends each notice to the target of its tenant, and to no other.

    Args:
        targets: By tenant; a ledger that names none has the tenant ``default``.
        context: For TLS; default: Python's own.
        lookup: Returns the addresses of a name.

    Raises:
        InvalidTool: A target or a secret is none.
    """

    safety: SafetyName = "idempotent"

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        name: str = "webhook",
        timeout_s: float = 8.0,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        lookup: Lookup | None = None,
    ) -> None:
        given: Any = targets
        if not isinstance(given, Mapping) or not given:
            raise InvalidTool("targets of a webhook are no mapping", 'give {"default": Target(...)}')
        self.name = name
        self._clock = clock
        self._targets = {
            tenant: (
                Reach(target.url, allow=target.allow, timeout_s=timeout_s, context=context, lookup=lookup),
                keys_of(target.secrets),
            )
            for tenant, target in targets.items()
        }

    def tell(self, telling: Telling) -> Any:
        """Send one notice."""
        found = self._targets.get(telling.approval.tenant)
        if found is None:
            msg = "this tenant has no target for webhooks"
            raise Permanent(msg)
        reach, keys = found
        body = json.dumps(message_of(telling), ensure_ascii=True, sort_keys=True).encode()
        headers = signed(keys, telling.id, int(self._clock()), body)
        reach.post(body, {**headers, "content-type": "application/json"})
        return {"id": telling.id}


def message_of(telling: Telling) -> dict[str, Any]:
    """Return what is told of a notice."""
    approval = telling.approval
    return {
        "type": f"approval.{telling.notice.kind}",
        "notice": telling.notice.number,
        "approval": approval.id,
        "tenant": approval.tenant,
        "state": approval.state,
        "digest": approval.digest,
        "expires_at": approval.expires_at.isoformat(),
        "key": approval.key,
        "tool": approval.tool,
        "args": approval.args,
        "reason": approval.reason,
        "rule": approval.rule,
        "risk": approval.chain.risk,
        "amount": approval.shown.get("amount"),
        "workflow_id": approval.workflow_id,
        "actor": approval.actor,
        "on_behalf_of": approval.binding.get("on_behalf_of"),
        "author": {"summary": approval.shown.get("summary")},
        "agent": _agent(approval),
        "called": approval.shown.get("called"),
        "stage": {
            "number": approval.stage + 1,
            "of": len(approval.chain.stages),
            "role": approval.asks.role,
            "quorum": approval.asks.quorum,
        },
        "decisions": [
            {"by": vote.person, "approves": vote.approves, "reason": vote.reason, "at": vote.at.isoformat()}
            for vote in approval.votes
        ],
        "asked_for": _owed(approval),
        "ended": approval.ended,
        "link": telling.link,
    }


def _agent(approval: Approval) -> dict[str, Any]:
    """Return what the agent says of it: nobody has checked that."""
    context: Any = approval.shown.get("context") or {}
    names = ("belief", "confidence", "uncertainty", "on_decline", "inferred")
    told = {name: context.get(name) for name in names}
    return {**told, "answers": approval.shown.get(SHOWN, [])}


def _owed(approval: Approval) -> dict[str, Any] | None:
    """Return what the agent is asked for before anybody decides."""
    owed = approval.owed
    return None if owed is None else {"by": owed.by, "question": owed.question, "to": approval.name_of(owed)}
