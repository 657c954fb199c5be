"""Work that is none passes without a sign; loops are told of, and then ended, at the step that the docs say."""

from __future__ import annotations

import pytest

from holdfast._core.loop import LoopRules
from loops.traces import LEGIT, LOOPS, fed


@pytest.mark.parametrize("name", LEGIT)
def test_work_that_gets_on_shows_no_sign(name: str) -> None:
    """COS-06: polls, pages, read-modify-write, batches, retries that succeed and conversations pass."""
    found = fed(LEGIT[name]())

    assert [signs for signs in found if signs] == []


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_told_of_and_then_ended_at_the_step_that_is_documented(name: str) -> None:
    """COS-06: two stages; the work goes on between them."""
    trace, kind, tell, stop = LOOPS[name]
    only = LoopRules(**{other: None for other in _limits() if other != kind})

    found = [[(sign.kind, sign.stage) for sign in signs] for signs in fed(trace, only)]

    last = len(trace) if stop is None else stop
    expected = [[(kind, "tell")] if tell <= n < (stop or n + 1) else [] for n in range(1, last + 1)]
    if stop is not None:
        expected[-1] = [(kind, "stop")]

    assert found == expected


@pytest.mark.parametrize("name", LOOPS)
def test_with_all_rules_on_a_loop_is_noticed_no_later(name: str) -> None:
    """COS-06: another sign may come sooner, and none keeps this one back."""
    trace, kind, tell, stop = LOOPS[name]

    found = fed(trace)

    told = next(n for n, signs in enumerate(found, 1) if signs)
    assert told <= tell
    assert stop is None or len(found) <= stop
    assert kind in {sign.kind for signs in found for sign in signs}


@pytest.mark.parametrize("name", LOOPS)
def test_what_is_turned_off_shows_no_sign(name: str) -> None:
    """COS-06: every sign has a switch of its own."""
    trace, kind, _, _ = LOOPS[name]

    found = fed(trace, LoopRules(**{kind: None}))

    assert kind not in {sign.kind for signs in found for sign in signs}


def _limits() -> list[str]:
    return [name for name in LoopRules.__dataclass_fields__ if name not in {"growth", "window"}]
