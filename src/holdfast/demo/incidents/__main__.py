"""``python -m holdfast.demo.incidents``: each incident without holdfast and with it, and what was counted."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from holdfast.demo.incidents.deductions import DEDUCTIONS
from holdfast.demo.incidents.deletion import DELETION
from holdfast.demo.incidents.figures import Incident, Played, Run
from holdfast.demo.incidents.recursion import RECURSION
from holdfast.demo.incidents.retries import RETRIES

INCIDENTS: Final = (RECURSION, RETRIES, DEDUCTIONS, DELETION)
_NAMES: Final = tuple(each.name for each in INCIDENTS)
_WIDTH: Final = 100


def told(incident: Incident, played: Played) -> Iterable[str]:
    """Tell of an incident, line by line."""
    yield f"== {incident.title}"
    yield from _wrapped(f"Reported: {incident.reported}")
    yield from _wrapped(f"Played: {incident.story}")
    yield ""
    rows = [_cells(incident, "", None), _cells(incident, "without", played.without)]
    rows.append(_cells(incident, "with holdfast", played.guarded))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *numbers, last = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in numbers), last[0]]
        yield "  " + "  ".join(cells).rstrip()
    yield ""
    yield from _wrapped(f"Without: {played.at_scale}")
    yield from _wrapped(f"With: {incident.stops}")


def _cells(incident: Incident, how: str, run: Run | None) -> list[str]:
    asks, acts = incident.asks_models, bool(incident.acts)
    if run is None:
        models = ["model requests", "tokens"] if asks else []
        return [how, *models, *([incident.acts] if acts else []), "money", "ended by"]
    models = [f"{run.requests:,}", f"{run.tokens:,}"] if asks else []
    return [how, *models, *([f"{run.acts:,}"] if acts else []), run.dollars, run.ended]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the incidents that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.demo.incidents", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_NAMES))
    parser.add_argument("--json", action="store_true", help="print one JSON object for each")
    options = parser.parse_args(arguments)
    if strange := set(options.names) - set(_NAMES):
        parser.error(f"there is no incident {min(strange)!r}: {', '.join(_NAMES)}")
    logging.getLogger("holdfast").setLevel(logging.ERROR)  # the alerts of budgets are meant to be heard
    with tempfile.TemporaryDirectory() as home:
        chosen = [each for each in INCIDENTS if not options.names or each.name in options.names]
        for number, incident in enumerate(chosen):
            played = incident.play(Path(home))
            if options.json:
                print(json.dumps({"name": incident.name, **asdict(played)}))  # noqa: T201 - what it is for
            else:
                lines = ([""] if number else []) + list(told(incident, played))
                print("\n".join(lines))  # noqa: T201 - what it is for
    return 0


if __name__ == "__main__":
    sys.exit(main())
