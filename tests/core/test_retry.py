"""When a failed attempt is tried again, and after how long: the table, the waits, the jitter."""

from __future__ import annotations

import random
from datetime import timedelta
from email.utils import format_datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tried import LAST, NOW, Answer, PaymentDeclined, attempts, caps_s, decided

from holdfast import NotDone, RetryPolicy
from holdfast._core.contract import Contract
from holdfast._core.decide import Fallen, on_error
from holdfast._core.fault import Cause, Fault, FaultKind
from holdfast._core.retry import MOST_ATTEMPTS, TABLE, Again, GiveUp, jittered
from holdfast._core.states import Event
from holdfast._runtime.dependencies import draw
from holdfast.errors import InvalidTool, OutcomeUnknown
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeRuntime, sync_ledger_on

DRAWS: Final = 10_000


def distance(values: list[float], low: float, high: float) -> float:
    """The Kolmogorov-Smirnov distance of *values* from the uniform distribution between *low* and *high*."""
    n = len(values)
    shares = [min(max((value - low) / (high - low), 0.0), 1.0) for value in sorted(values)]
    return max(max((rank + 1) / n - share, share - rank / n) for rank, share in enumerate(shares))


def is_uniform(values: list[float], low: float, high: float) -> bool:
    """Whether *values* may be drawn so; of good draws, one set in a thousand is refused."""
    return (
        low <= min(values) and max(values) <= high and distance(values, low, high) < 1.95 / len(values) ** 0.5
    )


def drawn_delays(policy: RetryPolicy, cap_s: float, *, previous_s: float = 0.0, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [jittered(policy, cap_s, draw=chance.random(), previous_s=previous_s) for _ in range(DRAWS)]


@pytest.mark.parametrize("cap_s", [0.001, 1.0, 5.0, 30.0, 3600.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_full_jitter_is_uniform_from_zero_to_the_cap(cap_s: float, seed: int) -> None:
    """RET-02: and it is the default."""
    delays = drawn_delays(RetryPolicy(), cap_s, seed=seed)

    assert is_uniform(delays, 0.0, cap_s)
    assert RetryPolicy().jitter == "full"


@pytest.mark.parametrize("cap_s", [1.0, 30.0])
def test_equal_jitter_is_uniform_over_the_upper_half(cap_s: float) -> None:
    """RET-02."""
    delays = drawn_delays(RetryPolicy(jitter="equal"), cap_s)

    assert is_uniform(delays, cap_s / 2, cap_s)
    assert not is_uniform(delays, 0.0, cap_s)


def test_decorrelated_jitter_is_uniform_from_the_base_to_three_times_the_delay_before() -> None:
    """RET-02."""
    policy = RetryPolicy(jitter="decorrelated", initial_interval=1, maximum_interval=30)

    assert is_uniform(drawn_delays(policy, 30.0), 1.0, 3.0)
    assert is_uniform(drawn_delays(policy, 30.0, previous_s=4.0), 1.0, 12.0)


@pytest.mark.parametrize(
    ("policy", "cap_s", "base_s", "most_s"),
    [
        (RetryPolicy(jitter="decorrelated", initial_interval=2, maximum_interval=20), 20.0, 2.0, 20.0),
        (RetryPolicy(jitter="decorrelated", initial_interval=2), 200.0, 2.0, 200.0),
        (RetryPolicy(jitter="decorrelated"), 5.0, 1.0, 30.0),
    ],
)
def test_decorrelated_delays_stay_between_the_base_and_the_cap_however_long_it_goes_on(
    policy: RetryPolicy, cap_s: float, base_s: float, most_s: float
) -> None:
    """RET-02."""
    chance, previous_s, reached_s = random.Random(4), 0.0, 0.0
    for _ in range(DRAWS):
        delay_s = jittered(policy, cap_s, draw=chance.random(), previous_s=previous_s)
        assert base_s <= delay_s <= min(most_s, 3 * (previous_s or base_s))
        previous_s, reached_s = delay_s, max(reached_s, delay_s)

    assert reached_s == most_s


def test_what_ledgers_draw_is_uniform() -> None:
    """RET-02: the draw comes from the runtime's random bytes; here these only count up."""
    parts = sync_ledger_on(MemoryStore(is_test=True), FakeRuntime())._engine.parts

    assert is_uniform([draw(parts) for _ in range(DRAWS)], 0.0, LAST)


def test_the_test_of_uniformity_notices_what_is_not_uniform() -> None:
    """A cap that is a twentieth too low, a square, a lump at the end."""
    chance = random.Random(5)
    draws = [chance.random() for _ in range(DRAWS)]

    assert is_uniform(draws, 0.0, 1.0)
    assert not is_uniform([each * 0.95 for each in draws], 0.0, 1.0)
    assert not is_uniform([each**2 for each in draws], 0.0, 1.0)
    assert not is_uniform([min(each, 0.95) for each in draws], 0.0, 1.0)
    assert not is_uniform([each * 1.001 for each in draws], 0.0, 1.0)


def test_a_thousand_clients_wait_twice_as_long_each_time_and_each_its_own_time() -> None:
    """RET-01: means grow by two until the cap, and hardly two delays are equal."""
    policy = RetryPolicy(initial_interval=1, maximum_interval=8, maximum_attempts=7)
    chance, delays = random.Random(6), list[list[float]]()
    for attempt in range(1, 7):
        decisions = [
            decided(TimeoutError(), policy, attempt=attempt, drawn=chance.random()) for _ in range(1000)
        ]
        delays.append([each.delay_s for each in decisions if isinstance(each, Again)])

    means = [sum(each) / len(each) for each in delays]
    assert means == pytest.approx([0.5, 1.0, 2.0, 4.0, 4.0, 4.0], rel=0.1)
    assert all(len(set(each)) > 990 for each in delays)


REFUSED = [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 422, 431, 451, 501, 505]
PASSING = [408, 425, 500, 502, 503, 504]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((Answer(status), (1, "refused")) for status in REFUSED),
        *((Answer(status), (4, "spent")) for status in PASSING),
        (Answer(429), (5, "spent")),
        (TimeoutError(), (4, "spent")),
        (ConnectionRefusedError(), (4, "spent")),
        (ConnectionResetError(), (4, "spent")),
        (BrokenPipeError(), (4, "spent")),
        (ValueError("odd"), (1, "unrecognised")),
        (PaymentDeclined(), (1, "unrecognised")),
        (OutcomeUnknown("v1:0", "another effect's"), (1, "refused")),
    ],
    ids=repr,
)
def test_each_kind_of_error_gets_the_attempts_of_the_table(
    error: BaseException, expected: tuple[int, str]
) -> None:
    """RET-03, RET-04, RET-05, RET-06, RET-08: what passes is tried again, what was refused is not."""
    assert attempts(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), [1.0, 5.0, 30.0]),
        (Answer(503), [1.0, 5.0, 30.0]),
        (Answer(408), [1.0, 5.0, 30.0]),
        (Answer(425), [1.0, 5.0, 30.0]),
        (Answer(429), [1.0, 5.0, 30.0, 30.0]),
    ],
    ids=repr,
)
def test_the_delays_of_the_table_are_drawn_below_1_5_and_30_seconds(
    error: BaseException, expected: list[float]
) -> None:
    """RET-04, RET-06: and from nothing on."""
    assert caps_s(error) == expected
    assert all(decided(error, attempt=n + 1, drawn=0.0) == Again(0.0) for n in range(len(expected)))


