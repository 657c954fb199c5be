"""``holdfast lint``: what workflows do outside of a step that they must leave to one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from holdfast.cli.exits import Exit, Refused
from holdfast.cli.output import Line, counted, listing, say
from holdfast.cli.session import Session, examples, session_options
from holdfast.cli.slips import Slip, slips

_HEADS: Final = ("where", "workflow", "calls", "why, and what instead")


@click.command(epilog=examples("holdfast lint app.py", "holdfast lint src --json"))
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@session_options
@click.pass_obj
def lint(session: Session, paths: Sequence[Path]) -> None:
    """Find what workflows do outside of a step: side effects, the clock, the dice.

    Reads the code and never runs it. It sees the usual slips, not all of them: what a helper function does is
    not followed. Exits with 1 when it finds any. Columns: where, workflow, call, why.
    """
    found = [(path, slip) for path in _files(paths) for slip in _slips(path)]
    listing(_HEADS, [_line(path, slip) for path, slip in found], as_json=session.as_json)
    if found:
        say(f"{counted(len(found), 'call')} outside of a step")
        raise click.exceptions.Exit(Exit.FAILED)
    say("no call outside of a step was found")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path,)


def _slips(path: Path) -> list[Slip]:
    try:
        return slips(path.read_text(encoding="utf-8"), str(path))
    except (SyntaxError, ValueError) as error:
        raise Refused(f"{path} cannot be read as Python ({error})", "give Python source files") from error


def _line(path: Path, slip: Slip) -> Line:
    where = f"{path}:{slip.line}"
    return Line(
        fields={
            "path": str(path),
            "line": slip.line,
            "workflow": slip.workflow,
            "call": slip.call,
            "instead": slip.instead,
        },
        cells=(where, slip.workflow, slip.call, slip.instead),
    )
