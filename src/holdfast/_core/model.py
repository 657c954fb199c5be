"""The nouns: frozen values, no behaviour beyond their own consistency."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NewType, Protocol, TypeAlias

from holdfast._core.call_context import CallContext
from holdfast._core.money import Money
from holdfast._core.states import Safety, State
from holdfast._core.value import value
from holdfast.errors import CircuitOpen, InformationRequested, NotDone, SchemaMismatch

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""Covariant on purpose: a handler returning ``dict[str, str]`` is a handler returning JSON."""

EffectKey = NewType("EffectKey", str)
"""Names one intended change in the world: ``v1:`` and 64 hex digits. Equal keys, same change."""

Fingerprint = NewType("Fingerprint", str)
"""SHA-256 (hex) of the canonical arguments. Approvals are bound to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One request in flight.

    Attributes:
        workflow_id: The execution that it belongs to; ``""`` takes it from the surrounding workflow.
        tool: The tool's name.
        args: What the handler is called with, by keyword.
        key: Replaces the arguments in the identity (tenant, workflow and tool stay part of it).
        call_id: The model's own id of this call; recorded, never the identity.
        context: Why the agent wants it, for rules and for people who have to decide.
    """

    workflow_id: str = ""
    tool: str = ""
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str | None = None
    call_id: str | None = None
    context: CallContext | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Evidence that the effect happened.

    Attributes:
        result: What the handler would have returned.
    """

    result: JSON = None


_LONGEST_WHY: Final = 2000


@dataclass(frozen=True, slots=True)
class StillUnknown:
    """No evidence either way.

    Attributes:
        why: What was looked at, for the next reader.
    """

    why: str = ""

    def __post_init__(self) -> None:
        why: Any = self.why  # from a reconciler of anybody's
        text = why[:_LONGEST_WHY] if isinstance(why, str) else f"({type(why).__name__})"
        object.__setattr__(self, "why", text)


Evidence: TypeAlias = Done | NotDone | StillUnknown
"""What a reconciler returns. ``NotDone`` may be returned as an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something a caller should know although the call went through.

    Attributes:
        code: Stable slug, e.g. ``duplicate_intent``.
        message: For people; never a value.
        paths: The places concerned, e.g. argument names.
        action: What follows: nothing, hiding *paths* in what is stored and returned, or refusal.
    """

    code: str
    message: str
    paths: tuple[str, ...] = ()
    action: Literal["note", "redact", "deny"] = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One intended change in the world, as its handler and its reconciler see it.

    Attributes:
        key: Names it in the ledger.
        idem_key: The value to send as ``Idempotency-Key``: 64 hex digits, the same on all attempts.
        args: The arguments of the call.
        attempt: 1 for the first execution.
        attempted_at: For a handler: when its attempt was claimed. For a reconciler: until when the last
            attempt may have acted (aware, UTC).
        first_attempted_at: For a reconciler: from when on the first attempt may have acted (aware, UTC).
        tx: For ``safety="local"``: a connection to the ledger's own database, inside the transaction
            that records this effect. ``None`` otherwise.
        bill: Takes what the handler says that it spent; ``None`` where nobody asks.
    """

    key: EffectKey
    idem_key: str
    tenant: str
    workflow_id: str
    tool: str
    intent: str
    args: Mapping[str, Any]
    attempt: int
    attempted_at: datetime | None = None
    first_attempted_at: datetime | None = None
    tx: Any = None
    bill: Spends | None = field(default=None, repr=False, compare=False)

    def spend(self, cost: str | Money | None = None, *, tokens: int | None = None) -> None:
        """Say what this attempt really spent, all in all; without it the tool's declared ``cost`` counts.

        It counts when the attempt is recorded, however that ends. Said again, the last word counts.

        Args:
            cost: ``"0.013 USD"``, in the currency of the declared cost.
            tokens: That models used for it.

        Raises:
            InvalidCall: It is no amount, or in another currency than the tool is declared to cost.
        """
        if self.bill is not None:
            self.bill.spend(cost, tokens)


class Spends(Protocol):
    """Takes what an attempt spent."""

    def spend(self, cost: str | Money | None, tokens: int | None) -> None:
        """Note what was spent, all in all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """An effect that stands in the world and is to be undone, as its compensation sees it.

    Attributes:
        key: Its key.
        idem_key: What was sent along with it as ``Idempotency-Key``.
        args: Its arguments.
        result: What its handler returned, as JSON.
        external_id: What the system outside calls it, when that is known.
    """

    key: EffectKey
    idem_key: str
    workflow_id: str
    tool: str
    intent: str
    args: Mapping[str, Any]
    result: Any
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a caller may want to know about a call that was answered.

    Attributes:
        result: What the handler returned, as JSON.
        replayed: Answered from the record; nothing ran.
        observed_at: When the result was learnt (aware, UTC).
        state: The effect's state.
        audit_hash: Hex hash of the newest audit entry: proof of what was recorded.
        findings: What the caller should know although it went through.
        error: Why there is no result, in the receipts of a turn; else ``None``.
    """

    result: Any
    replayed: bool
    observed_at: datetime
    key: EffectKey
    state: State
    audit_hash: str
    workflow_id: str
    tool: str
    call_id: str | None = None
    findings: tuple[Finding, ...] = ()
    error: Exception | None = None

    @property
    def source(self) -> Literal["fresh", "record"]:
        """Where the result is from: the world just now, or what was observed at ``observed_at``."""
        return "record" if self.replayed else "fresh"

    def for_model(self) -> str:
        """Return the content of the tool message: the ledger's word, so that no model has to guess."""
        # Of this call, which has no effect then: one inside its handler says nothing of what that did.
        is_misfit = isinstance(self.error, SchemaMismatch) and not self.key
        told: dict[str, Any] = {
            "status": "invalid" if is_misfit else str(self.state),
            "replayed": self.replayed,
        }
        if self.error is None:
            told["result"] = self.result
        else:
            told["error"] = str(self.error)
            meaning = _MEANINGS.get("invalid" if is_misfit else self.state)
            if isinstance(self.error, InformationRequested):
                told["asked"] = {"by": self.error.by, "question": self.error.question, "to": self.error.to}
                meaning = self.error.for_model()
            if isinstance(self.error, CircuitOpen):
                told["dependency"] = self.error.dependency
                meaning = _NOT_SENT
            if meaning is not None:
                told["meaning"] = meaning
        if self.findings:
            told["findings"] = [finding.message for finding in self.findings]
        text = json.dumps(told, ensure_ascii=False)
        return text if text.isprintable() or is_utf8(text) else json.dumps(told)


