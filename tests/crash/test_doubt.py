"""What an attempt proves that did not end with a result: errors, timeouts, interrupts; per safety, on every store."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Done, NotDone, Permanent, State, StillUnknown, ToolCall
from holdfast._runtime.drive import run_sync
from holdfast.errors import EffectFailed, NotSerializable, OutcomeUnknown

CALL = ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100})
SAFETIES = ["unsafe", "idempotent", "read", "local"]


class Handler:
    """Counts its executions; *ends* says how each of them ends, the last one for ever."""

    def __init__(self, *ends: Any, desk: Any = None, takes_s: float = 0.0) -> None:
        self.ran = 0
        self._ends = ends or ("done",)
        self._desk = desk
        self._takes_s = takes_s

    def __call__(self, amount: int) -> Any:
        end = self._ends[min(self.ran, len(self._ends) - 1)]
        self.ran += 1
        if self._takes_s:
            self._desk.clock.advance(self._takes_s)
        if isinstance(end, BaseException):
            raise end
        return end


def end_of(desk: Any, handler: Any, **options: Any) -> Any:
    """What one call returns or raises, in a new process."""
    try:
        return desk.run(CALL, handler, **options)
    except BaseException as error:  # noqa: BLE001 - how it ends is what is looked at
        return error


@pytest.mark.parametrize("safety", SAFETIES)
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)], ids=["interrupt", "exit"])
def test_x5_a_handler_that_is_stopped_leaves_doubt_or_is_released(desk: Any, safety: str, stop: Any) -> None:
    """X5: unknown when it changes the world, released when it may be repeated; the stop itself goes on."""
    handler = Handler(stop, "done")

    assert end_of(desk, handler, safety=safety) is stop

    if safety == "read":
        assert run_sync(desk.ledger().effects()) == []  # it held no claim, so there is nothing to release
    else:
        assert desk.effect.state is (State.UNKNOWN if safety == "unsafe" else State.RETRYABLE)
        assert desk.effect.error.type == type(stop).__name__
    again = end_of(desk, handler, safety=safety)
    if safety == "unsafe":
        assert isinstance(again, OutcomeUnknown)
        assert handler.ran == 1
    else:
        assert (again, handler.ran) == ("done", 2)


@pytest.mark.parametrize("safety", SAFETIES)
def test_x5_a_timeout_leaves_doubt_or_is_released(desk: Any, safety: str) -> None:
    """IDE-13, IDE-16: a timeout of a write is unknown, never failed, and never tried again by itself."""
    handler = Handler("done", desk=desk, takes_s=61)

    error = end_of(desk, handler, safety=safety, timeout=60, retry=False)

    assert isinstance(error, OutcomeUnknown if safety == "unsafe" else TimeoutError)
    assert "60 s" in str(error)
    assert desk.effect.state is (State.UNKNOWN if safety == "unsafe" else State.RETRYABLE)
    handler = Handler("done")
    again = end_of(desk, handler, safety=safety, timeout=60, retry=False)
    assert (handler.ran, isinstance(again, OutcomeUnknown)) == (
        (0, True) if safety == "unsafe" else (1, False)
    )


@pytest.mark.parametrize("safety", SAFETIES)
@pytest.mark.parametrize(
    ("error", "states"),
    [
        (NotDone("declined"), dict.fromkeys(SAFETIES, State.RETRYABLE)),
        (
            Permanent("closed"),
            {**dict.fromkeys(SAFETIES, State.FAILED), "read": State.RETRYABLE},
        ),
        (RuntimeError("odd"), {**dict.fromkeys(SAFETIES, State.RETRYABLE), "unsafe": State.UNKNOWN}),
    ],
    ids=["not-done", "permanent", "odd"],
)
def test_an_error_is_read_as_what_it_proves(
    desk: Any, safety: str, error: Exception, states: dict[str, State]
) -> None:
    """IDE-21, IDE-24, C8: the first caller sees its own exception, with a note; the state says the rest."""
    handler = Handler(error, "done")

    assert end_of(desk, handler, safety=safety) is error

    assert desk.effect.state is states[safety]
    assert desk.effect.error.type == type(error).__name__
    again = end_of(desk, handler, safety=safety)
    if states[safety] is State.RETRYABLE:
        assert (again, handler.ran) == ("done", 2)
    else:
        assert isinstance(again, EffectFailed | OutcomeUnknown)
        assert handler.ran == 1


def test_a_permanent_failure_is_replayed_with_its_attempts(desk: Any) -> None:
    """IDE-21."""
    handler = Handler(NotDone("later"), Permanent("no such card"))
    end_of(desk, handler)
    end_of(desk, handler)

    error = end_of(desk, handler)

    assert isinstance(error, EffectFailed)
    assert (error.error_type, error.error_message, error.state) == ("Permanent", "no such card", "failed")
    assert [(a.number, a.outcome, a.error) for a in error.attempts] == [
        (1, "retryable", "NotDone"),
        (2, "failed", "Permanent"),
    ]
    assert handler.ran == 2


@pytest.mark.parametrize(
    ("evidence", "state", "ran"),
    [
        (Done({"id": "ch_1"}), State.SUCCEEDED, 1),
        (NotDone(), State.RETRYABLE, 2),
        (StillUnknown("no"), State.UNKNOWN, 1),
        (None, State.UNKNOWN, 1),
        ("nonsense", State.UNKNOWN, 1),
    ],
    ids=["done", "not-done", "still-unknown", "nothing", "nonsense"],
)
def test_a_classifier_reads_evidence_from_an_error(desk: Any, evidence: Any, state: State, ran: int) -> None:
    handler = Handler(RuntimeError("409 already charged"), "done")

    end = end_of(desk, handler, classify=lambda error: evidence)

    assert desk.effect.state is state
    assert (end == {"id": "ch_1"}) == (state is State.SUCCEEDED)
    end_of(desk, handler, classify=lambda error: evidence)
    assert handler.ran == ran


def test_a_classifier_that_raises_is_no_evidence(desk: Any) -> None:
    def broken(error: Exception) -> Any:
        raise KeyError

    error = RuntimeError("odd")

    assert end_of(desk, Handler(error), classify=broken) is error
    assert desk.effect.state is State.UNKNOWN


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
@pytest.mark.parametrize(
    ("result", "where"),
    [({"a": [1, {2}]}, "$.a[1]"), (float("nan"), "$"), ({"x": "y" * 5_000_000}, "$")],
    ids=["a-set", "nan", "too-large"],
)
def test_x6_a_result_that_cannot_be_kept_is_a_gap_never_a_failure(
    desk: Any, safety: str, result: Any, where: str
) -> None:
    """X6: it happened; so it is succeeded, without its result, and never runs again."""
    handler = Handler(result)

    first = end_of(desk, handler, safety=safety)
    again = end_of(desk, handler, safety=safety)

    assert isinstance(first, NotSerializable)
    assert first.result is result  # its own process still has it
    assert first.path == where
    assert str(again) == str(first)
    assert (type(again), again.key, again.result) == (NotSerializable, desk.effect.key, None)
    assert (desk.effect.state, desk.effect.result, handler.ran) == (State.SUCCEEDED, None, 1)
    assert desk.effect.result_gap.startswith(where)
    assert desk.events == ["claim", "succeed"]


def test_x6_a_reads_unkeepable_result_says_so_every_time(desk: Any) -> None:
    handler = Handler({1, 2})

    ends = [end_of(desk, handler, safety="read") for _ in range(2)]

    assert [type(end) for end in ends] == [NotSerializable] * 2
    assert handler.ran == 2
    assert desk.effect.state is State.SUCCEEDED


def test_a_late_result_settles_doubt(desk: Any) -> None:
    """I2, IDE-15: the handler outlives its timeout; what it brings in the end is evidence."""
    end_of(desk, Handler({"id": "ch_1"}, desk=desk, takes_s=61), timeout=60)
    assert desk.effect.state is State.UNKNOWN

    [came] = [run_sync(runtime.deliver_late()) for runtime in desk.runtimes if runtime.has_late]

    assert came == 1
    assert (desk.effect.state, desk.effect.result) == (State.SUCCEEDED, {"id": "ch_1"})
    assert desk.events == ["claim", "doubt", "resolve_done"]
    assert desk.run(CALL, Handler("again"), timeout=60) == {"id": "ch_1"}


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (NotDone("declined"), ["claim", "doubt", "resolve_not_done"]),
        (Permanent("no"), ["claim", "doubt", "resolve_not_done"]),
        (ConnectionError("reset"), ["claim", "doubt", "note"]),
    ],
    ids=["not-done", "permanent", "odd"],
)
def test_a_late_error_is_worth_what_it_proves(desk: Any, error: Exception, events: list[str]) -> None:
    end_of(desk, Handler(error, desk=desk, takes_s=61), timeout=60)

    for runtime in desk.runtimes:
        run_sync(runtime.deliver_late())

    assert desk.events == events
    assert desk.effect.state is (State.UNKNOWN if events[-1] == "note" else State.RETRYABLE)


def test_a_late_result_over_a_successors_record_is_kept_as_a_note(desk: Any) -> None:
    """I3: an idempotent effect was released by the timeout and done again; the record stands."""
    end_of(desk, Handler("old", desk=desk, takes_s=61), timeout=60, safety="idempotent", retry=False)
    assert desk.run(CALL, Handler("new"), timeout=60, safety="idempotent") == "new"

    for runtime in desk.runtimes:
        run_sync(runtime.deliver_late())

    assert desk.effect.result == "new"
    assert desk.events == ["claim", "release", "claim", "succeed", "note"]
    assert desk.story[-1].details["late_result"] == "old"


def test_a_late_not_done_does_not_speak_for_another_attempt(desk: Any) -> None:
    """I2: the first attempt says "not done" when the second one may have acted: of that it proves nothing."""
    first = Handler(NotDone("late"), desk=desk, takes_s=61)
    end_of(desk, first, timeout=60, safety="idempotent", retry=False)
    end_of(desk, Handler(SystemExit()), timeout=60, safety="idempotent", retry=False)
    assert desk.effect.uncertain

    for runtime in desk.runtimes:
        run_sync(runtime.deliver_late())

    assert (desk.effect.state, desk.effect.uncertain) == (State.RETRYABLE, True)
    assert desk.events == ["claim", "release", "claim", "release", "note"]


def test_what_was_harmless_to_repeat_and_is_not_any_more_is_doubt(desk: Any) -> None:
    """I1: the author tightened the tool after an attempt that may have acted."""
    end_of(desk, Handler(ConnectionResetError()), safety="idempotent", retry=False)
    handler = Handler("done")

    error = end_of(desk, handler, safety="unsafe")

    assert isinstance(error, OutcomeUnknown)
    assert handler.ran == 0