def test_a_conflict_is_tried_again_only_by_a_policy_of_the_authors() -> None:
    """RET-08: and later calls respect what was asked for with it."""
    conflict = Answer(409, retry_after="7")

    assert decided(conflict) == GiveUp("refused", 7.0)
    assert decided(conflict, RetryPolicy(jitter="equal"), is_declared=True) == GiveUp("refused", 7.0)
    assert attempts(Answer(409), RetryPolicy(maximum_attempts=3), is_declared=True) == (3, "spent")


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize("cause", Cause)
def test_every_verdict_has_its_number_of_attempts(kind: FaultKind, cause: Cause) -> None:
    """RET-03: by what was refused for good, and else by where it comes from."""
    fault = Fault(kind=kind, cause=cause, may_have_acted=True, why="a test")
    expected = 1 + len(TABLE.get(cause, TABLE[Cause.NETWORK]))
    if cause is Cause.CODE or kind in {FaultKind.PERMANENT, FaultKind.AUTH, FaultKind.SCHEMA}:
        expected = 1

    assert attempts(Exception(), fault=fault)[0] == expected


@pytest.mark.parametrize("drawn", [0.0, 0.25, LAST])
@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
@pytest.mark.parametrize("asked", ["2", format_datetime(NOW + timedelta(seconds=2), usegmt=True)])
def test_what_was_told_to_wait_waits_at_least_so_long(drawn: float, attempt: int, asked: str) -> None:
    """RET-05: told in seconds or by a date; and not all who were told the same come at the same moment."""
    decision = decided(Answer(429, retry_after=asked), attempt=attempt, drawn=drawn)

    assert isinstance(decision, Again)
    spread_s = min([1.0, 5.0, 30.0, 30.0][attempt - 1], 2.0)
    assert decision.delay_s == pytest.approx(2.0 + drawn * spread_s)
    assert decision.delay_s >= 2.0


def test_a_503_that_names_a_time_is_heard_as_well() -> None:
    """RET-05, RET-06: but gets no more attempts for that."""
    busy = Answer(503, retry_after="7")

    assert decided(busy, drawn=0.0) == Again(7.0)
    assert attempts(busy) == (4, "spent")


