"""Errors of agents."""

from __future__ import annotations

from holdfast.errors.base import HoldfastError


class AgentStuck(HoldfastError):
    """An agent did not come to an end within its limits. What its tools did stands, and is on record.

    Attributes:
        workflow_id: In which workflow.
        why: ``steps``: it was asked as often as allowed. ``repeats``: it made the same calls and was told the
            same as often as allowed.
        limit: How often that is.
    """

    code = "agent-stuck"

    def __init__(self, workflow_id: str, why: str, limit: int) -> None:
        super().__init__(workflow_id, why, limit)
        self.workflow_id = workflow_id
        self.why = why
        self.limit = limit

    def __str__(self) -> str:
        told = {
            "steps": f"had not finished after {self.limit} model calls",
            "repeats": f"made the same calls with the same answers {self.limit} times",
        }
        return (
            f"the agent of workflow {self.workflow_id!r} {told.get(self.why, self.why)}; what its tools did "
            f"stands: see `holdfast show {self.workflow_id}`, and allow more {self.why} if that was right"
        )
