"""What counts as news, as a period, as hurry; and when the work may be ended."""

from __future__ import annotations

import pickle

import pytest

from holdfast._core.loop import LoopLimit, LoopRules, LoopSign, ObservedTurn, sign_as_json, sign_of_json
from holdfast._core.loop_signs import MOST_SIGNS, Watch
from holdfast._core.loop_window import MOST_CALLS
from holdfast._core.pattern import Poll, progress_of
from holdfast.errors import InvalidTool
from loops.traces import down, fails, fed, poll, read, spawn, turn, turns, write


def kinds(signs: tuple[LoopSign, ...]) -> set[str]:
    """The kinds of signs."""
    return {sign.kind for sign in signs}


def test_an_answer_that_changes_starts_the_count_again() -> None:
    """COS-06: what has moved since the last look is progress."""
    found = fed(turns(read("a", "", 1), read("a", "", 1), read("a", "", 2), read("a", "", 2)))

    assert found == [(), (), (), ()]


def test_a_new_change_in_between_starts_the_count_again() -> None:
    """COS-06: read, write, read is no loop although both reads are equal."""
    found = fed(turns(read("a"), read("a"), write("b"), read("a"), read("a")))

    assert found == [()] * 5


def test_a_change_that_was_made_before_is_no_news() -> None:
    """COS-06: it is answered from the record, so nothing has moved."""
    found = fed(turns(read("a"), write("b"), read("a"), write("b"), read("a"), write("b"), read("a")))

    assert kinds(found[3]) == {"ping_pong"}


def test_news_from_elsewhere_starts_the_count_again() -> None:
    """COS-06: a signal, or what a person says."""
    found = fed([turn(read("a")), turn(read("a")), turn(read("b", 7), news=True), turn(read("a"))])

    assert found == [()] * 4


def test_an_error_is_news_once_for_each_way_to_fail() -> None:
    """COS-06: other arguments that fail in the same way tell nothing new; another error does."""
    found = fed(turns(*(fails("q", n, "syntax") for n in range(3)), fails("q", 9, "timeout"), fails("q", 10)))

    assert found == [()] * 5


def test_calls_of_one_turn_fail_as_one() -> None:
    """COS-06: they did not know of each other."""
    found = fed([turn(*(fails("fetch", n, "404") for n in range(30)))])

    assert found == [()]


def test_a_tool_that_also_succeeds_is_not_stuck() -> None:
    """COS-06."""
    mixed = [turn(fails("fetch", n, "404"), read("fetch", f"ok {n % 2}")) for n in range(8)]

    assert "same_error" not in {kind for signs in fed(mixed) for kind in kinds(signs)}


def test_a_system_that_answers_again_starts_the_count_again() -> None:
    """COS-07: three turns, then an answer; what comes later is counted anew."""
    found = fed(turns(*(down("charge", n) for n in range(3)), write("charge", 3), down("charge", 4)))

    told = [[(sign.count, sign.stage) for sign in signs if sign.kind == "dependency_open"] for signs in found]
    assert told == [[(1, "tell")], [(2, "tell")], [(3, "tell")], [], [(1, "tell")]]


def test_systems_that_are_down_are_counted_each_by_itself() -> None:
    """COS-07."""
    found = fed([turn(down("charge", n, "stripe"), down("mail", n, "postmark")) for n in range(3)])

    assert [sorted(sign.subject for sign in signs) for signs in found] == [["postmark", "stripe"]] * 3


def test_the_work_is_not_ended_before_the_model_was_told() -> None:
    """COS-06: a count that jumps over both limits in one turn is told first."""
    trace = [turn(*(spawn(n) for n in range(30))), turn(spawn(31))]

    (told,), (ended,) = fed(trace)

    assert (told.stage, told.count) == ("tell", 30)
    assert (ended.stage, ended.count) == ("stop", 31)


def test_a_rule_may_end_the_work_untold() -> None:
    """COS-06: who says tell=None wants that."""
    (ended,) = fed([turn(*(spawn(n) for n in range(30)))], LoopRules(fan_out=LoopLimit(None, 16)))[0]

    assert ended.stage == "stop"


def test_a_rule_may_only_tell() -> None:
    """COS-06."""
    only_tell = LoopRules(identical_result=LoopLimit(3), no_progress=None)

    found = fed(turns(*[read("a")] * 30), only_tell)

    assert {sign.stage for signs in found for sign in signs} == {"tell"}


def test_an_agent_that_is_begun_again_with_the_same_task_is_the_same_one() -> None:
    """COS-06: the second call is answered from the record."""
    found = fed([turn(spawn(1), spawn(1)), turn(spawn(1)), turn(*(spawn(n) for n in range(8)))])

    assert [sign.count for sign in found[2] if sign.kind == "fan_out"] == [8]


def test_a_poll_that_hurries_is_judged_as_any_call() -> None:
    """COS-06: its patience is for looks that keep the declared pace."""
    looks = [poll("build", "running", at_s=at, every="30s") for at in (0, 30, 31, 32, 33)]

    found = fed(turns(*looks))

    assert [kinds(signs) for signs in found] == [set(), set(), set(), set(), {"identical_result"}]