def test_nobody_is_told_to_come_at_once_by_all() -> None:
    """RET-05, RET-01: ``Retry-After: 0`` still has jitter."""
    assert decided(Answer(429, retry_after="0"), drawn=0.75) == Again(0.75)


def test_more_patience_than_callers_have_is_left_to_a_later_call() -> None:
    """RET-05: the moment is kept, nobody waits for it here."""
    hour = Answer(429, retry_after="3600")

    assert decided(hour, drawn=0.0) == GiveUp("later", 3600.0)
    assert decided(hour, RetryPolicy(longest_wait="2h"), drawn=0.0) == Again(3600.0)
    assert decided(Answer(429, retry_after="60"), drawn=0.0) == Again(60.0)


@pytest.mark.parametrize(
    ("elapsed_s", "drawn", "expected"),
    [
        (0.0, 0.5, Again(2.5)),
        (0.4, 0.5, Again(2.5)),
        (0.5, 0.5, GiveUp("spent")),
        (0.5, 0.1, Again(0.5)),
        (3.0, 0.0, GiveUp("spent")),
        (100.0, 0.0, GiveUp("spent")),
    ],
)
def test_no_attempt_starts_at_the_deadline_or_after_it(
    elapsed_s: float, drawn: float, expected: Again | GiveUp
) -> None:
    """RET-13: counted from when the effect was made, with the delay that would come first."""
    decision = decided(TimeoutError(), RetryPolicy(deadline=3), attempt=2, elapsed_s=elapsed_s, drawn=drawn)

    assert decision == expected


@given(
    elapsed_s=st.floats(0, 100), drawn=st.floats(0, LAST), attempt=st.integers(1, 5), asked=st.integers(0, 50)
)
def test_whoever_is_told_to_wait_the_next_attempt_is_in_time(
    elapsed_s: float, drawn: float, attempt: int, asked: int
) -> None:
    """RET-13, RET-05."""
    policy = RetryPolicy(deadline=20, longest_wait=10)
    error = Answer(429, retry_after=str(asked))

    decision = decided(error, policy, attempt=attempt, elapsed_s=elapsed_s, drawn=drawn)

    if isinstance(decision, Again):
        assert asked <= decision.delay_s <= 10
        assert elapsed_s + decision.delay_s < 20
        assert attempt < MOST_ATTEMPTS


def test_retries_that_are_off_are_off() -> None:
    """RET-13: ``retry=False``, whatever the error."""
    assert attempts(TimeoutError(), None) == (1, "off")
    assert attempts(Answer(429, retry_after="1"), None) == (1, "off")


@given(
    jitter=st.sampled_from(["full", "equal", "decorrelated"]),
    cap_s=st.floats(0.001, 3600),
    drawn=st.floats(0, LAST),
    previous_s=st.floats(0, 3600),
)
def test_no_draw_is_negative_or_beyond_its_cap(
    jitter: Any, cap_s: float, drawn: float, previous_s: float
) -> None:
    """RET-02: of a policy of one's own, with any jitter."""
    policy = RetryPolicy(jitter=jitter, initial_interval=min(0.5, cap_s), maximum_interval=cap_s)

    assert 0 <= jittered(policy, cap_s, draw=drawn, previous_s=previous_s) <= cap_s


@pytest.mark.parametrize(
    "given",
    [
        {"longest_wait": None},
        {"jitter": []},
        {"non_retryable_error_types": None},
        {"stop_on_auth": "no"},
        {"backoff_coefficient": True},
        {"initial_interval": 2, "maximum_interval": 1},
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_meant_is_refused_when_it_is_made(given: Any) -> None:
    """RET-02: not after the handler has run."""
    with pytest.raises(InvalidTool, match="RetryPolicy"):
        RetryPolicy(**given)


def test_errors_that_are_never_tried_again_may_come_from_any_iterable() -> None:
    """RET-13: a generator is read once."""
    policy = RetryPolicy(non_retryable_error_types=(kind for kind in (KeyError, "OSError")))  # type: ignore[arg-type]

    assert all(policy.forbids(error) for error in (KeyError(), OSError(), ConnectionError()))
    assert not policy.forbids(ValueError())


class Liar(Exception):
    """Says that it is of another class."""

    @property
    def __class__(self) -> Any:
        return NotDone


class Silent(Exception):
    """Cannot be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("kind", [Liar, Silent])
def test_an_error_is_what_its_class_says_and_nothing_else(kind: type[Exception]) -> None:
    """I1: it is no word that nothing was done, and never an error of ours."""
    policy = RetryPolicy(non_retryable_error_types=[KeyError])
    fallen = on_error(kind(), Contract(retry=policy, is_retry_declared=True), NOW)

    assert isinstance(fallen, Fallen)
    assert fallen.event is Event.DOUBT
