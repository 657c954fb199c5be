"""Errors of agents."""

from __future__ import annotations

from holdfast.errors.base import HoldfastError


class AgentStuck(HoldfastError):
    """An agent did not come to an end within its limits. What its tools did stands, and is on record.

    Attributes:
        workflow_id: In which workflow.
        why: ``steps``: it was asked as often as allowed; or the kind of the loop, see :class:`LoopDetected`.
        limit: How often that is.
    """

    code = "agent-stuck"

    def __init__(self, workflow_id: str, why: str, limit: int) -> None:
        super().__init__(workflow_id, why, limit)
        self.workflow_id = workflow_id
        self.why = why
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the agent of workflow {self.workflow_id!r} had not finished after {self.limit} model calls; "
            f"what its tools did stands: see `holdfast show {self.workflow_id}`, and allow more {self.why} "
            "if that was right"
        )


class LoopDetected(AgentStuck):
    """An agent went on in a loop after it was told so. What its tools did stands, and is on record.

    Where a rule says ``tell=None`` it was not told before.

    Attributes:
        why: Which sign of a loop, such as ``identical_result``: a field of :class:`holdfast.LoopRules`.
        limit: How often it was so.
        evidence: What was seen, in the words for the model: names of tools and counts, no values.
    """

    code = "loop-detected"

    def __init__(self, workflow_id: str, why: str, limit: int, evidence: str) -> None:
        super().__init__(workflow_id, why, limit)
        self.args = (workflow_id, why, limit, evidence)
        self.evidence = evidence

    def __str__(self) -> str:
        return (
            f"the agent of workflow {self.workflow_id!r} is in a loop ({self.why}, {self.limit} times): "
            f"{self.evidence} What "
            f"its tools did stands: see `holdfast show {self.workflow_id}`, and give "
            f"LoopRules({self.why}=...) if that was right"
        )
