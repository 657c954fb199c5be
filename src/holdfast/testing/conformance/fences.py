"""The part of the store contract that fences effects: who lost an execution claims nothing more for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from holdfast._core.advance import Leave
from holdfast._core.change import Admission, Change, Committed, Conflict
from holdfast._core.execution import ENDED, IDLE
from holdfast._core.plan import plan_insert, plan_move
from holdfast._core.states import Event, WorkflowStatus
from holdfast.testing.conformance.flows import FLOW, Flow, begin, progress, take
from holdfast.testing.conformance.subject import LEASE_S, new_effect, stamp

Claim = Callable[[Flow, int | None], Change]
LEFT: Final = sorted({*IDLE, *ENDED})


def _claim(flow: Flow, epoch: int | None, n: int = 0, **columns: Any) -> Change:
    """Return the insert that claims the n-th effect for whoever has the execution under *epoch*."""
    effect, admission = new_effect(n, **{"workflow_id": FLOW, **columns}), _under(epoch)
    moment = stamp(flow.clock)
    return plan_insert(effect, Event.CLAIM, moment, owner="a", lease_s=LEASE_S, admission=admission)[0]


def _under(epoch: int | None) -> Admission:
    return Admission(dependency=None, obeys=True, epoch=epoch)


def _again(flow: Flow, epoch: int | None) -> Change:
    """Return the move that claims an effect of the execution again."""
    effect = new_effect(1, workflow_id=FLOW)
    change, head = plan_insert(effect, Event.CLAIM, stamp(flow.clock), owner="a", lease_s=LEASE_S)
    assert isinstance(flow.subject.commit(change), Committed)
    change, head = plan_move(head, Event.RELEASE, stamp(flow.clock))
    assert isinstance(flow.subject.commit(change), Committed)
    admission, moment = _under(epoch), stamp(flow.clock)
    return plan_move(head, Event.CLAIM, moment, owner="b", lease_s=LEASE_S, admission=admission)[0]


class FenceContract:
    """What :class:`holdfast.ports.Store` promises of effects of executions, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("epoch", [0, 1, 2])
    @pytest.mark.parametrize("claim", [_claim, _again])
    def test_whoever_has_the_execution_claims_its_effects(self, flow: Flow, claim: Claim, epoch: int) -> None:
        """STA-18: under its epoch, and only under that."""
        flow.advance(begin(flow.clock))

        answer = flow.subject.commit(claim(flow, epoch))

        assert isinstance(answer, Committed if epoch == 1 else Conflict)

    @pytest.mark.parametrize("claim", [_claim, _again])
    def test_whoever_lost_the_execution_claims_nothing_more(self, flow: Flow, claim: Claim) -> None:
        """STA-18, IDE-19: its writes are refused, and nothing of them is on record."""
        flow.advance(begin(flow.clock))
        change = claim(flow, 1)
        flow.clock.advance(LEASE_S)
        flow.advance(take(flow.clock, 1))
        before = flow.subject.contents()

        assert isinstance(flow.subject.commit(change), Conflict)
        assert flow.subject.contents() == before

    @pytest.mark.parametrize("status", LEFT)
    def test_an_execution_that_was_left_claims_nothing(self, flow: Flow, status: WorkflowStatus) -> None:
        """STA-18: what outlives its workflow's code starts nothing in its name."""
        flow.advance(begin(flow.clock))
        flow.advance(progress(flow.clock, leave=Leave(to=status, output="1", error="2")))

        assert isinstance(flow.subject.commit(_claim(flow, 1)), Conflict)

    def test_only_its_own_execution_fences_a_claim(self, flow: Flow) -> None:
        """Not another one's, another tenant's, nor any where no epoch is given."""
        flow.advance(begin(flow.clock))
        flow.advance(begin(flow.clock, "flow-1"))
        flow.clock.advance(LEASE_S)
        flow.advance(take(flow.clock, 1))

        assert isinstance(flow.subject.commit(_claim(flow, 1, 3, workflow_id="flow-1")), Committed)
        assert isinstance(flow.subject.commit(_claim(flow, 2, 4)), Committed)
        assert isinstance(flow.subject.commit(_claim(flow, None, 5)), Committed)
        assert isinstance(flow.subject.commit(_claim(flow, 2, 6, tenant="tenant-2")), Conflict)
