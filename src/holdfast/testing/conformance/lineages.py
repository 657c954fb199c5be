"""The part of the store contract that is about what begins others: budgets handed down, children counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast._core.advance import Advanced, Leave, Outrun
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import FLOW, Flow, begin, fork, progress, restart, step, take

PURSES = '[{"owner":"","account":"scope:Nächte"}]'


class LineageContract:
    """What :class:`holdfast.ports.Store` promises of an execution's family, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("owner", ["a", ""])
    def test_the_budgets_that_an_execution_falls_under_are_kept(self, flow: Flow, owner: str) -> None:
        """Whoever takes it is told of them."""
        begun = flow.advance(begin(flow.clock, owner=owner, purses=PURSES))
        flow.clock.advance(3600)

        assert begun.purses == PURSES
        assert flow.advance(take(flow.clock, begun.epoch)).purses == PURSES
        assert flow.journal().execution.purses == PURSES
        assert [row.purses for row in flow.listed()] == [PURSES]

    def test_a_fork_and_a_restart_fall_under_the_same(self, flow: Flow) -> None:
        flow.advance(begin(flow.clock, purses=PURSES))
        leave = Leave(to=WorkflowStatus.FAILED, error="{}")
        flow.advance(progress(flow.clock, step(flow.clock, 1), leave=leave))

        assert flow.advance(fork(flow.clock)).purses == PURSES
        assert flow.advance(restart(flow.clock)).purses == PURSES

    def test_a_parent_has_room_for_so_many_children_that_have_not_ended(self, flow: Flow) -> None:
        """COS-18: one that has ended makes room; those of others do not count."""
        flow.advance(begin(flow.clock, "other", parent="somebody"))
        for name in (FLOW, "child-1"):
            flow.advance(begin(flow.clock, name, parent="w", fan_out=2))
        third = begin(flow.clock, "child-2", parent="w", fan_out=2)

        refused = flow.subject.run(flow.subject.store.advance(third))
        flow.advance(progress(flow.clock, leave=Leave(to=WorkflowStatus.SUCCEEDED)))

        assert refused == Outrun(found=None, now=flow.clock(), siblings=2)
        assert flow.advance(third).workflow_id == "child-2"
        assert flow.advance(replace(third, workflow_id="child-3", fan_out=None)).workflow_id == "child-3"

    def test_a_child_that_was_begun_is_told_however_many_there_are(self, flow: Flow) -> None:
        first = begin(flow.clock, parent="w", fan_out=1)
        begun = flow.advance(first)

        assert flow.subject.run(flow.subject.store.advance(first)) == Outrun(found=begun, now=flow.clock())

    def test_of_many_children_that_begin_at_once_as_many_begin_as_there_is_room_for(self, flow: Flow) -> None:
        """COS-18: whoever begins them."""
        answers = flow.together([begin(flow.clock, f"c-{n}", parent="w", fan_out=3) for n in range(16)])

        begun = [answer.execution.workflow_id for answer in answers if isinstance(answer, Advanced)]
        refused = [answer for answer in answers if isinstance(answer, Outrun)]
        assert len(begun) == 3
        assert refused == [Outrun(found=None, now=flow.clock(), siblings=3)] * 13
        assert sorted(row.workflow_id for row in flow.listed(parent="w")) == sorted(begun)

    def test_of_many_who_begin_the_only_child_one_does(self, flow: Flow) -> None:
        """COS-18: the others are told of it, and not that there is no room."""
        only = [begin(flow.clock, owner=f"w{n}", parent="w", fan_out=1) for n in range(16)]

        answers = flow.together(only)

        [begun] = [answer.execution for answer in answers if isinstance(answer, Advanced)]
        assert [(a.found, a.siblings) for a in answers if isinstance(a, Outrun)] == [(begun, None)] * 15
