"""Where people are told of questions, and how their answers come back: what a channel has to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from holdfast._core.approval import Approval, ApprovalState, Notice
from holdfast._core.contract import SafetyName
from holdfast._core.model import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One notice on its way through one channel.

    Attributes:
        id: The same on every attempt: what has come already under it is not news.
        notice: Why people are told: ``asked``, ``questioned`` (the agent is asked for more), ``answered``,
            ``reminded``, ``escalated`` or ``ended``. ``answered`` says that one of several said yes: nobody
            has to do anything, so it is for channels that bring up to date what they have shown.
        approval: The question as it stands now: it may have ended by the time that people are told of it.
        handle: What the channel returned last of an earlier notice of this question, ``None`` left out;
            ``None`` for the first.
        link: To the page where all of the question can be read; empty where there is none.
    """

    id: str
    notice: Notice
    approval: Approval
    handle: JSON
    link: str


class Channel(Protocol):
    """Tells people of questions.

    A channel whose messages can be told apart has to say how doubt is settled, as a tool has: it is
    ``idempotent`` (the other side knows a message by its id), or ``unsafe``, and then it should have a method
    ``reconcile(effect)``, which returns ``Done(handle)``, ``NotDone`` or ``StillUnknown``;
    ``effect.args["id"]`` is the telling's id.
    """

    @property
    def name(self) -> str:
        """Names it among a ledger's channels: small letters, digits, ``-`` and ``_``; never to change."""
        ...

    @property
    def safety(self) -> SafetyName:
        """What telling twice would mean: ``idempotent`` or ``unsafe``."""
        ...

    def tell(self, telling: Telling) -> Any:
        """Tell people, and return a handle for later notices. Plain or async.

        The handle is JSON; ``None`` keeps the earlier one.

        What it raises is taken as a tool's error is: ``NotDone`` when nobody was told, ``Permanent`` when
        nobody ever will be this way. No error may have a secret in its text.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An answer that came back through a channel, which has proved whose account it is.

    Attributes:
        id: Names it: one that comes again under the same id is the same one.
        kind: Of account: under this name a directory has it, e.g. ``slack``.
        account: Whose answer it is, as the channel knows them; never what somebody claims to be.
        digest: The whole fingerprint of what they saw.
        decision: ``ask`` for none yet: the agent is to answer first.
        reason: Of the decision; what the agent is asked.
        sees_all: Whether the whole payload can be read where they answered.
        at: When they proved who they are.
        barred: Why the channel itself does not let it count; it is refused, and that is on record.
    """

    id: str
    kind: str
    account: str
    approval: str
    digest: str
    decision: Literal["approve", "deny", "ask"]
    reason: str = ""
    sees_all: bool = False
    at: datetime | None = None
    barred: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of an answer.

    Attributes:
        state: Of the question then.
        by: The person whose account it was; empty when it is nobody's.
        refused: Why it does not count (see :class:`holdfast.errors.DecisionRefused`); empty when it does.
        why: The same for people.
        replayed: The message had come before; nothing was done this time.
    """

    state: ApprovalState
    by: str
    refused: str = ""
    why: str = ""
    replayed: bool = False


class Desk(Protocol):
    """What an endpoint needs of a ledger; both faces have it, one of them async."""

    def approval(self, approval_id: str) -> Any:
        """Return one question: :class:`Approval`."""
        ...

    def hear(self, message: Message) -> Any:
        """Take an answer that came back: :class:`Heard`."""
        ...
