"""The part of the store contract that is about people's pages: lists over several tables, and counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import Leave, Steering
from holdfast._core.approval import ApprovalState
from holdfast._core.states import Event, State, WorkflowStatus
from holdfast.ports import Attention, WorkflowQuery, WorkflowSummary
from holdfast.testing.conformance.flows import QUEUE, Flow, begin, progress, send, steer
from holdfast.testing.conformance.questions import HOUR, Inbox, approval_id, move
from holdfast.testing.conformance.subject import TENANT, WORKFLOWS, Subject, dependency, new_effect, signal

FAILED: Final = WorkflowStatus.FAILED
REVIEW: Final = WorkflowStatus.NEEDS_REVIEW
RUNNING: Final = WorkflowStatus.RUNNING


class ViewContract:
    """What :class:`holdfast.ports.ViewStore` promises, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.fixture
    def view(self, subject: Subject) -> View:
        """Return the store, looked at as people's pages do."""
        subject.clock.advance(1.234567)
        return View(subject)

    def test_workflows_of_code_and_of_bare_calls_are_one_list_last_touched_first(self, view: View) -> None:
        view.code("a")
        view.code("b", function="mail", queue=QUEUE, parent="a")
        view.doubt(0)
        view.code(WORKFLOWS[1])
        view.doubt(1)

        assert view.names() == [WORKFLOWS[1], WORKFLOWS[0], "b", "a"]
        [both, bare, mail, _] = view.listed()
        assert (both.is_code, both.status, both.open_reviews, both.function) == (True, REVIEW, 1, "refund")
        assert (bare.is_code, bare.status, bare.open_reviews, bare.function) == (False, REVIEW, 1, "")
        assert (mail.function, mail.queue, mail.created_at) == ("mail", QUEUE, mail.updated_at)
        assert both.created_at is not None
        assert both.updated_at > both.created_at

    def test_pages_of_any_length_have_every_workflow_once(self, view: View) -> None:
        for n in range(7):
            view.code(f"flow-{n}", rest_s=n % 2)  # some at one moment
        wanted = view.names()

        assert sorted(wanted) == [f"flow-{n}" for n in range(7)]
        assert [view.pages(limit) for limit in (1, 2, 3, 7)] == [wanted] * 4

    def test_lists_and_counts_choose_by_every_filter(self, view: View) -> None:
        view.code("order 1", function="refund%", queue=QUEUE, parent="p", actor="desk")
        view.code("order_2")
        view.end("order_2")
        begun = view.subject.clock()
        view.code("flow-3")
        view.pause("flow-3")
        view.doubt(0)
        view.subject.insert(2, effect=new_effect(2, tool="mail.send", workflow_id="order_2"))
        wanted: list[tuple[dict[str, Any], list[str]]] = [
            ({"status": FAILED}, ["order_2"]),
            ({"words": ("der",)}, [WORKFLOWS[0], "order_2", "order 1"]),
            ({"words": ("r 1", "und%")}, ["order 1"]),
            ({"words": ("%",)}, ["order 1"]),
            ({"words": ("r_",)}, ["order_2"]),
            ({"words": ("ORDER",)}, []),
            ({"function": "refund%"}, ["order 1"]),
            ({"actor": "desk"}, ["order 1"]),
            ({"queue": QUEUE}, ["order 1"]),
            ({"queue": ""}, ["flow-3", "order_2"]),
            ({"parent": "p"}, ["order 1"]),
            ({"tool": "mail.send"}, ["order_2"]),
            ({"is_paused": True}, ["flow-3"]),
            ({"since": begun}, [WORKFLOWS[0], "flow-3"]),
            ({"status": RUNNING, "words": ("order",), "actor": "desk"}, ["order 1"]),
        ]

        for query, names in wanted:
            assert view.names(**query) == names, query
            assert sum(view.tally(**query).values()) == len(names), query
        assert view.tally(limit=1) == {
            (RUNNING, False): 1,
            (FAILED, False): 1,
            (RUNNING, True): 1,
            (REVIEW, False): 1,
        }

    def test_who_needs_a_person_is_told_with_how_many_there_are(self, view: View) -> None:
        for name in ("a", "b", "c", "d"):
            view.code(name)
        for name in ("c", "a"):
            view.pause(name)
        view.doubt(0)
        found, first = view.attention(), view.attention(limit=1)

        assert [row.workflow_id for row in found.rows] == [WORKFLOWS[0], "a", "c"]
        assert (found.in_review, found.paused) == (first.in_review, first.paused) == (1, 2)
        assert first.rows == found.rows[:1]
        assert view.attention(tenant="other") == Attention(rows=(), in_review=0, paused=0, next_end=None)

    def test_views_are_of_one_tenant(self, view: View) -> None:
        view.flow.advance(begin(view.subject.clock, "theirs", tenant="other"))
        view.subject.insert(effect=new_effect(5, tenant="other"))

        assert view.names() == []
        assert (view.tally(), view.pulse()) == ({}, {})
        assert view.names(tenant="other") == ["theirs"]

    def test_the_pulse_counts_every_effect_by_state_and_by_when_it_was_made(self, view: View) -> None:
        view.subject.finished(0)
        view.subject.clock.advance(60)
        since = view.subject.clock()
        view.subject.finished(1)
        view.subject.insert(2)
        view.subject.clock.advance(120.5)
        view.subject.insert(3)

        assert view.pulse(since=since) == {
            (State.SUCCEEDED, None): 1,
            (State.SUCCEEDED, 0): 1,
            (State.PENDING, 0): 1,
            (State.PENDING, 2): 1,
        }

    def test_who_waits_is_told_in_the_order_of_their_ends_with_what_version_they_are(
        self, view: View
    ) -> None:
        inbox = Inbox(view.subject)
        for n, wait in {0: 3, 1: 1, 2: 2}.items():
            inbox.asked(n, expires_at=inbox.clock() + wait * HOUR)
        head, row = inbox.asked(3)
        inbox.moved(head, move(row, inbox.clock, state=ApprovalState.DENIED), event=Event.DENY)

        assert view.waiting() == [(approval_id(n), 1) for n in (1, 2, 0)]
        assert view.waiting(limit=2) == view.waiting()[:2]
        assert view.waiting(tenant="other") == []
        ends = [row.expires_at for row in inbox.listed(state=ApprovalState.PENDING)]
        assert (view.attention().rows, view.attention().next_end) == ((), min(ends))
        assert view.attention(tenant="other").next_end is None
        some = (approval_id(0), approval_id(1), approval_id(3), "none")
        found = inbox.listed(ids=some)
        assert {row.id for row in found} == {approval_id(n) for n in (0, 1, 3)}
        assert found == sorted(found, key=lambda row: (row.created_at, row.id), reverse=True)
        assert inbox.listed(ids=some, limit=2) == found[:2]
        assert inbox.listed(ids=some, tenant="other") == []
        assert inbox.listed(ids=()) == []

    def test_the_version_is_another_one_after_every_write(self, view: View) -> None:
        subject, clock = view.subject, view.subject.clock
        head = subject.insert(0)
        inbox = Inbox(subject)
        seen = [view.version()]
        writes = (
            lambda: subject.insert(1),
            lambda: subject.move(head, Event.DOUBT),
            lambda: inbox.asked(2),
            lambda: view.code("flow-0"),
            lambda: view.flow.advance(send(clock)),
            lambda: view.pause("flow-0"),
            lambda: view.flow.halt("agent"),
            lambda: subject.put(dependency(clock)),
            lambda: subject.tell(signal(clock)),
        )
        for write in writes:
            write()
            seen.append(view.version())

        assert len(set(seen)) == len(seen)


