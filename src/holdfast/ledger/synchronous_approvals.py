"""What a SyncLedger does about approvals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from holdfast._core.approval import Approval, ApprovalState
from holdfast._core.chain import Chain
from holdfast._core.duration import Duration
from holdfast._core.model import ToolCall
from holdfast._core.oversight import OversightReport, Vigilance
from holdfast._core.people import Principal
from holdfast._core.reviews import SampledCall
from holdfast._runtime.drive import run_sync
from holdfast.ledger.engine import Engine
from holdfast.ports import Heard, Message


class SyncApprovals:
    """The part of a SyncLedger that is about approvals."""

    _engine: Engine

    def approvals(
        self,
        *,
        state: str | None = "pending",
        workflow_id: str | None = None,
        key: str | None = None,
        since: datetime | Duration | None = None,
        after: Approval | None = None,
        limit: int = 100,
    ) -> list[Approval]:
        """Return questions to people: pending ones by when they expire, all others newest first.

        Args:
            state: ``None`` for any.
            key: About which effect.
            since: Asked at that moment or after it, or a length of time ago.
            after: The last one of the page before.
        """
        return run_sync(self._engine.questions.listed(state, workflow_id, key, since, after, limit))

    def approval(self, approval_id: str) -> Approval:
        """Return one question as it stands by now; the start of its id will do.

        Raises:
            ApprovalNotFound: This tenant has none of that id, or several that begin so.
        """
        return run_sync(self._engine.questions.found(approval_id))

    def approval_counts(self) -> Mapping[ApprovalState, int]:
        """Return how many approvals are in each state that has any."""
        return run_sync(self._engine.questions.counts())

    def approve(
        self,
        approval_id: str,
        *,
        by: str | Principal,
        digest: str,
        reason: str = "",
        args: Mapping[str, Any] | None = None,
    ) -> Approval:
        """Say yes to a question, in the name of a person; the call runs once everybody has who must.

        Args:
            by: Who decides. Whoever calls this vouches for it; what they may do, a directory of people says.
            digest: The whole fingerprint of what they saw: :attr:`Approval.digest`.
            args: Arguments to use instead. That is another question, which they answer with this, and which
                nobody has answered before.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: Their answer does not count; that they gave it is on record.
            ApprovalVoid: What is on record was written by hand. It was withdrawn.
        """
        return run_sync(self._engine.questions.approve(approval_id, by, digest, reason, args))

    def deny(
        self, approval_id: str, *, by: str | Principal, reason: str, digest: str | None = None
    ) -> Approval:
        """Say no to a question, in the name of a person. The effect is denied, and the agent is told why.

        Args:
            digest: The fingerprint of what they saw; without it they say no to it as it is now.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: Their answer does not count; that they gave it is on record.
            ApprovalVoid: What is on record was written by hand. It was withdrawn.
        """
        return run_sync(self._engine.questions.deny(approval_id, by, reason, digest))

    def request_info(
        self, approval_id: str, *, by: str | Principal, question: str, digest: str | None = None
    ) -> Approval:
        """Ask the agent for more before deciding, in the name of a person who may decide.

        It is no vote: the question stays pending, its time runs on, and everybody may decide meanwhile. The
        call meets :class:`holdfast.errors.InformationRequested`. Once it is answered people are shown more,
        so :attr:`Approval.digest` is another one, and votes on what was shown before count no more.

        Args:
            question: At most 2000 characters; the agent reads it.
            digest: The fingerprint of what they saw; without it they ask about it as it is now.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: They may not decide, so they may not ask; an answer is owed already; or it was
                asked so often that it takes a decision (:attr:`Settings.max_info_requests`).
            ApprovalVoid: What is on record was written by hand. It was withdrawn.
        """
        return run_sync(self._engine.questions.request_info(approval_id, by, question, digest))

    def answer_info(self, approval_id: str, *, answer: str, to: str | None = None) -> Approval:
        """Answer what people ask before they decide, as the actor of this ledger: only who asked them may.

        The same call with ``CallContext(answer=...)`` answers as well.

        Args:
            answer: At most 4000 characters. People see it as the agent's word, which nobody has checked.
            to: What it answers: :attr:`InformationRequested.to`; without it whatever is owed now.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: Nothing is owed, or something else is, or the call is another actor's.
            ApprovalVoid: What is on record was written by hand. It was withdrawn.
        """
        return run_sync(self._engine.questions.answer_info(approval_id, answer, to))

    def reassign(self, approval_id: str, *, by: str | Principal, to: str) -> Approval:
        """Let somebody else decide in one's place; they cannot pass it on.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: It is not theirs to pass on, or *to* is nobody who may decide.
        """
        return run_sync(self._engine.questions.reassign(approval_id, by, to))

    def withdraw(self, approval_id: str, *, by: str, reason: str) -> Approval:
        """Take a question back. Its effect is called off, and nobody is asked any more.

        Raises:
            ApprovalNotFound: This tenant has none of that id.
            DecisionRefused: It has ended already.
        """
        return run_sync(self._engine.questions.withdraw(approval_id, by, reason))

    def hear(self, message: Message) -> Heard:
        """Take an answer that came back through a channel; the same message twice is taken once.

        For endpoints: whoever calls this has proved whose account it is. Whose that is, and what they may
        do, the directory of people says; without one nobody is known, and every answer is refused.

        Raises:
            ApprovalNotFound: This tenant has none of that id. Nothing was recorded.
            ApprovalVoid: What is on record was written by hand. It was withdrawn.
            PayloadConflict: Another message came under this id. Nothing changed.
        """
        return run_sync(self._engine.questions.hear(message))

    def oversight(self, *, since: Duration = "30d", vigilance: Vigilance | None = None) -> OversightReport:
        """Return how people decide: how often they are asked, how long it takes, what they knew better.

        Args:
            since: A length of time ago.
            vigilance: From when on answers look like clicks.
        """
        return run_sync(self._engine.oversight.report(since, vigilance or Vigilance()))

    def overrides(self, *, since: Duration = "30d") -> list[Mapping[str, Any]]:
        """Return the decisions in which people knew better than the agent, as cases to test agents with.

        Each has ``id``, ``input`` (``tool``, ``args``, ``context``, ``called``), ``expected`` (``decision``,
        and ``args`` after an edit), ``reason``, ``by``, ``at`` and ``rule``.
        """
        return run_sync(self._engine.oversight.overrides(since))

    def sampled(
        self, *, since: Duration = "7d", tool: str | None = None, reviewed: bool | None = None
    ) -> list[SampledCall]:
        """Return the calls that rules let pass and that are drawn for people to look at, newest first.

        Args:
            since: A length of time ago. The newest 10,000 calls of that time are looked through.
            reviewed: Only those that somebody has looked at, or only those that nobody has.
        """
        return run_sync(self._engine.oversight.sampled(since, tool, is_reviewed=reviewed))

    def review(
        self, key: str, *, by: str | Principal, verdict: Literal["ok", "wrong"], reason: str
    ) -> SampledCall:
        """Say of a drawn call, after it was made, whether it was right to let it pass.

        It changes nothing of the call, and stands in its audit trail. Of several reviews the last one counts;
        a wrong one counts as an override, and is a case among :meth:`overrides`.

        Args:
            by: Who has looked. Whoever calls this vouches for it.

        Raises:
            DecisionRefused: They, or an agent of theirs, have made the call; or they are nobody who decides.
            EffectNotFound: This tenant has none of that key.
            InvalidCall: It was not drawn, or is under way.
        """
        return run_sync(self._engine.oversight.review(key, by, verdict, reason))

    def plant(self, call: ToolCall, *, reason: str, chain: Chain | None = None) -> Approval:
        """Ask about a call that nobody makes and that ought to be denied, to see whether people read.

        It looks like any other question. Whoever approves it is told of in an alert, ``canary_approved``.

        Raises:
            InvalidCall: It cannot be understood, or there is an effect of that key. Nothing was asked.
        """
        return run_sync(self._engine.plant(call, reason, chain))
