"""The shapes that looking for evidence takes."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from holdfast._core.contract import Reconciler, evidence
from holdfast._core.duration import Duration
from holdfast._core.model import Done, Effect, Evidence, StillUnknown
from holdfast.errors import InvalidTool, NotDone
from holdfast.reconcilers.asking import (
    Asking,
    ask_for,
    ask_for_all,
    demand_fields,
    demand_function,
    demand_plain,
    is_many,
    reconciler,
)
from holdfast.reconcilers.likeness import Difference, Fields, differences, shown, wanted_by
from holdfast.reconcilers.silence import Clock, NotFound, Silence, is_true, silence

Result: TypeAlias = Callable[[Any], Any]


def by_key(
    find: Callable[[str], Any],
    *,
    result: Result | None = None,
    lag: Duration = 0,
    kept_for: Duration | None = None,
    not_found: NotFound = (),
    clock: Clock | None = None,
) -> Reconciler:
    """Return a reconciler that looks an effect up by its idempotency key.

    One object carries it: ``Done``. None does: ``NotDone``. Several do: ``StillUnknown``, for a person.

    Args:
        find: Gets ``effect.idem_key``; returns the object that carries it, or ``None`` (or ``False``). A
            list or tuple is taken for all the objects that do. Something empty is no evidence of anything.
        result: Makes what the handler would have returned of the object found; the object itself by
            default. May return evidence instead: ``NotDone()`` for a charge that is there, but was declined.
        lag: How long the other side may hide what is there: until then, counted from when the last attempt
            may have acted at the latest, nothing found is ``StillUnknown``. 0: it never hides anything.
        kept_for: How long the other side shows what was there: from then on nothing found is
            ``StillUnknown``, too. Default: for ever.
        not_found: Exception classes, or a function of the exception, that mean ``None``.
        clock: Tells the time (aware); for tests.

    Raises:
        InvalidTool: The declaration cannot be honoured.
    """
    demand_function("by_key", "find", find)
    _demand_result("by_key", result)
    absence = silence("by_key", lag=lag, kept_for=kept_for, not_found=not_found, clock=clock)

    def ask(effect: Effect) -> Asking:
        found: Any = yield from ask_for(find, effect.idem_key, absence)
        return _carrying(found, effect, absence, result)

    return reconciler(ask)


def by_search(
    search: Callable[[Effect], Any],
    *,
    match: Mapping[str, str] | Callable[[Any, Effect], object],
    lag: Duration | None = None,
    result: Result | None = None,
    kept_for: Duration | None = None,
    not_found: NotFound = (),
    clock: Clock | None = None,
) -> Reconciler:
    """Return a reconciler that searches for what the effect should have left behind.

    One candidate matches: ``Done``. Several do: ``StillUnknown``, for a person. None does: ``NotDone`` if
    *lag* says how late a search may be, and it cannot be late any more; else ``StillUnknown``.

    Args:
        search: Gets the effect; returns the candidates, all pages of them: any iterable, plain or async.
        match: Tells which candidate is the one: paths in it with the arguments that they must equal, such as
            ``{"title": "title", "customer.id": "customer_id"}``, or a function of candidate and effect. A
            candidate that lacks a path does not match, and forbids to conclude that none does.
        lag: How long a search may miss what is there already: the worst delay of its index; counted as for
            :func:`by_key`. 0 for a search that is never behind. Default: nobody knows.
        result: As for :func:`by_key`.
        kept_for: As for :func:`by_key`.
        not_found: As for :func:`by_key`; means no candidates.
        clock: Tells the time (aware); for tests.

    Raises:
        InvalidTool: The declaration cannot be honoured, or would match everything.
    """
    demand_function("by_search", "search", search)
    demand_fields("by_search", "match", match)
    _demand_result("by_search", result)
    absence = silence("by_search", lag=lag, kept_for=kept_for, not_found=not_found, clock=clock)

    def ask(effect: Effect) -> Asking:
        candidates = yield from ask_for_all(search, effect, absence)
        if callable(match):
            ours = [each for each in candidates if is_true(match(each, effect))]
            return _only(ours, "match", effect, absence, result)
        return _alike(candidates, match, effect, absence, result)

    return reconciler(ask)


def by_reading(
    read: Callable[[Effect], Any],
    *,
    expect: Fields,
    before: Fields | None = None,
    different: Literal["still_unknown", "not_done"] = "still_unknown",
    result: Result | None = None,
    lag: Duration = 0,
    not_found: NotFound = (),
    clock: Clock | None = None,
) -> Reconciler:
    """Return a reconciler that reads a resource back and compares it with what was wanted.

    It is as expected: ``Done``. It is absent, or still as it was before: ``NotDone``. It is something else:
    ``StillUnknown``, with the paths that differ: not done, or done and then changed by somebody else.

    Args:
        read: Gets the effect; returns the resource, or ``None``.
        expect: What the resource is like once it is done: paths in it with the arguments that they must
            equal, such as ``{"spec.replicas": "replicas"}``, or a function of the effect that returns the
            resource as wanted. What is not mentioned does not count; lists must be equally long.
        before: What it is like as long as it is not done, in the same form: the version that the change is
            based on, for instance.
        different: ``"not_done"`` when nobody else writes what is expected: then any other value is proof.
        result: Makes what the handler would have returned of the resource; the resource itself by default.
        lag: How long a read may show what was there before; counted as for :func:`by_key`. 0: reads are
            never stale.
        not_found: As for :func:`by_key`; means absent.
        clock: Tells the time (aware); for tests.

    Raises:
        InvalidTool: The declaration cannot be honoured, or would fit everything.
    """
    demand_function("by_reading", "read", read)
    demand_fields("by_reading", "expect", expect)
    if before is not None:
        demand_fields("by_reading", "before", before)
    _demand_result("by_reading", result)
    if different not in {"still_unknown", "not_done"}:
        what = f"by_reading: different={different!r} is unknown"
        raise InvalidTool(what, 'use "still_unknown" or "not_done"')
    absence = silence("by_reading", lag=lag, not_found=not_found, clock=clock)

    def ask(effect: Effect) -> Asking:
        found: Any = yield from ask_for(read, effect, absence)
        if found is None:
            return absence.evidence(effect, "it is not there")
        wanted = wanted_by(expect, effect)
        if isinstance(wanted, StillUnknown):
            return wanted
        odd = differences(found, wanted)
        if not odd:
            return _done(found, result)
        if before is not None and _is_like(found, before, effect):
            return absence.evidence(effect, "it is as it was before")
        return _changed(odd, effect, absence if different == "not_done" else None)

    return reconciler(ask)


def first_of(*reconcilers: Reconciler) -> Reconciler:
    """Return a reconciler that asks one after another until one has evidence.

    The best witness comes first: its ``NotDone`` ends the search as its ``Done`` does. If none has evidence,
    their notes are joined. One that raises ends it as well; the ledger notes that.

    Raises:
        InvalidTool: None was given, or one is no function.
    """
    if not reconcilers:
        raise InvalidTool("first_of was given no reconciler", "give at least one")
    for each in reconcilers:
        demand_function("first_of", "a reconciler", each)

    def ask(effect: Effect) -> Asking:
        notes: list[str] = []
        for each in reconcilers:
            found = evidence((yield each(effect)), source="a reconciler")
            if not isinstance(found, StillUnknown):
                return found
            notes.append(found.why)
        return StillUnknown("; ".join(note for note in notes if note))

    return reconciler(ask)


def _demand_result(shape: str, result: Result | None) -> None:
    if result is not None:
        demand_plain(shape, "result", result)


def _carrying(found: Any, effect: Effect, absence: Silence, result: Result | None) -> Evidence:
    if isinstance(found, AsyncIterable):
        return StillUnknown("what was found comes one by one, by and by: return it as a list")
    carriers: list[Any] = list(found) if is_many(found) else [found]
    ours = [each for each in carriers if each is not None and each is not False]
    if not all(ours):  # an empty page, a default for "nothing": nobody can tell
        return StillUnknown("what was found is empty")
    return _only(ours, "carry this key", effect, absence, result)


def _alike(
    candidates: list[Any], match: Mapping[str, str], effect: Effect, absence: Silence, result: Result | None
) -> Evidence:
    wanted = wanted_by(match, effect)
    if isinstance(wanted, StillUnknown):
        return wanted
    compared = [(each, differences(each, wanted)) for each in candidates]
    ours = [each for each, found in compared if not found]
    blind = [path for _, found in compared for path in _blind(found)]
    if not ours and blind:
        return StillUnknown(f"no candidate matches, but some cannot be compared by {shown(blind)}")
    return _only(ours, "match", effect, absence, result)


def _is_like(found: Any, fields: Fields, effect: Effect) -> bool:
    wanted = wanted_by(fields, effect)
    return not isinstance(wanted, StillUnknown) and not differences(found, wanted)


def _changed(odd: Sequence[Difference], effect: Effect, absence: Silence | None) -> Evidence:
    """Return what it is worth that a resource is not as wanted; *absence* weighs it if it is proof."""
    told = f"{shown(each.path for each in odd)} {'differs' if len(odd) == 1 else 'differ'}"
    # What is not there at all may be an error's answer, or a misspelt path.
    if absence is not None and any(each.kind == "other" for each in odd):
        return absence.evidence(effect, told)
    return StillUnknown(f"{told}: not done, or done and changed since")


def _only(ours: Sequence[Any], how: str, effect: Effect, absence: Silence, result: Result | None) -> Evidence:
    if len(ours) > 1:
        return StillUnknown(f"{len(ours)} objects {how}")
    return _done(ours[0], result) if ours else absence.evidence(effect, "nothing was found")


def _done(found: Any, result: Result | None) -> Evidence:
    if result is None:
        return Done(found)
    told = result(found)
    if told is NotDone or isinstance(told, Done | NotDone | StillUnknown):
        return evidence(told, source="result=")
    return Done(told)


def _blind(found: Sequence[Difference]) -> list[str]:
    """Return the paths that nothing can be concluded from, unless another one tells the candidates apart."""
    return [] if any(each.kind == "other" for each in found) else [each.path for each in found]
