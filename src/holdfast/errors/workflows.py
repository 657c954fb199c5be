"""Errors of durable workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from holdfast.errors.base import HoldfastError
from holdfast.errors.calls import InvalidCall

_MOST_PATHS: Final = 3


class StepCollision(InvalidCall):
    """Two different steps of one workflow have the same name. The second did not run.

    Attributes:
        name: The name of both.
        functions: What each calls.
        paths: Where their arguments differ; values are not shown.
    """

    code = "step-collision"

    def __init__(self, name: str, function: str, other: str, paths: Sequence[str]) -> None:
        where = ", ".join(paths[:_MOST_PATHS]) or "their arguments"
        if function == other:
            what = f"two steps are called {name!r}: both call {function}, and {where} differ"
        else:
            what = f"two steps are called {name!r}: one calls {function}, the other {other}"
        super().__init__(what, "give each a name of its own, with what tells them apart in full")
        self.args = (name, function, other, tuple(paths))
        self.name = name
        self.functions = function, other
        self.paths = tuple(paths)


class NonDeterminism(HoldfastError):
    """A workflow's code does not ask for what is on record of it. Nothing new ran.

    Attributes:
        position: The first place at which they differ, from 1.
        expected: What is on record there.
        found: What the code asks for instead.
        has_other_args: It is the same step, with other arguments.
    """

    code = "non-determinism"

    def __init__(self, position: int, expected: str, found: str, *, has_other_args: bool = False) -> None:
        super().__init__(position, expected, found)
        self.position = position
        self.expected = expected
        self.found = found
        self.has_other_args = has_other_args

    def __reduce__(self) -> tuple[Any, ...]:
        return _non_determinism, (self.position, self.expected, self.found, self.has_other_args)

    def __str__(self) -> str:
        other = " with other arguments" if self.has_other_args else ""
        return (
            f"the code differs from its record at position {self.position}: on record is {self.expected}, "
            f"the code asks for {self.found}{other}; nothing new ran. Put the change behind "
            "ctx.patched(...), or let this execution finish with the code that began it"
        )


def _non_determinism(position: int, expected: str, found: str, has_other_args: bool) -> NonDeterminism:  # noqa: FBT001
    return NonDeterminism(position, expected, found, has_other_args=has_other_args)


class StepFailed(HoldfastError):
    """A step of a workflow failed for good. It is told the same in every life of the workflow.

    Attributes:
        name: The step's name.
        error_type: Class name of the original error.
        error_message: Its text.
        attempts: How often it was tried.
    """

    code = "step-failed"

    def __init__(self, name: str, error_type: str, error_message: str, attempts: int) -> None:
        super().__init__(name, error_type, error_message, attempts)
        self.name = name
        self.error_type = error_type
        self.error_message = error_message
        self.attempts = attempts

    def __str__(self) -> str:
        what = f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type
        tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        known = "the failure is on record: catch it, or see `holdfast workflows`"
        return f"step {self.name!r} failed after {tries} ({what}); {known}"


class WorkflowFailed(HoldfastError):
    """A workflow ended with an error, and this is what is on record of it.

    Attributes:
        workflow_id: Which one.
        error_type: Class name of the original error.
        error_message: Its text.
    """

    code = "workflow-failed"

    def __init__(self, workflow_id: str, error_type: str, error_message: str) -> None:
        super().__init__(workflow_id, error_type, error_message)
        self.workflow_id = workflow_id
        self.error_type = error_type
        self.error_message = error_message

    def __str__(self) -> str:
        what = f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type
        return (
            f"workflow {self.workflow_id!r} failed ({what}); see `holdfast workflows show {self.workflow_id}`"
        )


class WorkflowConflict(HoldfastError):
    """A workflow's id is in use for other code, or with another input. Nothing ran.

    Attributes:
        workflow_id: The id.
        why: What differs.
    """

    code = "workflow-conflict"

    def __init__(self, workflow_id: str, why: str) -> None:
        super().__init__(workflow_id, why)
        self.workflow_id = workflow_id
        self.why = why

    def __str__(self) -> str:
        return f"workflow {self.workflow_id!r} is on record with {self.why}; use another id for another one"


class WorkflowWaiting(HoldfastError):
    """A workflow is put away until something happens, and its caller does not wait for that.

    Attributes:
        workflow_id: Which one.
        waits_for: What it waits for.
    """

    code = "workflow-waiting"

    def __init__(self, workflow_id: str, waits_for: str) -> None:
        super().__init__(workflow_id, waits_for)
        self.workflow_id = workflow_id
        self.waits_for = waits_for

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id!r} waits for {self.waits_for}; it holds nothing meanwhile, "
            "and goes on when it is run again or by any worker"
        )


class UnknownWorkflow(HoldfastError, LookupError):
    """No workflow of that name is declared on this ledger. Nothing ran.

    Attributes:
        name: The name.
        known: Those that are declared.
    """

    code = "unknown-workflow"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        those = ", ".join(sorted(self.known)[:10]) or "none"
        return (
            f"no workflow {self.name!r} is declared on this ledger (declared: {those}); import the module "
            "that declares it"
        )


class VersionMismatch(HoldfastError):
    """A workflow's recorded input does not fit the code of today. Nothing ran; its record is as it was.

    Attributes:
        workflow_id: Which one.
        recorded: The version of the code that began it.
        present: The version of the code at hand.
        why: What does not fit.
    """

    code = "version-mismatch"

    def __init__(self, workflow_id: str, recorded: str, present: str, why: str) -> None:
        super().__init__(workflow_id, recorded, present, why)
        self.workflow_id = workflow_id
        self.recorded = recorded
        self.present = present
        self.why = why

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id!r} was begun by version {self.recorded!r} of its code, and its "
            f"input does not fit version {self.present!r} ({self.why}); nothing ran. Declare it with "
            f"upgrade=..., or keep version {self.recorded!r} declared until its last execution has ended"
        )


class WorkflowNotFound(HoldfastError, LookupError):
    """Nothing is on record of that workflow in this tenant's ledger.

    Attributes:
        workflow_id: The id that was asked for.
    """

    code = "workflow-not-found"

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"no workflow {self.workflow_id!r} was begun in this tenant's ledger; check the id and the "
            "tenant (`holdfast workflows` lists them)"
        )


class ExecutionTaken(HoldfastError):
    """Somebody else works on this workflow by now: nothing more of this worker's is put on record.

    Attributes:
        workflow_id: Which one.
        owner: Who works on it, as far as is known.
    """

    code = "execution-taken"

    def __init__(self, workflow_id: str, owner: str) -> None:
        super().__init__(workflow_id, owner)
        self.workflow_id = workflow_id
        self.owner = owner

    def __str__(self) -> str:
        by = f" by {self.owner}" if self.owner else ""
        return f"workflow {self.workflow_id!r} was taken over{by}; run it again for its outcome"


class EngineUnavailable(HoldfastError):
    """An engine that goes on with workflows could not be told that there is something to do.

    What is on record stands; so does whatever else wakes the workflow.

    Attributes:
        workflow_id: Of which workflow.
        why: What was seen.
    """

    code = "engine-unavailable"

    def __init__(self, workflow_id: str, why: str) -> None:
        super().__init__(workflow_id, why)
        self.workflow_id = workflow_id
        self.why = why

    def __str__(self) -> str:
        return (
            f"the engine was not told of workflow {self.workflow_id!r} ({self.why}); it is on record: "
            "call again when the engine is back, the same call wakes it"
        )


class Suspended(BaseException):
    """Raised inside a workflow that is put away while it waits. Let it pass: it never leaves the workflow."""
