"""IDE-15, IDE-16: what counts as the same, for reconcilers that search and that read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from holdfast import Done, NotDone, StillUnknown
from holdfast.errors import InvalidTool
from holdfast.reconcilers import by_reading, by_search
from holdfast.reconcilers.likeness import Wanted, differences
from promises.witnesses import BOTH, EFFECT, Missing, gives, in_async, told, why

TICKET = {
    "title": "Refund",
    "customer": {"id": "c-1"},
    "amount": 100.0,
    "due": datetime(2026, 3, 2, tzinfo=UTC),
}
MATCH = {"title": "title", "customer.id": "customer", "amount": "amount", "due": "due"}


@dataclass(frozen=True)
class Ticket:
    """What an SDK might return."""

    title: str
    customer: Any
    amount: Decimal | int
    due: datetime = TICKET["due"]  # type: ignore[assignment]


@dataclass(frozen=True)
class Customer:
    id: str


OTHER = {**TICKET, "customer": {"id": "c-2"}}
BY_SEARCH = {
    "one": ([OTHER, TICKET], Done(TICKET)),
    "objects with attributes": (
        [Ticket("Refund", Customer("c-1"), 100)],
        Done(Ticket("Refund", Customer("c-1"), 100)),
    ),
    "several": ([TICKET, OTHER, TICKET], StillUnknown("2 objects match")),
    "none": ([OTHER], NotDone),
    "no candidates": ([], NotDone),
    "an iterator": (iter([TICKET]), Done(TICKET)),
    "another type": ([{**TICKET, "amount": "100"}], NotDone),
    "one lacks a field": (
        [{**TICKET, "customer": None}],
        StillUnknown("no candidate matches, but some cannot be compared by customer.id"),
    ),
    "one has what cannot be compared": (
        [{**TICKET, "title": object()}],
        StillUnknown("no candidate matches, but some cannot be compared by title"),
    ),
    "one lacks a field, but differs anyway": ([{"title": "Another"}], NotDone),
    "one lacks a field, another matches": ([{}, TICKET], Done(TICKET)),
}


@BOTH
@pytest.mark.parametrize(("found", "evidence"), BY_SEARCH.values(), ids=BY_SEARCH.keys())
async def test_one_match_is_evidence_and_none_is_unless_something_could_not_be_compared(
    kind: Any, found: Any, evidence: Any
) -> None:
    """IDE-15, IDE-16."""
    if isinstance(found, Iterator):
        found = [*found] if kind is in_async else (each for each in [TICKET])

    assert await told(by_search(kind(gives(found)), match=MATCH, lag=0)) == evidence


async def test_a_rule_of_ones_own_may_tell_which_candidate_is_the_one() -> None:
    """IDE-15: a marker in a text, which no path leads to."""
    issues = [{"body": "something else"}, {"body": f"text <!-- {EFFECT.idem_key} -->"}]
    find = by_search(gives(issues), match=lambda issue, effect: effect.idem_key in issue["body"])

    assert await told(find) == Done(issues[1])


@pytest.mark.parametrize("how", ["generator", "coroutine that returns one", "fails on its second page"])
async def test_an_async_search_may_bring_its_pages_one_by_one(how: str) -> None:
    """IDE-15."""

    async def pages(_: Any) -> AsyncIterator[Any]:
        yield OTHER
        await asyncio.sleep(0)
        if how.startswith("fails"):
            raise Missing
        yield TICKET

    search = in_async(pages) if how.startswith("coroutine") else pages

    found = await told(by_search(search, match=MATCH, lag=0, not_found=Missing))
    assert found == (NotDone if how.startswith("fails") else Done(TICKET))


async def test_arguments_that_the_call_did_not_bring_cannot_be_compared() -> None:
    """IDE-16: a default of the handler's, or a slip; either way it must not look like an absence."""
    note = "the call has no argument titel to compare with"

    assert await why(by_search(gives([TICKET]), match={"title": "titel"}, lag=0)) == note
    assert await why(by_reading(gives(TICKET), expect={"title": "titel"}, different="not_done")) == note


WANTED = {"spec": {"replicas": 3, "ports": [{"port": 80}]}, "metadata": {"labels": {"app": "web"}}}
PORT = {"port": 80, "protocol": "TCP"}
SET = {
    "spec": {"replicas": 3, "ports": [PORT], "paused": False},
    "metadata": {"labels": {"app": "web", "team": "shop"}, "version": "7"},
}


def changed(**spec: Any) -> dict[str, Any]:
    return {**SET, "spec": {**SET["spec"], **spec}}


BY_READING = {
    "as wanted, with defaults": (SET, Done(SET)),
    "absent": (None, NotDone),
    "a tuple where a list is wanted": (changed(ports=(PORT,)), Done(changed(ports=(PORT,)))),
    "text where an object is wanted": ({**SET, "spec": "three replicas"}, "spec differs"),
    "another value": (changed(replicas=2), "spec.replicas differs"),
    "a shorter list": (changed(ports=[]), "spec.ports differs"),
    "an item of a list": (changed(ports=[{"port": 81}]), "spec.ports.0.port differs"),
    "something missing": ({"spec": SET["spec"]}, "metadata differs"),
    "two places": ({**changed(replicas=2), "metadata": {}}, "metadata.labels, spec.replicas differ"),
    "not what was expected at all": ("web", "metadata, spec differ"),
    "what cannot be compared": (changed(replicas=object()), "spec.replicas differs"),
}