_MEANINGS: Final[Mapping[str, str]] = {
    "invalid": "Nothing ran. Correct the arguments and call once more; a second misfit ends the step.",
    "unknown": "It may or may not have happened. Do not repeat it and do not plan on either: a person, or "
    "evidence, has to settle it.",
    "retryable": "It is not done, or may safely be sent again. The same call tries again when it may.",
    "failed": "It did not happen, and the same call will not make it happen.",
    "pending": "It is being executed elsewhere. Ask again later; do not do it another way.",
}
"""What a model should make of a state, in words that leave nothing to guess."""

_NOT_SENT: Final = (
    "Nothing ran: the system behind the tool is in trouble, and calling again will not mend it. Do something "
    "else meanwhile, or answer and say what is missing."
)


def is_utf8(text: str) -> bool:
    """Whether *text* can be encoded: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, from a file name of another age
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person should hear of now. Each is told once, whatever the number of workers.

    Attributes:
        code: Stable slug: ``repeated_503``, ``circuit_opened``, ``circuit_closed``, ``auth_failed``,
            ``compensation_failed``, ``done_after_all``, ``dead_letter``, ``canary_approved``,
            ``review_backlog``, ``notice_lost``, ``approval_unreadable``, ``budget_threshold``,
            ``budget_burn``.
        message: What, which, why and what to do; never a value.
        subject: What it is about: a dependency's name, an effect's key, a workflow's id or a budget.
        tenant: Whose it is; empty when it is about what all tenants share.
        workflow_id: The workflow concerned; empty when it is not about one.
        at: When (aware, UTC).
        id: Names it: one that comes again after a crash is the same one. Empty where none does.
    """

    code: str
    message: str
    tenant: str
    subject: str
    workflow_id: str = ""
    at: datetime
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A recorded error.

    Attributes:
        type: Its class name.
        message: The start of its text.
        kind: What it was taken for (``transient``, ``rate_limited``, ...); empty when nothing was made of it.
        status: The HTTP status that it told of, or ``None``.
    """

    type: str
    message: str
    kind: str = ""
    status: int | None = None


@value
class Record:
    """An effect as the ledger knows it. Payloads are JSON text, possibly in a codec's envelope.

    Attributes:
        fence: Grows by one on every transition; a writer must name the value it saw (I3).
        attempt: How often it was claimed.
        owner: Names the claim that may record the next outcome.
        lease_until: When the claim runs out (aware, UTC); meaningless unless ``pending``.
        deadline_at: Until when the last attempt may still act in the world; ``None``: its lease's end.
        result: JSON text, or ``None`` when there is none (yet).
        result_gap: Why a done effect has no result on record, else ``None``.
        error: JSON text of a :class:`Failure`, or ``None``.
        observed_at: When the outcome was learnt.
        audit_seq: Number of audit entries.
        audit_hash: Hash of the newest one; the next entry covers it (I6).
        joined: Somebody waits for the outcome and wants a notification.
        uncertain: An attempt may have acted although its effect may be sent again, and no evidence came
            since.
        spent: Its retries are used up: no attempt without a person's word.
        retry_from: So many attempts do not count against the present budget of retries: those before it, and
            those under which nothing was started.
        retry_since: When the present budget was granted; ``None``: when the effect was made.
        not_before: When the next attempt, or the next look for evidence, is due; ``None`` for any time.
        external_id: What the system outside calls it.
        undoes: The effect that this one compensates.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
    tool: str
    intent: str
    safety: Safety
    fingerprint: Fingerprint
    args: str
    call_id: str | None
    actor: str
    state: State
    fence: int
    attempt: int
    owner: str
    lease_until: datetime
    deadline_at: datetime | None
    result: str | None
    result_gap: str | None
    error: str | None
    created_at: datetime
    updated_at: datetime
    observed_at: datetime | None
    audit_seq: int
    audit_hash: bytes
    joined: bool = False
    uncertain: bool = False
    spent: bool = False
    retry_from: int = 0
    retry_since: datetime | None = None
    not_before: datetime | None = None
    external_id: str | None = None
    undoes: EffectKey | None = None
