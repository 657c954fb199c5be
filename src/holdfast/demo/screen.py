"""What the audience sees: colour on a terminal, plain text anywhere else."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from holdfast import Approval
from holdfast.demo.acts import KILLED, Act, Script, Try
from holdfast.demo.evidence import Audit, Entry, Story, commands

_STYLES: Final[Mapping[str, str]] = {
    "pending": "cyan",
    "retryable": "cyan",
    "unknown": "yellow",
    "succeeded": "green",
    "failed": "red",
    "waiting": "yellow",
    "denied": "red",
}
_WIDEST: Final = 96
_INDENT: Final = 4
_HEADER: Final = ("time (UTC)", "event", "state", "actor", "note")


class Screen:
    """Prints the play as it happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def opening(self, cast: Mapping[str, str]) -> None:
        """Introduce the cast: names and who they are."""
        self._line("holdfast demo", "bold")
        self._line("An agent charges a card, and something goes wrong at the worst moment.")
        self._line("How often does the customer pay?")
        self._line()
        width = max(map(len, cast))
        for name, what in cast.items():
            self._line(f"  {name.ljust(width)}  {what}", "dim")

    def raise_curtain(self, script: Script) -> None:
        """Announce an act."""
        self._heading(script.title)
        for line in textwrap.wrap(script.plot, min(self._console.width, _WIDEST) - _INDENT):
            self._line(f"  {line}")
        self._line()

    def tried(self, tried: Try) -> None:
        """Tell how one life of the agent ended."""
        line = Text(f"  try {tried.number}  ")
        line.append(f"charged {tried.charges}x  ", "green" if tried.charges == 1 else "red")
        if tried.end == KILLED:
            line.append("SIGKILL in the middle of the charge", "red")
        else:
            if tried.answers_lost:
                line.append("answer lost; ", "yellow")
            line.append(f'the agent says: "{tried.text}"')
        self._print(line)
        self._line(f"                     pid {tried.pid}, tool call {', '.join(tried.call_ids)}", "dim")

    def answered(self, question: Approval) -> None:
        """Show what the agent asked, exactly, and what the person said."""
        vote = question.votes[-1]
        self._line(f"  the agent asks: {question.shown['summary']}")
        self._line(f"    exactly       {json.dumps(dict(question.args), sort_keys=True)}", "dim")
        self._line(f"    sha-256       {question.digest}", "dim")
        line = Text(f"  {vote.person} say: ")
        line.append("yes, once" if vote.approves else "no", "green" if vote.approves else "red")
        self._print(line.append(f" ({vote.reason})" if vote.reason else ""))

    def states(self, story: Story) -> None:
        """Show how an effect moved from state to state."""
        self._line()
        self._line("  on record in the ledger:")
        width = max(len(entry.event) for entry in story.entries)
        for entry in story.entries:
            line = Text(f"    {entry.event.ljust(width)} -> ")
            line.append(f"{entry.state:<10}", _STYLES.get(entry.state, ""))
            line.append(entry.note, "dim")
            line.rstrip()
            self._print(line)

    def curtain(self, act: Act) -> None:
        """Give the number that the act was about."""
        self._line()
        style = "bold green" if act.charges_created == 1 else "bold red"
        self._line(f"  CHARGES_CREATED: {act.charges_created}", style)

    def story(self, story: Story) -> None:
        """Tell what the ledger knows of one effect."""
        self._heading("What the ledger can tell about act 2")
        self._line(f"  effect    {story.key}")
        self._line(f"  tool      {story.tool}")
        self._line(f"  workflow  {story.workflow_id}")
        times = "once" if story.attempts == 1 else f"{story.attempts} times"
        self._line(f"  state     {story.state}, executed {times}")
        self._line()
        rows = [_HEADER, *map(_row, story.entries)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            line = Text("  ", "" if number else "dim")
            for cell, width in zip(row, widths, strict=True):
                line.append(cell.ljust(width) + "  ", _STYLES.get(cell, ""))
            line.rstrip()
            self._print(line)

    def audit(self, audit: Audit) -> None:
        """Say whether the trail is sound."""
        self._line()
        verdict = "every chain verifies" if audit.ok else "DOES NOT VERIFY"
        what = f"  audit: {verdict} ({audit.chains} effects, {audit.entries} entries)"
        self._line(what, "green" if audit.ok else "bold red")

    def look_further(self, key: str, shown_url: str) -> None:
        """Name the commands that show more."""
        self._heading("Look further")
        for command in commands(key, shown_url):
            self._line(f"  {command}")

    def closing(self, *, seconds: float, directory: str, differences: Sequence[str]) -> None:
        """Say how long it took, what is kept, and what was not as promised."""
        self._line()
        self._line(f"Took {seconds:.1f} s. The provider's books and all logs are kept in {directory}", "dim")
        for difference in differences:
            self._line(f"NOT AS PROMISED: {difference}", "bold red")

    def _heading(self, title: str) -> None:
        self._line()
        self._console.rule(Text(title, "bold"), align="left", style="dim")

    def _line(self, text: str = "", style: str = "") -> None:
        self._print(Text(text, style))

    def _print(self, line: Text) -> None:
        # Keys, URLs and commands are there to be copied, so lines are never broken.
        self._console.print(line, soft_wrap=True)


def _row(entry: Entry) -> tuple[str, str, str, str, str]:
    at = entry.at.strftime("%H:%M:%S.%f")[:-3]
    return (at, entry.event, entry.state, entry.actor, entry.note)
