"""The part of the store contract that is about notes: memories, how they are found, and hand-offs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from holdfast._core.advance import BeginExecution, Leave, Progress
from holdfast._core.notes import ItemRecord, MemoryKind, MemoryQuery, MemoryRecord, Section
from holdfast._core.states import WorkflowStatus
from holdfast._core.words import wanted_words, words_of
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject

SPACE: Final = "agent-7"
RUN: Final = "flow-7"
HOSTILE: Final = (
    'deploy" OR words:*',
    "deploy AND NOT (monday NEAR/2",
    "'; DROP TABLE holdfast_memory; --",
    "deploy:* & !monday | <-> ('",
    "\x00deploy\ud800\u202e",
    "^deploy + {words}: -",
    "deploy " * 150_000,
)
"""Searches that are syntax to one of the databases; to a ledger they are words."""
TEXTS: Final = (
    "Deploys go out on Monday, never on Friday.",
    "snake_case kebab-case a.b.c user@example.org https://x.example/y?z=1 3.14 1e5 12abc",
    "Grüße aus Köln: ÄÖÜ ß é e\u0301 ﬁ ² Ⅷ",
    "日本語の文章と English",
    "हिन्दी भाषा العربية עברית ไทย 한국어",
    "İstanbul ISTANBUL \u0131stanbul",
    "'single' \"double\" \\back\\ %s :name ; --",
    "x" * 5000,
)


def memory(subject: Subject, n: int = 0, **columns: Any) -> MemoryRecord:
    """Return the n-th memory, noted now."""
    plain = MemoryRecord(
        tenant=TENANT,
        namespace=SPACE,
        id=f"m{n}",
        kind=MemoryKind.SEMANTIC,
        workflow_id="",
        body=f'{{"n":{n}}}',
        tags=(),
        vector=None,
        created_at=subject.clock(),
        updated_at=subject.clock(),
        expires_at=None,
    )
    return replace(plain, **columns)


def keep(subject: Subject, record: MemoryRecord, text: str = "") -> MemoryRecord | None:
    """Keep a memory, to be found by *text*."""
    return subject.run(subject.store.notes.remember(record, words_of(text)))


def found(subject: Subject, words: str = "", **asked: Any) -> list[str]:
    """Return the ids of what a query finds."""
    query = MemoryQuery(tenant=TENANT, namespace=SPACE, now=subject.clock(), words=wanted_words(words))
    return [each.id for each in subject.run(subject.store.notes.recall(replace(query, **asked)))]


def begin_run(subject: Subject, name: str = RUN) -> None:
    """Begin an execution."""
    op = BeginExecution(
        tenant=TENANT,
        workflow_id=name,
        function="refund",
        version="v7",
        input="{}",
        actor="agent",
        owner="a",
        lease_s=LEASE_S,
        at=subject.clock(),
    )
    subject.run(subject.store.advance(op))


def end_run(subject: Subject, name: str = RUN) -> None:
    """End an execution that was begun."""
    op = Progress(
        tenant=TENANT,
        workflow_id=name,
        epoch=1,
        lease_s=LEASE_S,
        at=subject.clock(),
        leave=Leave(to=WorkflowStatus.SUCCEEDED),
    )
    subject.run(subject.store.advance(op))


def item(subject: Subject, n: int = 0, section: Section = Section.NEXT, **columns: Any) -> ItemRecord:
    """Return the n-th item of a hand-off, noted now."""
    at: datetime = subject.clock()
    plain = ItemRecord(
        id=f"i{n}",
        section=section,
        rank={Section.IN_PROGRESS: 1, Section.DONE: 2}.get(section, 0),
        number=n,
        body=f'"{section}"',
        created_at=at,
        moved_at=at,
    )
    return replace(plain, **columns)


def note(subject: Subject, *items: ItemRecord, project: str = "p") -> None:
    """Keep items."""
    subject.run(subject.store.notes.note(TENANT, project, items))


def items(subject: Subject, project: str = "p", tenant: str = TENANT) -> Sequence[ItemRecord]:
    """Return what is on record."""
    return list(subject.run(subject.store.notes.items(tenant, project)))


class NoteContract:
    """What :class:`holdfast.ports.NoteStore` promises, one test each.

    Part of ``StoreContract``, which says what its fixtures are.
    """

    @pytest.mark.parametrize("kind", list(MemoryKind))
    def test_a_memory_comes_back_with_every_column(self, subject: Subject, kind: MemoryKind) -> None:
        """STA-10: of each kind."""
        subject.clock.advance(1.234567)
        record = memory(
            subject,
            kind=kind,
            workflow_id=RUN,
            body='"\\u0000 \\ud800 💳 \' \\\\ %s :name"',
            tags=("a b", '"', "ü"),
            vector="AAAA",
            expires_at=subject.clock() + timedelta(days=1),
        )

        kept = keep(subject, record, "something")

        query = MemoryQuery(tenant=TENANT, namespace=SPACE, now=subject.clock())
        assert kept == record
        assert subject.run(subject.store.notes.recall(query)) == [record]
        assert subject.run(subject.store.notes.recall(replace(query, words=("something",)))) == [record]

    def test_what_is_kept_under_an_id_again_replaces_it_and_keeps_its_first_time(
        self, subject: Subject
    ) -> None:
        """STA-10: also in what it is found by."""
        first = subject.clock()
        keep(subject, memory(subject), "old words")
        subject.clock.advance(1)
        after = memory(subject, body='"new"', tags=("t",), vector="AAAA", workflow_id="w")

        kept = keep(subject, after, "new words")

        assert kept == replace(after, created_at=first)
        assert (found(subject, "old"), found(subject, "new"), found(subject)) == ([], ["m0"], ["m0"])

    def test_of_many_who_keep_one_memory_one_is_on_record(self, subject: Subject) -> None:
        async def all_of_them() -> list[MemoryRecord | None]:
            records = [memory(subject, body=f'"{n}"') for n in range(16)]
            notes = subject.store.notes
            return await asyncio.gather(*(notes.remember(record, ("word",)) for record in records))

        answers = subject.run(all_of_them())

        assert None not in answers
        assert found(subject, "word") == ["m0"]

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    def test_every_word_of_a_text_finds_it(self, subject: Subject, text: str) -> None:
        """STA-10: by the database; in any case, with or without accents."""
        keep(subject, memory(subject), text)
        keep(subject, memory(subject, 1), "zzz")

        assert words_of(text)
        for word in words_of(text):
            assert found(subject, word) == ["m0"]
        assert found(subject, text.upper()[:200]) == ["m0"]
        assert found(subject, "nothing of this") == []

    def test_what_has_all_words_comes_before_what_has_one(self, subject: Subject) -> None:
        """STA-10: best first, ranked by the database."""
        texts = ("alpha other words here", "alpha beta gamma here", "delta", "gamma more words here")
        for n, text in enumerate(texts):
            keep(subject, memory(subject, n), text)

        ranked = found(subject, "alpha beta gamma")

        assert ranked[0] == "m1"
        assert sorted(ranked) == ["m0", "m1", "m3"]
        assert found(subject, "alpha beta gamma", limit=1) == ["m1"]

    def test_equally_good_ones_and_all_without_words_come_newest_first(self, subject: Subject) -> None:
        for n in (0, 1, 2):
            keep(subject, memory(subject, n), "same")
        subject.clock.advance(1)
        keep(subject, memory(subject, 1), "same")

        assert found(subject) == found(subject, "same") == ["m1", "m2", "m0"]
        assert found(subject, limit=2) == ["m1", "m2"]

    @pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
    def test_a_hostile_search_is_words(self, subject: Subject, query: str) -> None:
        """STA-10: no syntax, no error, and nothing but what has one of its words."""
        keep(subject, memory(subject), "deploy on monday")
        keep(subject, memory(subject, 1), "unrelated")
        keep(subject, memory(subject, 2, namespace="other"), "deploy")

        assert found(subject, query) == (["m0"] if "deploy" in query else [])
        assert found(subject) == ["m1", "m0"]

    def test_a_query_is_narrowed_by_kind_run_tags_and_ids(self, subject: Subject) -> None:
        """STA-10: separate retrieval."""
        episodic, working = MemoryKind.EPISODIC, MemoryKind.WORKING
        keep(subject, memory(subject, 0, tags=("a", "b")), "word")
        keep(subject, memory(subject, 1, kind=episodic, workflow_id="r1", tags=("a",)), "word")
        keep(subject, memory(subject, 2, kind=working, workflow_id="r1"), "word")
        keep(subject, memory(subject, 3, kind=working, workflow_id="r2", tags=("b", "a")), "word")

        for words in ("", "word"):
            assert found(subject, words) == ["m3", "m2", "m1", "m0"]
            assert found(subject, words, kind=working) == ["m3", "m2"]
            assert found(subject, words, workflow_id="r1") == ["m2", "m1"]
            assert found(subject, words, run="r1") == ["m2", "m1", "m0"]
            assert found(subject, words, tags=("a",)) == ["m3", "m1", "m0"]
            assert found(subject, words, tags=("a", "b")) == ["m3", "m0"]
            assert found(subject, words, ids=("m1", "m3", "m9")) == ["m3", "m1"]
            assert found(subject, words, ids=()) == []

    def test_nobody_sees_another_tenants_or_namespaces_memories(self, subject: Subject) -> None:
        """IDE-11: nor deletes them."""
        keep(subject, memory(subject, 0, tenant="tenant-2"), "word")
        keep(subject, memory(subject, 1, namespace="other"), "word")
        notes = subject.store.notes

        assert found(subject) == found(subject, "word") == []
        assert not subject.run(notes.forget(TENANT, SPACE, "m0"))
        assert not subject.run(notes.forget(TENANT, SPACE, "m1"))
        assert found(subject, "word", tenant="tenant-2") == ["m0"]
        assert found(subject, "word", namespace="other") == ["m1"]

    def test_what_is_forgotten_is_found_by_nothing(self, subject: Subject) -> None:
        keep(subject, memory(subject), "word")
        notes = subject.store.notes

        assert subject.run(notes.forget(TENANT, SPACE, "m0"))
        assert not subject.run(notes.forget(TENANT, SPACE, "m0"))
        assert found(subject) == found(subject, "word") == []

    def test_what_has_expired_is_not_found_and_is_reaped(self, subject: Subject) -> None:
        """STA-10: noted again it is a new memory."""
        until = subject.clock() + timedelta(seconds=1)
        for n in (0, 1, 2):
            keep(subject, memory(subject, n, expires_at=until), "word")
        keep(subject, memory(subject, 3), "word")
        keep(subject, memory(subject, 4, tenant="tenant-2", expires_at=until), "word")
        long_ago = subject.clock() - timedelta(days=90)
        assert subject.run(subject.store.reap_rest(TENANT, long_ago, 9)) == 0
        subject.clock.advance(1)

        again = keep(subject, memory(subject, 2), "word")

        assert again is not None
        assert again.created_at == subject.clock()
        assert found(subject) == found(subject, "word") == ["m2", "m3"]
        reaped = [subject.run(subject.store.reap_rest(TENANT, long_ago, 1)) for _ in range(3)]
        assert reaped == [1, 1, 0]
        assert found(subject, now=until - timedelta(seconds=1)) == ["m2", "m3"]

    def test_working_memory_ends_with_its_execution(self, subject: Subject) -> None:
        """STA-10: at once; the other kinds survive."""
        begin_run(subject)
        for n, kind in enumerate(MemoryKind):
            keep(subject, memory(subject, n, kind=kind, workflow_id=RUN), "word")
        keep(subject, memory(subject, 9, kind=MemoryKind.WORKING, workflow_id="nobody's"), "word")
        before = found(subject)

        end_run(subject)

        late = memory(subject, 10, kind=MemoryKind.WORKING, workflow_id=RUN)
        assert before == ["m9", "m3", "m2", "m1", "m0"]
        assert found(subject) == found(subject, "word") == ["m9", "m3", "m2", "m1"]
        assert keep(subject, late, "word") is None
        assert found(subject) == ["m9", "m3", "m2", "m1"]

    def test_working_memory_of_executions_that_ended_long_ago_is_reaped(self, subject: Subject) -> None:
        """STA-10: and it does not come back when the execution is no longer on record."""
        begin_run(subject)
        working = memory(subject, kind=MemoryKind.WORKING, workflow_id=RUN)
        for n in range(3):
            keep(subject, replace(working, id=f"w{n}"), "word")
        end_run(subject)
        ended_at = subject.clock()
        subject.clock.advance(1)

        assert subject.run(subject.store.reap_rest(TENANT, ended_at, 9)) == 0
        subject.run(subject.store.reap_rest(TENANT, subject.clock(), 2))
        subject.run(subject.store.reap_rest(TENANT, subject.clock(), 2))

        assert found(subject) == found(subject, "word") == []
        begin_run(subject)  # under the same id, if the store has let go of the one before
        assert found(subject) == found(subject, "word") == []

    def test_a_runs_working_memory_can_be_ended_without_it(self, subject: Subject) -> None:
        working = memory(subject, kind=MemoryKind.WORKING, workflow_id="r1")
        for each in (
            working,
            replace(working, id="m1"),
            replace(working, id="m2", kind=MemoryKind.EPISODIC),
            replace(working, id="m3", workflow_id="r2"),
            replace(working, id="m4", namespace="other"),
        ):
            keep(subject, each, "word")

        assert subject.run(subject.store.notes.end(TENANT, SPACE, "r1")) == 2
        assert subject.run(subject.store.notes.end(TENANT, SPACE, "r1")) == 0
        assert found(subject) == found(subject, "word") == ["m3", "m2"]
        assert found(subject, namespace="other") == ["m4"]

    def test_items_are_kept_in_their_order_with_every_column(self, subject: Subject) -> None:
        """STA-08."""
        first = [item(subject, n) for n in (1, 0)]
        note(subject, *first)
        subject.clock.advance(1)
        second = item(subject, 2, Section.DECISIONS, number=0, body='"\\u0000 💳 \' %s"')
        note(subject, second)

        assert items(subject) == [first[1], first[0], second]
        assert items(subject, "other") == items(subject, tenant="tenant-2") == []

    def test_an_item_moves_forward_only(self, subject: Subject) -> None:
        """STA-08: late and repeated notes do no harm, and the time of its first mention stays."""
        noted = subject.clock()
        note(subject, item(subject, 0, Section.NEXT))
        subject.clock.advance(1)
        done = item(subject, 0, Section.DONE, number=7)

        note(subject, done)
        subject.clock.advance(1)
        for section in (Section.NEXT, Section.IN_PROGRESS, Section.DONE):
            note(subject, item(subject, 0, section))

        assert items(subject) == [replace(done, created_at=noted)]

    def test_of_many_who_note_at_once_all_are_heard(self, subject: Subject) -> None:
        """STA-08: in whatever order they come, the lists are the same."""

        async def all_of_them() -> None:
            notes = subject.store.notes
            sections = (Section.DONE, Section.NEXT, Section.IN_PROGRESS)
            lists = [[item(subject, n, section) for n in (0, 1, 2)] for section in sections]
            lists += [[item(subject, n + 3)] for n in range(8)]
            await asyncio.gather(*(notes.note(TENANT, "p", list(reversed(each))) for each in lists))

        subject.run(all_of_them())

        assert {each.id: each.section for each in items(subject)} == {
            **{f"i{n}": Section.DONE for n in range(3)},
            **{f"i{n}": Section.NEXT for n in range(3, 11)},
        }

    def test_items_that_are_struck_are_gone(self, subject: Subject) -> None:
        note(subject, item(subject, 0), item(subject, 1))
        note(subject, item(subject, 0), project="other")
        notes = subject.store.notes

        assert subject.run(notes.strike(TENANT, "p", ["i0", "i9"])) == 1
        assert subject.run(notes.strike(TENANT, "p", ["i0"])) == 0
        assert [each.id for each in items(subject)] == ["i1"]
        assert len(items(subject, "other")) == 1
