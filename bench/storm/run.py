"""RET-15: does an outage of a minute end in a storm of retries? A thousand workflows on a virtual clock.

    .venv/bin/python bench/storm/run.py [--seed 7 8 9] [--queue patient|exact|impatient] [--plot FILE]

Prints what the dependency saw of three ways to retry, and draws the first seed's: to docs/assets/storm.svg unless
told otherwise, of the patient queue only. Fails if holdfast, with its defaults, sends more than 1.2 requests per
wanted call, comes in waves, brings the dependency down again, leaves a workflow behind or has a call carried out
twice.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

from model import Outcome, Strategy, exponential, holdfast, naive, simulate
from outage import Storm
from plot import drawn

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES: dict[str, Strategy] = {"naive": naive, "exponential": exponential, "holdfast": holdfast}
DELAYS_S = (1, 6, 36)
"""When what failed at the first moment of the outage comes again, with delays of 1, 5 and 30 seconds."""

QUEUES: dict[str, dict[str, object]] = {
    "patient": {},
    "exact": {"adds_jitter": False},
    "impatient": {"is_patient": False, "redelivery_s": 10.0},
}
"""How refused workflows are handed out again: up to 30 s after the moment that the refusal names; at that very
moment; up to 10 s after the refusal, whatever it says."""

HEADS = (
    "",
    "seed",
    "requests",
    "per call",
    "peak",
    "+1 s",
    "+6 s",
    "+36 s",
    "falls",
    "twice",
    "done",
    "after",
)
WIDTHS = (-12, 5, 9, 9, 5, 5, 5, 6, 6, 6, 6, 8)
LEGEND = """
requests   all that the dependency saw, in {observed:.0f} minutes at most; {wanted} calls were wanted, {offered:g} per second
per call   requests per wanted call
peak       the most within one second of the outage; +1, +6, +36: in the seconds where fixed delays of 1, 5 and 30
           seconds lead, counted from its beginning
falls      how often the dependency fell over for more than {capacity} requests within a second
twice      calls that were carried out more often than once
done       workflows that are done; after: so many seconds after the outage was over
"""


def row(name: str, outcome: Outcome) -> tuple[str, ...]:
    done_at_s = outcome.done_at_s
    return (
        name,
        str(outcome.seed),
        str(outcome.requests),
        f"{outcome.amplification:.2f}",
        str(outcome.peak),
        *map(str, outcome.after(*DELAYS_S)),
        str(len(outcome.falls)),
        str(outcome.twice),
        str(outcome.finished),
        "never" if done_at_s is None else f"{done_at_s - outcome.storm.over_at_s:.0f} s",
    )


def shown(cells: tuple[str, ...]) -> str:
    return "".join(
        f"{cell:{'<' if width < 0 else '>'}{abs(width)}}" for cell, width in zip(cells, WIDTHS, strict=True)
    )


def shortfalls(outcome: Outcome) -> list[str]:
    """Say what holdfast promises of a storm and did not hold."""
    storm = outcome.storm
    found = {
        f"{outcome.amplification:.2f} requests per wanted call": outcome.amplification <= 1.2,
        f"{outcome.peak} requests in one second of the outage": outcome.peak <= 4 * storm.offered,
        "waves after the delays of the schedule": max(outcome.after(*DELAYS_S)) <= 3 * storm.offered,
        f"the dependency fell over {len(outcome.falls)} times": not outcome.falls,
        f"{outcome.late_failures} requests failed after the outage": not outcome.late_failures,
        f"{outcome.finished} of {storm.workflows} workflows are done": outcome.done_at_s is not None,
        f"{outcome.twice} calls were carried out twice": not outcome.twice,
    }
    return [f"seed {outcome.seed}: {what}" for what, is_held in found.items() if not is_held]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[7])
    parser.add_argument("--queue", choices=QUEUES, default="patient")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    plot = arguments.plot or (ROOT / "docs/assets/storm.svg" if arguments.queue == "patient" else None)
    logging.disable(logging.WARNING)  # the alerts of an outage that we made ourselves
    storm, began = replace(Storm(), **QUEUES[arguments.queue]), time.monotonic()
    print(shown(HEADS))
    failed: list[str] = []
    for seed in arguments.seed:
        outcomes = {name: simulate(storm, strategy, seed) for name, strategy in STRATEGIES.items()}
        for name, outcome in outcomes.items():
            print(shown(row(name, outcome)), flush=True)
        failed += shortfalls(outcomes["holdfast"])
        if plot is not None and seed == arguments.seed[0]:
            plot.parent.mkdir(parents=True, exist_ok=True)
            plot.write_text(drawn(outcomes["naive"], outcomes["holdfast"]), encoding="utf-8")
    print(
        LEGEND.format(
            wanted=storm.wanted,
            offered=storm.offered,
            capacity=storm.capacity,
            observed=storm.observed_s / 60,
        )
    )
    print(f"{time.monotonic() - began:.0f} s" + (f"; drawn to {plot}" if plot else ""))
    for what in failed:
        print(f"NOT HELD: {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
