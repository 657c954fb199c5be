"""IDE-15, IDE-16: what the ready-made reconcilers make of what they find. With a ledger: test_found_again.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pydantic
import pytest

from holdfast import Done, NotDone, StillUnknown
from holdfast.errors import InvalidTool
from holdfast.reconcilers import by_key, by_reading, by_search, first_of
from promises.witnesses import (
    BOTH,
    CHARGE,
    EFFECT,
    UNDATED,
    Missing,
    after,
    gives,
    in_async,
    raises,
    told,
    why,
)

BY_KEY = {
    "one": (CHARGE, Done(CHARGE)),
    "an id": ("ch_1", Done("ch_1")),
    "a list of one": ([CHARGE], Done(CHARGE)),
    "none": (None, NotDone),
    "not there": (False, NotDone),
    "an empty list": ([], NotDone),
    "several": ([CHARGE, CHARGE], StillUnknown("2 objects carry this key")),
    "an empty page": ({}, StillUnknown("what was found is empty")),
}


@BOTH
@pytest.mark.parametrize(("found", "evidence"), BY_KEY.values(), ids=BY_KEY.keys())
async def test_one_object_with_the_key_is_evidence_none_is_and_several_are_not(
    kind: Any, found: Any, evidence: Any
) -> None:
    """IDE-15, IDE-16."""
    asked: list[str] = []

    def find(idem_key: str) -> Any:
        asked.append(idem_key)
        return found

    assert await told(by_key(kind(find))) == evidence
    assert asked == [EFFECT.idem_key]


@BOTH
@pytest.mark.parametrize("meant", [Missing, (KeyError, Missing), lambda error: isinstance(error, Missing)])
async def test_an_exception_that_is_named_means_that_there_is_nothing(kind: Any, meant: Any) -> None:
    """IDE-15."""
    missing = kind(raises(Missing()))

    assert await told(by_key(missing, not_found=meant)) == NotDone
    assert await told(by_search(missing, match={"title": "title"}, lag=0, not_found=meant)) == NotDone
    assert await told(by_reading(missing, expect={"title": "title"}, not_found=meant)) == NotDone


@BOTH
@pytest.mark.parametrize("meant", [(), Missing, lambda error: isinstance(error, Missing)])
async def test_any_other_exception_is_no_evidence_and_goes_through(kind: Any, meant: Any) -> None:
    """IDE-16: an outage of the other side is not an absence."""
    broken = kind(raises(ConnectionError("down")))

    for reconciler in (
        by_key(broken, not_found=meant),
        by_search(broken, match={"title": "title"}, lag=0, not_found=meant),
        by_reading(broken, expect={"title": "title"}, not_found=meant),
        first_of(by_key(broken, not_found=meant), gives(Done())),
    ):
        with pytest.raises(ConnectionError):
            await told(reconciler)


RESULTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "a part": (lambda found: found["id"], Done("ch_1")),
    "nothing": (lambda found: None, Done(None)),
    "declined": (lambda found: NotDone(), NotDone),
    "declined, the class": (lambda found: NotDone, NotDone),
    "on its way": (lambda found: StillUnknown("processing"), StillUnknown("processing")),
    "said outright": (lambda found: Done("ch_9"), Done("ch_9")),
}


@pytest.mark.parametrize(("result", "evidence"), RESULTS.values(), ids=RESULTS.keys())
async def test_what_was_found_becomes_the_result_or_evidence_of_its_own(result: Any, evidence: Any) -> None:
    """IDE-15: an object that is there may be of a charge that was declined."""
    read = by_reading(gives(CHARGE), expect=lambda effect: {"id": "ch_1"}, result=result)

    assert await told(by_key(gives(CHARGE), result=result)) == evidence
    assert await told(by_search(gives([CHARGE]), match=lambda *_: True, result=result)) == evidence
    assert await told(read) == evidence


ABSENT: dict[str, Callable[..., Any]] = {
    "by_key": lambda **given: by_key(gives(None), **given),
    "by_search": lambda **given: by_search(gives([]), match={"title": "title"}, **given),
    "by_reading": lambda **given: by_reading(gives(None), expect={"title": "title"}, **given),
    "by_reading, as before": lambda **given: by_reading(
        gives({"title": "Old"}), expect={"title": "title"}, before=lambda effect: {"title": "Old"}, **given
    ),
    "by_reading, different": lambda **given: by_reading(
        gives({"title": "Old"}), expect={"title": "title"}, different="not_done", **given
    ),
}


@pytest.mark.parametrize("absent", ABSENT.values(), ids=ABSENT.keys())
async def test_nothing_found_is_evidence_only_once_it_cannot_be_late_any_more(absent: Any) -> None:
    """IDE-16."""
    early = await why(absent(lag="2m", clock=after(minutes=2, microseconds=-1)))
    undated = await why(absent(lag="2m", clock=after(days=9)), UNDATED)

    assert "2026-03-01T12:02:00+00:00" in early
    assert "not known when the attempt acted" in undated
    assert await told(absent(lag="2m", clock=after(minutes=2))) == NotDone
    assert await told(absent(lag=timedelta(minutes=2))) == NotDone  # by the clock of this machine
    assert await told(absent(lag=0), UNDATED) == NotDone
    assert await told(absent(lag=timedelta(0)), UNDATED) == NotDone


async def test_what_is_found_is_evidence_however_early_it_is() -> None:
    """IDE-15."""
    early = {"lag": "2m", "clock": after(seconds=1)}
    ticket = {"title": "Refund"}

    assert await told(by_key(gives(CHARGE), **early)) == Done(CHARGE)
    assert await told(by_search(gives([ticket]), match={"title": "title"}, **early)) == Done(ticket)
    assert await told(by_reading(gives(ticket), expect={"title": "title"}, **early)) == Done(ticket)


@pytest.mark.parametrize("shape", ["by_key", "by_search"])
async def test_nothing_found_is_no_evidence_once_it_would_have_been_forgotten(shape: str) -> None:
    """IDE-16, IDE-20."""
    absent = ABSENT[shape]
    late = await why(absent(lag=0, kept_for="30d", clock=after(days=30)))
    undated = await why(absent(lag=0, kept_for="30d", clock=after(days=1)), UNDATED)

    assert "would not have been kept" in late
    assert "not known when the attempt acted" in undated
    assert await told(absent(lag=0, kept_for="30d", clock=after(days=29))) == NotDone


async def test_a_search_of_unknown_delay_never_proves_absence() -> None:
    """IDE-16: the default forbids."""
    note = await why(by_search(gives([]), match={"title": "title"}, clock=after(days=99)))

    assert "lag=" in note


@BOTH
async def test_the_first_witness_that_has_evidence_is_believed(kind: Any) -> None:
    """IDE-15."""
    vague, none, found = (kind(gives(each)) for each in (StillUnknown("late"), NotDone, Done(CHARGE)))

    assert await told(first_of(vague, found, none)) == Done(CHARGE)
    assert await told(first_of(vague, none, found)) == NotDone
    assert await told(first_of(by_key(kind(gives(None)), lag="1h", clock=after()), found)) == Done(CHARGE)


async def test_witnesses_without_evidence_are_quoted_one_after_another() -> None:
    """IDE-16."""
    silent: Any = gives(None)
    found = first_of(gives(StillUnknown("late")), in_async(gives(StillUnknown())), silent, gives("?"))

    assert await why(found) == (
        "late; a reconciler found nothing either way; "
        "a reconciler returned str, not Done, NotDone or StillUnknown"
    )


async def test_a_reconciler_has_to_be_awaited_only_where_its_functions_have_to_be() -> None:
    """IDE-15, INT-06: a blocking ledger refuses to wait."""
    shapes: list[Callable[[Any], Any]] = [
        by_key,
        lambda find: by_search(find, match=lambda *_: True),
        lambda find: by_reading(find, expect=lambda effect: CHARGE),
        lambda find: first_of(by_key(find), gives(NotDone())),
    ]
    for shape in shapes:
        plain, waiting = shape(gives([CHARGE])), shape(in_async(gives([CHARGE])))

        assert not inspect.isawaitable(plain(EFFECT))
        answer = waiting(EFFECT)
        assert inspect.isawaitable(answer)
        await answer


async def coroutine(*_: Any) -> Any: ...


NO_FUNCTION: Any = "find_charge"
NO_LENGTH: Any = "soon"
REFUSED: dict[str, Callable[[], Any]] = {
    "find is no function": lambda: by_key(NO_FUNCTION),
    "search is no function": lambda: by_search(NO_FUNCTION, match={"a": "b"}),
    "read is no function": lambda: by_reading(NO_FUNCTION, expect={"a": "b"}),
    "result is no function": lambda: by_key(gives(1), result=NO_FUNCTION),
    "result is async": lambda: by_key(gives(1), result=coroutine),
    "match is empty": lambda: by_search(gives(1), match={}),
    "match is async": lambda: by_search(gives(1), match=coroutine),
    "match is missing": lambda: by_search(gives(1), match=None),  # type: ignore[arg-type]
    "match names no argument": lambda: by_search(gives(1), match={"title": ""}),
    "expect is empty": lambda: by_reading(gives(1), expect={}),
    "expect is missing": lambda: by_reading(gives(1), expect=None),  # type: ignore[arg-type]
    "before is empty": lambda: by_reading(gives(1), expect={"a": "b"}, before={}),
    "different is unknown": lambda: by_reading(gives(1), expect={"a": "b"}, different=NO_FUNCTION),
    "lag is no length": lambda: by_key(gives(1), lag=NO_LENGTH),
    "lag is negative": lambda: by_key(gives(1), lag=-1),
    "lag is a switch": lambda: by_key(gives(1), lag=False),
    "kept_for is nothing": lambda: by_key(gives(1), kept_for=0),
    "not_found is a name": lambda: by_key(gives(1), not_found=NO_FUNCTION),
    "not_found has a function among classes": lambda: by_key(gives(1), not_found=(Missing, gives(1))),  # type: ignore[arg-type]
    "not_found is no exception": lambda: by_key(gives(1), not_found=int),  # type: ignore[arg-type]
    "nobody is asked": first_of,
    "a witness is no function": lambda: first_of(gives(NotDone()), NO_FUNCTION),
}


@pytest.mark.parametrize("declare", REFUSED.values(), ids=REFUSED.keys())
def test_a_declaration_that_cannot_be_honoured_is_refused_when_it_is_made(declare: Any) -> None:
    """IDE-16: not when there is doubt."""
    with pytest.raises(InvalidTool):
        declare()


UNPLAIN: dict[str, Callable[[], Any]] = {
    "match": lambda: by_search(gives([CHARGE]), match=lambda *_: coroutine()),
    "not_found": lambda: by_key(raises(ConnectionError()), not_found=lambda _: coroutine()),
    "search returns one": lambda: by_search(gives(CHARGE), match=lambda *_: True, not_found=TypeError),
    "search returns text": lambda: by_search(gives("ch_1"), match=lambda *_: True),
}


@pytest.mark.parametrize("declare", UNPLAIN.values(), ids=UNPLAIN.keys())
async def test_what_only_looks_like_an_answer_is_none(declare: Any) -> None:
    """IDE-16: a coroutine is true, whatever it would have come to; one object is not a list of candidates."""
    with pytest.raises(InvalidTool):
        await told(declare())


MANY = {
    "a generator of none": (lambda: (each for each in ()), NotDone),
    "a filter of none": (lambda: filter(None, ()), NotDone),
    "an iterator of none": (lambda: iter(()), NotDone),
    "a set of none": (set, NotDone),
    "a generator of one": (lambda: iter([CHARGE]), Done(CHARGE)),
    "a set of two": (lambda: {"ch_1", "ch_2"}, StillUnknown("2 objects carry this key")),
    "a generator of two": (lambda: iter(["ch_1", "ch_2"]), StillUnknown("2 objects carry this key")),
}


@BOTH
@pytest.mark.parametrize(("found", "evidence"), MANY.values(), ids=MANY.keys())
async def test_what_holds_any_number_is_counted_whatever_it_is_made_of(
    kind: Any, found: Any, evidence: Any
) -> None:
    """IDE-15: an empty generator is no charge."""
    assert await told(by_key(kind(lambda _: found()))) == evidence


async def test_what_comes_by_and_by_is_no_evidence() -> None:
    """IDE-15: nobody has looked into it yet."""

    async def pages() -> Any:
        for each in ():
            yield each

    assert isinstance(await told(by_key(lambda _: pages())), StillUnknown)


async def test_what_is_forgotten_is_counted_from_the_first_attempt_that_may_have_acted() -> None:
    """I1, IDE-15: the last one was refused; the first one's trace is gone by now."""
    effect = replace(EFFECT, first_attempted_at=after(hours=-2)())
    forgets = by_key(lambda _: None, lag="1s", kept_for="1h", clock=after(minutes=1))

    assert "kept" in await why(forgets, effect)
    assert await told(forgets) == NotDone


class Charge(pydantic.BaseModel):
    id: str
    status: str


class Page(pydantic.BaseModel):
    data: list[Charge]

    def __iter__(self) -> Any:
        return iter(self.data)


async def test_a_model_is_one_object_although_it_can_be_gone_through() -> None:
    """IDE-15: as the SDKs of many services return; a page of them is as many as it holds."""
    ours = Charge(id="ch_1", status="succeeded")

    assert (await told(by_key(lambda _: ours))).result == ours
    assert (await told(by_key(lambda _: Page(data=[ours])))).result == ours
    assert await told(by_key(lambda _: Page(data=[]))) == NotDone
    with pytest.raises(InvalidTool, match="returned one Charge"):
        await told(by_search(lambda _: ours, match={"status": "title"}, lag=0))
