"""What the end of an attempt settles of what it held. Pure."""

from __future__ import annotations

from typing import Final

from holdfast._core.budget import Basis, SettleHold
from holdfast._core.change import Head
from holdfast._core.states import Event, State
from holdfast._core.value import value

_RESOLVED: Final = frozenset({Event.RESOLVE_DONE, Event.RESOLVE_NOT_DONE})


@value
class Spending:
    """What an attempt is known to have spent.

    Attributes:
        amounts: By unit: ``tokens``, ``steps``, or a currency's code for micro-units of money. A unit that is
            not told of counts by its bound.
        usage: JSON text of what a provider told.
        is_known: Whether anybody knows; if not, it counts by its bound until evidence comes.
        attempt: Which attempt says so whose claim is over; ``None`` for the one whose claim it is.
    """

    amounts: tuple[tuple[str, int], ...] = ()
    usage: str | None = None
    is_known: bool = True
    attempt: int | None = None


def settlement(
    head: Head, event: Event, *, spending: Spending | None, unstarted: bool, is_over: bool
) -> SettleHold | None:
    """Return what *event* settles for an effect that stands at *head*; ``None`` when it settles nothing.

    Args:
        spending: What is known of it; ``None`` when nothing is.
        unstarted: Nothing was started under the claim that ends.
        is_over: The claim has run out: who ends it knows nothing of what was spent.
    """
    if head.holds is False:
        return None
    if spending is not None and spending.attempt is not None:  # it knows of itself only, and that for certain
        return _settled(head, spending.attempt, "actual", spending) if spending.is_known else None
    if head.state is State.PENDING and event is not Event.NOTE:
        return _settled(head, head.attempt, _basis(event, spending, unstarted, is_over), spending)
    if event in _RESOLVED:
        basis: Basis = "nothing" if event is Event.RESOLVE_NOT_DONE else "actual"
        return _settled(head, None, basis, spending)
    return None


def _basis(event: Event, spending: Spending | None, unstarted: bool, is_over: bool) -> Basis:  # noqa: FBT001 - three facts
    if unstarted:
        return "nothing"
    if is_over or (event in {Event.DOUBT, Event.TAKE_OVER} and spending is None):
        return "bound"
    return "actual" if spending is None or spending.is_known else "bound"


def _settled(head: Head, attempt: int | None, basis: Basis, spending: Spending | None) -> SettleHold:
    told = spending or Spending()
    known = told if basis == "actual" else Spending(usage=told.usage)
    return SettleHold(
        tenant=head.tenant,
        key=head.key,
        attempt=attempt,
        basis=basis,
        amounts=known.amounts,
        usage=known.usage,
    )


def holds_after(head: Head, event: Event) -> bool | None:
    """Return whether an effect holds something after *event*, as far as *head* tells."""
    if event in {Event.CLAIM, Event.TAKE_OVER}:
        return False  # who claims says what is held along with it
    return head.holds if event is Event.NOTE or head.holds is False else None
