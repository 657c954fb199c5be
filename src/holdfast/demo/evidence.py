"""What the ledger has on record about the demo's charges."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast import Ledger
from holdfast.demo.acts import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of an effect's audit trail."""

    seq: int
    at: datetime
    event: str
    state: str
    actor: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One effect, from its first entry to its last.

    Attributes:
        act: The act that it was the charge of.
        attempts: How often the handler was started.
    """

    act: str
    key: str
    tool: str
    workflow_id: str
    state: str
    attempts: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What `holdfast audit verify` would say."""

    ok: bool
    chains: int
    entries: int


async def read_stories(ledger: Ledger, act: Act) -> list[Story]:
    """Return the story of each effect that *act* left in the ledger; one, if all went well."""
    stories: list[Story] = []
    for effect in await ledger.effects(workflow_id=act.workflow_id):
        entries = tuple(
            Entry(seq=e.seq, at=e.at, event=e.event, state=e.state, actor=e.actor, note=e.note)
            for e in await ledger.audit(effect.key)
        )
        stories.append(
            Story(
                act=act.script.name,
                key=effect.key,
                tool=effect.tool,
                workflow_id=effect.workflow_id,
                state=effect.state,
                attempts=effect.attempt,
                entries=entries,
            )
        )
    return stories


async def read_audit(ledger: Ledger) -> Audit:
    """Check every audit chain of the ledger."""
    report = await ledger.verify()
    return Audit(ok=report.ok, chains=report.chains, entries=report.entries)


def differences(acts: Sequence[Act], stories: Sequence[Story], audit: Audit) -> list[str]:
    """Say what did not turn out as promised; nothing, when all did."""
    found: list[str] = []
    for act in acts:
        script, count = act.script, act.charges_created
        if count != script.promised:
            found.append(f"{script.title}: promised {script.promised} charge(s), the provider made {count}")
        states = [story.state for story in stories if story.act == script.name]
        if script.guarded and states != list(script.states):
            promised = ", ".join(script.states)
            found.append(f"{script.title}: promised effects ({promised}), the ledger has {states}")
    if not audit.ok:
        found.append("the audit trail does not verify")
    return found


def commands(key: str, shown_url: str) -> list[str]:
    """Return the commands that look further into the ledger."""
    url = shlex.quote(shown_url)
    holdfast = "holdfast" if shutil.which("holdfast") else f"{_shown(sys.executable)} -m holdfast"
    return [
        f"{holdfast} effects --url {url}",
        f"{holdfast} show {key} --url {url}",
        f"{holdfast} audit verify --url {url}",
    ]


def _shown(path: str) -> str:
    """Return *path* as one would type it here."""
    near = os.path.relpath(path)
    return shlex.quote(path if near.startswith("..") else near)
