"""The part of the store contract that is about forks whose texts were sealed anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from holdfast._core.advance import Leave
from holdfast._core.execution import Journal, StepState
from holdfast._core.states import WorkflowStatus
from holdfast.testing.conformance.flows import (
    FLOW,
    QUEUE,
    Flow,
    begin,
    fork,
    progress,
    resealed,
    restart,
    send,
    step,
    take,
)
from holdfast.testing.conformance.subject import TENANT

ODD = '"ü\\u0000\\ud83d"'


def _source(flow: Flow) -> Journal:
    """Return a record with three ends, one of them a failure, and two signals."""
    flow.advance(begin(flow.clock, queue=QUEUE, limit_key="k", priority=3))
    for name in ("b", "a"):
        flow.advance(send(flow.clock, name, name=name, body=f'"{name}"'))
    failed = step(flow.clock, 2, occurrence=2, state=StepState.FAILED, result=None, error='{"type":"E"}')
    ends = [step(flow.clock, 1, occurrence=1, args=ODD), failed, step(flow.clock, 3, occurrence=3)]
    flow.advance(progress(flow.clock, *ends, step(flow.clock, name="z")))
    return flow.journal()


class ForkContract:
    """What :class:`holdfast.ports.Store` promises whoever forks what is sealed, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("keep", [0, 2, 3])
    def test_a_fork_has_the_texts_that_were_sealed_for_it_and_all_else_of_its_source(
        self, flow: Flow, keep: int
    ) -> None:
        """STA-19: in place of those that nobody could open under its name."""
        source = _source(flow)
        plain = flow.advance(fork(flow.clock, "plain", keep))
        own = resealed(source, keep)

        after = flow.advance(fork(flow.clock, keep=keep, resealed=own))

        journal = flow.journal("fork-0")
        assert after == replace(plain, workflow_id="fork-0", input=own.input)
        assert (journal.steps, journal.messages) == (own.steps, own.messages)
        assert len(own.steps) == keep
        assert flow.journal() == source
        assert flow.dequeue() == ["fork-0", "plain"]

    @pytest.mark.parametrize("fields", [{"epoch": 0}, {"epoch": 2}, {"news": 1}, {"news": 3}], ids=str)
    def test_what_is_forked_is_what_was_read(self, flow: Flow, fields: dict[str, Any]) -> None:
        """I7: a signal came, or somebody else has gone on with it; nothing is begun."""
        own = resealed(_source(flow), 2, **fields)

        assert flow.refuses(fork(flow.clock, keep=2, resealed=own))
        assert flow.known("fork-0", TENANT) is None

    def test_steps_that_are_no_longer_those_that_were_read_are_not_forked(self, flow: Flow) -> None:
        """I7: it was restarted from an earlier one, and its epoch is still what it was."""
        own = resealed(_source(flow), 3)
        flow.advance(progress(flow.clock, leave=Leave(to=WorkflowStatus.FAILED)))
        flow.advance(restart(flow.clock, keep=1))

        assert flow.refuses(fork(flow.clock, keep=3, resealed=own))
        flow.advance(take(flow.clock, 1))
        others = [step(flow.clock, n, occurrence=n, name="other") for n in (2, 3)]
        flow.advance(progress(flow.clock, *others, epoch=2))
        assert flow.refuses(fork(flow.clock, keep=3, resealed=own))
        flow.advance(fork(flow.clock, keep=3, resealed=resealed(flow.journal(), 3)))
        assert [kept.name for kept in flow.journal("fork-0").steps] == ["ask", "other", "other"]

    def test_what_comes_after_the_steps_that_are_kept_is_nothing_to_the_fork(self, flow: Flow) -> None:
        """Its source may go on meanwhile."""
        own = resealed(_source(flow), 2)
        flow.advance(progress(flow.clock, step(flow.clock, 4, name="z")))

        flow.advance(fork(flow.clock, keep=2, resealed=own))

        assert flow.journal("fork-0").steps == own.steps

    def test_nobody_forks_what_is_sealed_into_an_execution_nor_from_none(self, flow: Flow) -> None:
        own = resealed(_source(flow), 2)
        flow.queued("fork-0")
        before = flow.journal("fork-0")

        assert flow.refuses(fork(flow.clock, keep=2, resealed=own))
        assert flow.refuses(fork(flow.clock, FLOW, keep=2, resealed=own))
        assert flow.refuses(fork(flow.clock, "fork-1", keep=2, source="nobody", resealed=own))
        assert flow.refuses(fork(flow.clock, "fork-1", keep=2, tenant="tenant-2", resealed=own))
        assert flow.journal("fork-0") == before
        assert flow.known("fork-1", TENANT) is None

    def test_a_fork_of_what_is_sealed_hears_its_signals_once(self, flow: Flow) -> None:
        """STA-19: those that it has from its source are the same ones under their ids."""
        own = resealed(_source(flow), 1)
        after = flow.advance(fork(flow.clock, keep=1, resealed=own))

        assert flow.advance(send(flow.clock, "b", workflow_id="fork-0")) == after
        assert flow.advance(send(flow.clock, "c", workflow_id="fork-0")).news == 3
        assert [message.number for message in flow.journal("fork-0").messages] == [1, 2, 3]
