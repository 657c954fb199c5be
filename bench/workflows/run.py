"""Workflows, measured: ``python bench/workflows/run.py [--quick] [--only NAME ...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import database
import rates


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--layouts", nargs="*", type=int, default=list(range(len(rates.LAYOUTS))))
    o = parser.parse_args()
    with database.server() as url, database.scratch_dir("holdfast-bench-") as folder:
        rates.measure(
            url,
            folder,
            rivals=rates.chosen(o.only),
            layouts=[rates.LAYOUTS[k] for k in o.layouts],
            rounds=o.rounds,
            n=o.n,
        )


if __name__ == "__main__":
    main()