@BOTH
@pytest.mark.parametrize(("found", "evidence"), BY_READING.values(), ids=BY_READING.keys())
async def test_a_resource_as_wanted_is_evidence_and_any_other_names_what_differs(
    kind: Any, found: Any, evidence: Any
) -> None:
    """IDE-15, IDE-16."""
    reconciler = by_reading(kind(gives(found)), expect=lambda effect: WANTED)

    if isinstance(evidence, str):
        assert (await why(reconciler)).startswith(f"{evidence}:")
    else:
        assert await told(reconciler) == evidence


async def test_paths_and_arguments_may_say_what_is_expected() -> None:
    """IDE-15."""
    expect = {"items.1.customer.id": "customer", "items.1.amount": "amount"}

    assert await told(
        by_reading(gives({"items": [OTHER, TICKET]}), expect=expect, result=lambda _: 1)
    ) == Done(1)
    assert (await why(by_reading(gives({"items": [TICKET]}), expect=expect))).startswith(
        "items.1.amount, items.1"
    )


async def test_a_resource_that_is_as_it_was_before_was_not_changed() -> None:
    """IDE-15: the change says which version it is based on."""
    expect, before = {"title": "title"}, {"version": "amount"}
    untouched, touched = {"title": "Old", "version": 100}, {"title": "Old", "version": 101}

    assert await told(by_reading(gives(untouched), expect=expect, before=before)) == NotDone
    assert (await why(by_reading(gives(touched), expect=expect, before=before))).startswith("title differs")
    misspelt = by_reading(gives(untouched), expect=expect, before={"versoin": "amount"})
    assert (await why(misspelt)).startswith("title differs")


async def test_another_value_is_proof_only_where_nobody_else_writes_it_and_it_can_be_read() -> None:
    """IDE-16."""
    other, opaque = {"title": "Old"}, {"title": object()}
    alone: Any = {"expect": {"title": "title"}, "different": "not_done"}

    assert await told(by_reading(gives(other), **alone)) == NotDone
    assert (await why(by_reading(gives(opaque), **alone))).startswith("title differs")


async def test_a_resource_of_which_nothing_was_expected_proves_nothing() -> None:
    """IDE-16."""
    assert "nothing was expected" in await why(by_reading(gives(SET), expect=lambda effect: {}))


async def test_notes_name_paths_and_never_values() -> None:
    """IDE-16."""
    many = {f"field_{n}": "other" for n in range(9)}
    found = {"secret": "another s3cr3t", **many}
    note = await why(by_reading(gives(found), expect=dict.fromkeys(found, "secret")))

    assert "s3cr3t" not in note
    assert "field_0, field_1, field_2, field_3, field_4 and 5 more differ" in note


def pages(*found: Any, then: Exception | None = None) -> Any:
    """A search that brings its candidates one by one, and says with an exception that there are no more."""

    def search(_: Any) -> Any:
        yield from found
        if then is not None:
            raise then

    return search


def async_pages(*found: Any, then: Exception | None = None) -> Any:
    async def search(_: Any) -> Any:
        for each in found:
            yield each
        if then is not None:
            raise then

    return search


@pytest.mark.parametrize("way", [pages, async_pages])
async def test_what_was_found_before_the_last_page_said_that_there_is_no_more_is_found(way: Any) -> None:
    """I1, IDE-15."""
    ours = {"title": "Refund"}
    search = by_search(way(ours, then=Missing()), match={"title": "title"}, lag=0, not_found=Missing)

    assert await told(search) == Done(ours)


@pytest.mark.parametrize("way", [pages, async_pages])
async def test_a_search_without_an_end_is_given_up(way: Any) -> None:
    """IDE-15: whoever waited for it has left long ago."""
    search = by_search(way(*({"title": "x"} for _ in range(100_001))), match={"title": "title"}, lag=0)

    with pytest.raises(InvalidTool, match="more than 100,000"):
        await told(search)


async def test_a_search_that_forgets_its_return_is_no_evidence() -> None:
    """I1, IDE-15."""
    with pytest.raises(InvalidTool, match="NoneType"):
        await told(by_search(lambda _: None, match={"title": "title"}, lag=0))


@pytest.mark.parametrize("found", [{"error": "rate limited"}, {}, [], "oops", 0, {"title": None, "tit1e": 1}])
async def test_an_answer_without_the_field_is_no_proof_that_it_was_not_done(found: Any) -> None:
    """I1, IDE-15: it may be an error's answer, or the path may be misspelt."""
    reading = by_reading(lambda _: found, expect={"titel": "title"}, different="not_done")

    assert isinstance(await told(reading), StillUnknown)


def test_an_empty_object_that_was_wanted_fits_an_empty_one_only() -> None:
    """I1, IDE-15: "clear the labels" is not done while there are any."""
    cleared = [Wanted(("labels",), {})]

    assert differences({"labels": {}}, cleared) == []
    assert [each.kind for each in differences({"labels": {"prod": "yes"}}, cleared)] == ["other"]
    assert [each.kind for each in differences({}, cleared)] == ["absent"]
