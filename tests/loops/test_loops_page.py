"""The page about loops has the limits that hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from holdfast import LoopRules
from holdfast._core.loop import LoopKind
from holdfast._core.loop_window import MOST_CALLS

PAGE = (Path(__file__).parents[2] / "docs/how-to/stop-loops.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \|.*\| (\d+|never) \| (\d+|never) \|$", re.MULTILINE)


def count(cell: str) -> int | None:
    """A cell of the table as a limit."""
    return None if cell == "never" else int(cell)


def test_the_table_has_every_sign_and_its_limits() -> None:
    """COS-06."""
    told = {kind: (count(tell), count(stop)) for kind, tell, stop in ROW.findall(PAGE)}

    held = {kind: LoopRules().limit(kind) for kind in get_args(LoopKind)}
    assert told == {kind: (limit.tell, limit.stop) for kind, limit in held.items() if limit is not None}
    assert list(told) == list(get_args(LoopKind))


def test_the_page_says_how_much_is_remembered() -> None:
    """COS-06."""
    rules = LoopRules()

    assert f"last {rules.window} turns" in PAGE
    assert f"{MOST_CALLS}\ndifferent calls" in PAGE
    assert f"{rules.growth} times" in PAGE
