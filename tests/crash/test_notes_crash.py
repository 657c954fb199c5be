"""STA-08, STA-10: whatever the moment of death, notes that are made again are the notes that were to be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from holdfast import Ledger
from holdfast.testing import World
from holdfast.testing.places import places

LISTS = {"done": ["schema"], "in_progress": [], "next": ["api"], "decisions": ["SQLite"]}


async def session(ledger: Ledger, world: World) -> dict[str, Any]:
    """What an agent notes in a session that may be repeated from its beginning."""
    memory, handoff = ledger.memory(), ledger.handoff("shop")
    await memory.remember("Ada prefers English", key="language")
    await handoff.note(next=["schema", "api"], decisions=["SQLite"])
    await memory.remember("the schema is applied", kind="episodic", workflow_id="w")
    await handoff.note(in_progress=["schema"])
    await handoff.note(done=["schema"])
    return await standing(ledger, world)


async def standing(ledger: Ledger, world: World) -> dict[str, Any]:
    found = await ledger.handoff("shop").read()
    return {
        "memories": sorted(each.text for each in await ledger.memory().recall()),
        "lists": {name: [item.text for item in getattr(found, name)] for name in LISTS},
    }


def test_a_session_that_dies_anywhere_and_is_repeated_notes_everything_once(
    store: str, tmp_path: Path
) -> None:
    """STA-08, STA-10: nothing doubled, nothing lost, nothing moved back."""
    place = places(store, tmp_path)
    boundaries = World(place()).live(session).boundaries
    expected = {"memories": ["Ada prefers English", "the schema is applied"], "lists": LISTS}

    for n in range(len(boundaries)):
        world = World(place())
        world.live(session, die_at=n)
        world.recover()

        assert world.live(session).end == expected, f"died {boundaries[n]}"
        assert world.live(session).end == expected

    assert len([name for name in boundaries if name in {"after note", "after remember"}]) == 5
