"""The whole demo: sets the stage, plays the acts, asks the ledger, and leaves no process behind."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from holdfast import Ledger
from holdfast.demo.acts import SCRIPTS, Act, Stage, play
from holdfast.demo.crew import Crew, DemoFailed
from holdfast.demo.evidence import Audit, Story, differences, read_audit, read_stories
from holdfast.demo.person import Person, Played
from holdfast.demo.screen import Screen
from holdfast.errors import InvalidURL, MissingExtra
from holdfast.ledger.urls import without_password

_PATIENCE_S: Final = 120.0
_SHORT_LEASE: Final = {"HOLDFAST_LEASE": "1.5", "HOLDFAST_RENEW_EVERY": "0.5"}
"""So that nobody has to watch for ten seconds how a dead agent's claim runs out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evening:
    """How the demo went.

    Attributes:
        ledger_url: Fit for showing: without a password.
        directory: Where the provider's books and the logs are kept.
        pids: The processes that took part; all are gone.
        differences: What was not as promised; empty when all was.
    """

    ledger_url: str
    directory: str
    pids: tuple[int, ...]
    acts: tuple[Act, ...]
    stories: tuple[Story, ...]
    audit: Audit
    seconds: float
    differences: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return the evening as one JSON object."""
        return {
            "ok": not self.differences,
            "charges_created": {act.script.name: act.charges_created for act in self.acts},
            "promised": {act.script.name: act.script.promised for act in self.acts},
            "differences": list(self.differences),
            "acts": [
                {
                    "name": act.script.name,
                    "order_id": act.order_id,
                    "workflow_id": act.workflow_id,
                    "charges_created": act.charges_created,
                    "tries": [asdict(tried) for tried in act.tries],
                    "effects": [_story(story) for story in self.stories if story.act == act.script.name],
                }
                for act in self.acts
            ],
            "audit": asdict(self.audit),
            "ledger_url": self.ledger_url,
            "directory": self.directory,
            "pids": list(self.pids),
            "seconds": round(self.seconds, 3),
        }


def _story(story: Story) -> dict[str, Any]:
    entries = [{**asdict(entry), "at": entry.at.isoformat()} for entry in story.entries]
    return {**asdict(story), "entries": entries}


async def perform(url: str | None, screen: Screen, person: Person | None = None) -> Evening:
    """Play the demo on the ledger at *url* (default: a new SQLite file), showing it on *screen*.

    Args:
        person: Who answers what the agent asks; by default the demo plays them.

    Raises:
        MissingExtra: The agent's SDK is not installed. Nothing was started.
        InvalidURL: This ledger cannot be shared by several processes. Nothing was started.
        StoreError: The ledger cannot be used. Nothing was started.
        DemoFailed: It could not be played to its end. Every process is gone.
    """
    if importlib.util.find_spec("openai") is None:
        raise MissingExtra("demo", "openai")
    directory = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    ledger_url = _shared(url) if url is not None else _new_ledger(directory)
    started = time.monotonic()
    crew = Crew(directory, {"HOLDFAST_URL": ledger_url, **_SHORT_LEASE})
    who = person or Played()
    patience_s = _PATIENCE_S + 2 * who.patience_s
    try:
        async with (
            asyncio.timeout(patience_s),
            Ledger(ledger_url, actor="demo", migrate=True) as ledger,
            crew,
        ):
            await ledger.effects(limit=1)  # an unusable ledger is reported before the curtain rises
            acts, stories = await _play_all(
                await _set_stage(crew, directory, screen, ledger_url, ledger, who), ledger, screen
            )
            audit = await read_audit(ledger)
    except TimeoutError as error:
        raise DemoFailed(f"it took more than {patience_s:g} s; the logs are in {directory}") from error
    evening = Evening(
        ledger_url=without_password(ledger_url),
        directory=str(directory),
        pids=crew.pids,
        acts=tuple(acts),
        stories=tuple(stories),
        audit=audit,
        seconds=time.monotonic() - started,
        differences=tuple(differences(acts, stories, audit)),
    )
    _tell(evening, screen)
    return evening


async def _set_stage(
    crew: Crew, directory: Path, screen: Screen, ledger_url: str, ledger: Ledger, person: Person
) -> Stage:
    payments = await crew.start_server("payments", "payments", "--database", str(directory / "payments.db"))
    model = await crew.start_server("model", "model")
    screen.opening(
        {
            "payments provider": f"{payments.url} (pid {payments.pid}), own database, does not deduplicate",
            "language model": f"{model.url} (pid {model.pid}), scripted, speaks OpenAI's wire format",
            "agent": "the openai SDK in a loop, a new process for every try",
            "ledger": without_password(ledger_url),
        }
    )
    urls = {"payments_url": payments.url, "model_url": model.url}
    return Stage(crew=crew, **urls, ledger=ledger, person=person)


async def _play_all(stage: Stage, ledger: Ledger, screen: Screen) -> tuple[list[Act], list[Story]]:
    evening = secrets.token_hex(3)  # a ledger that has seen this demo before must not answer from it
    acts: list[Act] = []
    stories: list[Story] = []
    for number, script in enumerate(SCRIPTS, 1):
        screen.raise_curtain(script)
        order_id = f"order-{evening}-{number}"
        acts.append(await play(stage, script, order_id, seen=screen.tried, answered=screen.answered))
        if script.guarded:
            told = await read_stories(ledger, acts[-1])
            for story in told:
                screen.states(story)
            stories += told
        screen.curtain(acts[-1])
    return acts, stories


def _tell(evening: Evening, screen: Screen) -> None:
    for story in _of_act(evening.stories, "with"):
        screen.story(story)
    screen.audit(evening.audit)
    for story in _of_act(evening.stories, "with"):
        screen.look_further(story.key, evening.ledger_url)
    screen.closing(seconds=evening.seconds, directory=evening.directory, differences=evening.differences)


def _of_act(stories: Iterable[Story], name: str) -> list[Story]:
    return [story for story in stories if story.act == name]


def _shared(url: str) -> str:
    if url.startswith("memory:") or ":memory:" in url:
        raise InvalidURL(url, "it lives in one process, but the demo's agents are processes of their own")
    return url


def _new_ledger(directory: Path) -> str:
    path = directory / "ledger.db"
    path.touch(mode=0o600)  # the screen names it, so the ledger need not announce a new file
    return f"sqlite:///{path}"