class View:
    """A store, looked at as people's pages do."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.flow = Flow(subject)

    def code(self, name: str, *, rest_s: float = 1, **fields: Any) -> None:
        """Begin a workflow of code."""
        self.flow.advance(begin(self.subject.clock, name, **fields))
        self.subject.clock.advance(rest_s)

    def end(self, name: str) -> None:
        """Let a workflow of code fail."""
        self.flow.advance(progress(self.subject.clock, workflow_id=name, leave=Leave(to=FAILED)))
        self.subject.clock.advance(1)

    def pause(self, name: str) -> None:
        """Let a person pause a workflow."""
        self.flow.advance(steer(self.subject.clock, Steering.PAUSE, name))
        self.subject.clock.advance(1)

    def doubt(self, n: int) -> None:
        """Let the n-th effect, of its workflow, be in doubt."""
        self.subject.move(self.subject.insert(n), Event.DOUBT)
        self.subject.clock.advance(1)

    def listed(self, **query: Any) -> list[WorkflowSummary]:
        """Return what a query finds."""
        known: dict[str, Any] = {"tenant": TENANT, **query}
        wanted = WorkflowQuery(**known)
        return list(self.subject.run(self.subject.store.views.workflows(wanted)))

    def names(self, **query: Any) -> list[str]:
        """Return the workflows that a query finds."""
        return [row.workflow_id for row in self.listed(**query)]

    def pages(self, limit: int) -> list[str]:
        """Return all workflows, page by page."""
        found: list[str] = []
        after = None
        while rows := self.listed(limit=limit, after=after):
            found += [row.workflow_id for row in rows]
            after = rows[-1].updated_at, rows[-1].workflow_id
        return found

    def tally(self, **query: Any) -> dict[tuple[WorkflowStatus, bool], int]:
        """Return the counts of what a query asks for."""
        known: dict[str, Any] = {"tenant": TENANT, **query}
        wanted = WorkflowQuery(**known)
        return dict(self.subject.run(self.subject.store.views.tally(wanted)))

    def attention(self, *, tenant: str = TENANT, limit: int = 100) -> Attention:
        """Return which workflows need a person."""
        return self.subject.run(self.subject.store.views.attention(tenant, limit))

    def pulse(self, **asked: Any) -> dict[tuple[State, int | None], int]:
        """Return how many effects there are, a minute to a part."""
        since = asked.get("since", self.subject.clock())
        told = self.subject.store.views.pulse(TENANT, since, timedelta(minutes=1))
        return dict(self.subject.run(told))

    def waiting(self, *, tenant: str = TENANT, limit: int = 100) -> list[tuple[str, int]]:
        """Return which questions wait for people."""
        return list(self.subject.run(self.subject.store.views.waiting(tenant, limit)))

    def version(self) -> str:
        """Return what is told of the tenant's newest change."""
        return self.subject.run(self.subject.store.views.version(TENANT))
