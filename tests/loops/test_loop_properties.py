"""For any turns: the same ones show the same signs, little is remembered, and nobody is ended untold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast._core.loop import LoopRules, LoopSign, Observed, ObservedTurn
from holdfast._core.loop_signs import MOST_SIGNS, Watch
from holdfast._core.loop_window import MOST_CALLS
from holdfast._core.pattern import Poll, Spawn
from holdfast._core.states import Safety

CALLS = st.builds(
    Observed,
    tool=st.sampled_from(["a", "b"]),
    args=st.sampled_from(["1", "2"]),
    answer=st.sampled_from(["x", "x", "x", "y"]),
    is_error=st.sampled_from([False, False, True]),
    safety=st.sampled_from([Safety.READ, Safety.UNSAFE]),
    pattern=st.sampled_from([None, None, Poll(every=10), Spawn()]),
    at_s=st.one_of(st.none(), st.integers(0, 100).map(float)),
)
TURNS = st.builds(
    ObservedTurn,
    calls=st.lists(CALLS, max_size=3).map(tuple),
    tokens=st.one_of(st.none(), st.integers(1, 10_000)),
    has_other_news=st.sampled_from([False] * 9 + [True]),
)
# Loops are rare among random turns: a short trace is gone through again and again.
TRACES = st.builds(
    lambda some, times: some * times, st.lists(TURNS, min_size=1, max_size=4), st.integers(1, 10)
)
RULES = st.sampled_from([LoopRules(window=30), LoopRules(window=30, identical_result=None)])


def all_signs(rules: LoopRules, trace: list[ObservedTurn]) -> tuple[list[tuple[LoopSign, ...]], Watch]:
    """Feed a whole trace, whatever it shows."""
    watch, found = Watch(rules=rules), list[tuple[LoopSign, ...]]()
    for turn in trace:
        found.append(watch.signs(turn))
        watch = watch.after(turn, found[-1])
    return found, watch


@given(RULES, TRACES)
def test_the_same_turns_show_the_same_signs(rules: LoopRules, trace: list[ObservedTurn]) -> None:
    """COS-06: asking twice changes nothing, and a second life that is fed the same comes to the same."""
    watch = Watch(rules=rules)
    again, last = all_signs(rules, trace)

    for turn, signs in zip(trace, again, strict=True):
        assert watch.signs(turn) == watch.signs(turn) == signs
        watch = watch.after(turn, signs)

    assert watch == last


@given(RULES, TRACES)
def test_little_is_remembered_however_long_it_goes_on(rules: LoopRules, trace: list[ObservedTurn]) -> None:
    """COS-06: a ring of turns, of calls in a turn, and of signs."""
    found, watch = all_signs(rules, trace)

    assert len(watch.window) == min(len(trace), rules.window)
    assert all(len(seen.calls) <= MOST_CALLS and len(seen.told) <= MOST_SIGNS for seen in watch.window)
    assert all(len(signs) <= MOST_SIGNS for signs in found)


@given(RULES, TRACES)
def test_what_is_older_than_the_window_does_not_count(rules: LoopRules, trace: list[ObservedTurn]) -> None:
    """COS-06: the last turns alone show the same, agents begun aside."""
    far = [ObservedTurn(calls=(Observed(tool="far", args=str(n), answer=""),)) for n in range(3)]
    near = (trace * rules.window)[: rules.window]

    def judged(turns: list[ObservedTurn]) -> tuple[LoopSign, ...]:
        """As if nobody had been told: the window is all that counts."""
        watch = Watch(rules=rules)
        for turn in turns[:-1]:
            watch = watch.after(turn, ())
        return tuple(
            sign for sign in watch.signs(turns[-1]) if sign.kind not in {"fan_out", "context_growth"}
        )

    assert judged([*far, *near, near[0]]) == judged([*near, near[0]])


@given(RULES, TRACES)
def test_nobody_is_ended_who_was_not_told(rules: LoopRules, trace: list[ObservedTurn]) -> None:
    """COS-06: an end is the second sign of its kind and subject, at least."""
    told: set[tuple[str, str]] = set()

    for signs in all_signs(rules, trace)[0]:
        assert all((sign.kind, sign.subject) in told for sign in signs if sign.stage == "stop")
        told |= {(sign.kind, sign.subject) for sign in signs}


@given(RULES, TRACES, st.integers(1, 10))
def test_a_sign_stays_while_nothing_new_happens(
    rules: LoopRules, trace: list[ObservedTurn], more: int
) -> None:
    """COS-06: the same look on end only counts up, until it ends."""
    look = ObservedTurn(calls=(Observed(tool="z", args="", answer="", safety=Safety.READ),))
    turns = [*trace, *[look] * (more + 5)]

    counts = [
        sign.count
        for signs in all_signs(rules, turns)[0][len(trace) :]
        for sign in signs
        if sign.kind == "identical_result" and sign.subject.startswith("z")
    ]

    expected = [] if rules.identical_result is None else list(range(3, more + 6))
    assert counts == expected


@given(RULES, st.lists(st.lists(st.sampled_from("abc"), max_size=3), max_size=40))
def test_turns_that_all_bring_news_show_no_sign(rules: LoopRules, tools: list[list[str]]) -> None:
    """COS-06: calls that were never made before are no loop, however alike they are."""
    trace = [
        ObservedTurn(
            calls=tuple(
                Observed(tool=tool, args=f"{n}.{at}", answer="ok", safety=Safety.READ)
                for at, tool in enumerate(some)
            ),
            tokens=1000 * (n + 1),
        )
        for n, some in enumerate(tools)
    ]

    assert [signs for signs in all_signs(rules, trace)[0] if signs] == []
