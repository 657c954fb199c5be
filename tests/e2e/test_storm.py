"""A minute of outage under two hundred workflows: it neither draws a storm of retries nor is followed by another.

The simulation is that of ``bench/storm``, smaller: the library's own ledgers, retry loop, breaker and budget on a
virtual clock. The naive retries beside it show that the same storm hurts whoever is careless.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SEEDS = (1, 2)


@functools.cache
def bench() -> Any:
    """The module ``bench/storm/model.py``, by a name of its own."""
    path = Path(__file__).parents[2] / "bench/storm/model.py"
    spec = importlib.util.spec_from_file_location("bench_storm_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their own module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@functools.cache
def outcome(strategy: str, seed: int) -> Any:
    """What came of the storm; played once for all tests of this file."""
    storm = bench().Storm(
        workflows=200,
        calls=5,
        arrive_s=200.0,
        outage_at_s=70.0,
        outage_s=60.0,
        capacity=15,
        observed_s=900.0,
    )
    return bench().simulate(storm, getattr(bench(), strategy), seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_is_not_amplified(seed: int) -> None:
    """RET-15: at most 1.2 requests for each call that somebody wants to make."""
    ours, naive = outcome("holdfast", seed), outcome("naive", seed)

    assert ours.requests <= 1.2 * ours.storm.wanted
    assert naive.requests > 3 * naive.storm.wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_what_failed_together_does_not_come_back_together(seed: int) -> None:
    """RET-15, RET-01: no waves at the delays of the schedule, neither one by one nor added up."""
    ours, naive = outcome("holdfast", seed), outcome("naive", seed)
    offered, delays_s = ours.storm.offered, (1, 5, 6, 30, 35, 36)

    assert max(ours.after(*delays_s)) <= 3 * offered
    assert ours.peak <= 5 * offered  # the calls of a second, and the whole budget of retries: all at once
    assert ours.during.index(ours.peak) < 3
    assert min(naive.after(1, 6, 36)) > 3 * offered


@pytest.mark.parametrize("seed", SEEDS)
def test_recovery_is_no_second_outage(seed: int) -> None:
    """RET-15, RET-16: what was held back comes little by little, nothing fails any more, and all is done soon."""
    ours, naive = outcome("holdfast", seed), outcome("naive", seed)

    assert ours.falls == ()
    assert ours.late_failures == 0
    assert max(ours.per_second[130:]) <= ours.storm.capacity
    assert ours.done_at_s is not None
    assert ours.done_at_s < ours.storm.over_at_s + 300
    assert len(naive.falls) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_every_call_of_a_storm_is_carried_out_once(seed: int) -> None:
    """RET-15, IDE-04: those too that were cut off when they were done already; nothing is left to people."""
    ours, naive = outcome("holdfast", seed), outcome("naive", seed)

    assert len(ours.done) == ours.storm.wanted
    assert set(ours.done.values()) == {1}
    assert (ours.finished, ours.left_to_people) == (200, 0)
    assert ours.refused["CircuitOpen"] > 0
    assert naive.twice > 0


def test_the_same_seed_is_the_same_storm() -> None:
    """RET-15: so that a figure can be looked at again."""
    again = outcome.__wrapped__("holdfast", SEEDS[0])

    assert again == outcome("holdfast", SEEDS[0])
    assert again.per_second != outcome("holdfast", SEEDS[1]).per_second
