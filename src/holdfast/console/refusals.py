"""What is told to whom the ledger refuses something: what, why, and what to do next."""

from __future__ import annotations

from typing import Final

from holdfast.errors import ApprovalVoid, DecisionRefused

_NEXT: Final = {
    "stale": "Read the question as it is now, below.",
    "ended": "How it ended is below.",
    "expired": "How it ended is below.",
    "voted": "Others have to decide now.",
    "not_allowed": "Leave it to somebody who may.",
    "step_up": "Sign out and in again, as it is asked for, or decide where that is possible.",
}
_FORBIDDEN: Final = frozenset({"not_allowed", "step_up"})


def said(error: Exception) -> str:
    """Return an error as the page tells it."""
    if isinstance(error, DecisionRefused):
        kept = "Nothing changed; that you gave it is on record."
        return f"Your answer does not count: {error.why}. {kept} {_NEXT.get(error.kind, '')}".strip()
    if isinstance(error, ApprovalVoid):
        return (
            f"Somebody has written this question by hand: {error.why}. It was withdrawn, and nothing runs. "
            f"Verify the chains on the page Audit before it is asked again."
        )
    return str(error)


def status_of(error: Exception) -> int:
    """Return the status that an error is answered with: 403 for who may not, 409 for what may not be."""
    return 403 if isinstance(error, DecisionRefused) and error.kind in _FORBIDDEN else 409