def test_a_poll_whose_times_nobody_knows_counts_as_patient() -> None:
    """COS-06."""
    found = fed(turns(*[poll("build", "running", every="30s")] * 9))

    assert found == [()] * 9


@pytest.mark.parametrize(
    ("rule", "result", "progress"),
    [
        ("status", {"status": "running", "at": 1}, "running"),
        ("job.state", {"job": {"state": 3}}, 3),
        (lambda result: result["n"] // 10, {"n": 57}, 5),
        ("status", ["another", "shape"], ["another", "shape"]),
        (None, {"at": 1}, {"at": 1}),
    ],
)
def test_a_poll_says_what_of_its_results_is_progress(rule, result, progress) -> None:
    """COS-06: a time in a result is none."""
    assert progress_of(Poll(progress=rule), result) == progress


def test_evidence_names_the_tool_and_the_count_and_nothing_else() -> None:
    """COS-06: no arguments, no results; a hostile name is shown quoted and short."""
    hostile = "x\n" + "y" * 500
    found = fed(turns(*[read(hostile, "secret-1", "secret-2")] * 3))

    (sign,) = found[2]
    assert "3 times" in sign.evidence
    assert "secret" not in sign.evidence
    assert "\n" not in sign.evidence
    assert len(sign.evidence) < 500


def test_signs_go_on_record_and_come_back() -> None:
    """COS-06: whoever goes on after a crash reads them there."""
    (sign,) = fed(turns(*[read("a")] * 3))[2]

    assert sign_of_json(sign_as_json(sign)) == sign


def test_of_many_signs_those_that_end_the_work_come_first() -> None:
    """COS-06: and no more are told than a model can read."""
    many = [turn(*(read(f"tool-{n}") for n in range(50))) for _ in range(5)]

    found = fed(many)

    assert [len(signs) for signs in found] == [0, 0, MOST_SIGNS, MOST_SIGNS, MOST_SIGNS]
    assert found[-1][0].stage == "stop"


def test_of_an_endless_turn_only_so_much_is_remembered() -> None:
    """COS-06."""
    endless = turn(*(read("look", n) for n in range(10_000)))

    watch = Watch(rules=LoopRules()).after(endless, ())

    assert len(watch.window[0].calls) == MOST_CALLS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LoopLimit(0, 3), "tell=0"),
        (lambda: LoopLimit(True, 3), "tell=True"),
        (lambda: LoopLimit(3, 3), "before the model can react"),
        (lambda: LoopLimit(3, 2.5), "stop=2.5"),
        (lambda: LoopRules(window=0), "window=0"),
        (lambda: LoopRules(window=10**6), "window=1000000"),
        (lambda: LoopRules(growth=1), "growth=1"),
        (lambda: LoopRules(growth=True), "growth=True"),
        (lambda: LoopRules(no_progress=3), "no_progress is int"),
        (lambda: LoopRules(ping_pong=LoopLimit(2, 20)), "ping_pong asks for 80 turns"),
        (lambda: LoopRules(window=4), "turns, and window=4"),
        (lambda: Poll(progress=3), "Poll.progress is int"),
        (lambda: Poll(progress=""), "Poll.progress is str"),
        (lambda: Poll(every=0), "Poll.every=0"),
    ],
)
def test_rules_that_cannot_hold_are_refused_when_they_are_made(make, message: str) -> None:
    """COS-06."""
    with pytest.raises(InvalidTool, match=message):
        make()


def test_rules_and_polls_are_values() -> None:
    """COS-06: compared, pickled, and never changed."""
    assert pickle.loads(pickle.dumps(LoopRules())) == LoopRules()
    assert Poll(every="30s") == Poll(every=30)
    assert LoopRules().limit("identical_result") == LoopLimit(3, 5)
    assert ObservedTurn() == ObservedTurn(calls=())


def test_every_new_way_to_fail_is_news_for_each_tool() -> None:
    """COS-06: one tool in ten ways, and ten tools in one way."""
    ways = turns(*(fails("q", n, f"error {n}") for n in range(10)))
    tools = turns(*(fails(f"tool-{n}", "", "timeout") for n in range(10)))

    assert fed(ways) == fed(tools) == [()] * 10


def test_turns_in_which_somebody_answered_are_no_going_back_and_forth() -> None:
    """COS-06: the calls are as before, and what was said is not."""
    trace = [turn(read("a"), news=True), turn(read("b"), news=True)] * 4

    assert fed(trace) == [()] * 8


def test_an_answer_in_between_that_was_another_one_does_not_count() -> None:
    """COS-06: it failed, it worked, it failed twice: that is two."""
    call = [fails("a"), read("a", "", "x"), fails("a"), fails("a")]

    assert fed(turns(*call)) == [()] * 4


def test_a_poll_that_finds_its_pace_again_is_not_told_to_hurry_less() -> None:
    """COS-06: what it did before it was told is over."""
    looks = [poll("build", "running", at_s=at, every="30s") for at in (0, 1, 2, 3, 60)]

    found = fed(turns(*looks))

    assert [kinds(signs) for signs in found] == [set(), set(), set(), {"identical_result"}, set()]
